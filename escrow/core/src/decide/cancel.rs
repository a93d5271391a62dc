//! A trader wants out.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::facts::{CancelFacts, Now};
use crate::hold::Hold;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::party::Asker;
use crate::stage::{BackTo, CancelReason, Stage};
use crate::wire::CantDo;

use super::ensure;
use super::opening::{back, given_up};

/// Ends an order nobody has taken, or undoes a take whose hold is still being
/// opened (rules C1–C3). A later stage is not left by one side alone.
///
/// # Errors
///
/// `order_already_canceled` and `not_allowed_by_status` as the stage is; from
/// a stranger `is_not_your_order` in the book and `invalid_pubkey` after it.
pub fn cancel(
    order: &Order,
    req: &Request,
    now: Now,
    facts: &CancelFacts,
) -> Result<Decision, CantDo> {
    let is_party = order.role_of(req.sender.trade_key).is_some();
    match &order.stage {
        Stage::Canceled { .. } => Err(CantDo::OrderAlreadyCanceled),
        Stage::Pending => {
            ensure(is_party, CantDo::IsNotYourOrder)?;
            Ok(withdraw(order, req, None, now))
        }
        Stage::OpeningHold {
            take,
            asker,
            back_to: BackTo::Pending,
            ..
        } => {
            ensure(is_party, CantDo::IsNotYourOrder)?;
            let hold = facts.hold.as_ref().ok_or(CantDo::NotAllowedByStatus)?;
            Ok(undo_take(order, req, &Undone { take, asker, hold }, now))
        }
        Stage::OpeningHold {
            back_to: BackTo::WaitingInvoice { .. },
            ..
        }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. } => {
            ensure(is_party, CantDo::InvalidPubkey)?;
            Err(CantDo::NotAllowedByStatus)
        }
        Stage::Releasing { .. } | Stage::PayingBuyer { .. } | Stage::Success { .. } => {
            Err(CantDo::NotAllowedByStatus)
        }
    }
}

/// An opening that one of its parties does not want any more.
struct Undone<'a> {
    take: &'a Take,
    asker: &'a Asker,
    hold: &'a Hold,
}

/// Rule C3: the hold is given up. The maker takes his order out of the book
/// with it; the taker just leaves. If another waits for the hold, he hears
/// that it will not come.
fn undo_take(order: &Order, req: &Request, undone: &Undone<'_>, now: Now) -> Decision {
    let Undone { take, asker, hold } = *undone;
    let mut decision = if req.sender.trade_key == order.maker.trade_key {
        withdraw(order, req, Some(take), now)
    } else {
        Decision {
            orders: vec![back(order, take, &BackTo::Pending, now.at)],
            answer: Some(Letter::answer(&req.asker(), order.id, Notice::Canceled)),
            ..Decision::default()
        }
    };
    if asker.trade_key != req.sender.trade_key {
        let refusal = Letter::refusal(asker, Some(order.id), CantDo::NotAllowedByStatus);
        decision.pushes.push(refusal);
    }
    decision.holds.push(given_up(hold));
    decision.effects.push(Effect::CancelHold(hold.hash));
    decision
}

/// Rule C2: the maker withdraws his order.
fn withdraw(order: &Order, req: &Request, take: Option<&Take>, now: Now) -> Decision {
    let stage = Stage::Canceled {
        why: CancelReason::ByMaker,
        take: take.cloned(),
    };
    Decision {
        orders: vec![order.moved(stage, now.at)],
        answer: Some(Letter::answer(&req.asker(), order.id, Notice::Canceled)),
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

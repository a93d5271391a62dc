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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::party::Party;

    fn says(party: &Party) -> Request {
        request(party, Ask::Cancel)
    }

    fn canceling(scene: &Scene, party: &Party) -> Result<Decision, CantDo> {
        let facts = CancelFacts {
            hold: scene.hold.clone(),
        };
        cancel(&scene.order, &says(party), now(), &facts)
    }

    fn refusal_of(party: &Party, scene: &Scene) -> Option<CantDo> {
        canceling(scene, party).err()
    }

    #[test]
    fn c1_c2_c4_c7_c10_a_cancel_is_refused() {
        use CantDo::{InvalidPubkey, IsNotYourOrder, NotAllowedByStatus, OrderAlreadyCanceled};
        for scene in scenes(Side::Sell) {
            let (parties, others) = match scene.name {
                "pending" => continue,
                "opening-hold (pending)" => (None, IsNotYourOrder),
                "releasing" | "paying-buyer" | "paying-buyer (no invoice)" | "success" => {
                    (Some(NotAllowedByStatus), NotAllowedByStatus)
                }
                "canceled" => (Some(OrderAlreadyCanceled), OrderAlreadyCanceled),
                _ => (Some(NotAllowedByStatus), InvalidPubkey),
            };
            assert_eq!(
                refusal_of(&maker(), &scene),
                parties,
                "maker, {}",
                scene.name
            );
            assert_eq!(
                refusal_of(&taker(), &scene),
                parties,
                "taker, {}",
                scene.name
            );
            assert_eq!(
                refusal_of(&stranger(), &scene),
                Some(others),
                "{}",
                scene.name
            );
        }
        let pending = scene("pending", Side::Buy, Stage::Pending);
        assert_eq!(refusal_of(&stranger(), &pending), Some(IsNotYourOrder));
    }

    #[test]
    fn c2_the_maker_withdraws_his_order() {
        let scene = scene("pending", Side::Sell, Stage::Pending);
        let stage = Stage::Canceled {
            why: CancelReason::ByMaker,
            take: None,
        };
        let order = &scene.order;
        let expected = Decision {
            orders: vec![order.moved(stage, NOW)],
            answer: Some(Letter::answer(
                &says(&maker()).asker(),
                order.id,
                Notice::Canceled,
            )),
            effects: vec![Effect::PublishOrder(order.id)],
            ..Decision::default()
        };
        assert_eq!(canceling(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_the_maker_undoes_a_take_whose_hold_is_being_opened() {
        let scene = opening(Side::Sell, BackTo::Pending);
        let take = Some(take_with_invoice());
        let stage = Stage::Canceled {
            why: CancelReason::ByMaker,
            take,
        };
        let asker = says(&taker()).asker();
        let refusal = Letter::refusal(&asker, Some(order_id()), CantDo::NotAllowedByStatus);
        let expected = Decision {
            orders: vec![scene.order.moved(stage, NOW)],
            holds: vec![hold(&scene.order, crate::hold::HoldState::Canceling)],
            answer: Some(Letter::answer(
                &says(&maker()).asker(),
                order_id(),
                Notice::Canceled,
            )),
            pushes: vec![refusal],
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::CancelHold(fresh_hold().hash),
            ],
            ..Decision::default()
        };
        assert_eq!(canceling(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_the_taker_leaves_before_his_hold_is_open() {
        let scene = opening(Side::Buy, BackTo::Pending);
        let expected = Decision {
            orders: vec![scene.order.moved(Stage::Pending, NOW)],
            holds: vec![hold(&scene.order, crate::hold::HoldState::Canceling)],
            answer: Some(Letter::answer(
                &says(&taker()).asker(),
                order_id(),
                Notice::Canceled,
            )),
            effects: vec![Effect::CancelHold(fresh_hold().hash)],
            ..Decision::default()
        };
        assert_eq!(canceling(&scene, &taker()), Ok(expected));
    }
}

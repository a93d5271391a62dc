//! Lightning reports that nothing is locked by a hold any more.

use crate::decision::{Alarm, Decision, Effect};
use crate::facts::Now;
use crate::hold::{Hold, HoldState};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Side, Take};
use crate::party::Party;
use crate::payout::{Payout, PayoutState};
use crate::stage::{BackTo, CancelReason, Stage};
use crate::view;

use super::hold_invoice::{Release, awaiting_payment, hold_failed, release_of};
use super::opening::back;
use super::{alarm, nothing};

/// A hold is canceled: as decided, because the seller's time was up (rule H8),
/// or against the ledger (rules X6, R6). `payout` is that of a release.
pub fn hold_canceled(order: &Order, hold: &Hold, payout: Option<&Payout>, now: Now) -> Decision {
    let ended = match &hold.state {
        HoldState::Canceled | HoldState::Lost => Some(nothing()),
        HoldState::Canceling => Some(Decision::default()),
        HoldState::New => undo_opening(order, hold, now),
        HoldState::Open { .. } => {
            awaiting_payment(order, hold).map(|take| not_paid_in_time(order, take, now))
        }
        HoldState::Accepted(_) => escrow_lost(order, hold, now),
        HoldState::Settling(_) => release_of(order, hold)
            .zip(payout)
            .map(|(release, payout)| release_lost(order, &release, hold, payout, now)),
        HoldState::Settled(_) => None,
    };
    let Some(mut decision) = ended else {
        return alarm(Alarm::UnexpectedHold(hold.hash));
    };
    if let Some(state) = end_of(&hold.state) {
        decision.holds = vec![Hold {
            state,
            ..hold.clone()
        }];
    }
    decision
}

/// The state that follows a cancel, if it is another.
fn end_of(state: &HoldState) -> Option<HoldState> {
    match state {
        HoldState::New | HoldState::Open { .. } | HoldState::Accepted(_) | HoldState::Canceling => {
            Some(HoldState::Canceled)
        }
        HoldState::Settling(_) => Some(HoldState::Lost),
        HoldState::Settled(_) | HoldState::Canceled | HoldState::Lost => None,
    }
}

/// Rule B6, and there is nothing left to cancel.
fn undo_opening(order: &Order, hold: &Hold, now: Now) -> Option<Decision> {
    let undone = hold_failed(order, hold, now);
    let is_ours = !undone.orders.is_empty();
    is_ours.then(|| Decision {
        effects: Vec::new(),
        ..undone
    })
}

/// Rules E3 and E4: the seller did not pay. A buy order goes back to the book
/// without its taker; a sell order ends, because its own maker let it down.
fn not_paid_in_time(order: &Order, take: &Take, now: Now) -> Decision {
    let canceled = |party| Letter::push(party, order.id, Notice::Canceled);
    let (order_after, first) = match order.offer.side {
        Side::Buy => {
            let again = Notice::BackInBook(Box::new(view::back(order)));
            let order_after = back(order, take, &BackTo::Pending, now.at);
            (order_after, Letter::push(&order.maker, order.id, again))
        }
        Side::Sell => (
            ended(order, take, CancelReason::NotPaid, now),
            canceled(&order.maker),
        ),
    };
    Decision {
        orders: vec![order_after],
        pushes: vec![first, canceled(&take.taker)],
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

/// Rule X6: the sats went back to the seller in the middle of a trade. Once the
/// fiat is said to be sent, `canceled` would be no comfort, so only the loss is
/// told.
fn escrow_lost(order: &Order, hold: &Hold, now: Now) -> Option<Decision> {
    let (take, notices) = match &order.stage {
        Stage::PaidWaitingInvoice { take, hold: id, .. } | Stage::Active { take, hold: id }
            if *id == hold.id =>
        {
            (take, vec![Notice::EscrowCanceled, Notice::Canceled])
        }
        Stage::FiatSent { take, hold: id } if *id == hold.id => {
            (take, vec![Notice::EscrowCanceled])
        }
        Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. } => return None,
    };
    let parties: [&Party; 2] = [&order.maker, &take.taker];
    let pushes = notices
        .iter()
        .flat_map(|notice| parties.map(|party| Letter::push(party, order.id, notice.clone())))
        .collect();
    Some(Decision {
        orders: vec![ended(order, take, CancelReason::EscrowLost, now)],
        pushes,
        effects: vec![
            Effect::PublishOrder(order.id),
            Effect::Alarm(Alarm::EscrowLost(hold.hash)),
        ],
        ..Decision::default()
    })
}

/// Rule R6: settling was decided too late; the debt to the buyer stays in the
/// ledger for the operator (rule P14).
fn release_lost(
    order: &Order,
    release: &Release<'_>,
    hold: &Hold,
    payout: &Payout,
    now: Now,
) -> Decision {
    let buyer = order.sides(release.take).buyer;
    Decision {
        orders: vec![ended(order, release.take, CancelReason::EscrowLost, now)],
        payouts: vec![Payout {
            state: PayoutState::Parked,
            ..payout.clone()
        }],
        answer: Some(release.answer(order, Notice::EscrowCanceled, now)),
        pushes: vec![Letter::push(buyer, order.id, Notice::EscrowCanceled)],
        effects: vec![
            Effect::PublishOrder(order.id),
            Effect::Alarm(Alarm::HoldLost(hold.hash)),
        ],
        ..Decision::default()
    }
}

fn ended(order: &Order, take: &Take, why: CancelReason, now: Now) -> Order {
    order.moved(
        Stage::Canceled {
            why,
            take: Some(take.clone()),
        },
        now.at,
    )
}

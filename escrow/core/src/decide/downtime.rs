//! The node was down, or its clock jumped: no trader pays for it.

use crate::decision::Decision;
use crate::facts::Now;
use crate::hold::Hold;
use crate::order::Order;
use crate::payout::{Payout, PayoutState};
use crate::stage::{BackTo, Stage};
use crate::terms::GRACE_AFTER_DOWNTIME_SECS;
use crate::time::UnixTime;

use super::timeouts::look_first;

/// Moves what an order and its payout wait for by `secs`, so that the time of
/// a step is time in which the node could be reached (rules E11, E14). What
/// its maker wished for and what is counted in blocks stays.
///
/// An invoice that ends before its moved step is looked up, so that it is paid
/// or replaced (rule E12). To be decided before the holds are reconciled:
/// Lightning has canceled such an invoice by itself, and nobody is late yet.
pub fn shifted(
    order: &Order,
    hold: Option<&Hold>,
    payout: Option<&Payout>,
    secs: u64,
    now: Now,
) -> Decision {
    let order = moved_steps(order, secs, now);
    let mut decision = Decision::default();
    if let (Some(Stage::WaitingPayment { deadline, .. }), Some(hold)) =
        (order.as_ref().map(|order| &order.stage), hold)
        && hold.expires_at < *deadline
        && let Some(order) = &order
    {
        decision = look_first(order, hold, now);
    }
    decision.orders = order.into_iter().collect();
    decision.payouts = payout
        .and_then(|p| moved_payout(p, secs))
        .into_iter()
        .collect();
    decision
}

/// The order with its step moved; none if it has no step.
fn moved_steps(order: &Order, secs: u64, now: Now) -> Option<Order> {
    let mut moved = order.clone();
    let least = now.at.plus(GRACE_AFTER_DOWNTIME_SECS);
    let later = |deadline: &mut UnixTime| *deadline = deadline.plus(secs).max(least);
    match &mut moved.stage {
        Stage::WaitingInvoice { deadline, .. }
        | Stage::WaitingPayment { deadline, .. }
        | Stage::PaidWaitingInvoice { deadline, .. }
        | Stage::OpeningHold {
            back_to: BackTo::WaitingInvoice { deadline } | BackTo::WaitingPayment { deadline },
            ..
        } => later(deadline),
        Stage::OpeningHold {
            back_to: BackTo::Pending,
            ..
        }
        | Stage::Pending
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => return None,
    }
    Some(moved)
}

/// The payout with its timer moved; none if it has none.
fn moved_payout(payout: &Payout, secs: u64) -> Option<Payout> {
    let state = match payout.state {
        PayoutState::Ready { not_before } => PayoutState::Ready {
            not_before: not_before.plus(secs),
        },
        PayoutState::NeedInvoice { asked, again_at } => PayoutState::NeedInvoice {
            asked,
            again_at: again_at.plus(secs),
        },
        PayoutState::WaitFunds | PayoutState::Paying | PayoutState::Paid | PayoutState::Parked => {
            return None;
        }
    };
    Some(Payout {
        state,
        ..payout.clone()
    })
}

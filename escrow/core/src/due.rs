//! What moves an order when nobody does anything (rule S9).

use crate::hold::{Hold, HoldState};
use crate::order::Order;
use crate::payout::{Payout, PayoutState};
use crate::stage::{BackTo, Stage};
use crate::terms::REFRESH_SECS;
use crate::time::UnixTime;
use crate::timer::{Timer, TimerKind};

/// The timers of an order; they follow from its row, that of its payout and
/// the stamp of its newest public revision, and from nothing else.
///
/// The writer sets them with every commit that writes one of the three, so
/// that no decision can forget one and none outlives what it was for.
#[must_use]
pub fn due(order: &Order, payout: Option<&Payout>, shown_at: Option<UnixTime>) -> Vec<Timer> {
    let timer = |kind, at| Timer {
        at,
        order: order.id,
        kind,
    };
    match &order.stage {
        Stage::Pending => vec![
            timer(TimerKind::OfferDeadline, order.offer.expires_at),
            timer(TimerKind::Refresh, refresh(order, shown_at)),
        ],
        Stage::OpeningHold {
            until,
            back_to: BackTo::Pending,
            ..
        } => vec![
            timer(TimerKind::OpeningHold, *until),
            timer(TimerKind::Refresh, refresh(order, shown_at)),
        ],
        Stage::OpeningHold { until, .. } => vec![timer(TimerKind::OpeningHold, *until)],
        Stage::WaitingInvoice { deadline, .. }
        | Stage::WaitingPayment { deadline, .. }
        | Stage::PaidWaitingInvoice { deadline, .. } => {
            vec![timer(TimerKind::StepDeadline, *deadline)]
        }
        Stage::Releasing { .. } | Stage::PayingBuyer { .. } => {
            let wanted = payout.and_then(|payout| payout_due(payout.state));
            wanted
                .map(|(kind, at)| timer(kind, at))
                .into_iter()
                .collect()
        }
        Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => Vec::new(),
    }
}

fn refresh(order: &Order, shown_at: Option<UnixTime>) -> UnixTime {
    shown_at.unwrap_or(order.stage_since).plus(REFRESH_SECS)
}

fn payout_due(state: PayoutState) -> Option<(TimerKind, UnixTime)> {
    match state {
        PayoutState::Ready { not_before } => Some((TimerKind::PayoutRetry, not_before)),
        PayoutState::Queued { again_at, .. } => Some((TimerKind::PayoutRetry, again_at)),
        PayoutState::NeedInvoice { again_at, .. } => Some((TimerKind::Reprompt, again_at)),
        PayoutState::WaitFunds
        | PayoutState::Resolving { .. }
        | PayoutState::Paying
        | PayoutState::Paid
        | PayoutState::Parked
        | PayoutState::WrittenOff => None,
    }
}

/// The timer of a development fee that is to be tried again; its order has
/// ended and has no other.
#[must_use]
pub fn dev_fee_due(fee: &Payout) -> Option<Timer> {
    let (_, at) = payout_due(fee.state)?;
    Some(Timer {
        at,
        order: fee.order,
        kind: TimerKind::DevFee,
    })
}

/// What moves an order on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mover {
    /// A timer.
    Clock,
    /// The expiry height of its escrow.
    Horizon,
    /// Lightning, which is asked until it has given a definite answer; before
    /// it the address that is to be paid.
    Lightning,
}

/// What moves this order on if its parties do nothing. None for one that has
/// ended, and for one that is stuck: then only the operator can.
#[must_use]
pub fn mover(order: &Order, hold: Option<&Hold>, payout: Option<&Payout>) -> Option<Mover> {
    if !due(order, payout, None).is_empty() {
        return Some(Mover::Clock);
    }
    match &order.stage {
        Stage::PayingBuyer { .. } => match payout?.state {
            PayoutState::Paying | PayoutState::Resolving { .. } => Some(Mover::Lightning),
            PayoutState::WaitFunds
            | PayoutState::Ready { .. }
            | PayoutState::Queued { .. }
            | PayoutState::NeedInvoice { .. }
            | PayoutState::Paid
            | PayoutState::Parked
            | PayoutState::WrittenOff => None,
        },
        Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Releasing { .. }
        | Stage::Canceling { .. } => match &hold?.state {
            HoldState::Accepted(_) => Some(Mover::Horizon),
            HoldState::Settling(_) | HoldState::Canceling => Some(Mover::Lightning),
            HoldState::New
            | HoldState::Open { .. }
            | HoldState::Settled(_)
            | HoldState::Canceled
            | HoldState::Lost => None,
        },
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;

    fn kinds(scene: &Scene) -> Vec<(TimerKind, u64)> {
        let payout = scene.owed.as_ref().map(|owed| &owed.payout);
        due(&scene.order, payout, Some(SINCE))
            .iter()
            .map(|timer| (timer.kind, timer.at.0 - NOW.0))
            .collect()
    }

    #[test]
    fn s9_every_order_that_lives_is_moved_on_by_something() {
        for scene in scenes(Side::Sell).into_iter().chain(scenes(Side::Buy)) {
            let payout = scene.owed.as_ref().map(|owed| &owed.payout);
            let moved_by = mover(&scene.order, scene.hold.as_ref(), payout);
            let lives = !scene.order.stage.is_terminal();
            assert_eq!(moved_by.is_some(), lives, "{}", scene.name);
        }
    }

    #[test]
    fn e8_s6_p10_the_timers_of_each_stage() {
        let pending = scene("pending", Side::Sell, Stage::Pending);
        let offer_ends = MADE.0 + 86_400 - NOW.0;
        let refresh = (TimerKind::Refresh, 72_000 - 60);
        assert_eq!(
            kinds(&pending),
            [(TimerKind::OfferDeadline, offer_ends), refresh]
        );
        let opening = opening(Side::Sell, BackTo::Pending);
        assert_eq!(kinds(&opening), [(TimerKind::OpeningHold, 8), refresh]);
        let step = [(TimerKind::StepDeadline, 600)];
        assert_eq!(kinds(&waiting_invoice()), step);
        assert_eq!(kinds(&waiting_payment(Side::Buy)), step);
        assert_eq!(kinds(&paid_waiting_invoice(Side::Buy)), step);
        assert_eq!(
            kinds(&needing_invoice(Side::Buy)),
            [(TimerKind::Reprompt, 3_600)]
        );
        for quiet in [active(Side::Buy), releasing(Side::Buy), paying(Side::Buy)] {
            assert_eq!(kinds(&quiet), [], "{}", quiet.name);
        }
    }

    #[test]
    fn d8_a_dispute_ends_with_its_escrow_and_at_no_moment_before() {
        for side in [Side::Sell, Side::Buy] {
            let scene = disputed(side);
            assert_eq!(kinds(&scene), []);
            let moved_by = mover(&scene.order, scene.hold.as_ref(), None);
            assert_eq!(moved_by, Some(Mover::Horizon));
        }
    }

    #[test]
    fn s9_a_parked_payout_waits_for_the_operator_alone() {
        let order = paying(Side::Sell).order;
        let parked = payout(PayoutState::Parked);
        assert_eq!(mover(&order, None, Some(&parked)), None);
    }
}

//! A timer is due.
//!
//! A timer may be older than what it finds: it looks at the rows, and does
//! nothing when they have a later moment in mind.

use crate::decision::Decision;
use crate::facts::{Now, PayoutFacts};
use crate::hold::Hold;
use crate::order::Order;
use crate::stage::Stage;
use crate::timer::TimerKind;

use super::hold_invoice::hold_failed;
use super::nothing;
use super::payout::payout_due;

/// Decides what a timer of this order means (rules B6, P4). The rows are those
/// that the order's stage names.
pub fn elapsed(
    order: &Order,
    kind: TimerKind,
    hold: Option<&Hold>,
    owed: Option<&PayoutFacts>,
    now: Now,
) -> Decision {
    match kind {
        TimerKind::OpeningHold => {
            hold.map_or_else(nothing, |hold| opening_elapsed(order, hold, now))
        }
        TimerKind::PayoutRetry => owed.map_or_else(nothing, |owed| payout_due(order, owed, now)),
    }
}

/// The node has thought long enough about a hold (rule E7).
fn opening_elapsed(order: &Order, hold: &Hold, now: Now) -> Decision {
    let is_over = matches!(order.stage, Stage::OpeningHold { until, .. } if until <= now.at);
    if is_over {
        hold_failed(order, hold, now)
    } else {
        nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::payout::{AttemptState, PaymentFailure, PayoutState};
    use crate::stage::BackTo;
    use crate::time::UnixTime;

    #[test]
    fn e7_an_opening_ends_when_its_time_is_up_and_not_before() {
        let scene = opening(Side::Buy, BackTo::Pending);
        let due = |secs| {
            let now = at(UnixTime(NOW.0 + secs));
            elapsed(
                &scene.order,
                TimerKind::OpeningHold,
                scene.hold.as_ref(),
                None,
                now,
            )
        };
        assert_eq!(due(7), Decision::default(), "a timer of an earlier opening");
        let failed = scene
            .hold
            .as_ref()
            .map(|hold| hold_failed(&scene.order, hold, at(UnixTime(NOW.0 + 8))));
        assert_eq!(Some(due(8)), failed);
    }

    #[test]
    fn s9_a_timer_of_something_that_is_over_does_nothing() {
        for scene in scenes(Side::Sell)
            .into_iter()
            .filter(|s| !s.name.starts_with("opening"))
        {
            let late = at(UnixTime(NOW.0 + 1_000));
            for kind in [TimerKind::OpeningHold, TimerKind::PayoutRetry] {
                let (hold, owed) = (scene.hold.as_ref(), scene.owed.as_ref());
                let decision = elapsed(&scene.order, kind, hold, owed, late);
                assert_eq!(decision, Decision::default(), "{} {kind:?}", scene.name);
            }
        }
    }

    #[test]
    fn p4_a_payout_is_tried_again_when_its_time_has_come() {
        let order = paying(Side::Sell).order;
        let reason = PaymentFailure::NoRoute;
        let owed = PayoutFacts {
            payout: payout(PayoutState::Ready { not_before: NOW }),
            attempt: Some(attempt(AttemptState::Failed { reason, at: SINCE })),
        };
        let decision = elapsed(&order, TimerKind::PayoutRetry, None, Some(&owed), now());
        assert_eq!(decision, payout_due(&order, &owed, now()));
        assert_ne!(decision, Decision::default());
    }
}

//! A timer is due.
//!
//! A timer may be older than what it finds: it looks at the rows, and does
//! nothing when they have a later moment in mind.

use crate::decision::{Decision, Effect};
use crate::facts::{Now, TimerFacts};
use crate::hold::Hold;
use crate::notice::{Letter, Notice};
use crate::order::Order;
use crate::stage::Stage;
use crate::terms::{LOOK_AGAIN_SECS, REFRESH_SECS};
use crate::time::UnixTime;
use crate::timer::{Timer, TimerKind};

use super::ending::{to_book, without_taker};
use super::hold_invoice::hold_failed;
use super::nothing;
use super::payout::{ask_again, payout_due};

/// Decides what a timer of this order means (rules B6, E1–E10, P4, P10, S6).
pub fn elapsed(order: &Order, kind: TimerKind, facts: &TimerFacts, now: Now) -> Decision {
    let (hold, owed) = (facts.hold.as_ref(), facts.owed.as_ref());
    match kind {
        TimerKind::OpeningHold => {
            hold.map_or_else(nothing, |hold| opening_elapsed(order, hold, now))
        }
        TimerKind::StepDeadline => step_elapsed(order, hold, now),
        TimerKind::OfferDeadline => offer_elapsed(order, now),
        TimerKind::Refresh => show_again(order, facts.shown_at, now),
        TimerKind::PayoutRetry | TimerKind::DevFee => {
            owed.map_or_else(nothing, |owed| payout_due(order, owed, now))
        }
        TimerKind::Reprompt => owed.map_or_else(nothing, |owed| {
            ask_again(order, owed, facts.buyer_heard_at, now)
        }),
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

/// A waiting step is over. Where a hold could have been paid, Lightning is
/// asked first, and asked again until it answers (rules E9, E10); the answer
/// decides ([`hold_found`](super::hold_invoice::hold_found)). It is asked
/// before the time, too, for an invoice that ends before its step (rule E12).
fn step_elapsed(order: &Order, hold: Option<&Hold>, now: Now) -> Decision {
    let Some(deadline) = order.stage.deadline() else {
        return nothing();
    };
    let is_over = deadline <= now.at;
    if let Some(hold) = ending_early(order, hold) {
        return look_first(order, hold, now);
    }
    match (&order.stage, hold) {
        (Stage::WaitingInvoice { take, .. }, _) if is_over => without_taker(order, take, now),
        (Stage::WaitingPayment { .. } | Stage::PaidWaitingInvoice { .. }, Some(hold))
            if is_over =>
        {
            look_first(order, hold, now)
        }
        _ if !is_over => look_at(order, TimerKind::StepDeadline, deadline),
        _ => nothing(),
    }
}

/// The hold of a step whose invoice ends before the step does.
pub(super) fn ending_early<'a>(order: &Order, hold: Option<&'a Hold>) -> Option<&'a Hold> {
    let Stage::WaitingPayment { deadline, .. } = order.stage else {
        return None;
    };
    hold.filter(|hold| hold.expires_at < deadline)
}

/// Lightning is asked how a hold stands, and again later, should it not answer.
pub(super) fn look_first(order: &Order, hold: &Hold, now: Now) -> Decision {
    let mut decision = look_at(order, TimerKind::StepDeadline, now.at.plus(LOOK_AGAIN_SECS));
    decision.effects.insert(0, Effect::LookUpHold(hold.hash));
    decision
}

/// Nobody took the offer in time, and its maker hears it (rule E1). A take
/// that is being opened goes on; if it fails the order expires then (rule B7).
fn offer_elapsed(order: &Order, now: Now) -> Decision {
    if order.stage != Stage::Pending {
        return nothing();
    }
    if order.offer.expires_at > now.at {
        return look_at(order, TimerKind::OfferDeadline, order.offer.expires_at);
    }
    Decision {
        orders: vec![to_book(order, now)],
        pushes: vec![Letter::push(&order.maker, order.id, Notice::Canceled)],
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

/// Clients hide what is old, so an order on offer is shown again, with nothing
/// changed but the time, and never more often than needed (rule S6).
fn show_again(order: &Order, shown_at: Option<UnixTime>, now: Now) -> Decision {
    if !order.stage.is_on_offer() {
        return nothing();
    }
    match shown_at.map(|at| at.plus(REFRESH_SECS)) {
        Some(next) if next > now.at => look_at(order, TimerKind::Refresh, next),
        Some(_) | None => Decision {
            effects: vec![Effect::PublishOrder(order.id)],
            ..Decision::default()
        },
    }
}

fn look_at(order: &Order, kind: TimerKind, at: UnixTime) -> Decision {
    let order = order.id;
    Decision {
        effects: vec![Effect::WakeAt(Timer { at, order, kind })],
        ..Decision::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::payout::PayoutState;
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
                &scene.timer_facts(),
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
                let decision = elapsed(&scene.order, kind, &scene.timer_facts(), late);
                assert_eq!(decision, Decision::default(), "{} {kind:?}", scene.name);
            }
        }
    }

    #[test]
    fn p4_a_payout_is_tried_again_when_its_time_has_come() {
        let order = paying(Side::Sell).order;
        let owed = owed(
            payout(PayoutState::Ready { not_before: NOW }),
            Some(attempt(FAILED)),
        );
        let facts = TimerFacts {
            owed: Some(owed.clone()),
            ..TimerFacts::default()
        };
        let decision = elapsed(&order, TimerKind::PayoutRetry, &facts, now());
        assert_eq!(decision, payout_due(&order, &owed, now()));
        assert_ne!(decision, Decision::default());
    }
    fn due(scene: &Scene, kind: TimerKind, at_time: UnixTime) -> Decision {
        elapsed(&scene.order, kind, &scene.timer_facts(), at(at_time))
    }

    fn wake(kind: TimerKind, at: UnixTime) -> Effect {
        let order = order_id();
        Effect::WakeAt(Timer { at, order, kind })
    }

    fn pending() -> Scene {
        scene("pending", Side::Sell, Stage::Pending)
    }

    #[test]
    fn e1_u30_up_s13_an_offer_that_nobody_took_expires_and_its_maker_hears_it() {
        let scene = pending();
        let ends = scene.order.offer.expires_at;
        let expected = Decision {
            orders: vec![scene.order.moved(Stage::Expired, ends)],
            pushes: vec![push(&maker(), Notice::Canceled)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        let kind = TimerKind::OfferDeadline;
        assert_eq!(due(&scene, kind, ends), expected);
        let early = due(&scene, kind, UnixTime(ends.0 - 1));
        assert_eq!(early.effects, [wake(kind, ends)]);
        let taken = due(&opening(Side::Sell, BackTo::Pending), kind, ends);
        assert_eq!(taken, Decision::default(), "the opening decides");
    }

    #[test]
    fn e2_s7_a_buyer_who_gave_no_invoice_is_out() {
        let scene = waiting_invoice();
        let kind = TimerKind::StepDeadline;
        let late = due(&scene, kind, deadline());
        let back = scene.order.moved(Stage::Pending, deadline());
        let again = Notice::BackInBook(Box::new(crate::view::back(&back)));
        let expected = Decision {
            orders: vec![back],
            ended_takes: vec![crate::order::EndedTake {
                ended_at: deadline(),
                ..scene.ended_take()
            }],
            pushes: vec![push(&maker(), again), push(&taker(), Notice::Canceled)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(late, expected);
        let early = due(&scene, kind, UnixTime(deadline().0 - 1));
        assert_eq!(early.effects, [wake(kind, deadline())]);
        assert_eq!(early.orders, []);
    }

    #[test]
    fn e9_e10_up_m6_where_a_hold_may_be_paid_lightning_is_asked_first_and_again() {
        let kind = TimerKind::StepDeadline;
        let again = UnixTime(deadline().0 + 30);
        for scene in [
            waiting_payment(Side::Sell),
            waiting_payment(Side::Buy),
            paid_waiting_invoice(Side::Sell),
            paid_waiting_invoice(Side::Buy),
        ] {
            let expected = Decision {
                effects: vec![Effect::LookUpHold(fresh_hold().hash), wake(kind, again)],
                ..Decision::default()
            };
            assert_eq!(due(&scene, kind, deadline()), expected, "{}", scene.name);
            let early = due(&scene, kind, UnixTime(deadline().0 - 1));
            assert_eq!(early.effects, [wake(kind, deadline())]);
        }
    }

    #[test]
    fn e12_an_invoice_that_ends_before_its_step_is_looked_up_before_it_too() {
        let mut scene = waiting_payment(Side::Sell);
        scene.hold.as_mut().unwrap().expires_at = UnixTime(deadline().0 - 1);
        let kind = TimerKind::StepDeadline;
        let effects = due(&scene, kind, NOW).effects;
        let again = wake(kind, UnixTime(NOW.0 + 30));
        assert_eq!(effects, [Effect::LookUpHold(fresh_hold().hash), again]);
        let mut paid = paid_waiting_invoice(Side::Sell);
        paid.hold.as_mut().unwrap().expires_at = UnixTime(NOW.0 - 1);
        let effects = due(&paid, kind, NOW).effects;
        assert_eq!(effects, [wake(kind, deadline())], "it is paid");
    }

    #[test]
    fn s6_an_order_on_offer_is_shown_again_after_twenty_hours_and_not_before() {
        let kind = TimerKind::Refresh;
        let shown = Decision {
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        let next = SINCE.plus(72_000);
        for scene in [pending(), opening(Side::Sell, BackTo::Pending)] {
            assert_eq!(due(&scene, kind, next), shown, "{}", scene.name);
            let early = due(&scene, kind, UnixTime(next.0 - 1));
            assert_eq!(early.effects, [wake(kind, next)], "{}", scene.name);
        }
        let taken = due(&waiting_invoice(), kind, next);
        assert_eq!(taken, Decision::default());
    }
}

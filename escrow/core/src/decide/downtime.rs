//! The node was down, or its clock jumped: no trader pays for it.

use crate::decision::{Decision, Effect};
use crate::facts::{FreshHold, Now};
use crate::hold::Hold;
use crate::order::Order;
use crate::payout::{Payout, PayoutState};
use crate::stage::{BackTo, Stage};
use crate::terms::{GRACE_AFTER_DOWNTIME_SECS, OPENING_SECS};
use crate::time::UnixTime;

use super::opening::{Opening, given_up, open_hold};
use super::timeouts::{ending_early, look_first};

/// Moves what an order and its payout wait for by `secs`, so that the time of
/// a step is time in which the node could be reached (rules E11, E14). What
/// its maker wished for and what is counted in blocks stays.
///
/// An invoice that ends before its moved step is looked up, so that it is paid
/// or replaced by `fresh` (rule E12); one that nobody was asked to pay yet is
/// replaced at once. To be decided before the holds are reconciled:
/// Lightning has canceled such an invoice by itself, and nobody is late yet.
pub fn shifted(
    order: &Order,
    hold: Option<&Hold>,
    payout: Option<&Payout>,
    secs: u64,
    fresh: FreshHold,
    now: Now,
) -> Decision {
    let mut decision = Decision::default();
    if let Some(moved) = moved_steps(order, secs, now) {
        if let Some(renewed) = opened_anew(&moved, hold, fresh, now) {
            decision = renewed;
        } else {
            if let Some(hold) = ending_early(&moved, hold) {
                decision = look_first(&moved, hold, now);
            }
            decision.orders.push(moved);
        }
    }
    let payout = payout.and_then(|payout| moved_payout(payout, |at| at.plus(secs)));
    decision.payouts.extend(payout);
    decision
}

/// Brings what an order and its payout wait for `secs` nearer: the clock ran
/// so much ahead and was set back, and what was counted by it with it (rule
/// E14). Nobody has less than the grace after a downtime.
pub fn brought_back(order: &Order, payout: Option<&Payout>, secs: u64, now: Now) -> Decision {
    let mut moved = order.clone();
    moved.stage_since = moved.stage_since.min(now.at);
    let least = now.at.plus(GRACE_AFTER_DOWNTIME_SECS);
    if let Some(deadline) = deadline_of(&mut moved.stage) {
        *deadline = UnixTime(deadline.0.saturating_sub(secs)).max(least);
    }
    if let Stage::OpeningHold { until, .. } = &mut moved.stage {
        *until = (*until).min(now.at.plus(OPENING_SECS));
    }
    let nearer = |at: UnixTime| UnixTime(at.0.saturating_sub(secs));
    let payout = payout.and_then(|payout| moved_payout(payout, nearer));
    Decision {
        orders: (moved != *order).then_some(moved).into_iter().collect(),
        payouts: payout.into_iter().collect(),
        ..Decision::default()
    }
}

/// The order with its step moved; none if it has no step.
fn moved_steps(order: &Order, secs: u64, now: Now) -> Option<Order> {
    let mut moved = order.clone();
    let least = now.at.plus(GRACE_AFTER_DOWNTIME_SECS);
    let deadline = deadline_of(&mut moved.stage)?;
    *deadline = deadline.plus(secs).max(least);
    // Nobody asked for this opening, so nobody waits for an answer (rule E12).
    if let Stage::OpeningHold {
        back_to: BackTo::WaitingPayment { .. },
        until,
        ..
    } = &mut moved.stage
    {
        *until = until.plus(secs).max(now.at.plus(OPENING_SECS));
    }
    Some(moved)
}

/// The end of a step in which a trader pays or gives an invoice.
fn deadline_of(stage: &mut Stage) -> Option<&mut UnixTime> {
    match stage {
        Stage::WaitingInvoice { deadline, .. }
        | Stage::WaitingPayment { deadline, .. }
        | Stage::PaidWaitingInvoice { deadline, .. }
        | Stage::OpeningHold {
            back_to: BackTo::WaitingInvoice { deadline } | BackTo::WaitingPayment { deadline },
            ..
        } => Some(deadline),
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
        | Stage::Expired => None,
    }
}

/// The node went down again while it opened a hold for a seller in place of an
/// earlier one. That invoice ends too early as well, or has ended: he gets yet
/// another. What the parties said meanwhile still counts, so the stage is as
/// old as it was.
fn opened_anew(moved: &Order, hold: Option<&Hold>, fresh: FreshHold, now: Now) -> Option<Decision> {
    let Stage::OpeningHold {
        take,
        back_to: BackTo::WaitingPayment { deadline },
        ..
    } = &moved.stage
    else {
        return None;
    };
    let (deadline, take) = (*deadline, take.clone());
    let early = hold.filter(|hold| hold.expires_at < deadline)?;
    let opening = Opening {
        take,
        asker: None,
        back_to: BackTo::WaitingPayment { deadline },
    };
    let mut decision = open_hold(moved, opening, fresh, now);
    for order in &mut decision.orders {
        order.stage_since = moved.stage_since;
    }
    decision.holds.insert(0, given_up(early));
    decision.effects.push(Effect::CancelHold(early.hash));
    Some(decision)
}

/// The payout with its timer moved; none if it has none.
fn moved_payout(payout: &Payout, to: impl Fn(UnixTime) -> UnixTime) -> Option<Payout> {
    let state = match payout.state {
        PayoutState::Ready { not_before } => PayoutState::Ready {
            not_before: to(not_before),
        },
        PayoutState::Queued { since, again_at } => PayoutState::Queued {
            since,
            again_at: to(again_at),
        },
        PayoutState::NeedInvoice { asked, again_at } => PayoutState::NeedInvoice {
            asked,
            again_at: to(again_at),
        },
        PayoutState::WaitFunds
        | PayoutState::Resolving { .. }
        | PayoutState::Paying
        | PayoutState::Paid
        | PayoutState::Parked
        | PayoutState::WrittenOff => return None,
    };
    Some(Payout {
        state,
        ..payout.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::hold::HoldState;
    use crate::order::Side;
    use crate::timer::{Timer, TimerKind};

    fn shifted_by(scene: &Scene, secs: u64) -> Decision {
        let payout = scene.owed.as_ref().map(|owed| &owed.payout);
        let hold = scene.hold.as_ref();
        shifted(&scene.order, hold, payout, secs, next_hold(), now())
    }

    fn deadlines(decision: &Decision) -> Vec<u64> {
        let deadline_of = |stage: &Stage| {
            if let Stage::OpeningHold {
                back_to: BackTo::WaitingInvoice { deadline } | BackTo::WaitingPayment { deadline },
                ..
            } = stage
            {
                return Some(*deadline);
            }
            stage.deadline()
        };
        let stages = decision.orders.iter().map(|order| &order.stage);
        stages
            .filter_map(deadline_of)
            .map(|deadline| deadline.0 - NOW.0)
            .collect()
    }

    #[test]
    fn e11_up_r1_steps_move_by_the_downtime_and_leave_five_minutes_at_least() {
        let deadline = deadline();
        for scene in [
            waiting_invoice(),
            paid_waiting_invoice(Side::Sell),
            waiting_payment(Side::Buy),
            opening(Side::Sell, BackTo::WaitingInvoice { deadline }),
            opening(Side::Sell, BackTo::WaitingPayment { deadline }),
        ] {
            let name = scene.name;
            let decision = shifted_by(&scene, 1_200);
            assert_eq!(deadlines(&decision), [1_800], "{name}");
            assert_eq!(decision.orders[0].stage_since, SINCE, "{name}");
            let long_over = shifted(
                &scene.order,
                scene.hold.as_ref(),
                None,
                1_200,
                next_hold(),
                at(UnixTime(deadline.0 + 5_000)),
            );
            assert_eq!(deadlines(&long_over), [600 + 5_000 + 300], "{name}");
        }
    }

    #[test]
    fn e11_offers_heights_and_openings_do_not_move() {
        let moving = [
            "waiting-invoice",
            "waiting-payment",
            "paid-waiting-invoice",
            "opening-hold (waiting-invoice)",
            "paying-buyer (no invoice)",
        ];
        for scene in scenes(Side::Sell) {
            let moves = shifted_by(&scene, 1_200) != Decision::default();
            assert_eq!(moves, moving.contains(&scene.name), "{}", scene.name);
        }
    }

    #[test]
    fn e14_what_was_counted_by_a_clock_that_is_set_back_comes_nearer() {
        let back = |scene: &Scene, secs| {
            let payout = scene.owed.as_ref().map(|owed| &owed.payout);
            brought_back(&scene.order, payout, secs, now())
        };
        // It has 600 s left by the clock as it was.
        assert_eq!(deadlines(&back(&waiting_invoice(), 200)), [400]);
        assert_eq!(deadlines(&back(&waiting_invoice(), 86_400)), [300]);
        let mut ahead = opening(Side::Sell, BackTo::Pending);
        ahead.order.stage_since = UnixTime(NOW.0 + 3_600);
        if let Stage::OpeningHold { until, .. } = &mut ahead.order.stage {
            *until = UnixTime(NOW.0 + 3_608);
        }
        let opening = back(&ahead, 3_600).orders.remove(0);
        assert_eq!(opening.stage_since, NOW);
        let ends =
            matches!(opening.stage, Stage::OpeningHold { until, .. } if until.0 == NOW.0 + 8);
        assert!(ends, "{opening:?}");
        let mut owed = paying(Side::Sell);
        let asked_then = PayoutState::NeedInvoice {
            asked: 1,
            again_at: UnixTime(NOW.0 + 7_200),
        };
        owed.owed.as_mut().unwrap().payout = payout(asked_then);
        let asked_now = PayoutState::NeedInvoice {
            asked: 1,
            again_at: UnixTime(NOW.0 + 3_600),
        };
        assert_eq!(back(&owed, 3_600).payouts, [payout(asked_now)]);
        assert_eq!(back(&active(Side::Sell), 3_600), Decision::default());
    }

    #[test]
    fn e11_payout_timers_move_by_the_downtime() {
        let moved = |state| {
            let row = payout(state);
            let scene = paying(Side::Sell);
            let decision = shifted(&scene.order, None, Some(&row), 1_200, next_hold(), now());
            decision.payouts.first().map(|payout| payout.state)
        };
        let later = |secs| UnixTime(NOW.0 + secs);
        let ready = PayoutState::Ready { not_before: NOW };
        let not_before = later(1_200);
        assert_eq!(moved(ready), Some(PayoutState::Ready { not_before }));
        let asked_later = PayoutState::NeedInvoice {
            asked: 1,
            again_at: later(4_800),
        };
        assert_eq!(moved(need_invoice()), Some(asked_later));
        assert_eq!(moved(PayoutState::Paying), None);
    }

    /// Until when a hold may be opened, in seconds from now.
    fn opens_until(decision: &Decision) -> u64 {
        let Stage::OpeningHold { until, .. } = decision.orders[0].stage else {
            panic!("{decision:?} opens nothing");
        };
        until.0 - NOW.0
    }

    #[test]
    fn e12_up_a5_a_reopening_is_not_late_because_the_node_was_down_again() {
        let deadline = deadline();
        let scene = opening(Side::Sell, BackTo::WaitingPayment { deadline });
        let short = shifted_by(&scene, 330);
        assert_eq!(opens_until(&short), 8 + 330);
        assert_eq!((short.holds.len(), short.effects.len()), (0, 0));
        let long_over = at(UnixTime(NOW.0 + 400));
        let hold = scene.hold.as_ref();
        let after = shifted(&scene.order, hold, None, 5, next_hold(), long_over);
        assert_eq!(opens_until(&after), 400 + 8);
    }

    #[test]
    fn e12_a_reopened_invoice_that_ends_before_its_moved_step_is_replaced_too() {
        let deadline = deadline();
        for (side, seller) in [(Side::Sell, maker()), (Side::Buy, taker())] {
            let scene = opening(side, BackTo::WaitingPayment { deadline });
            let decision = shifted_by(&scene, 331);
            let moved = UnixTime(deadline.0 + 331);
            let renewed = Hold {
                id: next_hold().id,
                hash: next_hold().hash,
                seller,
                expires_at: UnixTime(moved.0 + 30),
                ..hold(&scene.order, HoldState::New)
            };
            let given_up = hold(&scene.order, HoldState::Canceling);
            assert_eq!(decision.holds, [given_up, renewed]);
            let effects = [
                Effect::OpenHold(next_hold().hash),
                Effect::CancelHold(fresh_hold().hash),
            ];
            assert_eq!(decision.effects, effects);
            assert_eq!(opens_until(&decision), 8);
            assert_eq!(deadlines(&decision), [moved.0 - NOW.0]);
            let stage = &decision.orders[0].stage;
            assert_eq!(stage.hold(), Some(next_hold().id));
            assert_eq!(decision.pushes, []);
        }
    }

    #[test]
    fn e12_an_invoice_that_ends_before_its_moved_step_is_looked_up() {
        let scene = waiting_payment(Side::Sell);
        let look_again = Timer {
            at: UnixTime(NOW.0 + 30),
            order: order_id(),
            kind: TimerKind::StepDeadline,
        };
        let effects = [
            Effect::LookUpHold(fresh_hold().hash),
            Effect::WakeAt(look_again),
        ];
        assert_eq!(shifted_by(&scene, 331).effects, effects);
        assert_eq!(shifted_by(&scene, 330).effects, [], "it lives long enough");
    }
}

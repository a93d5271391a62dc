//! Lightning reports that nothing is locked by a hold any more.

use crate::decide::dispute::close;
use crate::decide::ending::{canceled, unpaid};
use crate::decide::{alarm, canceling, nothing};
use crate::decision::{Alarm, Decision, Effect};
use crate::dispute::{Dispute, DisputeEnd};
use crate::facts::{HoldFacts, Now};
use crate::hold::{Hold, HoldState};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::party::Party;
use crate::payout::{Payout, PayoutState};
use crate::stage::{CancelReason, ReleasedBy, Stage};

use super::opened::hold_failed;
use super::{Release, awaiting_payment, release_of, reopened};

/// A hold is canceled: as decided, because the seller's time was up (rule H8),
/// or against the ledger (rules X6, R6).
pub fn hold_canceled(order: &Order, hold: &Hold, facts: &HoldFacts, now: Now) -> Decision {
    let dispute = facts.dispute.as_ref();
    let ended = match &hold.state {
        HoldState::Canceling => {
            Some(canceling::finished(order, hold, dispute, now).unwrap_or_default())
        }
        HoldState::Canceled | HoldState::Lost => Some(nothing()),
        HoldState::New => undo_opening(order, hold, now),
        HoldState::Open { .. } => awaiting_payment(order, hold).map(|step| {
            reopened(order, hold, step, facts.hold, now)
                .unwrap_or_else(|| unpaid(order, step.0, now))
        }),
        HoldState::Accepted(_) => escrow_lost(order, hold, dispute, now),
        HoldState::Settling(_) => {
            let payout = facts.owed.as_ref().map(|owed| &owed.payout);
            release_of(order, hold)
                .zip(payout)
                .map(|(release, payout)| release_lost(order, &release, hold, payout, now))
                .map(|decision| closing(decision, dispute))
        }
        HoldState::Settled(_) => None,
    };
    let Some(mut decision) = ended else {
        return alarm(Alarm::UnexpectedHold(hold.hash));
    };
    if let Some(state) = end_of(&hold.state) {
        let ended = Hold {
            state,
            ..hold.clone()
        };
        decision.holds.insert(0, ended);
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
    let mut undone = hold_failed(order, hold, now);
    undone.holds.clear();
    undone
        .effects
        .retain(|effect| !matches!(effect, Effect::CancelHold(_)));
    let is_ours = !undone.orders.is_empty();
    is_ours.then_some(undone)
}

/// Rule X6: the sats went back to the seller in the middle of a trade. Once the
/// fiat is said to be sent, `canceled` would be no comfort, so only the loss is
/// told.
fn escrow_lost(
    order: &Order,
    hold: &Hold,
    dispute: Option<&Dispute>,
    now: Now,
) -> Option<Decision> {
    let (take, id, notices) = match &order.stage {
        Stage::PaidWaitingInvoice { take, hold: id, .. } | Stage::Active { take, hold: id, .. } => {
            (take, id, vec![Notice::EscrowCanceled, Notice::Canceled])
        }
        Stage::FiatSent { take, hold: id, .. } | Stage::Dispute { take, hold: id, .. } => {
            (take, id, vec![Notice::EscrowCanceled])
        }
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => return None,
    };
    if *id != hold.id {
        return None;
    }
    let parties: [&Party; 2] = [&order.maker, &take.taker];
    let pushes = notices
        .iter()
        .flat_map(|notice| parties.map(|party| Letter::push(party, order.id, notice.clone())))
        .collect();
    let decision = Decision {
        orders: vec![lost(order, take, now)],
        pushes,
        effects: vec![
            Effect::PublishOrder(order.id),
            Effect::Alarm(Alarm::EscrowLost(hold.hash)),
        ],
        ..Decision::default()
    };
    Some(closing(decision, dispute))
}

/// Rule R6: settling was decided too late; the debt to the buyer stays in the
/// ledger for the operator (rule P14). A seller who released hears it as his
/// answer; after a ruling the answer is the solver's.
fn release_lost(
    order: &Order,
    release: &Release<'_>,
    hold: &Hold,
    payout: &Payout,
    now: Now,
) -> Decision {
    let sides = order.sides(release.take);
    let told = match release.by {
        ReleasedBy::Seller => vec![sides.buyer],
        ReleasedBy::Solver => vec![sides.seller, sides.buyer],
    };
    let lost_to = |party| Letter::push(party, order.id, Notice::EscrowCanceled);
    Decision {
        orders: vec![lost(order, release.take, now)],
        payouts: vec![Payout {
            state: PayoutState::Parked,
            ..payout.clone()
        }],
        answer: Some(release.answer(order, Notice::EscrowCanceled, now)),
        pushes: told.into_iter().map(lost_to).collect(),
        effects: vec![
            Effect::PublishOrder(order.id),
            Effect::Alarm(Alarm::HoldLost(hold.hash)),
        ],
        ..Decision::default()
    }
}

fn lost(order: &Order, take: &Take, now: Now) -> Order {
    canceled(order, Some(take), CancelReason::EscrowLost, now)
}

/// The sats are with the seller, whatever the dispute was about (rule D4).
fn closing(mut decision: Decision, dispute: Option<&Dispute>) -> Decision {
    close(&mut decision, dispute, DisputeEnd::SellerRefunded);
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::stage::BackTo;
    use crate::time::UnixTime;
    use crate::view;
    use crate::wire::CantDo;

    fn report(scene: &Scene) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        hold_canceled(&scene.order, hold, &scene.hold_facts(), now())
    }

    fn hold_is(scene: &Scene, state: HoldState) -> Vec<Hold> {
        vec![hold(&scene.order, state)]
    }

    fn ended(scene: &Scene, why: CancelReason) -> Vec<Order> {
        let take = scene.order.stage.take().cloned();
        vec![scene.order.moved(Stage::Canceled { why, take }, NOW)]
    }

    #[test]
    fn b6_a_hold_canceled_while_it_opens_leaves_nothing_to_cancel() {
        let scene = opening(Side::Buy, BackTo::Pending);
        let asker = request(&taker(), Ask::TakeBuy { fiat: None }).asker();
        let expected = Decision {
            orders: vec![scene.order.moved(Stage::Pending, NOW)],
            holds: hold_is(&scene, HoldState::Canceled),
            answer: Some(Letter::refusal(
                &asker,
                Some(order_id()),
                CantDo::TooManyRequests,
            )),
            ..Decision::default()
        };
        assert_eq!(report(&scene), expected);
    }

    #[test]
    fn h8_e3_s7_up_s6_an_unpaid_buy_order_is_back_in_the_book() {
        let mut scene = waiting_payment(Side::Buy);
        scene.order.offer.payout = Some(to_address());
        let back = scene.order.moved(Stage::Pending, NOW);
        let again = Notice::BackInBook(Box::new(view::back(&back)));
        let expected = Decision {
            orders: vec![back],
            ended_takes: vec![scene.ended_take()],
            holds: hold_is(&scene, HoldState::Canceled),
            pushes: vec![push(&maker(), again), push(&taker(), Notice::Canceled)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(report(&scene), expected);
    }

    #[test]
    fn h8_e4_an_unpaid_sell_order_is_over() {
        let scene = waiting_payment(Side::Sell);
        let expected = Decision {
            orders: ended(&scene, CancelReason::NotPaid),
            holds: hold_is(&scene, HoldState::Canceled),
            pushes: vec![
                push(&maker(), Notice::Canceled),
                push(&taker(), Notice::Canceled),
            ],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(report(&scene), expected);
    }

    #[test]
    fn e12_up_a5_an_invoice_that_lightning_ended_during_a_downtime_is_replaced() {
        let mut scene = waiting_payment(Side::Sell);
        scene.hold.as_mut().unwrap().expires_at = UnixTime(NOW.0 - 1);
        let decision = report(&scene);
        let states: Vec<_> = decision.holds.iter().map(|hold| &hold.state).collect();
        assert_eq!(states, [&HoldState::Canceled, &HoldState::New]);
        assert_eq!(decision.effects, [Effect::OpenHold(next_hold().hash)]);
        assert_eq!(decision.pushes, []);
        let stage = &decision.orders[0].stage;
        let deadline = deadline();
        assert!(
            matches!(stage, Stage::OpeningHold { back_to, asker: None, .. }
                if *back_to == BackTo::WaitingPayment { deadline }),
            "{stage:?}"
        );
    }

    #[test]
    fn x6_u32_d4_an_escrow_lost_in_a_dispute_ends_both() {
        let scene = disputed(Side::Sell);
        let refunded = crate::fixtures::dispute().closed(DisputeEnd::SellerRefunded);
        let expected = Decision {
            orders: ended(&scene, CancelReason::EscrowLost),
            holds: hold_is(&scene, HoldState::Canceled),
            disputes: vec![refunded.clone()],
            pushes: vec![
                push(&maker(), Notice::EscrowCanceled),
                push(&taker(), Notice::EscrowCanceled),
            ],
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::Alarm(Alarm::EscrowLost(fresh_hold().hash)),
                Effect::PublishDispute(dispute_id()),
            ],
            ..Decision::default()
        };
        assert_eq!(report(&scene), expected);

        let mut released = releasing(Side::Sell);
        released.dispute = scene.dispute;
        assert_eq!(report(&released).disputes, [refunded]);
    }

    #[test]
    fn x6_up_m8_an_escrow_lost_in_a_trade_ends_it_and_all_are_told() {
        let lost = |party: &Party| push(party, Notice::EscrowCanceled);
        let over = |party: &Party| push(party, Notice::Canceled);
        let (a, b) = (&maker(), &taker());
        let table = [
            (
                paid_waiting_invoice(Side::Sell),
                vec![lost(a), lost(b), over(a), over(b)],
            ),
            (active(Side::Buy), vec![lost(a), lost(b), over(a), over(b)]),
            (after_fiat(Side::Sell), vec![lost(a), lost(b)]),
        ];
        for (scene, pushes) in table {
            let expected = Decision {
                orders: ended(&scene, CancelReason::EscrowLost),
                holds: hold_is(&scene, HoldState::Canceled),
                pushes,
                effects: vec![
                    Effect::PublishOrder(order_id()),
                    Effect::Alarm(Alarm::EscrowLost(fresh_hold().hash)),
                ],
                ..Decision::default()
            };
            assert_eq!(report(&scene), expected, "{}", scene.name);
        }
    }

    #[test]
    fn r6_p14_a_release_that_came_too_late_is_answered_and_its_debt_parked() {
        let scene = releasing(Side::Sell);
        let asker = request(&maker(), Ask::Release { next: None }).asker();
        let expected = Decision {
            orders: ended(&scene, CancelReason::EscrowLost),
            holds: hold_is(&scene, HoldState::Lost),
            payouts: vec![crate::fixtures::payout(PayoutState::Parked)],
            answer: Some(Letter::answer(&asker, order_id(), Notice::EscrowCanceled)),
            pushes: vec![push(&taker(), Notice::EscrowCanceled)],
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::Alarm(Alarm::HoldLost(fresh_hold().hash)),
            ],
            ..Decision::default()
        };
        assert_eq!(report(&scene), expected);
    }

    #[test]
    fn r6_a10_both_parties_hear_that_a_ruling_came_too_late() {
        let mut scene = releasing(Side::Sell);
        let Stage::Releasing { by, .. } = &mut scene.order.stage else {
            unreachable!("it was released");
        };
        *by = ReleasedBy::Solver;
        scene.dispute = Some(crate::fixtures::dispute());
        let decision = report(&scene);
        let solver = request(&maker(), Ask::Release { next: None }).asker();
        let answer = Letter::ruling(&solver, order_id(), Notice::EscrowCanceled);
        assert_eq!(decision.answer, Some(answer));
        let told = [&maker(), &taker()].map(|party| push(party, Notice::EscrowCanceled));
        assert_eq!(decision.pushes, told);
        assert_eq!(decision.disputes.len(), 1, "the dispute is over");
    }

    #[test]
    fn b8_r6_a_late_answer_carries_no_number() {
        let scene = releasing(Side::Sell);
        let hold = scene.hold.as_ref().unwrap();
        let late = at(UnixTime(NOW.0 + 9));
        let decision = hold_canceled(&scene.order, hold, &scene.hold_facts(), late);
        assert_eq!(decision.answer.unwrap().request_id, None);
    }

    #[test]
    fn h1_a_cancel_that_was_decided_or_seen_moves_no_order() {
        let scene = scene("pending", Side::Sell, Stage::Pending);
        let (order, facts) = (&scene.order, scene.hold_facts());
        let report = |state| hold_canceled(order, &hold(order, state), &facts, now());
        let done = Decision {
            holds: vec![hold(order, HoldState::Canceled)],
            ..Decision::default()
        };
        assert_eq!(report(HoldState::Canceling), done);
        assert_eq!(report(HoldState::Canceled), nothing());
        assert_eq!(report(HoldState::Lost), nothing());
    }

    #[test]
    fn h1_a_cancel_that_contradicts_the_ledger_is_an_alarm() {
        let scene = scene("pending", Side::Sell, Stage::Pending);
        let (order, facts) = (&scene.order, scene.hold_facts());
        let unexpected = alarm(Alarm::UnexpectedHold(fresh_hold().hash));
        let states = [
            HoldState::New,
            open_state(),
            HoldState::Accepted(acceptance()),
            HoldState::Settling(acceptance()),
            HoldState::Settled(acceptance()),
        ];
        for state in states {
            let decision = hold_canceled(order, &hold(order, state), &facts, now());
            assert_eq!(decision, unexpected);
        }
    }
}

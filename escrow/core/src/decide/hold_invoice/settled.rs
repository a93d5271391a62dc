//! The sats of a released escrow are ours.

use crate::decide::dispute::{close, close_as_ruled};
use crate::decide::payout::{Debt, start};
use crate::decide::range::offer_rest;
use crate::decide::{alarm, nothing};
use crate::decision::{Alarm, Decision};
use crate::dispute::DisputeEnd;
use crate::facts::{HoldFacts, Now};
use crate::hold::{Hold, HoldState};
use crate::notice::{Letter, Notice};
use crate::order::Order;
use crate::stage::{ReleasedBy, Stage};

use super::release_of;

/// The sats of a released escrow are ours (rules R4, B8): all are told, and
/// the buyer is paid in the same breath. A dispute ends with it (rule D4).
pub fn hold_settled(order: &Order, hold: &Hold, facts: &HoldFacts, now: Now) -> Decision {
    let acceptance = match &hold.state {
        HoldState::Settling(acceptance) => *acceptance,
        HoldState::Settled(_) => return nothing(),
        HoldState::New
        | HoldState::Open { .. }
        | HoldState::Accepted(_)
        | HoldState::Canceling
        | HoldState::Canceled
        | HoldState::Lost => return alarm(Alarm::UnexpectedHold(hold.hash)),
    };
    let released = release_of(order, hold).zip(facts.owed.as_ref());
    let Some((release, owed)) = released.filter(|(r, owed)| r.payout == owed.payout.id) else {
        // Somebody settled by hand what nobody here released.
        return alarm(Alarm::UnexpectedHold(hold.hash));
    };
    let payout = &owed.payout;
    let take = release.take;
    let sides = order.sides(take);
    let debt = Debt {
        order,
        take,
        payout: payout.clone(),
        attempt: owed.attempt.as_ref(),
        inflow: hold.value,
        in_flight: owed.in_flight,
    };
    let mut decision = start(&debt, now);
    let stage = Stage::PayingBuyer {
        take: take.clone(),
        hold: hold.id,
        payout: payout.id,
    };
    decision.orders = vec![order.moved(stage, now.at)];
    decision.holds = vec![Hold {
        state: HoldState::Settled(acceptance),
        ..hold.clone()
    }];
    let (answer, told) = match release.by {
        ReleasedBy::Seller => (
            Notice::EscrowSettled,
            [
                Letter::push(sides.buyer, order.id, Notice::Released),
                Letter::push(sides.seller, order.id, Notice::Rate),
            ],
        ),
        // Only the buyer is asked for a vote, when he is paid (rules A10, K1).
        ReleasedBy::Solver => (
            Notice::AdminSettled,
            [sides.seller, sides.buyer]
                .map(|party| Letter::push(party, order.id, Notice::AdminSettled)),
        ),
    };
    decision.answer = Some(release.answer(order, answer, now));
    decision.pushes.splice(0..0, told);
    let asker = release.asker.until(release.echo_until, now.at);
    offer_rest(&mut decision, order, take, &asker, &facts.rest, now);
    let dispute = facts.dispute.as_ref();
    match release.by {
        ReleasedBy::Seller => close(&mut decision, dispute, DisputeEnd::Released),
        ReleasedBy::Solver => {
            close_as_ruled(&mut decision, dispute, DisputeEnd::Settled);
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::decision::Effect;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::payout::{AttemptState, PayoutState};
    use crate::time::UnixTime;

    fn settled(scene: &Scene, secs: u64) -> Decision {
        let now = at(UnixTime(NOW.0 + secs));
        let hold = scene.hold.as_ref().unwrap();
        hold_settled(&scene.order, hold, &scene.hold_facts(), now)
    }

    #[test]
    fn r4_up_m3_a_settled_hold_pays_the_buyer_in_the_same_commit() {
        let scene = releasing(Side::Sell);
        let asker = request(&maker(), Ask::Release { next: None }).asker();
        let expected = Decision {
            orders: vec![scene.order.moved(paying_buyer(), NOW)],
            holds: vec![hold(&scene.order, HoldState::Settled(acceptance()))],
            payouts: vec![payout(PayoutState::Paying)],
            attempts: vec![attempt(AttemptState::Sent)],
            answer: Some(Letter::answer(&asker, order_id(), Notice::EscrowSettled)),
            pushes: vec![
                push(&taker(), Notice::Released),
                push(&maker(), Notice::Rate),
            ],
            effects: vec![Effect::Pay(hash(50))],
            ..Decision::default()
        };
        assert_eq!(settled(&scene, 0), expected);
    }

    #[test]
    fn b8_a_late_answer_still_comes_but_without_a_number() {
        let scene = releasing(Side::Sell);
        assert_eq!(settled(&scene, 8).answer.unwrap().request_id, Some(77));
        let late = settled(&scene, 9).answer.unwrap();
        assert_eq!(
            (late.request_id, late.notice),
            (None, Notice::EscrowSettled)
        );
    }

    #[test]
    fn r4_p9_a_dying_invoice_is_asked_for_after_the_good_news() {
        let mut scene = releasing(Side::Sell);
        let owed = scene.owed.as_mut().unwrap();
        owed.payout.destination = dying_at(UnixTime(NOW.0 + 59));
        let decision = settled(&scene, 0);
        assert_eq!(decision.payouts[0].state, need_invoice());
        assert_eq!(decision.pushes.len(), 3);
        assert_eq!(decision.pushes[0].notice, Notice::Released);
        assert!(matches!(
            decision.pushes[2].notice,
            Notice::InvoiceWanted(_)
        ));
        assert_eq!(decision.effects, [STUCK]);
    }

    #[test]
    fn f8_a_debt_above_the_escrow_is_parked_and_not_paid() {
        let mut scene = releasing(Side::Sell);
        scene.hold.as_mut().unwrap().value = crate::Sats(BUYER_GETS.0 - 1);
        let decision = settled(&scene, 0);
        assert_eq!(decision.payouts[0].state, PayoutState::Parked);
        assert_eq!(decision.attempts, []);
        let breach = Alarm::UnexpectedPayment(hash(50));
        assert_eq!(decision.effects, [Effect::Alarm(breach)]);
    }
    #[test]
    fn r4_d4_a_release_ends_the_dispute() {
        let mut scene = releasing(Side::Sell);
        scene.dispute = Some(crate::fixtures::dispute());
        let decision = settled(&scene, 0);
        let closed = crate::fixtures::dispute().closed(DisputeEnd::Released);
        assert_eq!(decision.disputes.first(), Some(&closed));
        let effects = [Effect::Pay(hash(50)), Effect::PublishDispute(dispute_id())];
        assert_eq!(decision.effects, effects);

        scene.dispute = Some(closed);
        assert_eq!(settled(&scene, 0).disputes, [], "it ends once");
    }
}

//! Giving an accepted escrow back before anybody is told (rules C6, C8, E5, E6, X3).

use crate::decision::{Decision, Effect};
use crate::dispute::{Dispute, DisputeEnd};
use crate::facts::Now;
use crate::hold::Hold;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::party::Asker;
use crate::stage::{CancelReason, Stage, Then};
use crate::terms::OPENING_SECS;

use super::dispute::{close, close_as_ruled};
use super::ending::{for_both, without_taker};
use super::opening::given_up;

/// Decides that the sats go back, for good; everybody hears it when they are
/// ([`finished`]). The cancel is repeated until Lightning has given a definite
/// answer.
pub(super) fn start(
    order: &Order,
    take: &Take,
    hold: &Hold,
    then: Then,
    asker: Option<Asker>,
    now: Now,
) -> Decision {
    let stage = Stage::Canceling {
        take: take.clone(),
        hold: hold.id,
        then,
        asker,
        echo_until: now.at.plus(OPENING_SECS),
    };
    Decision {
        orders: vec![order.moved(stage, now.at)],
        holds: vec![given_up(hold)],
        effects: vec![Effect::CancelHold(hold.hash)],
        ..Decision::default()
    }
}

/// The sats are back: the order goes where it was to go. None if it does not
/// wait for this hold.
pub(super) fn finished(
    order: &Order,
    of: &Hold,
    dispute: Option<&Dispute>,
    now: Now,
) -> Option<Decision> {
    let Stage::Canceling {
        take,
        hold,
        then,
        asker,
        echo_until,
    } = &order.stage
    else {
        return None;
    };
    if *hold != of.id {
        return None;
    }
    let mut decision = match then {
        Then::BackToBook => without_taker(order, take, now),
        Then::Canceled(why) => for_both(order, take, *why, now),
    };
    match then {
        Then::Canceled(CancelReason::ByBoth) => {
            close(&mut decision, dispute, DisputeEnd::CooperativelyCanceled);
        }
        Then::Canceled(CancelReason::ByAdmin) => {
            close_as_ruled(&mut decision, dispute, DisputeEnd::SellerRefunded);
        }
        Then::BackToBook | Then::Canceled(_) => {}
    }
    let Some(asker) = asker else {
        return Some(decision);
    };
    let asker = asker.until(*echo_until, now.at);
    if *then == Then::Canceled(CancelReason::ByAdmin) {
        decision.answer = Some(Letter::ruling(&asker, order.id, Notice::AdminCanceled));
        return Some(decision);
    }
    Some(decision.answering(&asker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::decide::hold_invoice::hold_canceled;
    use crate::fixtures::*;
    use crate::hold::HoldState;
    use crate::order::Side;
    use crate::time::UnixTime;
    use crate::view;

    fn refunded_at(scene: &Scene, secs: u64) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        let now = at(UnixTime(NOW.0 + secs));
        hold_canceled(&scene.order, hold, &scene.hold_facts(), now)
    }

    fn ended(scene: &Scene, why: CancelReason, notice: &Notice) -> Decision {
        let take = scene.order.stage.take().cloned();
        Decision {
            orders: vec![scene.order.moved(Stage::Canceled { why, take }, NOW)],
            holds: vec![hold(&scene.order, HoldState::Canceled)],
            pushes: vec![
                push(&maker(), notice.clone()),
                push(&taker(), notice.clone()),
            ],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        }
    }

    /// What the taker, who asked, hears as his answer.
    fn answered(decision: Decision, notice: Notice) -> Decision {
        let asker = request(&taker(), Ask::Cancel).asker();
        Decision {
            answer: Some(Letter::answer(&asker, order_id(), notice)),
            pushes: decision.pushes.into_iter().take(1).collect(),
            ..decision
        }
    }

    #[test]
    fn c8_when_the_sats_are_back_both_hear_that_they_agreed() {
        let why = CancelReason::ByBoth;
        let scene = canceling(Side::Sell, Then::Canceled(why));
        let expected = answered(
            ended(&scene, why, &Notice::CancelAgreed),
            Notice::CancelAgreed,
        );
        assert_eq!(refunded_at(&scene, 0), expected);
    }

    #[test]
    fn c8_d4_the_dispute_ends_with_the_order() {
        let mut scene = canceling(Side::Sell, Then::Canceled(CancelReason::ByBoth));
        scene.order.dispute = Some(dispute_id());
        scene.dispute = Some(crate::fixtures::dispute());
        let decision = refunded_at(&scene, 0);
        let closed = crate::fixtures::dispute().closed(DisputeEnd::CooperativelyCanceled);
        assert_eq!(decision.disputes, [closed]);
        let effects = [
            Effect::PublishOrder(order_id()),
            Effect::PublishDispute(dispute_id()),
        ];
        assert_eq!(decision.effects, effects);
    }

    #[test]
    fn c6_e6_s7_when_the_sats_are_back_the_offer_is_in_the_book() {
        let scene = canceling(Side::Buy, Then::BackToBook);
        let back = scene.order.moved(Stage::Pending, NOW);
        let again = Notice::BackInBook(Box::new(view::back(&back)));
        let expected = Decision {
            orders: vec![back],
            ended_takes: vec![scene.ended_take()],
            holds: vec![hold(&scene.order, HoldState::Canceled)],
            pushes: vec![push(&maker(), again), push(&taker(), Notice::Canceled)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(refunded_at(&scene, 0), answered(expected, Notice::Canceled));
    }

    #[test]
    fn e5_x3_where_nobody_asked_both_are_told() {
        for why in [CancelReason::NoInvoice, CancelReason::EscrowEnding] {
            let mut scene = canceling(Side::Buy, Then::Canceled(why));
            if let Stage::Canceling { asker, .. } = &mut scene.order.stage {
                *asker = None;
            }
            let expected = ended(&scene, why, &Notice::Canceled);
            assert_eq!(refunded_at(&scene, 0), expected, "{why:?}");
        }
    }

    #[test]
    fn b8_c8_a_late_answer_still_comes_but_without_a_number() {
        let scene = canceling(Side::Sell, Then::Canceled(CancelReason::ByBoth));
        let number = |secs| refunded_at(&scene, secs).answer.unwrap().request_id;
        assert_eq!((number(7), number(8)), (Some(77), None));
    }

    #[test]
    fn h1_the_end_of_an_earlier_hold_moves_nothing() {
        let scene = canceling(Side::Sell, Then::BackToBook);
        let mut earlier = scene.hold.clone().unwrap();
        earlier.id = next_hold().id;
        let decision = hold_canceled(&scene.order, &earlier, &scene.hold_facts(), now());
        assert_eq!(decision.orders, []);
    }
}

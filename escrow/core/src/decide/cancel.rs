//! A trader wants out.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::facts::{CancelFacts, Now};
use crate::hold::{Hold, HoldState};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role, Take};
use crate::party::Asker;
use crate::stage::{BackTo, CancelReason, Stage, Then};
use crate::wire::CantDo;

use super::ending::{canceled, for_both, without_taker};
use super::opening::{back, given_up};
use super::{canceling, ensure};

/// Ends an order or a take, as far as one side alone may; a running trade
/// needs both (rules C1–C10).
///
/// # Errors
///
/// `order_already_canceled` and `not_allowed_by_status` as the stage is; from
/// a stranger `is_not_your_order` in the book and `invalid_pubkey` after it,
/// and that also from a party who has asked before and waits for the other.
pub fn cancel(
    order: &Order,
    req: &Request,
    now: Now,
    facts: &CancelFacts,
) -> Result<Decision, CantDo> {
    let hold = facts.hold.as_ref().ok_or(CantDo::NotAllowedByStatus);
    let party = party(order, req);
    match &order.stage {
        Stage::Canceled { .. }
        | Stage::Canceling {
            then: Then::Canceled(_),
            ..
        } => Err(CantDo::OrderAlreadyCanceled),
        Stage::Canceling {
            then: Then::BackToBook,
            ..
        }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Expired => Err(CantDo::NotAllowedByStatus),
        Stage::Pending => party.map(|_| withdraw(order, req, None, now)),
        Stage::OpeningHold {
            take,
            asker,
            back_to,
            ..
        } => {
            let mut decision = party.map(|_| undo_opening(order, req, take, back_to, now))?;
            refuse_asker(&mut decision, order, req, asker.as_ref());
            give_up(&mut decision, hold?);
            Ok(decision)
        }
        Stage::WaitingInvoice { take, .. } => party.map(|_| leave(order, req, take, now)),
        Stage::WaitingPayment { take, .. } => {
            let mut decision = party.map(|_| leave(order, req, take, now))?;
            give_up(&mut decision, hold?);
            Ok(decision)
        }
        Stage::PaidWaitingInvoice { take, .. } => {
            party?;
            refund(order, req, take, hold?, left_by(order, req), now)
        }
        Stage::Active { take, .. } | Stage::FiatSent { take, .. } | Stage::Dispute { take, .. } => {
            let Some(first) = order.stage.cancel_asked_by() else {
                return party.map(|role| ask_other(order, req, take, role));
            };
            ensure(party? != first, CantDo::InvalidPubkey)?;
            let then = Then::Canceled(CancelReason::ByBoth);
            refund(order, req, take, hold?, then, now)
        }
    }
}

/// The sender's role, if he has one.
fn party(order: &Order, req: &Request) -> Result<Role, CantDo> {
    order
        .role_of(req.sender.trade_key)
        .ok_or(if order.stage.is_on_offer() {
            CantDo::IsNotYourOrder
        } else {
            CantDo::InvalidPubkey
        })
}

fn is_maker(order: &Order, req: &Request) -> bool {
    req.sender.trade_key == order.maker.trade_key
}

/// Rule C2: the maker withdraws his order.
fn withdraw(order: &Order, req: &Request, take: Option<&Take>, now: Now) -> Decision {
    Decision {
        orders: vec![canceled(order, take, CancelReason::ByMaker, now)],
        answer: Some(Letter::answer(&req.asker(), order.id, Notice::Canceled)),
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

/// Rule C4: the maker ends the order, the taker only his take.
fn leave(order: &Order, req: &Request, take: &Take, now: Now) -> Decision {
    let decision = if is_maker(order, req) {
        for_both(order, take, CancelReason::ByMaker, now)
    } else {
        without_taker(order, take, now)
    };
    decision.answering(&req.asker())
}

/// Rule C3: as from the stage that the opening would go back to. From the book
/// the taker just leaves: nobody has heard of him yet.
fn undo_opening(order: &Order, req: &Request, take: &Take, back_to: &BackTo, now: Now) -> Decision {
    match back_to {
        BackTo::WaitingInvoice { .. } | BackTo::WaitingPayment { .. } => {
            leave(order, req, take, now)
        }
        BackTo::Pending if is_maker(order, req) => withdraw(order, req, Some(take), now),
        BackTo::Pending => Decision {
            answer: Some(Letter::answer(&req.asker(), order.id, Notice::Canceled)),
            ..back(order, take, back_to, now)
        },
    }
}

/// Another who waits for the hold hears that it will not come (rule C3).
pub(super) fn refuse_asker(
    decision: &mut Decision,
    order: &Order,
    req: &Request,
    asker: Option<&Asker>,
) {
    if let Some(asker) = asker.filter(|asker| asker.trade_key != req.sender.trade_key) {
        let refusal = Letter::refusal(asker, Some(order.id), CantDo::NotAllowedByStatus);
        decision.pushes.insert(0, refusal);
    }
}

/// The hold of a take that is over; a payment that races the cancel goes back
/// to the seller (rules C5, H5).
pub(super) fn give_up(decision: &mut Decision, hold: &Hold) {
    decision.holds.push(given_up(hold));
    decision.effects.push(Effect::CancelHold(hold.hash));
}

/// Rule C6: what the maker and what the taker of a paid take leads to.
fn left_by(order: &Order, req: &Request) -> Then {
    if is_maker(order, req) {
        Then::Canceled(CancelReason::ByMaker)
    } else {
        Then::BackToBook
    }
}

/// Rules C6 and C8: the sats go back first, the words come after.
fn refund(
    order: &Order,
    req: &Request,
    take: &Take,
    hold: &Hold,
    then: Then,
    now: Now,
) -> Result<Decision, CantDo> {
    let is_locked = matches!(hold.state, HoldState::Accepted(_));
    ensure(is_locked, CantDo::NotAllowedByStatus)?;
    let asker = Some(req.asker());
    Ok(canceling::start(order, take, hold, then, asker, now))
}

/// Rule C7: the wish is noted; the stage stays, and so does its beginning.
fn ask_other(order: &Order, req: &Request, take: &Take, role: Role) -> Decision {
    let sides = order.sides(take);
    let other = match role {
        Role::Buyer => sides.seller,
        Role::Seller => sides.buyer,
    };
    let mut noted = order.clone();
    if let Stage::Active {
        cancel_asked_by, ..
    }
    | Stage::FiatSent {
        cancel_asked_by, ..
    }
    | Stage::Dispute {
        cancel_asked_by, ..
    } = &mut noted.stage
    {
        *cancel_asked_by = Some(role);
    }
    Decision {
        orders: vec![noted],
        answer: Some(Letter::answer(
            &req.asker(),
            order.id,
            Notice::CancelAskedByYou,
        )),
        pushes: vec![Letter::push(other, order.id, Notice::CancelAskedByPeer)],
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
    use crate::stage::BackTo;
    use crate::time::UnixTime;
    use crate::view;

    fn says(party: &Party) -> Request {
        request(party, Ask::Cancel)
    }

    fn canceling_by(scene: &Scene, party: &Party) -> Result<Decision, CantDo> {
        cancel(&scene.order, &says(party), now(), &scene.cancel_facts())
    }

    fn answer(party: &Party, notice: Notice) -> Letter {
        Letter::answer(&says(party).asker(), order_id(), notice)
    }

    /// The order, withdrawn by its maker.
    fn withdrawn(scene: &Scene) -> Vec<Order> {
        let take = scene.order.stage.take().cloned();
        let why = CancelReason::ByMaker;
        vec![scene.order.moved(Stage::Canceled { why, take }, NOW)]
    }

    #[test]
    fn c1_c2_c4_c7_c10_a_cancel_is_refused() {
        use CantDo::{InvalidPubkey, IsNotYourOrder, NotAllowedByStatus, OrderAlreadyCanceled};
        for scene in scenes(Side::Sell) {
            let (parties, others) = match scene.name {
                "releasing"
                | "paying-buyer"
                | "paying-buyer (no invoice)"
                | "success"
                | "canceling (back to the book)"
                | "expired" => (Some(NotAllowedByStatus), NotAllowedByStatus),
                "canceled" | "canceling" => (Some(OrderAlreadyCanceled), OrderAlreadyCanceled),
                "pending" | "opening-hold (pending)" => (None, IsNotYourOrder),
                _ => (None, InvalidPubkey),
            };
            let refused = |party: &Party| canceling_by(&scene, party).err();
            assert_eq!(refused(&maker()), parties, "maker, {}", scene.name);
            assert_eq!(refused(&stranger()), Some(others), "{}", scene.name);
            if scene.name != "pending" {
                assert_eq!(refused(&taker()), parties, "taker, {}", scene.name);
            }
        }
    }

    #[test]
    fn c2_the_maker_withdraws_his_order() {
        let scene = scene("pending", Side::Sell, Stage::Pending);
        let expected = Decision {
            orders: withdrawn(&scene),
            answer: Some(answer(&maker(), Notice::Canceled)),
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(canceling_by(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_the_maker_undoes_a_take_whose_hold_is_being_opened() {
        let scene = opening(Side::Sell, BackTo::Pending);
        let asker = says(&taker()).asker();
        let refusal = Letter::refusal(&asker, Some(order_id()), CantDo::NotAllowedByStatus);
        let expected = Decision {
            orders: withdrawn(&scene),
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            answer: Some(answer(&maker(), Notice::Canceled)),
            pushes: vec![refusal],
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::CancelHold(fresh_hold().hash),
            ],
            ..Decision::default()
        };
        assert_eq!(canceling_by(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_the_taker_leaves_before_his_hold_is_open() {
        let scene = opening(Side::Buy, BackTo::Pending);
        let expected = Decision {
            orders: vec![scene.order.moved(Stage::Pending, NOW)],
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            answer: Some(answer(&taker(), Notice::Canceled)),
            effects: vec![Effect::CancelHold(fresh_hold().hash)],
            ..Decision::default()
        };
        assert_eq!(canceling_by(&scene, &taker()), Ok(expected));
    }

    #[test]
    fn c3_b7_a_take_that_outlived_the_offer_leaves_nothing_in_the_book() {
        let mut scene = opening(Side::Buy, BackTo::Pending);
        scene.order.offer.expires_at = NOW;
        let decision = canceling_by(&scene, &taker()).unwrap();
        assert_eq!(decision.orders, [scene.order.moved(Stage::Expired, NOW)]);
        assert_eq!(decision.answer, Some(answer(&taker(), Notice::Canceled)));
        assert_eq!(decision.pushes, [push(&maker(), Notice::Canceled)]);
        let published = Effect::PublishOrder(order_id());
        assert_eq!(
            decision.effects,
            [published, Effect::CancelHold(fresh_hold().hash)]
        );
    }

    #[test]
    fn c3_c4_the_maker_ends_an_order_whose_buyer_gave_his_invoice() {
        let deadline = deadline();
        let scene = opening(Side::Sell, BackTo::WaitingInvoice { deadline });
        let asker = says(&taker()).asker();
        let refusal = Letter::refusal(&asker, Some(order_id()), CantDo::NotAllowedByStatus);
        let expected = Decision {
            orders: withdrawn(&scene),
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            answer: Some(answer(&maker(), Notice::Canceled)),
            pushes: vec![refusal, push(&taker(), Notice::Canceled)],
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::CancelHold(fresh_hold().hash),
            ],
            ..Decision::default()
        };
        assert_eq!(canceling_by(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_e12_nobody_waits_for_an_opening_of_the_nodes_own() {
        let deadline = deadline();
        let scene = opening(Side::Buy, BackTo::WaitingPayment { deadline });
        let decision = canceling_by(&scene, &maker()).unwrap();
        assert_eq!(decision.orders, withdrawn(&scene));
        assert_eq!(decision.pushes, [push(&taker(), Notice::Canceled)]);
        assert_eq!(decision.holds, [hold(&scene.order, HoldState::Canceling)]);
    }

    /// What a cancel in a waiting step writes, but for the hold.
    fn left_by_taker(scene: &Scene) -> Decision {
        let back = scene.order.moved(Stage::Pending, NOW);
        let again = Notice::BackInBook(Box::new(view::back(&back)));
        Decision {
            orders: vec![back],
            ended_takes: vec![scene.ended_take()],
            answer: Some(answer(&taker(), Notice::Canceled)),
            pushes: vec![push(&maker(), again)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        }
    }

    fn ended_by_maker(scene: &Scene) -> Decision {
        Decision {
            orders: withdrawn(scene),
            answer: Some(answer(&maker(), Notice::Canceled)),
            pushes: vec![push(&taker(), Notice::Canceled)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        }
    }

    #[test]
    fn c4_s7_s8_up_s20_while_nothing_is_paid_the_taker_leaves_and_the_maker_ends() {
        let scene = waiting_invoice();
        let left = canceling_by(&scene, &taker());
        assert_eq!(left, Ok(left_by_taker(&scene)));
        let ended = canceling_by(&scene, &maker());
        assert_eq!(ended, Ok(ended_by_maker(&scene)));
    }

    #[test]
    fn c4_c5_u19_a_cancel_before_payment_is_final_and_asks_nobody() {
        for side in [Side::Buy, Side::Sell] {
            let scene = waiting_payment(side);
            let given_up = |decision| {
                let mut decision: Decision = decision;
                decision.holds = vec![hold(&scene.order, HoldState::Canceling)];
                let cancel = Effect::CancelHold(fresh_hold().hash);
                decision.effects.push(cancel);
                Ok(decision)
            };
            let left = canceling_by(&scene, &taker());
            assert_eq!(left, given_up(left_by_taker(&scene)), "{side:?}");
            let ended = canceling_by(&scene, &maker());
            assert_eq!(ended, given_up(ended_by_maker(&scene)), "{side:?}");
        }
    }

    #[test]
    fn c4_s7_an_offer_whose_time_is_over_does_not_come_back() {
        let mut scene = waiting_invoice();
        scene.order.offer.expires_at = NOW;
        let decision = canceling_by(&scene, &taker()).unwrap();
        assert_eq!(decision.orders, [scene.order.moved(Stage::Expired, NOW)]);
        assert_eq!(decision.pushes, [push(&maker(), Notice::Canceled)]);
    }

    /// The sats are on their way back, and nobody has heard anything.
    fn refunding(scene: &Scene, then: Then, by: &Party) -> Decision {
        let stage = Stage::Canceling {
            take: scene.order.stage.take().cloned().unwrap(),
            hold: fresh_hold().id,
            then,
            asker: Some(says(by).asker()),
            echo_until: UnixTime(NOW.0 + 8),
        };
        Decision {
            orders: vec![scene.order.moved(stage, NOW)],
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            effects: vec![Effect::CancelHold(fresh_hold().hash)],
            ..Decision::default()
        }
    }

    #[test]
    fn c6_a_paid_escrow_is_given_back_before_anybody_is_told() {
        let scene = paid_waiting_invoice(Side::Buy);
        let ends = Then::Canceled(CancelReason::ByMaker);
        let ended = canceling_by(&scene, &maker());
        assert_eq!(ended, Ok(refunding(&scene, ends, &maker())));
        let left = canceling_by(&scene, &taker());
        assert_eq!(left, Ok(refunding(&scene, Then::BackToBook, &taker())));
    }

    fn running() -> [Scene; 3] {
        [
            active(Side::Sell),
            after_fiat(Side::Sell),
            disputed(Side::Sell),
        ]
    }

    #[test]
    fn c7_the_first_wish_to_cancel_is_noted_and_the_stage_stays() {
        for scene in running() {
            let noted = asked_to_cancel(scene.clone(), Role::Buyer).order;
            let expected = Decision {
                orders: vec![noted],
                answer: Some(answer(&taker(), Notice::CancelAskedByYou)),
                pushes: vec![push(&maker(), Notice::CancelAskedByPeer)],
                ..Decision::default()
            };
            let decision = canceling_by(&scene, &taker());
            assert_eq!(decision, Ok(expected), "{}", scene.name);
        }
    }

    #[test]
    fn c7_the_same_party_is_refused_the_second_time() {
        for scene in running() {
            let name = scene.name;
            let scene = asked_to_cancel(scene, Role::Buyer);
            let again = canceling_by(&scene, &taker());
            assert_eq!(again, Err(CantDo::InvalidPubkey), "{name}");
            let stranger = canceling_by(&scene, &stranger());
            assert_eq!(stranger, Err(CantDo::InvalidPubkey), "{name}");
        }
    }

    #[test]
    fn c8_the_wish_of_the_other_gives_the_escrow_back() {
        let then = Then::Canceled(CancelReason::ByBoth);
        for scene in running() {
            let scene = asked_to_cancel(scene, Role::Buyer);
            let decision = canceling_by(&scene, &maker());
            let expected = refunding(&scene, then, &maker());
            assert_eq!(decision, Ok(expected), "{}", scene.name);
        }
    }

    #[test]
    fn c6_c8_nothing_is_given_back_but_an_accepted_hold() {
        for state in [HoldState::Settling(acceptance()), HoldState::Lost] {
            let mut scene = asked_to_cancel(active(Side::Sell), Role::Buyer);
            scene.hold = Some(hold(&scene.order, state));
            let refused = canceling_by(&scene, &maker());
            assert_eq!(refused, Err(CantDo::NotAllowedByStatus));
        }
    }
}

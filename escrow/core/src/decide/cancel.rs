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
            let then = if is_maker(order, req) {
                Then::Canceled(CancelReason::ByMaker)
            } else {
                Then::BackToBook
            };
            refund(order, req, take, hold?, then, now)
        }
        Stage::Active {
            take,
            cancel_asked_by: asked_by,
            ..
        }
        | Stage::FiatSent {
            take,
            cancel_asked_by: asked_by,
            ..
        }
        | Stage::Dispute {
            take,
            cancel_asked_by: asked_by,
            ..
        } => {
            let Some(first) = *asked_by else {
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
fn refuse_asker(decision: &mut Decision, order: &Order, req: &Request, asker: Option<&Asker>) {
    if let Some(asker) = asker.filter(|asker| asker.trade_key != req.sender.trade_key) {
        let refusal = Letter::refusal(asker, Some(order.id), CantDo::NotAllowedByStatus);
        decision.pushes.insert(0, refusal);
    }
}

/// The hold of a take that is over; a payment that races the cancel goes back
/// to the seller (rules C5, H5).
fn give_up(decision: &mut Decision, hold: &Hold) {
    decision.holds.push(given_up(hold));
    decision.effects.push(Effect::CancelHold(hold.hash));
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

    fn says(party: &Party) -> Request {
        request(party, Ask::Cancel)
    }

    fn canceling(scene: &Scene, party: &Party) -> Result<Decision, CantDo> {
        let facts = CancelFacts {
            hold: scene.hold.clone(),
        };
        cancel(&scene.order, &says(party), now(), &facts)
    }

    fn refusal_of(party: &Party, scene: &Scene) -> Option<CantDo> {
        canceling(scene, party).err()
    }

    #[test]
    fn c1_c2_c4_c7_c10_a_cancel_is_refused() {
        use CantDo::{InvalidPubkey, IsNotYourOrder, NotAllowedByStatus, OrderAlreadyCanceled};
        for scene in scenes(Side::Sell) {
            let (parties, others) = match scene.name {
                "pending" => continue,
                "opening-hold (pending)" => (None, IsNotYourOrder),
                "releasing" | "paying-buyer" | "paying-buyer (no invoice)" | "success" => {
                    (Some(NotAllowedByStatus), NotAllowedByStatus)
                }
                "canceled" => (Some(OrderAlreadyCanceled), OrderAlreadyCanceled),
                _ => (Some(NotAllowedByStatus), InvalidPubkey),
            };
            assert_eq!(
                refusal_of(&maker(), &scene),
                parties,
                "maker, {}",
                scene.name
            );
            assert_eq!(
                refusal_of(&taker(), &scene),
                parties,
                "taker, {}",
                scene.name
            );
            assert_eq!(
                refusal_of(&stranger(), &scene),
                Some(others),
                "{}",
                scene.name
            );
        }
        let pending = scene("pending", Side::Buy, Stage::Pending);
        assert_eq!(refusal_of(&stranger(), &pending), Some(IsNotYourOrder));
    }

    #[test]
    fn c2_the_maker_withdraws_his_order() {
        let scene = scene("pending", Side::Sell, Stage::Pending);
        let stage = Stage::Canceled {
            why: CancelReason::ByMaker,
            take: None,
        };
        let order = &scene.order;
        let expected = Decision {
            orders: vec![order.moved(stage, NOW)],
            answer: Some(Letter::answer(
                &says(&maker()).asker(),
                order.id,
                Notice::Canceled,
            )),
            effects: vec![Effect::PublishOrder(order.id)],
            ..Decision::default()
        };
        assert_eq!(canceling(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_the_maker_undoes_a_take_whose_hold_is_being_opened() {
        let scene = opening(Side::Sell, BackTo::Pending);
        let take = Some(take_with_invoice());
        let stage = Stage::Canceled {
            why: CancelReason::ByMaker,
            take,
        };
        let asker = says(&taker()).asker();
        let refusal = Letter::refusal(&asker, Some(order_id()), CantDo::NotAllowedByStatus);
        let expected = Decision {
            orders: vec![scene.order.moved(stage, NOW)],
            holds: vec![hold(&scene.order, crate::hold::HoldState::Canceling)],
            answer: Some(Letter::answer(
                &says(&maker()).asker(),
                order_id(),
                Notice::Canceled,
            )),
            pushes: vec![refusal],
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::CancelHold(fresh_hold().hash),
            ],
            ..Decision::default()
        };
        assert_eq!(canceling(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn c3_the_taker_leaves_before_his_hold_is_open() {
        let scene = opening(Side::Buy, BackTo::Pending);
        let expected = Decision {
            orders: vec![scene.order.moved(Stage::Pending, NOW)],
            holds: vec![hold(&scene.order, crate::hold::HoldState::Canceling)],
            answer: Some(Letter::answer(
                &says(&taker()).asker(),
                order_id(),
                Notice::Canceled,
            )),
            effects: vec![Effect::CancelHold(fresh_hold().hash)],
            ..Decision::default()
        };
        assert_eq!(canceling(&scene, &taker()), Ok(expected));
    }
}

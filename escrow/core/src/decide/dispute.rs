//! The parties do not agree.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::dispute::{Dispute, DisputeEnd, DisputeId, DisputeState};
use crate::facts::{DisputeFacts, Now};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role};
use crate::stage::{DisputedStage, Stage};
use crate::wire::CantDo;

/// A party asks for a solver (rules D1–D4).
///
/// # Errors
///
/// `not_allowed_by_status` unless the trade runs undisputed, `invalid_pubkey`
/// from a stranger.
pub fn dispute(
    order: &Order,
    req: &Request,
    now: Now,
    facts: &DisputeFacts,
) -> Result<Decision, CantDo> {
    let can_be_disputed = matches!(order.stage, Stage::Active { .. } | Stage::FiatSent { .. });
    super::ensure(can_be_disputed, CantDo::NotAllowedByStatus)?;
    let role = order.role_of(req.sender.trade_key);
    let opener = role.ok_or(CantDo::InvalidPubkey)?;
    let decision = opened(order, opener, facts.dispute, now).ok_or(CantDo::NotAllowedByStatus)?;
    Ok(decision.answering(&req.asker()))
}

/// A dispute as `opener` opens it (rules D2, D3, C9); none if the trade does
/// not run undisputed.
pub(super) fn opened(order: &Order, opener: Role, id: DisputeId, now: Now) -> Option<Decision> {
    let (take, hold, asked_by, from) = match &order.stage {
        Stage::Active {
            take,
            hold,
            cancel_asked_by,
        } => (take, *hold, *cancel_asked_by, DisputedStage::Active),
        Stage::FiatSent {
            take,
            hold,
            cancel_asked_by,
        } => (take, *hold, *cancel_asked_by, DisputedStage::FiatSent),
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => return None,
    };
    let stage = Stage::Dispute {
        take: take.clone(),
        hold,
        from,
        cancel_asked_by: asked_by.filter(|by| *by != opener),
    };
    let dispute = Dispute {
        id,
        order: order.id,
        opened_by: opener,
        opened_at: now.at,
        state: DisputeState::Initiated,
    };
    let disputed = Order {
        dispute: Some(id),
        ..order.moved(stage, now.at)
    };
    let sides = order.sides(take);
    let (by, peer) = match opener {
        Role::Buyer => (sides.buyer, sides.seller),
        Role::Seller => (sides.seller, sides.buyer),
    };
    Some(Decision {
        pushes: vec![
            Letter::push(by, order.id, Notice::DisputeOpenedByYou(id)),
            Letter::push(peer, order.id, Notice::DisputeOpenedByPeer(id)),
        ],
        orders: vec![disputed],
        disputes: vec![dispute],
        effects: vec![Effect::PublishDispute(id)],
        ..Decision::default()
    })
}

/// A dispute ends with its order (rule D3), and who has taken it hears how the
/// parties, or Lightning, have ended it (rules D6, D7).
pub(super) fn close(decision: &mut Decision, dispute: Option<&Dispute>, end: DisputeEnd) {
    let Some(dispute) = close_as_ruled(decision, dispute, end) else {
        return;
    };
    let word = match end {
        DisputeEnd::Released => Notice::ReleasedInDispute(dispute.id),
        DisputeEnd::SellerRefunded | DisputeEnd::CooperativelyCanceled | DisputeEnd::Settled => {
            Notice::CanceledInDispute(dispute.id)
        }
    };
    let told = dispute.assigned();
    decision
        .pushes
        .extend(told.map(|solver| solver.letter(dispute.order, word)));
}

/// As [`close`], by a ruling whose answer tells the solver.
pub(super) fn close_as_ruled<'a>(
    decision: &mut Decision,
    dispute: Option<&'a Dispute>,
    end: DisputeEnd,
) -> Option<&'a Dispute> {
    let dispute = dispute.filter(|dispute| dispute.is_open())?;
    decision.disputes.push(dispute.closed(end));
    decision.effects.push(Effect::PublishDispute(dispute.id));
    Some(dispute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::party::Party;

    fn disputing(scene: &Scene, party: &Party) -> Result<Decision, CantDo> {
        let req = request(party, Ask::Dispute);
        super::dispute(&scene.order, &req, now(), &dispute_facts())
    }

    #[test]
    fn d1_u20_a_dispute_is_refused() {
        for scene in scenes(Side::Sell) {
            let can_be = matches!(scene.name, "active" | "fiat-sent");
            let (parties, others) = if can_be {
                (None, CantDo::InvalidPubkey)
            } else {
                (Some(CantDo::NotAllowedByStatus), CantDo::NotAllowedByStatus)
            };
            for party in [maker(), taker()] {
                let refused = disputing(&scene, &party).err();
                assert_eq!(refused, parties, "{}", scene.name);
            }
            let refused = disputing(&scene, &stranger());
            assert_eq!(refused, Err(others), "{}", scene.name);
        }
    }

    #[test]
    fn d2_d4_both_hear_who_opened_it_and_solvers_can_find_it() {
        let table = [
            (active(Side::Sell), DisputedStage::Active),
            (after_fiat(Side::Sell), DisputedStage::FiatSent),
        ];
        for (scene, from) in table {
            let stage = Stage::Dispute {
                take: take_with_invoice(),
                hold: fresh_hold().id,
                from,
                cancel_asked_by: None,
            };
            let by_you = Notice::DisputeOpenedByYou(dispute_id());
            let asker = request(&maker(), Ask::Dispute).asker();
            let order = Order {
                dispute: Some(dispute_id()),
                ..scene.order.moved(stage, NOW)
            };
            let row = Dispute {
                opened_by: Role::Seller,
                opened_at: NOW,
                ..crate::fixtures::dispute()
            };
            let expected = Decision {
                orders: vec![order],
                disputes: vec![row],
                answer: Some(Letter::answer(&asker, order_id(), by_you)),
                pushes: vec![push(&taker(), Notice::DisputeOpenedByPeer(dispute_id()))],
                effects: vec![Effect::PublishDispute(dispute_id())],
                ..Decision::default()
            };
            assert_eq!(disputing(&scene, &maker()), Ok(expected), "{from:?}");
        }
    }

    #[test]
    fn c9_d3_the_openers_own_wish_to_cancel_dies_and_the_others_lives() {
        let asked_by = |asker, opener: &Party| {
            let scene = asked_to_cancel(after_fiat(Side::Sell), asker);
            let decision = disputing(&scene, opener).unwrap();
            decision.orders[0].stage.cancel_asked_by()
        };
        assert_eq!(asked_by(Role::Seller, &maker()), None);
        assert_eq!(asked_by(Role::Seller, &taker()), Some(Role::Seller));
    }
}

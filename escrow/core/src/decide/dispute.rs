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

/// A dispute ends with its order (rule D3).
pub(super) fn close(decision: &mut Decision, dispute: Option<&Dispute>, end: DisputeEnd) {
    if let Some(dispute) = dispute.filter(|dispute| dispute.state == DisputeState::Initiated) {
        decision.disputes.push(dispute.closed(end));
        decision.effects.push(Effect::PublishDispute(dispute.id));
    }
}

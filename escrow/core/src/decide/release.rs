//! The seller has his fiat and lets the sats go.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::facts::{Now, ReleaseFacts};
use crate::hold::{Acceptance, Hold, HoldState};
use crate::order::{NextTrade, Order, Role, Side, Take};
use crate::party::Asker;
use crate::payout::{Payout, PayoutId, PayoutState};
use crate::stage::{ReleasedBy, Stage};
use crate::terms::OPENING_SECS;
use crate::wire::CantDo;

use super::ensure;

/// Decides for the buyer, for good (rules R1, R3, P1).
///
/// The debt to him is born in this commit and the hold can only be settled
/// from here on. The seller's answer comes when it is ([`hold_settled`]).
///
/// [`hold_settled`]: super::hold_invoice::hold_settled
///
/// # Panics
///
/// If a trade is active without a payout invoice, which no decision allows.
///
/// # Errors
///
/// `invalid_peer` from anybody but the seller, `not_allowed_by_status` before
/// the buyer has said that the fiat is sent, unless it is disputed, and after
/// the release.
pub fn release(
    order: &Order,
    req: &Request,
    next: Option<NextTrade>,
    now: Now,
    facts: &ReleaseFacts,
) -> Result<Decision, CantDo> {
    let role = order.role_of(req.sender.trade_key);
    ensure(role == Some(Role::Seller), CantDo::InvalidPeer)?;
    let (Stage::FiatSent { take, hold: id, .. } | Stage::Dispute { take, hold: id, .. }) =
        &order.stage
    else {
        return Err(CantDo::NotAllowedByStatus);
    };
    let hold = facts.hold.as_ref().filter(|hold| hold.id == *id);
    let hold = hold.ok_or(CantDo::NotAllowedByStatus)?;
    let take = take
        .clone()
        .naming(next.filter(|_| order.offer.side == Side::Sell));
    let by = (req.asker(), ReleasedBy::Seller);
    settling(order, take, (hold, facts.payout), by, now).ok_or(CantDo::NotAllowedByStatus)
}

/// The sats are the buyer's from here on (rules R3, A10, P1); none unless they
/// are locked.
///
/// # Panics
///
/// If a trade is active without a payout invoice, which no decision allows.
pub(super) fn settling(
    order: &Order,
    take: Take,
    (hold, payout): (&Hold, PayoutId),
    (asker, by): (Asker, ReleasedBy),
    now: Now,
) -> Option<Decision> {
    let (hold, acceptance) = accepted(hold)?;
    let destination = take
        .payout
        .clone()
        .expect("a trade is active only with a payout invoice");
    let payout = Payout {
        id: payout,
        order: order.id,
        amount: take.buyer_gets(),
        destination,
        resolved: None,
        tries: 0,
        state: PayoutState::WaitFunds,
    };
    let stage = Stage::Releasing {
        take,
        hold: hold.id,
        payout: payout.id,
        asker,
        echo_until: now.at.plus(OPENING_SECS),
        by,
    };
    Some(Decision {
        orders: vec![order.moved(stage, now.at)],
        holds: vec![Hold {
            state: HoldState::Settling(acceptance),
            ..hold.clone()
        }],
        payouts: vec![payout],
        effects: vec![Effect::SettleHold(hold.hash)],
        ..Decision::default()
    })
}

fn accepted(hold: &Hold) -> Option<(&Hold, Acceptance)> {
    match hold.state {
        HoldState::Accepted(acceptance) => Some((hold, acceptance)),
        HoldState::New
        | HoldState::Open { .. }
        | HoldState::Settling(_)
        | HoldState::Settled(_)
        | HoldState::Canceling
        | HoldState::Canceled
        | HoldState::Lost => None,
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
        request(party, Ask::Release { next: None })
    }

    #[test]
    fn r1_u17_a_release_is_refused() {
        for scene in scenes(Side::Sell) {
            let facts = scene.release_facts();
            for party in [taker(), stranger()] {
                let refused = release(&scene.order, &says(&party), None, now(), &facts);
                assert_eq!(refused, Err(CantDo::InvalidPeer), "{}", scene.name);
            }
            if !matches!(scene.name, "fiat-sent" | "dispute") {
                let refused = release(&scene.order, &says(&maker()), None, now(), &facts);
                assert_eq!(refused, Err(CantDo::NotAllowedByStatus), "{}", scene.name);
            }
        }
        let untaken = scene("pending", Side::Buy, Stage::Pending);
        for party in [maker(), stranger()] {
            let facts = untaken.release_facts();
            let refused = release(&untaken.order, &says(&party), None, now(), &facts);
            assert_eq!(refused, Err(CantDo::InvalidPeer), "nobody sells yet");
        }
    }

    #[test]
    fn r1_nothing_is_released_but_an_accepted_hold() {
        let scene = after_fiat(Side::Sell);
        let states = [
            open_state(),
            HoldState::Settling(acceptance()),
            HoldState::Settled(acceptance()),
            HoldState::Canceling,
            HoldState::Canceled,
            HoldState::Lost,
        ];
        for state in states {
            let hold = Some(hold(&scene.order, state));
            let facts = ReleaseFacts {
                hold,
                payout: payout_id(),
            };
            let refused = release(&scene.order, &says(&maker()), None, now(), &facts);
            assert_eq!(refused, Err(CantDo::NotAllowedByStatus));
        }
    }

    #[test]
    fn s1_r3_p1_a_release_is_stored_with_the_debt_before_lightning_hears_of_it() {
        for scene in [after_fiat(Side::Sell), disputed(Side::Sell)] {
            let after = releasing(Side::Sell);
            let expected = Decision {
                orders: vec![scene.order.moved(after.order.stage, NOW)],
                holds: after.hold.into_iter().collect(),
                payouts: vec![payout(PayoutState::WaitFunds)],
                effects: vec![Effect::SettleHold(fresh_hold().hash)],
                ..Decision::default()
            };
            let facts = scene.release_facts();
            let decision = release(&scene.order, &says(&maker()), None, now(), &facts);
            assert_eq!(decision, Ok(expected), "{}", scene.name);
        }
    }
}

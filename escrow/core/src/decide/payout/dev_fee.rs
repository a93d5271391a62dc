//! The development fee: what the house gives of its own fees once the buyer is
//! paid (rules J2–J5).
//!
//! It is a payout like a buyer's, but nobody waits for it: it is never told to
//! a trader, never keeps a place from a buyer, and is tried until it is paid.

use sha2::{Digest, Sha256};

use crate::amount::Sats;
use crate::decide::payout_invoice::is_over;
use crate::decision::Decision;
use crate::facts::{Now, PayoutFacts};
use crate::lightning::Destination;
use crate::order::Order;
use crate::payout::{Payout, PayoutId, PayoutState};

/// The first wait after a failure, in seconds; it doubles with each.
const SHORTEST_WAIT_SECS: u64 = 60;

/// What it doubles to.
const LONGEST_WAIT_SECS: u64 = 3_600;

/// What the house owes for an order that has succeeded, due at once; none if
/// the operator has set no destination (rule J1), or the share is nothing.
pub(super) fn fee_of(order: &Order, now: Now) -> Option<Payout> {
    let destination = now.terms.dev_fee_destination.clone()?;
    let amount = order.stage.take()?.dev_fee;
    (amount > Sats(0)).then(|| Payout {
        id: PayoutId::of_dev_fee(order.id),
        order: order.id,
        amount,
        destination: Destination::Address(destination),
        resolved: None,
        tries: 0,
        state: PayoutState::Ready { not_before: now.at },
    })
}

/// The fee, to where the operator wants it at present, unless what was sent to
/// another place may yet arrive; none if he wants none to be paid.
pub(super) fn redirected(owed: &PayoutFacts, now: Now) -> Option<Payout> {
    let wanted = Destination::Address(now.terms.dev_fee_destination.clone()?);
    let fee = &owed.payout;
    let may_arrive = |attempt| !is_over(attempt, now.at, now.tip_height);
    let is_bound = owed.attempt.as_ref().is_some_and(may_arrive);
    if is_bound || fee.destination == wanted {
        Some(fee.clone())
    } else {
        Some(fee.redirected(wanted))
    }
}

/// It is tried again later (rule J4).
pub(super) fn later(fee: &Payout, now: Now) -> Decision {
    in_secs(fee, wait_secs(fee), now)
}

/// Nobody wants it at present; the operator may say so again at any start.
pub(super) fn unwanted(fee: &Payout, now: Now) -> Decision {
    in_secs(fee, LONGEST_WAIT_SECS, now)
}

fn in_secs(fee: &Payout, secs: u64, now: Now) -> Decision {
    let state = PayoutState::Ready {
        not_before: now.at.plus(secs),
    };
    Decision {
        payouts: vec![Payout {
            state,
            ..fee.clone()
        }],
        ..Decision::default()
    }
}

/// Twice as long after each failure, and up to a quarter more, so that not all
/// that one server owes an answer come back to it at once. What is random about
/// it is the order's name, since a decision has no dice.
fn wait_secs(fee: &Payout) -> u64 {
    let doublings = fee.tries.saturating_sub(1);
    let wait = SHORTEST_WAIT_SECS.saturating_mul(2_u64.saturating_pow(doublings));
    let wait = wait.min(LONGEST_WAIT_SECS);
    let mut dice = Sha256::new();
    dice.update(fee.id.0.as_bytes());
    dice.update(fee.tries.to_be_bytes());
    let [thrown, ..]: [u8; 32] = dice.finalize().into();
    let more = (wait / 4).saturating_mul(thrown.into()) / 256;
    wait.saturating_add(more)
}

#[cfg(test)]
mod tests;

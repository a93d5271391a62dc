//! What is right: one file for each thing that can be asked or reported.
//!
//! Requests come as `(order, request, …, now, facts)` and end in a decision or
//! a fair refusal, which changes nothing (rule W7). Reports of Lightning and
//! timers come as `(order, rows, …, now)` and always end in a decision: what
//! was seen before gives an empty one, what contradicts the ledger an alarm
//! and nothing else (rule H1).
//!
//! Start with [`take`].

use crate::command::Request;
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::PersonFacts;
use crate::party::{Identity, IdentityKey, Party, TradeIndex};
use crate::time::UnixTime;
use crate::user::{Rating, User};
use crate::wire::CantDo;

pub mod cancel;
mod canceling;
pub mod dispute;
pub mod downtime;
mod ending;
pub mod escrow_horizon;
pub mod fiat_sent;
pub mod hold_invoice;
pub mod open;
mod opening;
pub mod payout;
pub mod payout_invoice;
mod range;
pub mod rate;
pub mod release;
pub mod resolve;
pub mod solvers;
pub mod take;
pub mod timeouts;
pub mod trade_pubkey;

/// The trade index of a new order or a take (rules G12, O15).
///
/// Asked by every such decision before all else; public because the engine
/// asks it too before it says that an order to be taken does not exist.
///
/// # Errors
///
/// `invalid_trade_index` in reputation mode, if it is missing, out of bounds,
/// or not above every index that this identity has used or reserved.
pub fn trade_index(req: &Request, person: &PersonFacts) -> Result<TradeIndex, CantDo> {
    let given = req
        .trade_index
        .and_then(|index| u32::try_from(index).ok())
        .map(TradeIndex);
    if req.sender.identity == Identity::FullPrivacy {
        return Ok(given.unwrap_or_default());
    }
    let used = person
        .user
        .as_ref()
        .map(|user| user.last_index)
        .unwrap_or_default();
    let highest = used.max(person.reserved_index.unwrap_or_default());
    given
        .filter(|index| *index > highest)
        .ok_or(CantDo::InvalidTradeIndex)
}

fn ensure(condition: bool, otherwise: CantDo) -> Result<(), CantDo> {
    if condition { Ok(()) } else { Err(otherwise) }
}

/// The sender as a party of an order.
fn party(req: &Request, trade_index: TradeIndex) -> Party {
    Party {
        trade_key: req.sender.trade_key,
        identity: req.sender.identity,
        trade_index,
        transport: req.sender.transport,
    }
}

/// The row of a party whose order or take is accepted by this decision: the
/// index is used, and a person seen for the first time is known (rule G18).
fn recorded(party: &Party, user: Option<&User>, at: UnixTime) -> Option<(IdentityKey, User)> {
    let Identity::Known(identity) = party.identity else {
        return None;
    };
    let mut user = user.cloned().unwrap_or_else(|| newcomer(at));
    user.last_index = user.last_index.max(party.trade_index);
    Some((identity, user))
}

fn newcomer(at: UnixTime) -> User {
    User {
        first_seen: at,
        last_index: TradeIndex::default(),
        rating: Rating::default(),
    }
}

/// What contradicts the ledger changes nothing and is told to the operator.
fn alarm(alarm: Alarm) -> Decision {
    Decision {
        effects: vec![Effect::Alarm(alarm)],
        ..Decision::default()
    }
}

/// What was decided before gives nothing more.
fn nothing() -> Decision {
    Decision::default()
}

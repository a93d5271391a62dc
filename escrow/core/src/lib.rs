//! What is right: the trade rules and the Mostro wire format.
//!
//! Pure and synchronous: no clock, no randomness, no sockets. What a decision
//! needs to know comes in as facts; what must be done goes out as data.
//!
//! Read [`stage`], then [`command`], then `decide/take.rs`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

// The builders of `tests/fixtures` serve the unit tests too, under one name.
#[cfg(test)]
extern crate self as escrow_core;

#[cfg(test)]
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

pub mod amount;
pub mod command;
pub mod decide;
pub mod decision;
pub mod facts;
pub mod fees;
pub mod freshness;
pub mod hold;
pub mod letters;
pub mod lightning;
pub mod notice;
pub mod order;
pub mod party;
pub mod payout;
pub mod stage;
pub mod terms;
pub mod time;
pub mod timer;
pub mod user;
pub mod view;
pub mod wire;

pub use amount::{Fiat, Msat, Sats};
pub use lightning::{PaymentHash, PayoutInvoice};
pub use time::UnixTime;

//! What is right: the trade rules and the Mostro wire format.
//!
//! Pure and synchronous: no clock, no randomness, no sockets. What a decision
//! needs to know comes in as facts; what must be done goes out as data.
//!
//! Read [`stage`], then [`command`], then `decide/take.rs`.
//!
//! ```
//! use escrow_core::wire::{Action, read_message};
//! use escrow_core::{Sats, fees};
//!
//! // What a trader writes …
//! let text = r#"{"order":{"version":2,"request_id":4,"trade_index":null,"id":"0f07eec7-8834-4349-8f6d-3e2a9a9437f2","action":"fiat-sent","payload":null}}"#;
//! let message = read_message(text).expect("a message of the protocol");
//! assert_eq!(message.action, Action::FiatSent);
//! // … is written again to the byte.
//! assert_eq!(message.to_json(), text);
//!
//! // Of 10,000 sats at a fee of 0.6 % each side pays 30.
//! assert_eq!(fees::fee_per_side(0.006, Sats(10_000)), Sats(30));
//! ```

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

// The builders of `tests/fixtures` serve the unit tests too, under one name.
#[cfg(test)]
extern crate self as escrow_core;

#[cfg(test)]
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

pub mod amount;
pub mod books;
pub mod command;
pub mod decide;
pub mod decision;
pub mod dispute;
pub mod due;
pub mod facts;
pub mod fees;
pub mod freshness;
pub mod hold;
pub mod letters;
pub mod lightning;
pub mod maintenance;
pub mod market;
pub mod notice;
pub mod order;
pub mod party;
pub mod payout;
pub mod price;
pub mod questions;
pub mod solver;
pub mod stage;
pub mod terms;
pub mod time;
pub mod timer;
pub mod user;
pub mod view;
pub mod wire;

pub use amount::{Fiat, Msat, Sats};
pub use lightning::{Destination, PaymentHash, PayoutInvoice};
pub use time::UnixTime;

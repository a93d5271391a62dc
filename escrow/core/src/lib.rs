//! What is right: the trade rules and the Mostro wire format.
//!
//! Pure and synchronous: no clock, no randomness, no sockets. What a decision
//! needs to know comes in as facts; what must be done goes out as data.

#![warn(clippy::arithmetic_side_effects)]

pub mod amount;
pub mod lightning;
pub mod time;
pub mod wire;

pub use amount::{Fiat, Msat, Sats};
pub use lightning::{PaymentHash, PayoutInvoice};
pub use time::UnixTime;

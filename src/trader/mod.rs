//! Traders of the house's own: real clients over real websockets, for
//! demonstrations, measurements and stories.
//!
//! A [`Trader`] has one connection and any number of [`Trade`]s, each with a
//! key of its own. He reads only while he waits for something; whatever comes
//! meanwhile is put where it belongs: answers and pushes into the letters of
//! their trade, revisions of orders into his [`Book`]. A [`deal`] is a whole
//! trade between two of them.

mod book;
mod client;
pub mod deal;
mod envelope;
mod error;
mod keyring;
mod line;
mod moves;
mod seat;
mod talk;
mod wallet;

#[cfg(test)]
mod tests;

pub use book::Book;
pub use client::Trader;
pub use envelope::{Envelope, EnvelopeError, HouseEnvelope, Signers};
pub use error::TraderError;
pub use keyring::Keyring;
pub use moves::{Asking, Offer};
pub(crate) use seat::Seat;
pub use talk::{Answered, Ask, Heard, Persona, Trade, Verdict};
pub use wallet::Wallet;

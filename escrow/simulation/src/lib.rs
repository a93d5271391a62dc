//! A whole town from a seed: traders with goals and mistakes, a bad line to
//! Lightning, mirrors, power cuts; after every step book, ledger, Lightning and
//! wallets must agree.
//!
//! The node of a town is the engine that runs in production, driven by its
//! synchronous `step`; so a seed replays, and a seed that fails is a test.
//!
//! [`run`] lives through as many towns as a [`Plan`] asks for; [`live`] through
//! one of them, aloud if somebody wants to follow it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a simulation ends at its first surprise, and tells what it did"
)]

mod dice;
mod lightning;
mod market;
mod mirrors;
mod people;
mod plan;
mod tally;
mod town;
mod trace;
mod witness;

pub use plan::{Failure, Plan, Progress, Report, THREAD, run, town_seed};
pub use tally::Tally;
pub use town::{Lived, TRADES_PER_TOWN, live};

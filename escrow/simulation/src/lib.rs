//! A whole town from a seed: traders with goals and mistakes, a bad line to
//! Lightning, mirrors, power cuts; after every step book, ledger, Lightning and
//! wallets must agree.
//!
//! The node of a town is the engine that runs in production, driven by its
//! synchronous `step`; so a seed replays, and a seed that fails is a test.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a simulation ends at its first surprise, and tells what it did"
)]

mod dice;
mod lightning;
mod mirrors;
mod people;
mod tally;
mod town;
mod trace;
mod witness;

pub use tally::Tally;

use escrow_engine::desk::Sealing;

use town::Town;

/// Runs one town to its end.
///
/// # Panics
/// At the first thing that must not be.
#[must_use]
pub fn run(seed: u64, show: Option<fn(&str)>) -> (String, Tally) {
    // Sealing costs most of the time, so few seeds seal.
    let sealing = if seed.is_multiple_of(50) {
        Sealing::Full
    } else {
        Sealing::Off
    };
    let mut town = Town::new(seed, sealing, show);
    town.live();
    (town.trace.digest(), town.tally)
}

//! Prices: sources on the web and on relays, rounds, and a whole node.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on shall stop there"
)]

mod node;
mod rounds;
mod shop;
mod sources;

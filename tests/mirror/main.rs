//! A node and its mirrors: external relays of another make, and lines to them
//! that break, hang and lie.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop there"
)]

mod bridge;
mod fill;
mod healthy;
mod inward;
mod keeper;
mod liar;
mod own_engine;
mod place;
mod reader;
mod secure;
mod speed;
mod story;
mod troubles;

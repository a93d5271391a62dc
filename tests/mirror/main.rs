//! A node and its mirrors: external relays of another make, and lines to them
//! that break, hang and lie.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop there"
)]

mod bridge;
mod healthy;
mod inward;
mod liar;
mod place;
mod reader;
mod speed;
mod story;
mod troubles;

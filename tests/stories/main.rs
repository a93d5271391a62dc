//! Whole-node stories: a node on a free port, real files, and traders who
//! speak to it over real websockets with upstream's own envelopes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story that cannot go on shall stop there"
)]

mod person;
mod refusals;
mod town;
mod trades;
mod upstream;

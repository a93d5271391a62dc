//! Whole-node stories: a node on a free port, real files, and traders who
//! speak to it over real websockets with upstream's own envelopes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a story that cannot go on shall stop there"
)]
#![expect(
    clippy::large_futures,
    clippy::too_many_lines,
    reason = "a table is as long as it has rows"
)]

mod addresses;
mod assistant;
mod cancels;
mod dev_fee;
mod discretion;
mod disputes;
mod downtime;
mod envelopes;
mod failing_disk;
mod flood;
mod hostile;
mod leaving;
mod listener;
mod market;
mod matrix;
mod mishaps;
mod not_yet;
mod offers;
mod operator;
mod person;
mod races;
mod ranges;
mod ratings;
mod refusals;
#[path = "../rooms/mod.rs"]
mod rooms;
mod secrets;
mod sessions;
mod silence;
mod terms;
mod timing;
mod town;
mod trades;
mod upstream;

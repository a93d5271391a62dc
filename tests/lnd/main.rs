//! Whole trades over real Lightning: the real binary, real LND nodes, and
//! between them everything that can break.
//!
//! After each story the balances of all three nodes add up to the sat.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story that cannot go on shall stop there"
)]

mod addresses;
mod bad_lines;
mod crashes;
mod deal;
mod dev_fees;
#[expect(dead_code, reason = "other stories listen more closely")]
#[path = "../stories/listener.rs"]
mod listener;
mod lost_payments;
mod measuring;
mod node_troubles;
mod own_box;
mod refusals;
#[path = "../rooms/mod.rs"]
mod rooms;
mod running_box;
mod town;
mod trades;

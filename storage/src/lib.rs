//! What the node remembers.

pub mod events;
pub mod ledger;
pub mod testing;

//! What the node remembers.

pub mod ledger;
pub mod testing;

//! The ledger against its promises.

mod model;
mod orders;
mod power;
mod records;
mod samples;
mod tables;
mod uniqueness;

//! The ledger against its promises.

mod chain;
mod mirrors;
mod model;
mod orders;
mod power;
mod records;
mod samples;
mod steps;
mod tables;
mod uniqueness;

//! The Lightning side of a run: the sandbox's world, a bad line to it, and a
//! synchronous stand-in for the workers.
//!
//! The stand-in keeps the workers' own rules: a tender exists for what an
//! effect or a start named, reads the row, does what its state asks for and
//! reports. Streams bring news early and are not trusted: a sweep each minute
//! and each new block look everything up. What it remembers is lost with the
//! process.

mod address;
mod health;
mod hold;
mod line;
mod payees;
mod payment;
mod stream;
mod wallet;
mod weather;
mod workers;

pub(crate) use line::Line;
pub(crate) use payees::{DEVELOPMENT, address_of};
pub(crate) use wallet::pays_hold;
pub(crate) use workers::{Bench, Task, Workers};

//! The workers: they do what was decided, and report what came of it.
//!
//! Intents are the states of rows, not messages: a worker reads the row, does
//! what its state asks for and reports; so a crash needs no special code, and
//! every effect may be done again.

pub(crate) mod address;
pub(crate) mod alarms;
pub(crate) mod backoff;
pub(crate) mod bookkeeper;
pub(crate) mod chain;
pub(crate) mod courier;
pub(crate) mod dispatch;
pub(crate) mod health;
pub(crate) mod hold;
pub(crate) mod payment;
pub(crate) mod switchboard;

//! The outside money: what the escrow asks of a Lightning node, and the
//! backends that answer.
//!
//! Start reading at [`backend`].

pub mod backend;

pub use backend::{LightningBackend, LnError, LnResult, Network, Preimage};

//! The outside money: what the escrow asks of a Lightning node, the rules an
//! invoice must keep, and the backends that answer.
//!
//! Start reading at [`backend`]; [`sandbox`] is a whole small Lightning
//! network in memory.

pub mod backend;
pub mod conformance;
pub mod invoice_rules;
pub mod sandbox;

pub use backend::{LightningBackend, LnError, LnResult, Network, Preimage};
pub use invoice_rules::{InvoiceRefusal, InvoiceRules, read_payout_invoice};
pub use sandbox::Sandbox;

//! The outside money: what the escrow asks of a Lightning node, the rules an
//! invoice must keep, and the backends that answer.
//!
//! Start reading at [`backend`]. [`sandbox`] is a whole small Lightning network
//! without real money; [`conformance`] keeps it like the real thing.
//!
//! ```
//! use std::sync::Arc;
//!
//! use escrow_core::{Msat, UnixTime};
//! use escrow_lightning::backend::{HoldRequest, SettleOutcome};
//! use escrow_lightning::sandbox::{DEFAULT_WALLET, Setup, WalletPays};
//! use escrow_lightning::{LightningBackend, Preimage, Sandbox};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = UnixTime(1_700_000_000);
//! let node = Sandbox::in_memory(&Setup::from_seed([1; 32]), Arc::new(move || now));
//! let preimage = Preimage::new([2; 32]);
//! let request = HoldRequest {
//!     hash: preimage.hash(),
//!     amount: Msat(100_000_000),
//!     memo: "an order".into(),
//!     expires_at: now.plus(900),
//!     cltv_delta: 144,
//!     private_hints: false,
//! };
//! let hold = node.create_hold(&request).await?;
//! node.apply(WalletPays::exactly(DEFAULT_WALLET, &hold.bolt11)).await??;
//! assert_eq!(node.settle_hold(&preimage).await?, SettleOutcome::Settled);
//! # Ok(())
//! # }
//! ```

pub mod backend;
pub mod conformance;
pub mod invoice_rules;
pub mod lnd;
pub mod lnurl;
pub mod sandbox;

pub use backend::{LightningBackend, LnError, LnResult, Network, Preimage};
pub use invoice_rules::{InvoiceRefusal, InvoiceRules, read_payout_invoice};
pub use lnd::Lnd;
pub use lnurl::Lnurl;
pub use sandbox::Sandbox;

//! What the writer has at hand beside the ledger.

use std::sync::Arc;

use escrow_core::order::OrderId;
use escrow_core::terms::Terms;
use escrow_core::wire;
use nostr::key::Keys;

use crate::entropy::Entropy;
use crate::preimages::Preimages;
use crate::prices::PriceBoard;

/// Keys, terms and the state of the world that a decision may need.
#[derive(Debug)]
pub struct Desk {
    /// The node's key pair.
    pub keys: Keys,
    /// The node's terms of trade.
    pub terms: Terms,
    /// What public events and letters carry.
    pub stationery: Stationery,
    /// Where preimages come from.
    pub preimages: Arc<Preimages>,
    /// Where names and nonces come from.
    pub entropy: Entropy,
    /// Whether Lightning can carry new escrows.
    pub lightning_is_ready: bool,
    /// What a bitcoin costs.
    pub prices: Arc<dyn PriceBoard>,
    /// Whether letters are put into envelopes.
    pub sealing: Sealing,
}

impl Desk {
    /// The address of an order's public event.
    pub(crate) fn address(&self, order: OrderId) -> String {
        let node = self.keys.public_key();
        format!("{}:{node}:{}", wire::order_event::ORDER, order.0)
    }
}

/// What every event of the node carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stationery {
    /// Network of the Lightning node: `mainnet`, `testnet`, `signet`, `regtest`.
    pub network: String,
    /// Where takers find the node; the public URL first.
    pub relays: Vec<String>,
    /// Name of the operator's instance, if it has one.
    pub instance: Option<String>,
    /// Seconds that relays may keep an order that has left the book.
    pub closed_order_secs: u64,
    /// Seconds that relays may keep a dispute.
    pub dispute_secs: u64,
    /// Seconds that relays may keep a reputation.
    pub rating_secs: u64,
    /// Seconds that relays may keep the audit of a development fee.
    pub dev_fee_secs: u64,
    /// Seconds that relays may keep a letter.
    pub letter_secs: u64,
}

/// Whether letters become sealed events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Encrypted and signed, as traders need them.
    Full,
    /// Left out, to measure or simulate the decisions alone: letters are
    /// reported by the step and do not reach the outbox.
    Off,
}

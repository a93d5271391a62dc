//! A payment of the development fee, for everybody to check: kind 8383.

use nostr::event::Tag;
use uuid::Uuid;

use super::tags::{expiration, instance, tag};
use crate::amount::Sats;
use crate::lightning::PaymentHash;
use crate::time::UnixTime;

/// Kind of the event; there is one for each payment, and none is replaced.
pub const DEV_FEE: u16 = 8_383;

/// A development fee that was really paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevFeeEvent<'a> {
    /// The order it was paid for.
    pub order: Uuid,
    /// What was paid, without routing fee.
    pub amount: Sats,
    /// Payment hash.
    pub hash: PaymentHash,
    /// The address that was paid.
    pub destination: &'a str,
    /// Network of the Lightning node: `mainnet`, `testnet`, `signet`, `regtest`.
    pub network: &'a str,
    /// When relays may drop it.
    pub expiration: UnixTime,
    /// Name of the operator's instance, if it has one.
    pub instance: Option<&'a str>,
}

impl DevFeeEvent<'_> {
    /// The tags; the content is empty.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        vec![
            tag("order-id", [self.order]),
            tag("amount", [self.amount.0]),
            tag("hash", [self.hash]),
            tag("destination", [self.destination]),
            tag("network", [self.network]),
            instance(self.instance),
            tag("z", ["dev-fee-payment"]),
            expiration(self.expiration),
        ]
    }
}

//! What the trade rules know of Lightning: hashes and the facts of an invoice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::amount::Msat;
use crate::time::UnixTime;

/// SHA-256 of a preimage; names a hold invoice or a payment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentHash(pub [u8; 32]);

impl fmt::Display for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&faster_hex::hex_string(&self.0))
    }
}

impl fmt::Debug for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no [`PaymentHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment hash has 64 hexadecimal digits")]
pub struct NoPaymentHash;

impl FromStr for PaymentHash {
    type Err = NoPaymentHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        faster_hex::hex_decode(text.as_bytes(), &mut bytes).map_err(|_| NoPaymentHash)?;
        Ok(PaymentHash(bytes))
    }
}

impl Serialize for PaymentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PaymentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A BOLT11 invoice that a buyer wants to be paid to, with what was read from it.
///
/// Made by `escrow-lightning`, which parses it and refuses what can never be
/// paid (another network, no payment secret, a final CLTV out of bounds, our
/// own node); judged against an order by `decide`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutInvoice {
    /// The invoice as its owner wrote it.
    pub bolt11: String,
    /// Its payment hash.
    pub hash: PaymentHash,
    /// Node key of the payee, 66 hex digits.
    pub payee: String,
    /// The amount it asks for; none = the payer chooses.
    pub amount: Option<Msat>,
    /// When it expires.
    pub expires_at: UnixTime,
}

/// Where a buyer wants his sats.
///
/// Written without a tag: an invoice is a map and an address a text, so rows
/// from before there were addresses read as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Destination {
    /// To this invoice.
    Invoice(PayoutInvoice),
    /// To an invoice that this Lightning address or LNURL gives when the time
    /// has come.
    Address(String),
}

impl Destination {
    /// As its owner wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Destination::Invoice(invoice) => &invoice.bolt11,
            Destination::Address(address) => address,
        }
    }

    /// The invoice, if it is one.
    #[must_use]
    pub fn invoice(&self) -> Option<&PayoutInvoice> {
        match self {
            Destination::Invoice(invoice) => Some(invoice),
            Destination::Address(_) => None,
        }
    }
}

/// The least and the most that a Lightning address takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sendable {
    /// The least.
    pub least: Msat,
    /// The most.
    pub most: Msat,
}

impl Sendable {
    /// Whether it takes this amount (rule V5).
    #[must_use]
    pub fn includes(self, amount: Msat) -> bool {
        self.least <= amount && amount <= self.most
    }
}

//! What the node says about itself: kinds 38385, 0 and 10002.

use nostr::event::Tag;
use nostr::key::PublicKey;
use serde::Serialize;

use super::tags::{instance, tag};

/// Kind of the node's terms.
pub const INFO: u16 = 38_385;
/// Kind of a profile.
pub const PROFILE: u16 = 0;
/// Kind of a list of relays.
pub const RELAY_LIST: u16 = 10_002;

/// The upstream version whose behaviour clients may expect.
pub const COMPATIBLE_VERSION: &str = "0.20.2";

/// The node's terms, which clients read before they trade.
///
/// All of it is published always, with true values: a client that misses a
/// number does not trade.
#[derive(Clone, Debug, PartialEq)]
pub struct InfoEvent<'a> {
    /// The node.
    pub node: PublicKey,
    /// Commit of this software, may be empty.
    pub commit_hash: &'a str,
    /// Highest sats of an order.
    pub max_order_sats: u64,
    /// Lowest sats of an order.
    pub min_order_sats: u64,
    /// How long an order stays in the book, hours.
    pub expiration_hours: u64,
    /// How long a step of a taken order may take, seconds.
    pub expiration_seconds: u64,
    /// Currencies; empty = all.
    pub fiat_currencies: &'a [String],
    /// How many orders one answer may hold.
    pub max_orders_per_response: u64,
    /// The fee of both sides together as the operator wrote it: `0.006`.
    pub fee: &'a str,
    /// Work every message must show, bits.
    pub pow: u8,
    /// Work the first message of a key must show, bits; shown as no less than `pow`.
    pub pow_first_contact: u8,
    /// Blocks a hold invoice stays claimable.
    pub hold_invoice_cltv_delta: u32,
    /// How many blocks before that the escrow is dealt with.
    pub escrow_deadline_margin_blocks: u32,
    /// The Lightning node.
    pub lightning: LightningInfo<'a>,
    /// How long a payout invoice must live, seconds.
    pub invoice_expiration_window: u64,
    /// How long a hold invoice can be paid, seconds.
    pub hold_invoice_expiration_window: u64,
    /// Whether new trades are refused for now.
    pub maintenance: bool,
    /// The dispute assistant, if there is one.
    pub serbero: Option<PublicKey>,
    /// Name of the operator's instance, if it has one.
    pub instance: Option<&'a str>,
    /// Version of this software.
    pub software_version: &'a str,
}

/// What clients are told about the Lightning node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LightningInfo<'a> {
    /// Version.
    pub version: &'a str,
    /// Node key, 66 hex digits.
    pub node_pubkey: &'a str,
    /// Commit of its software, may be empty.
    pub commit_hash: &'a str,
    /// Alias.
    pub alias: &'a str,
    /// Chains.
    pub chains: &'a [String],
    /// Networks.
    pub networks: &'a [String],
    /// How others connect to it, may be empty.
    pub uris: &'a [String],
}

impl InfoEvent<'_> {
    /// The tags; the content is empty.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let lightning = &self.lightning;
        let mut tags = vec![
            tag("d", [self.node.to_hex()]),
            tag("mostro_version", [COMPATIBLE_VERSION]),
            tag("mostro_commit_hash", [self.commit_hash]),
            tag("max_order_amount", [self.max_order_sats]),
            tag("min_order_amount", [self.min_order_sats]),
            tag("expiration_hours", [self.expiration_hours]),
            tag("expiration_seconds", [self.expiration_seconds]),
            tag("fiat_currencies_accepted", [self.fiat_currencies.join(",")]),
            tag("max_orders_per_response", [self.max_orders_per_response]),
            tag("fee", [self.fee]),
            tag("pow", [self.pow]),
            tag("pow_first_contact", [self.pow.max(self.pow_first_contact)]),
            tag("protocol_version", ["2"]),
            instance(self.instance),
            tag("z", ["info"]),
            tag("escrow_mode", ["lightning"]),
            tag("hold_invoice_cltv_delta", [self.hold_invoice_cltv_delta]),
            tag(
                "escrow_deadline_margin_blocks",
                [self.escrow_deadline_margin_blocks],
            ),
            tag("lnd_version", [lightning.version]),
            tag("lnd_node_pubkey", [lightning.node_pubkey]),
            tag("lnd_commit_hash", [lightning.commit_hash]),
            tag("lnd_node_alias", [lightning.alias]),
            tag("lnd_chains", [lightning.chains.join(",")]),
            tag("lnd_networks", [lightning.networks.join(",")]),
            tag("lnd_uris", [lightning.uris.join(",")]),
            tag(
                "invoice_expiration_window",
                [self.invoice_expiration_window],
            ),
            tag(
                "hold_invoice_expiration_window",
                [self.hold_invoice_expiration_window],
            ),
            tag("bond_enabled", [false]),
        ];
        tags.extend(self.serbero.map(|key| tag("serbero", [key.to_hex()])));
        tags.extend([
            tag("maintenance_mode", [self.maintenance]),
            tag(
                "software",
                [format!("mostro-relay/{}", self.software_version)],
            ),
        ]);
        tags
    }
}

/// The node's profile; what is not configured is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Profile<'a> {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// A few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<&'a str>,
    /// URL of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<&'a str>,
    /// URL of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<&'a str>,
}

impl Profile<'_> {
    /// The content; there are no tags.
    ///
    /// # Panics
    ///
    /// Never: strings can always be written.
    #[must_use]
    pub fn content(&self) -> String {
        serde_json::to_string(self).expect("strings can always be written")
    }
}

/// Tags that name relays, in the order given: the public URL first, then the
/// mirrors. Clients adopt the list, so the caller leaves out what only this
/// machine can reach.
#[must_use]
pub fn relay_list_tags(urls: &[String]) -> Vec<Tag> {
    urls.iter().map(|url| tag("r", [url])).collect()
}

//! The relay's description of itself (NIP-11).

use nostr::key::PublicKey;
use serde_json::{Map, Value, json};

use super::RelayLimits;

/// What the relay does as the NIPs say: events and subscriptions, deletion, this document,
/// proof of work, expiration, authentication, counting, protected events.
const NIPS: [u16; 8] = [1, 9, 11, 13, 40, 42, 45, 70];

/// What the operator says about the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayProfile {
    /// Name, shown by clients.
    pub name: String,
    /// What the relay is for.
    pub description: String,
    /// Key of the node: who answers for the relay, and whose events it publishes itself.
    pub pubkey: PublicKey,
    /// Where the operator can be reached, as a URI; left out when absent.
    pub contact: Option<String>,
}

/// Writes the information document from the limits that are enforced.
#[must_use]
pub fn nip11(profile: &RelayProfile, limits: &RelayLimits) -> Value {
    let mut document = Map::new();
    let mut say = |key: &str, value: Value| document.insert(key.to_owned(), value);
    say("name", json!(profile.name));
    say("description", json!(profile.description));
    say("pubkey", json!(profile.pubkey.to_hex()));
    say("self", json!(profile.pubkey.to_hex()));
    if let Some(contact) = &profile.contact {
        say("contact", json!(contact));
    }
    say("supported_nips", json!(NIPS));
    say("software", json!("mostro-relay"));
    say("version", json!(env!("CARGO_PKG_VERSION")));
    say("limitation", limitation(limits));
    Value::Object(document)
}

/// What every client has to keep to.
///
/// There is no `min_pow_difficulty`: work is asked of messages to the node alone, and its
/// info event tells how much. No content is longer than the largest event, which is a
/// private message; other kinds have a lower bound that the document has no word for, as
/// it has none for the bytes of an answer.
fn limitation(limits: &RelayLimits) -> Value {
    json!({
        "max_message_length": limits.frame_bytes,
        "max_subscriptions": limits.subscriptions,
        "max_filters": limits.filters_per_req,
        "max_limit": limits.max_limit,
        "default_limit": limits.max_limit,
        "max_subid_length": limits.subscription_id_chars,
        "max_content_length": limits.message_bytes,
        "created_at_upper_limit": limits.future_secs,
        "auth_required": false,
        "payment_required": false,
        "restricted_writes": true,
    })
}

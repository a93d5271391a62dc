//! Envelopes made layer by layer, as no decent client would make them.

use escrow_core::time::UnixTime;
use escrow_core::wire::client::wrap;
use escrow_core::wire::{Letter, Message, Seed, Transport};
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44::{self, Nonce};
use nostr::types::Timestamp;

use crate::person::Person;

pub(crate) fn now() -> u64 {
    Timestamp::now().as_secs()
}

/// A message in a good envelope, signed at a time of the test's choice. The
/// same seed makes the same signatures.
pub(crate) fn signed_at(
    by: &Person,
    message: &Message,
    transport: Transport,
    node: PublicKey,
    at: u64,
) -> Event {
    let json = message.to_json();
    let letter = Letter {
        message_json: &json,
        to: node,
        transport,
        created_at: UnixTime(at),
        expiration: None,
    };
    wrap(&letter, &by.trade.keys, None, &Seed([5; 32])).unwrap()
}

/// A kind 14 to the node around any text.
pub(crate) fn direct(author: &Keys, node: PublicKey, text: &str) -> Event {
    event(author, 14, node, sealed(author, node, text))
}

/// A gift wrap of any text, by nobody.
pub(crate) fn gift_wrap(node: PublicKey, seal: &str) -> Event {
    let nobody = Keys::generate();
    event(&nobody, 1_059, node, sealed(&nobody, node, seal))
}

/// An event to somebody with any content.
pub(crate) fn event(author: &Keys, kind: u16, to: PublicKey, content: impl Into<String>) -> Event {
    tagged(author, kind, [Tag::public_key(to)], content)
}

pub(crate) fn tagged(
    author: &Keys,
    kind: u16,
    tags: impl IntoIterator<Item = Tag>,
    content: impl Into<String>,
) -> Event {
    EventBuilder::new(Kind::from_u16(kind), content)
        .tags(tags)
        .finalize(author)
        .unwrap()
}

pub(crate) fn sealed(author: &Keys, to: PublicKey, text: &str) -> String {
    let nonce = Nonce::V2([9; 32]);
    nip44::encrypt_with_nonce(author.secret_key(), &to, text.as_bytes(), nonce).unwrap()
}

/// What an envelope to `reader` holds.
pub(crate) fn opened(reader: &Keys, event: &Event) -> String {
    nip44::decrypt(reader.secret_key(), &event.pubkey, &event.content).unwrap()
}

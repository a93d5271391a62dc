//! Keys, and envelopes made layer by layer.

use escrow_core::UnixTime;
use escrow_core::wire::{Letter, OpenError, Opened, Seed, Transport, open, sign};
use nostr::event::{Event, Kind, Tag, UnsignedEvent};
use nostr::key::Keys;
use nostr::nips::nip44::{self, Nonce};
use nostr::types::Timestamp;

pub(super) const NODE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
pub(super) const TRADE: &str = "2222222222222222222222222222222222222222222222222222222222222222";
pub(super) const IDENTITY: &str =
    "3333333333333333333333333333333333333333333333333333333333333333";
pub(super) const NOW: UnixTime = UnixTime(1_795_200_000);

pub(super) fn keys(secret: &str) -> Keys {
    Keys::parse(secret).unwrap()
}

pub(super) fn letter<'a>(message_json: &'a str, to: &str, transport: Transport) -> Letter<'a> {
    let to = keys(to).public_key();
    Letter {
        message_json,
        to,
        transport,
        created_at: NOW,
        expiration: Some(NOW.plus(2_592_000)),
    }
}

/// The text of an event to the trader.
pub(super) fn decrypted(event: &Event) -> String {
    nip44::decrypt(keys(TRADE).secret_key(), &event.pubkey, &event.content).unwrap()
}

pub(super) fn tuple_of(event: &Event, reader: &str) -> String {
    nip44::decrypt(keys(reader).secret_key(), &event.pubkey, &event.content).unwrap()
}

pub(super) fn gift_tuple_of(event: &Event) -> String {
    let seal = Event::from_json(tuple_of(event, NODE)).unwrap();
    UnsignedEvent::from_json(tuple_of(&seal, NODE))
        .unwrap()
        .content
}

/// The three strings that follow the message in a tuple.
pub(super) fn strings_after(tuple: &str, message: &str) -> [String; 3] {
    let rest = tuple
        .strip_prefix('[')
        .unwrap()
        .strip_prefix(message)
        .unwrap();
    let strings: Vec<String> = rest
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    strings.try_into().unwrap()
}

/// A kind 14 of the trader around any text.
pub(super) fn direct_of(text: &str) -> Event {
    raw_direct(text.as_bytes())
}

pub(super) fn raw_direct(text: &[u8]) -> Event {
    event_of(text, TRADE, 14, 1)
}

pub(super) fn gift_wrap_of(tuple: &str, author: &str, sealer: &str) -> Event {
    wrap_of(&seal_event(&rumor(tuple, author, 1), sealer, 13).as_json())
}

pub(super) fn rumor(tuple: &str, author: &str, kind: u16) -> String {
    rumor_at(tuple, author, kind, NOW)
}

pub(super) fn rumor_at(tuple: &str, author: &str, kind: u16, time: UnixTime) -> String {
    let time = Timestamp::from_secs(time.0);
    UnsignedEvent::new(
        keys(author).public_key(),
        time,
        Kind::from_u16(kind),
        [],
        tuple,
    )
    .as_json()
}

pub(super) fn seal_event(rumor: &str, sealer: &str, kind: u16) -> Event {
    event_of(rumor.as_bytes(), sealer, kind, 1)
}

pub(super) fn wrap_of(seal: &str) -> Event {
    wrapped(seal, 9)
}

pub(super) fn wrapped(seal: &str, seed: u8) -> Event {
    event_of(
        seal.as_bytes(),
        &format!("{seed:02x}").repeat(32),
        1_059,
        seed,
    )
}

/// A signed event to the node around any bytes.
pub(super) fn event_of(text: &[u8], author: &str, kind: u16, seed: u8) -> Event {
    let (author, node) = (keys(author), keys(NODE).public_key());
    let content =
        nip44::encrypt_with_nonce(author.secret_key(), &node, text, Nonce::V2([seed; 32])).unwrap();
    let tags = [Tag::public_key(node)];
    let time = Timestamp::from_secs(NOW.0);
    let event = UnsignedEvent::new(
        author.public_key(),
        time,
        Kind::from_u16(kind),
        tags,
        content,
    );
    sign(event, &author, &Seed([seed; 32]))
}

/// What the properties need of an envelope around any text.
pub(super) fn opened(text: &str) -> [Result<Opened, OpenError>; 2] {
    let node = keys(NODE);
    [
        open(&direct_of(text), &node),
        open(&gift_wrap_of(text, TRADE, TRADE), &node),
    ]
}

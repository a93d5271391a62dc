//! Putting a message into an envelope, and signing events.
//!
//! All randomness comes from a [`Seed`]: the same inputs give the same bytes,
//! so that a simulation can be replayed and an event made twice is one event.

use nostr::event::{Event, Kind, Tag, UnsignedEvent};
use nostr::key::{Keys, PublicKey, SecretKey};
use nostr::nips::nip44::{self, Nonce};
use nostr::types::Timestamp;
use secp256k1::Secp256k1;
use sha2::{Digest, Sha256};

use super::Transport;
use crate::time::UnixTime;

/// Kind of a direct message.
pub const DIRECT: u16 = 14;
/// Kind of the seal inside a gift wrap.
pub const SEAL: u16 = 13;
/// Kind of a gift wrap.
pub const GIFT_WRAP: u16 = 1_059;
/// Kind of the rumor inside a seal.
pub const RUMOR: u16 = 1;

/// The longest text NIP-44 carries without its extended length prefix, bytes.
pub(super) const LONGEST_PLAINTEXT: usize = 65_535;

/// How far before its rumor a seal or a wrap may lie, seconds. Enough to hide
/// the moment, little enough to be found by clients that look back two days.
const LONGEST_BACKDATE_SECS: u64 = 600;

/// Thirty-two fresh bytes, the source of all randomness in envelopes and
/// signatures.
///
/// What is derived for an envelope also depends on its text and recipient, so
/// that a seed which serves twice by mistake does not give two texts one nonce.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// Bytes for one purpose; bytes for different purposes are unrelated.
    pub(super) fn bytes(&self, purpose: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.0)
            .chain_update(purpose)
            .finalize()
            .into()
    }

    /// The seed of one envelope.
    fn of_envelope(&self, letter: &Letter<'_>, tuple: &str) -> Seed {
        let bytes = Sha256::new()
            .chain_update(self.bytes("envelope"))
            .chain_update(letter.to.as_bytes())
            .chain_update(letter.created_at.0.to_be_bytes())
            .chain_update(tuple);
        Seed(bytes.finalize().into())
    }

    /// A key that serves once.
    fn key(&self, purpose: &str) -> SecretKey {
        SecretKey::from_slice(&self.bytes(purpose))
            .expect("a hash is outside the group's order once in 2^128")
    }

    fn backdate(&self, time: UnixTime, purpose: &str) -> Timestamp {
        let [a, b, c, d, ..] = self.bytes(purpose);
        let back = u64::from(u32::from_be_bytes([a, b, c, d])) % LONGEST_BACKDATE_SECS;
        Timestamp::from_secs(time.0.saturating_sub(back))
    }
}

/// What goes into an envelope, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The JSON of the message.
    pub message_json: &'a str,
    /// Who shall read it.
    pub to: PublicKey,
    /// How it travels.
    pub transport: Transport,
    /// When it is written; in a gift wrap only the recipient sees this.
    pub created_at: UnixTime,
    /// When relays may drop it.
    pub expiration: Option<UnixTime>,
}

/// Why a message cannot be put into an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's key is not a point of the curve; nobody can hold it.
    #[error("the recipient's key is no key")]
    Recipient,
    /// The text does not fit: empty, or so long that clients could not open it.
    #[error("a text of {0} bytes does not fit into an envelope")]
    Size(usize),
}

/// Seals a message of the node, which signs nothing inside.
///
/// # Errors
///
/// Fails when the letter cannot be sealed for its recipient, now or ever.
pub fn seal(letter: &Letter<'_>, from: &Keys, seed: &Seed) -> Result<Event, SealError> {
    match letter.transport {
        Transport::Direct => direct(
            letter,
            &format!("[{},null,null]", letter.message_json),
            from,
            seed,
        ),
        Transport::GiftWrap => {
            let tuple = format!("[{},null]", letter.message_json);
            gift_wrap(letter, &tuple, from.public_key(), from, seed)
        }
    }
}

/// Signs an event.
#[must_use]
pub fn sign(event: UnsignedEvent, keys: &Keys, seed: &Seed) -> Event {
    sign_for(event, keys, &seed.bytes("signature"))
}

/// A kind 14 by `author` around the tuple.
pub(super) fn direct(
    letter: &Letter<'_>,
    tuple: &str,
    author: &Keys,
    seed: &Seed,
) -> Result<Event, SealError> {
    let seed = seed.of_envelope(letter, tuple);
    let content = encrypt(author, &letter.to, tuple, seed.bytes("direct nonce"))?;
    let mut tags = vec![Tag::public_key(letter.to)];
    tags.extend(expiration(letter));
    let event = UnsignedEvent::new(
        author.public_key(),
        Timestamp::from_secs(letter.created_at.0),
        Kind::from_u16(DIRECT),
        tags,
        content,
    );
    Ok(sign_for(event, author, &seed.bytes("direct signature")))
}

/// A rumor by `author` around the tuple, sealed by `sealer`, in a wrap by a key
/// that serves once.
pub(super) fn gift_wrap(
    letter: &Letter<'_>,
    tuple: &str,
    author: PublicKey,
    sealer: &Keys,
    seed: &Seed,
) -> Result<Event, SealError> {
    let seed = seed.of_envelope(letter, tuple);
    let written = Timestamp::from_secs(letter.created_at.0);
    let mut rumor = UnsignedEvent::new(author, written, Kind::from_u16(RUMOR), [], tuple);
    rumor.ensure_id();
    let content = encrypt(
        sealer,
        &letter.to,
        &rumor.as_json(),
        seed.bytes("seal nonce"),
    )?;
    let seal_time = seed.backdate(letter.created_at, "seal time");
    let seal = UnsignedEvent::new(
        sealer.public_key(),
        seal_time,
        Kind::from_u16(SEAL),
        [],
        content,
    );
    let seal = sign_for(seal, sealer, &seed.bytes("seal signature"));

    let once = Keys::new_with_ctx(&Secp256k1::signing_only(), seed.key("wrap key"));
    let content = encrypt(&once, &letter.to, &seal.as_json(), seed.bytes("wrap nonce"))?;
    let mut tags = Vec::from_iter(expiration(letter));
    tags.push(Tag::public_key(letter.to));
    let wrap_time = seed.backdate(letter.created_at, "wrap time");
    let wrap = UnsignedEvent::new(
        once.public_key(),
        wrap_time,
        Kind::from_u16(GIFT_WRAP),
        tags,
        content,
    );
    Ok(sign_for(wrap, &once, &seed.bytes("wrap signature")))
}

fn expiration(letter: &Letter<'_>) -> Option<Tag> {
    letter
        .expiration
        .map(|time| Tag::expiration(Timestamp::from_secs(time.0)))
}

fn encrypt(from: &Keys, to: &PublicKey, text: &str, nonce: [u8; 32]) -> Result<String, SealError> {
    if text.is_empty() || text.len() > LONGEST_PLAINTEXT {
        return Err(SealError::Size(text.len()));
    }
    nip44::encrypt_with_nonce(from.secret_key(), to, text, Nonce::V2(nonce))
        .map_err(|_| SealError::Recipient)
}

fn sign_for(event: UnsignedEvent, keys: &Keys, aux: &[u8; 32]) -> Event {
    let id = event.compute_id();
    let sig = keys.sign_schnorr_with_aux_rand(&Secp256k1::signing_only(), id.as_bytes(), aux);
    Event::new(
        id,
        event.pubkey,
        event.created_at,
        event.kind,
        event.tags,
        event.content,
        sig,
    )
}

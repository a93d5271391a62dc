//! Opening an envelope that is addressed to the node.
//!
//! The caller has checked id and signature of the event. From there on nothing
//! is believed that is not proven: the trade key by the event or by its
//! signature inside, the identity by its proof or by the seal.

use nostr::event::{Event, Signature};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44;
use secp256k1::Secp256k1;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Transport;
use super::json::Json;
use super::message::Message;
use super::read::{UnreadableMessage, read_message};
use super::seal::{DIRECT, GIFT_WRAP, RUMOR, SEAL};
use crate::time::UnixTime;

/// Base64 lengths of the shortest and longest NIP-44 payload. A longer one would
/// need the extended length prefix, which most clients cannot open.
const PAYLOAD_LENGTHS: std::ops::RangeInclusive<usize> = 132..=87_472;

/// A message to the node, out of its envelope.
#[derive(Clone, Debug)]
pub struct Opened {
    /// How it came; its answer goes the same way.
    pub transport: Transport,
    /// The message exactly as its sender wrote it.
    pub message_json: String,
    /// What it says.
    pub message: Result<Message, UnreadableMessage>,
    /// Who sent it and reads the answer.
    pub trade_key: PublicKey,
    /// Who he is; the trade key itself in full privacy, and as long as a proof
    /// is not good.
    pub identity: PublicKey,
    /// When it was written.
    pub time: UnixTime,
    /// Names the message for recognising it a second time: the event id of a
    /// kind 14; of a gift wrap a hash of what is inside, which stays the same in
    /// whatever wrap it comes.
    pub inner_digest: [u8; 32],
    /// What became of the signatures inside. Always good in a gift wrap, whose
    /// author nothing else proves.
    pub signatures: Signatures,
}

/// Verdict on the signatures inside an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Those present are right, and none is missing.
    Good,
    /// The trade signature is not by the trade key over this message.
    BadTradeSignature,
    /// The identity proof is not by the identity over this trade key and message.
    BadIdentityProof,
    /// An identity other than the trade key, without a trade signature.
    MissingTradeSignature,
}

/// Why an envelope is refused. Nobody has proven to be its author, or there is
/// no message in it: it is told to whoever brought it, and to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Neither a kind 14 nor a gift wrap.
    #[error("not a message to the node")]
    Kind,
    /// Encrypted in a way that is not NIP-44 version 2, or too long.
    #[error("the content is not NIP-44 version 2 of a supported length")]
    Payload,
    /// Not encrypted for the node, or damaged.
    #[error("the content cannot be decrypted")]
    Encryption,
    /// No seal in the gift wrap, or its id or signature is wrong.
    #[error("the gift wrap holds no valid seal")]
    Seal,
    /// No rumor of kind 1 in the seal.
    #[error("the seal holds no valid rumor")]
    Rumor,
    /// Not the array of message and signatures that belongs there.
    #[error("the content is not an array of message and signatures")]
    Tuple,
    /// A gift wrap whose trade signature is wrong, or missing where the seal is
    /// not by the trade key itself.
    #[error("the trade key has not signed the message")]
    TradeSignature,
}

/// Opens an envelope of either transport.
///
/// # Errors
///
/// Fails when it cannot be opened, or when a gift wrap does not prove its
/// author. A kind 14 with wrong signatures inside opens: its author is proven by
/// the event and can be told.
pub fn open(event: &Event, node: &Keys) -> Result<Opened, OpenError> {
    match event.kind.as_u16() {
        DIRECT => open_direct(event, node),
        GIFT_WRAP => open_gift_wrap(event, node),
        _ => Err(OpenError::Kind),
    }
}

fn open_direct(event: &Event, node: &Keys) -> Result<Opened, OpenError> {
    let text = decrypt(node, &event.pubkey, &event.content)?;
    let tuple = Tuple::of_direct(&text)?;
    let message = read_message(tuple.message);
    let forms = SignedForms::of(&tuple, &message);
    let (identity, signatures) = forms.judge_direct(&tuple, event.pubkey);
    Ok(Opened {
        transport: Transport::Direct,
        message_json: tuple.message.to_owned(),
        message,
        trade_key: event.pubkey,
        identity,
        time: UnixTime(event.created_at.as_secs()),
        inner_digest: event.id.to_bytes(),
        signatures,
    })
}

fn open_gift_wrap(event: &Event, node: &Keys) -> Result<Opened, OpenError> {
    let sealed = open_wrap(event, node)?;
    let tuple = Tuple::of_gift_wrap(&sealed.rumor.content)?;
    let message = read_message(tuple.message);
    let trade_key = sealed.rumor.pubkey;
    let forms = SignedForms::of(&tuple, &message);
    match forms.judge(&tuple, trade_key, sealed.by) {
        Signatures::Good => {}
        Signatures::BadTradeSignature
        | Signatures::BadIdentityProof
        | Signatures::MissingTradeSignature => return Err(OpenError::TradeSignature),
    }
    Ok(Opened {
        transport: Transport::GiftWrap,
        message_json: tuple.message.to_owned(),
        message,
        trade_key,
        identity: sealed.by,
        time: UnixTime(sealed.rumor.created_at),
        inner_digest: sealed.rumor.digest(),
        signatures: Signatures::Good,
    })
}

/// What a gift wrap held.
pub(super) struct Sealed {
    /// Who sealed it; proven.
    pub(super) by: PublicKey,
    /// The rumor; its author is not proven.
    pub(super) rumor: Rumor,
}

/// The parts of a rumor that count. Its id, signature and tags are not looked
/// at: clients write them as they like.
#[derive(Deserialize)]
pub(super) struct Rumor {
    pub(super) pubkey: PublicKey,
    created_at: u64,
    kind: u16,
    pub(super) content: String,
}

impl Rumor {
    fn digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update("mostro message in a gift wrap")
            .chain_update(self.pubkey.as_bytes())
            .chain_update(self.created_at.to_be_bytes())
            .chain_update(&self.content)
            .finalize()
            .into()
    }
}

/// Takes a rumor out of wrap and seal.
pub(super) fn open_wrap(event: &Event, reader: &Keys) -> Result<Sealed, OpenError> {
    let seal = decrypt(reader, &event.pubkey, &event.content)?;
    let seal = Event::from_json(seal).map_err(|_| OpenError::Seal)?;
    let genuine = seal.kind.as_u16() == SEAL
        && seal
            .verify_with_ctx(&Secp256k1::verification_only())
            .is_ok();
    if !genuine {
        return Err(OpenError::Seal);
    }
    let rumor = decrypt(reader, &seal.pubkey, &seal.content)?;
    let rumor: Rumor = Json::parse(&rumor)
        .and_then(Json::read)
        .map_err(|_| OpenError::Rumor)?;
    if rumor.kind != RUMOR {
        return Err(OpenError::Rumor);
    }
    Ok(Sealed {
        by: seal.pubkey,
        rumor,
    })
}

/// Decrypts, but never looks at a text that is too long or of another version.
pub(super) fn decrypt(
    reader: &Keys,
    author: &PublicKey,
    content: &str,
) -> Result<String, OpenError> {
    if !PAYLOAD_LENGTHS.contains(&content.len()) || content.starts_with('#') {
        return Err(OpenError::Payload);
    }
    nip44::decrypt(reader.secret_key(), author, content).map_err(|_| OpenError::Encryption)
}

/// The array around a message.
pub(super) struct Tuple<'a> {
    /// The message's own bytes, from its brace to the matching one.
    pub(super) message: &'a str,
    trade_signature: Option<String>,
    identity_proof: Option<(String, String)>,
}

impl<'a> Tuple<'a> {
    /// Message, trade signature, identity proof.
    pub(super) fn of_direct(text: &'a str) -> Result<Tuple<'a>, OpenError> {
        let elements: Vec<&RawValue> = element(text)?;
        let &[message, signature, proof] = elements.as_slice() else {
            return Err(OpenError::Tuple);
        };
        Ok(Tuple {
            message: message.get(),
            trade_signature: element(signature.get())?,
            identity_proof: element(proof.get())?,
        })
    }

    /// Message, trade signature.
    pub(super) fn of_gift_wrap(text: &'a str) -> Result<Tuple<'a>, OpenError> {
        let elements: Vec<&RawValue> = element(text)?;
        let &[message, signature] = elements.as_slice() else {
            return Err(OpenError::Tuple);
        };
        Ok(Tuple {
            message: message.get(),
            trade_signature: element(signature.get())?,
            identity_proof: None,
        })
    }
}

fn element<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, OpenError> {
    serde_json::from_str(text).map_err(|_| OpenError::Tuple)
}

/// The texts that a sender may have signed: his own bytes, and, because upstream
/// verifies over what it writes itself, the canonical form.
struct SignedForms<'a> {
    raw: &'a str,
    canonical: Option<String>,
}

impl<'a> SignedForms<'a> {
    fn of(tuple: &Tuple<'a>, message: &Result<Message, UnreadableMessage>) -> SignedForms<'a> {
        let canonical = message.as_ref().ok().map(Message::to_json);
        SignedForms {
            raw: tuple.message,
            canonical: canonical.filter(|canonical| canonical != tuple.message),
        }
    }

    /// The identity that a kind 14 proves, and the verdict.
    fn judge_direct(&self, tuple: &Tuple<'_>, trade_key: PublicKey) -> (PublicKey, Signatures) {
        let Some((key, signature)) = &tuple.identity_proof else {
            return (trade_key, self.judge(tuple, trade_key, trade_key));
        };
        let prefix = identity_prefix(&trade_key);
        let identity = PublicKey::parse(key)
            .ok()
            .filter(|key| self.are_signed(key, signature, &prefix));
        match identity {
            Some(identity) => (identity, self.judge(tuple, trade_key, identity)),
            None => (trade_key, Signatures::BadIdentityProof),
        }
    }

    fn judge(&self, tuple: &Tuple<'_>, trade_key: PublicKey, identity: PublicKey) -> Signatures {
        match &tuple.trade_signature {
            Some(signature) if self.are_signed(&trade_key, signature, "") => Signatures::Good,
            Some(_) => Signatures::BadTradeSignature,
            None if identity == trade_key => Signatures::Good,
            None => Signatures::MissingTradeSignature,
        }
    }

    /// Whether the signature is by this key over one of the forms.
    fn are_signed(&self, by: &PublicKey, signature: &str, prefix: &str) -> bool {
        let (Ok(key), Ok(signature)) = (by.xonly(), Signature::from_hex(signature)) else {
            return false;
        };
        let signature = secp256k1::schnorr::Signature::from_byte_array(signature.to_bytes());
        let secp = Secp256k1::verification_only();
        std::iter::once(self.raw)
            .chain(self.canonical.as_deref())
            .any(|form| {
                secp.verify_schnorr(&signature, &signed_digest(prefix, form), &key)
                    .is_ok()
            })
    }
}

/// What an identity signs before the message, to bind it to a trade key.
pub(super) fn identity_prefix(trade_key: &PublicKey) -> String {
    format!("mostro-transport-v2-identity:{}:", trade_key.to_hex())
}

/// The hash that a signature inside an envelope is over.
pub(super) fn signed_digest(prefix: &str, message_json: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(prefix)
        .chain_update(message_json)
        .finalize()
        .into()
}

//! The other end of the wire: envelopes as a trader's client makes and opens them.
//!
//! For the node's own traders, in demonstrations and measurements.

use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use secp256k1::Secp256k1;

use super::Transport;
use super::envelope::{OpenError, Tuple, decrypt, identity_prefix, open_wrap, signed_digest};
use super::seal::{DIRECT, GIFT_WRAP, Letter, SealError, Seed, direct, gift_wrap};

/// Why an event is not a message of the node to this trader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// It cannot be opened.
    #[error(transparent)]
    Closed(#[from] OpenError),
    /// Somebody else made it.
    #[error("not by the node")]
    Stranger,
}

/// Wraps a trader's message, signed by his trade key and, unless he trades in
/// full privacy, proven by his identity.
///
/// # Errors
///
/// Fails when the letter cannot be sealed for the node.
pub fn wrap(
    letter: &Letter<'_>,
    trade: &Keys,
    identity: Option<&Keys>,
    seed: &Seed,
) -> Result<Event, SealError> {
    let message = letter.message_json;
    let signature = signature(trade, "", message, seed, "trade signature");
    match letter.transport {
        Transport::Direct => {
            let proof = identity.map_or_else(
                || "null".to_owned(),
                |identity| {
                    let prefix = identity_prefix(&trade.public_key());
                    let proof = self::signature(identity, &prefix, message, seed, "proof");
                    format!(r#"["{}","{proof}"]"#, identity.public_key().to_hex())
                },
            );
            direct(
                letter,
                &format!(r#"[{message},"{signature}",{proof}]"#),
                trade,
                seed,
            )
        }
        Transport::GiftWrap => {
            let tuple = format!(r#"[{message},"{signature}"]"#);
            gift_wrap(
                letter,
                &tuple,
                trade.public_key(),
                identity.unwrap_or(trade),
                seed,
            )
        }
    }
}

/// Takes the JSON of a message out of an envelope of the node.
///
/// # Errors
///
/// Fails when the event is not a message of this node to this trader, of either
/// transport.
pub fn unwrap(event: &Event, trade: &Keys, node: PublicKey) -> Result<String, UnwrapError> {
    match event.kind.as_u16() {
        DIRECT => {
            let genuine = event.pubkey == node
                && event
                    .verify_with_ctx(&Secp256k1::verification_only())
                    .is_ok();
            if !genuine {
                return Err(UnwrapError::Stranger);
            }
            let text = decrypt(trade, &node, &event.content)?;
            Ok(Tuple::of_direct(&text)?.message.to_owned())
        }
        GIFT_WRAP => {
            let sealed = open_wrap(event, trade)?;
            if sealed.by != node || sealed.rumor.pubkey != node {
                return Err(UnwrapError::Stranger);
            }
            Ok(Tuple::of_gift_wrap(&sealed.rumor.content)?
                .message
                .to_owned())
        }
        _ => Err(UnwrapError::Closed(OpenError::Kind)),
    }
}

fn signature(keys: &Keys, prefix: &str, message: &str, seed: &Seed, purpose: &str) -> String {
    let digest = signed_digest(prefix, message);
    keys.sign_schnorr_with_aux_rand(&Secp256k1::signing_only(), digest, &seed.bytes(purpose))
        .to_hex()
}

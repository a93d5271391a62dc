//! How a trader closes and opens envelopes: the seam where another
//! implementation of the protocol can take the house's place.

use std::error::Error;

use escrow_core::time::UnixTime;
use escrow_core::wire::{Letter, Seed, Transport, client};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What is wrong with an envelope, in the words of who tried it.
pub type EnvelopeError = Box<dyn Error + Send + Sync>;

/// The keys that a message is signed with.
#[derive(Clone, Copy)]
pub struct Signers<'a> {
    /// The key of the trade, which gets the answer.
    pub trade: &'a Keys,
    /// Who the trader is; none in full privacy.
    pub identity: Option<&'a Keys>,
}

/// Puts messages into envelopes and takes them out.
pub trait Envelope: Send + Sync {
    /// Wraps the JSON of a message to the node.
    fn wrap(
        &self,
        message_json: &str,
        transport: Transport,
        signers: Signers<'_>,
        node: PublicKey,
    ) -> Result<Event, EnvelopeError>;

    /// Takes the JSON of a message out of an envelope of the node. It fails
    /// for anything that the node did not write to this trade key.
    fn unwrap(&self, event: &Event, trade: &Keys, node: PublicKey)
    -> Result<String, EnvelopeError>;
}

/// The house's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct HouseEnvelope;

impl Envelope for HouseEnvelope {
    fn wrap(
        &self,
        message_json: &str,
        transport: Transport,
        signers: Signers<'_>,
        node: PublicKey,
    ) -> Result<Event, EnvelopeError> {
        let letter = Letter {
            message_json,
            to: node,
            transport,
            created_at: UnixTime(Timestamp::now().as_secs()),
            expiration: None,
        };
        Ok(client::wrap(
            &letter,
            signers.trade,
            signers.identity,
            &fresh_seed(),
        )?)
    }

    fn unwrap(
        &self,
        event: &Event,
        trade: &Keys,
        node: PublicKey,
    ) -> Result<String, EnvelopeError> {
        Ok(client::unwrap(event, trade, node)?)
    }
}

fn fresh_seed() -> Seed {
    let mut bytes = [0; 32];
    ChaCha20Rng::from_os_rng().fill_bytes(&mut bytes);
    Seed(bytes)
}

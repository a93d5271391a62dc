//! Envelopes as existing clients make and open them: with upstream's own code.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use escrow_core::wire::Transport;
use escrow_core::wire::seal::GIFT_WRAP;
use mostro_core::message::Message;
use mostro_core::nip59::{UnwrappedMessage, WrapOptions, unwrap_message, wrap_message};
use mostro_core::transport::{unwrap_message_nip44, wrap_message_nip44};
use mostro_relay::trader::{Envelope, EnvelopeError, Signers};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};

/// Upstream's wrap and unwrap.
pub(crate) struct UpstreamEnvelope;

impl Envelope for UpstreamEnvelope {
    fn wrap(
        &self,
        message_json: &str,
        transport: Transport,
        signers: Signers<'_>,
        node: PublicKey,
    ) -> Result<Event, EnvelopeError> {
        let message = Message::from_json(message_json).map_err(|why| why.to_string())?;
        let trade = signers.trade.secret_key().to_secret_hex().parse()?;
        let identity = signers.identity.unwrap_or(signers.trade);
        let identity = identity.secret_key().to_secret_hex().parse()?;
        let node = node.to_hex().parse()?;
        let options = WrapOptions::default();
        let event = match transport {
            Transport::Direct => wrap_message_nip44(&message, &identity, &trade, node, options),
            Transport::GiftWrap => {
                at_once(wrap_message(&message, &identity, &trade, node, options))
            }
        };
        let event = event.map_err(|why| why.to_string())?;
        Ok(Event::from_json(serde_json::to_string(&event)?)?)
    }

    fn unwrap(
        &self,
        event: &Event,
        trade: &Keys,
        node: PublicKey,
    ) -> Result<String, EnvelopeError> {
        let opened = open(event, trade).map_err(|why| why.to_string())?;
        let opened = opened.ok_or("it is not for this key")?;
        if opened.sender.to_hex() != node.to_hex() || opened.identity.to_hex() != node.to_hex() {
            return Err("it is not by the node".into());
        }
        Ok(opened.message.as_json().map_err(|why| why.to_string())?)
    }
}

fn open(
    event: &Event,
    trade: &Keys,
) -> Result<Option<UnwrappedMessage>, mostro_core::error::MostroError> {
    let their_event = serde_json::from_str(&event.as_json()).expect("an event is an event");
    let keys = trade.secret_key().to_secret_hex();
    let keys = keys.parse().expect("a key is a key");
    if event.kind.as_u16() == GIFT_WRAP {
        at_once(unwrap_message(&their_event, &keys))
    } else {
        unwrap_message_nip44(&their_event, &keys)
    }
}

/// Runs a future that waits for nothing.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

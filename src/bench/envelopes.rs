//! What it takes to open a trader's message: decryption, and the signatures
//! inside. It happens before the writer, on all cores.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use escrow_core::wire::{Action, Message, Signatures, Transport, Wrapper, open};
use uuid::Uuid;

use crate::trader::{Envelope, HouseEnvelope, Keyring, Signers};

/// For so long envelopes are opened.
const OPENING: Duration = Duration::from_millis(300);

/// How fast one core opens messages.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Of which kind.
    pub transport: Transport,
    /// In a second, by one core.
    pub per_second: f64,
}

/// Measures one core.
///
/// # Errors
/// If a message cannot be opened, or is not found good.
pub fn measure(transport: Transport) -> anyhow::Result<Opening> {
    let node = Keyring::from_seed([9; 32]).identity();
    let trader = Keyring::from_seed([8; 32]);
    let (trade, identity) = (trader.trade(1), trader.identity());
    let signers = Signers {
        trade: &trade,
        identity: Some(&identity),
    };
    let message = Message {
        wrapper: Wrapper::Order,
        version: transport.version(),
        request_id: Some(1),
        trade_index: None,
        id: Some(Uuid::nil()),
        action: Action::Release,
        payload: None,
    };
    let wrapped = HouseEnvelope.wrap(&message.to_json(), transport, signers, node.public_key());
    let event = wrapped.map_err(anyhow::Error::from_boxed)?;
    let (began, mut done) = (Instant::now(), 0.0);
    while began.elapsed() < OPENING {
        let opened = open(black_box(&event), &node)?;
        ensure!(opened.signatures == Signatures::Good, "not found good");
        done += 1.0;
    }
    Ok(Opening {
        transport,
        per_second: done / began.elapsed().as_secs_f64(),
    })
}

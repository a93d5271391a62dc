//! A store with much in it, for a box that is not running yet. The events go
//! past the relay, straight to the disk, and so need no true signatures.

use std::sync::Arc;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use nostr::event::{Event, Kind, Signature, Tag, UnsignedEvent};
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use sha2::{Digest, Sha256};
use storage::events::{EventStore, EventStoreOptions, Saved};

use super::stock::Draft;
use super::{Bench, now};
use crate::bench::own_box::Site;

/// Saved at once, and made in one go.
const AT_ONCE: u64 = 4_096;

/// How often progress is told.
const TOLD_EVERY: u64 = 100_000;

/// What is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// Live orders of one Mostro.
    pub(super) orders: u64,
    /// All events, the orders among them; the others are gift wraps.
    pub(super) events: u64,
}

/// Fills the store of a site where no box has run yet.
///
/// # Errors
/// If an event is not stored.
pub(super) async fn fill(bench: &mut Bench<'_>, filling: Filling) -> anyhow::Result<()> {
    let store = open(&bench.site).await?;
    let (mostro, now) = (Keys::generate(), now());
    let mut next = 0;
    while next < filling.events {
        if next % TOLD_EVERY < AT_ONCE {
            bench.progress(&format!("{next} of {} events are stored", filling.events));
        }
        let end = filling.events.min(next + AT_ONCE);
        let events: anyhow::Result<Vec<_>> = (next..end)
            .map(|number| event(number, filling, &mostro, now))
            .collect();
        for saved in join_all(events?.iter().map(|event| store.save(event))).await {
            let saved = saved?;
            ensure!(matches!(saved, Saved::Stored(_)), "not stored: {saved:?}");
        }
        next = end;
    }
    // Who still held it would keep the box from opening it.
    let store = Arc::try_unwrap(store);
    drop(store.ok().context("somebody else holds the store")?);
    Ok(())
}

async fn open(site: &Site) -> anyhow::Result<Arc<EventStore>> {
    let options = EventStoreOptions {
        saves_in_flight: usize::try_from(AT_ONCE)?,
        ..EventStoreOptions::default()
    };
    let folder = site.data().join("events");
    std::fs::create_dir_all(&folder)?;
    Ok(Arc::new(EventStore::open(&folder, options).await?))
}

fn event(number: u64, filling: Filling, mostro: &Keys, now: u64) -> anyhow::Result<Event> {
    if number < filling.orders {
        let created_at = now - number * 86_400 / filling.orders;
        let order = Draft::order(mostro, number, created_at);
        unsigned(order, mostro.public_key())
    } else {
        let recipient = some_key("recipient", number % 1_000);
        let wrap = Draft::gift_wrap(number, recipient, now);
        unsigned(wrap, some_key("author", number))
    }
}

fn unsigned(draft: Draft, author: PublicKey) -> anyhow::Result<Event> {
    let tags: Result<Vec<_>, _> = draft.tags.iter().map(Tag::parse).collect();
    let event = UnsignedEvent::new(
        author,
        Timestamp::from(draft.created_at),
        Kind::from_u16(draft.kind),
        tags?,
        draft.content,
    );
    let id = event.compute_id();
    Ok(Event::new(
        id,
        event.pubkey,
        event.created_at,
        event.kind,
        event.tags,
        event.content,
        Signature::from_byte_array([7; 64]),
    ))
}

fn some_key(of: &str, number: u64) -> PublicKey {
    let digest = Sha256::new().chain_update(of);
    let digest = digest.chain_update(number.to_be_bytes()).finalize();
    PublicKey::from_byte_array(digest.into())
}

//! Deletions (NIP-09).
//!
//! A stored deletion event is its own memory: every event of an author who has deleted
//! something is looked up among his deletions before it is saved. So a deletion may come
//! before its event, a late one never weakens an earlier one, and no second table can
//! drift away from the first. Deletions are kept even when they have expired.

use std::sync::PoisonError;

use nostr::event::{Event, EventId, Kind};
use nostr::filter::{Filter, SingleLetterTag};

use super::address::Address;
use super::answer::IDS_READ_AT_ONCE;
use super::{EventStore, EventStoreError};

impl EventStore {
    /// Tells whether the author of this event has deleted it.
    ///
    /// By id always, by address if the deletion is not older than the event. A deletion
    /// cannot be deleted.
    pub(super) async fn is_deleted(
        &self,
        event: &Event,
        address: Option<&Address>,
    ) -> Result<bool, EventStoreError> {
        let deleters = || self.deleters.lock().unwrap_or_else(PoisonError::into_inner);
        if !deleters().contains(&event.pubkey) {
            return Ok(false);
        }
        let by_author = Filter::new().author(event.pubkey);
        // Author and tag without the kind: the three together are answered wrongly.
        let names_it = |found: &Event| deletes_id(found, event.id);
        if self
            .is_any(by_author.clone().event(event.id), names_it)
            .await?
        {
            return Ok(true);
        }
        let Some(address) = address else {
            return Ok(false);
        };
        let by_address = by_author.custom_tags(SingleLetterTag::LOWERCASE_A, address.spellings());
        let names_its_address =
            |found: &Event| found.created_at >= event.created_at && deletes_address(found, address);
        self.is_any(by_address, names_its_address).await
    }

    /// Tells whether there is such an event among those that match.
    async fn is_any(
        &self,
        question: Filter,
        is_such: impl Fn(&Event) -> bool,
    ) -> Result<bool, EventStoreError> {
        let mut pages = self.pages(question, usize::MAX);
        loop {
            let page = pages.next().await?.into_events();
            if page.is_empty() {
                return Ok(false);
            }
            if page.iter().any(&is_such) {
                return Ok(true);
            }
        }
    }

    /// Learns who has deleted something.
    pub(super) async fn remember_deleters(&self) -> Result<(), EventStoreError> {
        let mut pages = self.pages(Filter::new().kind(Kind::EventDeletion), usize::MAX);
        loop {
            let page = pages.next().await?.into_events();
            if page.is_empty() {
                return Ok(());
            }
            let mut deleters = self.deleters.lock().unwrap_or_else(PoisonError::into_inner);
            deleters.extend(page.iter().map(|deletion| deletion.pubkey));
        }
    }

    /// Removes the stored events that a deletion names and its author may delete.
    pub(super) async fn remove_what_it_names(
        &self,
        deletion: &Event,
    ) -> Result<(), EventStoreError> {
        let ids: Vec<EventId> = named_ids(deletion).collect();
        for ids in ids.chunks(IDS_READ_AT_ONCE) {
            let found = self.read(Filter::new().ids(ids.iter().copied())).await?;
            let own = found.iter().filter(|event| {
                event.pubkey == deletion.pubkey && event.kind != Kind::EventDeletion
            });
            let own: Vec<EventId> = own.map(|event| event.id).collect();
            self.remove(&own).await?;
        }
        for address in named_addresses(deletion).filter(|it| it.author == deletion.pubkey) {
            let stored = self.stored_at(&address).await?;
            let old = stored
                .iter()
                .filter(|event| event.created_at <= deletion.created_at);
            let old: Vec<EventId> = old.map(|event| event.id).collect();
            self.remove(&old).await?;
        }
        Ok(())
    }
}

fn deletes_id(event: &Event, id: EventId) -> bool {
    event.kind == Kind::EventDeletion && named_ids(event).any(|named| named == id)
}

fn deletes_address(event: &Event, address: &Address) -> bool {
    event.kind == Kind::EventDeletion && named_addresses(event).any(|named| named == *address)
}

/// Ids in lower-case hex only: the index of tags compares text.
fn named_ids(deletion: &Event) -> impl Iterator<Item = EventId> + '_ {
    values(deletion, "e").filter_map(|value| {
        EventId::from_hex(value)
            .ok()
            .filter(|id| id.to_hex() == value)
    })
}

fn named_addresses(deletion: &Event) -> impl Iterator<Item = Address> + '_ {
    values(deletion, "a").filter_map(Address::parse)
}

fn values<'a>(event: &'a Event, letter: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    event
        .tags
        .iter()
        .filter(move |tag| tag.kind() == letter)
        .filter_map(|tag| tag.content())
}

//! Removing what has expired.

use nostr::event::{Event, EventId, Kind};
use nostr::filter::Filter;
use nostr::types::Timestamp;

use super::{EventStore, EventStoreError};

/// Events looked at in one go.
const PAGE: usize = 500;

impl EventStore {
    /// Removes the events that have expired at `now`, and says how many.
    ///
    /// Walks through the whole store, newest first, a page at a time. Deletions stay, or
    /// what they deleted could come back. Reads never show an expired event, purged or
    /// not, so this only frees room.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] or [`EventStoreError::Remove`] when the database fails;
    /// what was removed before stays removed.
    pub async fn purge_expired(&self, now: Timestamp) -> Result<usize, EventStoreError> {
        let mut purged: usize = 0;
        let (mut until, mut page_size) = (Timestamp::max(), PAGE);
        loop {
            let page = self
                .read(Filter::new().until(until).limit(page_size))
                .await?;
            let expired: Vec<EventId> = page
                .iter()
                .filter(|event| is_over(event, now))
                .map(|event| event.id)
                .collect();
            purged = purged.saturating_add(expired.len());
            self.remove(expired.iter().copied()).await?;
            let Some(oldest) = page.last().filter(|_| page.len() == page_size) else {
                return Ok(purged);
            };
            // The next page starts in the second where this one ended, since a page may
            // end in the midst of it; a page within one second is read again, larger.
            if oldest.created_at == until && expired.is_empty() {
                page_size = page_size.saturating_mul(2);
            }
            until = oldest.created_at;
        }
    }
}

fn is_over(event: &Event, now: Timestamp) -> bool {
    event.kind != Kind::EventDeletion && event.is_expired_at(now)
}

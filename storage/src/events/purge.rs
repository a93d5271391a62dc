//! Removing what has expired.

use nostr::event::{Event, EventId, Kind};
use nostr::filter::Filter;
use nostr::types::Timestamp;

use super::kept::has_passed;
use super::{EventStore, EventStoreError};

impl EventStore {
    /// Removes the events that have expired at `now`, and says how many.
    ///
    /// Walks through the whole store, newest first, a page at a time. Deletions stay, or
    /// what they deleted could come back. Reads never show an expired event, purged or
    /// not, so this only frees room. At the end memory takes in again what it had to give
    /// up since it was last filled.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] or [`EventStoreError::Remove`] when the database fails;
    /// what was removed before stays removed.
    pub async fn purge_expired(&self, now: Timestamp) -> Result<usize, EventStoreError> {
        let mut purged: usize = 0;
        let mut pages = self.pages(Filter::new(), usize::MAX);
        loop {
            let page = pages.next().await?.into_events();
            if page.is_empty() {
                break;
            }
            let expired = page.iter().filter(|event| is_over(event, now));
            let expired: Vec<EventId> = expired.map(|event| event.id).collect();
            if !expired.is_empty() {
                let _no_save = self.purging.write().await;
                self.remove(&expired).await?;
                purged = purged.saturating_add(expired.len());
            }
        }
        self.fill_memory().await?;
        Ok(purged)
    }
}

fn is_over(event: &Event, now: Timestamp) -> bool {
    event.kind != Kind::EventDeletion && has_passed(event.tags.expiration(), now)
}

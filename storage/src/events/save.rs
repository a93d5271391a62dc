//! Saving one event.

use std::sync::{Arc, PoisonError};

use nostr::event::{Event, EventId, Kind};
use nostr::filter::Filter;
use nostr_database::error::Error as DatabaseError;
use nostr_database::{NostrDatabase, RejectedReason, SaveEventStatus};
use tokio::sync::Semaphore;

use super::address::{Address, Place, outlasts};
use super::memory::Memory;
use super::{EventStore, EventStoreError, Kept};

/// Events removed at once: others are to have their turn in between.
const REMOVED_AT_ONCE: usize = 500;

/// What became of an event that was to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// It is on disk; here it is as the store shows it.
    Stored(Arc<Kept>),
    /// It was on disk already.
    Duplicate,
    /// A newer version of it is on disk.
    Superseded,
    /// Its author has deleted it, before or after it came.
    Deleted,
    /// Ephemeral events are never stored.
    Ephemeral,
    /// It cannot be kept, for this reason.
    Unkeepable(&'static str),
}

impl EventStore {
    /// Saves an event; when this returns [`Saved::Stored`], it survives power loss.
    ///
    /// Saves of many callers share one commit. The future is to be driven to its end:
    /// dropped half-way, the event may be on disk or not. The event is taken as verified.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Save`] when the event could not be written even in a
    /// transaction of its own, [`EventStoreError::Read`] and [`EventStoreError::Remove`]
    /// when what it replaces or deletes could not be found or removed. Then the event is
    /// not stored, and saving it again repeats what was left undone.
    pub async fn save(&self, event: &Event) -> Result<Saved, EventStoreError> {
        self.save_in_lane(event, &self.lanes.strangers).await
    }

    /// Saves an event of the node itself as [`Self::save`] does, but never waits in line
    /// behind the events of strangers.
    ///
    /// # Errors
    ///
    /// As [`Self::save`].
    pub async fn save_own(&self, event: &Event) -> Result<Saved, EventStoreError> {
        self.save_in_lane(event, &self.lanes.own).await
    }

    async fn save_in_lane(
        &self,
        event: &Event,
        lane: &Semaphore,
    ) -> Result<Saved, EventStoreError> {
        if event.kind.is_ephemeral() {
            return Ok(Saved::Ephemeral);
        }
        let place = Place::of(event);
        let _turn = lane.acquire().await.expect("the semaphore is never closed");
        if event.kind == Kind::EventDeletion {
            return self.save_deletion(event).await;
        }
        match &place {
            Place::Ambiguous(why) => Ok(Saved::Unkeepable(why)),
            Place::Regular | Place::Replacing(_) => {
                let _others_may = self.authors.share(&event.pubkey).await;
                self.save_unless_deleted(event, place.address()).await
            }
            Place::ReplacingByHand(address) => {
                let _nobody_else = self.authors.claim(&event.pubkey).await;
                self.save_by_hand(event, address).await
            }
        }
    }

    /// Removes what the deletion names, then stores it.
    ///
    /// A crash in between has removed what the author wanted removed, and told him
    /// nothing: he sends the deletion again. The other order could leave a stored
    /// deletion beside the event it names.
    async fn save_deletion(&self, deletion: &Event) -> Result<Saved, EventStoreError> {
        let _nobody_else = self.authors.claim(&deletion.pubkey).await;
        // Before it is stored: a write that fails, or that nobody waits for any more, may
        // reach the disk all the same.
        self.deleters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(deletion.pubkey);
        self.remove_what_it_names(deletion).await?;
        self.put(deletion).await
    }

    async fn save_unless_deleted(
        &self,
        event: &Event,
        address: Option<&Address>,
    ) -> Result<Saved, EventStoreError> {
        if self.is_deleted(event, address).await? {
            return Ok(Saved::Deleted);
        }
        self.put(event).await
    }

    /// Replaces older versions at an address the database cannot look up.
    ///
    /// The older version goes first: a crash in between loses an event that its author
    /// had replaced, where the other order would show two versions of one address.
    async fn save_by_hand(
        &self,
        event: &Event,
        address: &Address,
    ) -> Result<Saved, EventStoreError> {
        if self.is_deleted(event, Some(address)).await? {
            return Ok(Saved::Deleted);
        }
        let stored = self.stored_at(address).await?;
        if stored.iter().any(|stored| stored.id == event.id) {
            return Ok(Saved::Duplicate);
        }
        if stored.iter().any(|stored| outlasts(stored, event)) {
            return Ok(Saved::Superseded);
        }
        let older: Vec<EventId> = stored.iter().map(|stored| stored.id).collect();
        self.remove(&older).await?;
        self.put(event).await
    }

    /// Finds all stored versions of an address.
    pub(super) async fn stored_at(&self, address: &Address) -> Result<Vec<Event>, EventStoreError> {
        let mut filter = Filter::new().author(address.author).kind(address.kind);
        if !address.name.is_empty() {
            // Author and name without the kind: the three together are answered wrongly.
            filter = Filter::new()
                .author(address.author)
                .identifier(&address.name);
        }
        let mut pages = self.pages(filter, usize::MAX);
        let mut stored = Vec::new();
        loop {
            let page = pages.next().await?.into_events();
            if page.is_empty() {
                return Ok(stored);
            }
            stored.extend(page.into_iter().filter(|event| address.holds(event)));
        }
    }

    /// Writes an event, and has memory take it in.
    async fn put(&self, event: &Event) -> Result<Saved, EventStoreError> {
        let _no_purge = self.purging.read().await;
        let begun = self.memory.write_begins(event.kind);
        let saved = self.write(event).await;
        match &saved {
            Ok(Saved::Stored(kept)) => self.memory.stored(kept),
            // What it is a copy of, or who outlasts it, was taken in when it was stored.
            Ok(
                Saved::Duplicate
                | Saved::Superseded
                | Saved::Deleted
                | Saved::Ephemeral
                | Saved::Unkeepable(_),
            ) => (),
            Err(_) => self.take_in_what_is_stored(event).await,
        }
        begun.settled();
        saved
    }

    /// Sets memory right after a write that failed: it may have reached the disk.
    async fn take_in_what_is_stored(&self, event: &Event) {
        let place = Place::of(event);
        let Some(address) = place.address().filter(|_| Memory::has_a_rack(event.kind)) else {
            return;
        };
        match self.stored_at(address).await {
            Ok(versions) => {
                for version in &versions {
                    self.memory.stored(&Kept::of(version));
                }
            }
            Err(_) => self.memory.doubt(),
        }
    }

    /// Writes an event in a shared transaction, and alone when that failed.
    ///
    /// One bad write fails its whole transaction; only an event that fails alone is bad.
    async fn write(&self, event: &Event) -> Result<Saved, EventStoreError> {
        let first = {
            let _with_others = self.shared_batch.read().await;
            self.db.save_event(event).await
        };
        match first {
            Ok(status) => Ok(outcome(status, event)),
            Err(_) => self.write_alone(event).await,
        }
    }

    async fn write_alone(&self, event: &Event) -> Result<Saved, EventStoreError> {
        let _alone = self.shared_batch.write().await;
        let failed = |source: DatabaseError| EventStoreError::Save {
            id: event.id,
            source,
        };
        let saved = outcome(self.db.save_event(event).await.map_err(failed)?, event);
        // A duplicate of itself: the first attempt reported a failure but reached the disk.
        Ok(if saved == Saved::Duplicate {
            Saved::Stored(Kept::of(event))
        } else {
            saved
        })
    }

    /// Removes events by id, and has memory forget them.
    pub(super) async fn remove(&self, ids: &[EventId]) -> Result<(), EventStoreError> {
        for ids in ids.chunks(REMOVED_AT_ONCE) {
            let begun = self.memory.removal_begins();
            let removed = self.delete(Filter::new().ids(ids.iter().copied())).await;
            // Also when it failed: the removal may have reached the disk. What is still
            // there will be found there.
            self.memory.removed(ids);
            if removed.is_err() {
                self.take_in_again(ids).await;
            }
            begun.settled();
            removed?;
        }
        Ok(())
    }

    /// Sets memory right after a removal that failed.
    async fn take_in_again(&self, ids: &[EventId]) {
        match self.read(Filter::new().ids(ids.iter().copied())).await {
            Ok(left) => {
                for event in &left {
                    self.memory.stored(&Kept::of(event));
                }
            }
            Err(_) => self.memory.doubt(),
        }
    }

    /// Deletes in a shared transaction, and alone when that failed.
    async fn delete(&self, filter: Filter) -> Result<(), EventStoreError> {
        {
            let _with_others = self.shared_batch.read().await;
            if self.db.delete(filter.clone()).await.is_ok() {
                return Ok(());
            }
        }
        let _alone = self.shared_batch.write().await;
        self.db
            .delete(filter)
            .await
            .map_err(EventStoreError::Remove)
    }
}

fn outcome(status: SaveEventStatus, event: &Event) -> Saved {
    match status {
        SaveEventStatus::Success => Saved::Stored(Kept::of(event)),
        SaveEventStatus::Rejected(reason) => match reason {
            RejectedReason::Duplicate => Saved::Duplicate,
            RejectedReason::Replaced => Saved::Superseded,
            RejectedReason::Deleted | RejectedReason::Vanished => Saved::Deleted,
            RejectedReason::Ephemeral => Saved::Ephemeral,
            RejectedReason::Expired => Saved::Unkeepable("expired"),
            RejectedReason::InvalidDelete => Saved::Unkeepable("a deletion of foreign events"),
            RejectedReason::Other => Saved::Unkeepable("the database refuses it"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use nostr::event::{EventBuilder, FinalizeEvent};
    use nostr::key::Keys;

    use super::super::EventStoreOptions;
    use super::*;

    #[tokio::test]
    async fn the_nodes_events_do_not_wait_behind_those_of_strangers() {
        let folder = tempfile::tempdir().unwrap();
        let options = EventStoreOptions {
            map_size_bytes: 16 << 20,
            ..EventStoreOptions::default()
        };
        let store = EventStore::open(folder.path(), options).await.unwrap();
        let note = |content| {
            let keys = Keys::generate();
            EventBuilder::new(Kind::TextNote, content)
                .finalize(&keys)
                .unwrap()
        };
        let (theirs, ours) = (note("theirs"), note("ours"));

        let all = u32::try_from(options.saves_in_flight).unwrap();
        let strangers = store.lanes.strangers.acquire_many(all).await.unwrap();
        let mut waiting = pin!(store.save(&theirs));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(
            store.save_own(&ours).await.unwrap(),
            Saved::Stored(Kept::of(&ours))
        );
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(strangers);
        assert_eq!(waiting.await.unwrap(), Saved::Stored(Kept::of(&theirs)));
    }
}

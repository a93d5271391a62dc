//! Answering filters.

use std::collections::BTreeSet;
use std::sync::Arc;

use nostr::event::{Event, EventId};
use nostr::filter::Filter;
use nostr::types::Timestamp;
use nostr_database::NostrDatabase;
use tokio::sync::SemaphorePermit;
use tokio::task::spawn_blocking;

use super::newest::{Newest, Room};
use super::plan::Plan;
use super::{EventStore, EventStoreError, Kept};

/// Events that are read by id in one go: few enough to be large.
pub(super) const IDS_READ_AT_ONCE: usize = 64;

/// More events than this are not written down between two turns of other tasks.
const WRITTEN_DOWN_AT_ONCE: usize = 64;

impl EventStore {
    /// Finds the stored events that match any of the filters: newest first, in the same
    /// second the lowest id first, each event once.
    ///
    /// Every filter has its own limit. An expired event is never found.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] when the database fails.
    pub async fn query(
        &self,
        filters: Vec<Filter>,
        now: Timestamp,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        self.query_where(filters, now, usize::MAX, |_, _| true)
            .await
    }

    /// Finds as [`Self::query`] does, but only events that `may_answer` admits to the
    /// filter; others do not count towards its limit.
    ///
    /// All filters together find at most `most_bytes` of JSON: each has an equal share,
    /// and what is left of those before it, but always finds its newest event. Like a
    /// limit it leaves out what comes after everything that the filter finds.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] when the database fails.
    pub async fn query_where(
        &self,
        filters: Vec<Filter>,
        now: Timestamp,
        most_bytes: usize,
        may_answer: impl Fn(&Filter, &Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let mut found = Vec::new();
        let mut bytes_left = most_bytes;
        for (filters_left, filter) in (1..=filters.len()).rev().zip(&filters) {
            let room = Room {
                events: filter.limit.unwrap_or(usize::MAX),
                bytes: bytes_left / filters_left,
            };
            let answers = |kept: &Kept| {
                kept.matches(filter) && !kept.is_expired_at(now) && may_answer(filter, kept)
            };
            let newest = self.newest(filter, room, answers).await?;
            let bytes: usize = newest.iter().map(|kept| kept.json().len()).sum();
            bytes_left = bytes_left.saturating_sub(bytes);
            found.extend(newest);
        }
        if filters.len() > 1 {
            found.sort();
            found.dedup();
        }
        Ok(found)
    }

    /// Reads one event, unless it has expired.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] when the database fails.
    pub async fn get(
        &self,
        id: EventId,
        now: Timestamp,
    ) -> Result<Option<Arc<Kept>>, EventStoreError> {
        let found = self.by_ids(&[id]).await?;
        let mut found = found.into_iter();
        Ok(found.find(|kept| !kept.is_expired_at(now)))
    }

    /// Finds the newest events that answer one filter, in order.
    async fn newest(
        &self,
        filter: &Filter,
        room: Room,
        answers: impl Fn(&Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let Some(plan) = Plan::of(filter).filter(|_| room.events > 0) else {
            return Ok(Vec::new());
        };
        if let Some(found) = self.memory.newest(filter, room, &answers).await {
            return Ok(found);
        }
        let mut newest = Newest::new(room);
        match plan {
            Plan::ByIds(ids) => {
                for ids in ids.chunks(IDS_READ_AT_ONCE) {
                    let read = self.by_ids(ids).await?.into_iter();
                    newest.extend(read.filter(|kept| answers(kept)));
                    newest.cut();
                }
            }
            Plan::NewestFirst(question) => {
                // A superset of the answer: it is read back in time until enough of it
                // could be used, or nothing is left.
                let mut pages = self.pages(question, room.events);
                while !newest.is_full() {
                    let page = pages.next().await?;
                    if page.is_empty() {
                        break;
                    }
                    let read = page.write_down().await.into_iter();
                    newest.extend(read.filter(|kept| answers(kept)));
                }
            }
        }
        Ok(newest.into_found())
    }

    /// Finds stored events by id, expired or not, in no order; not more than
    /// [`IDS_READ_AT_ONCE`].
    pub(super) async fn by_ids(&self, ids: &[EventId]) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let (mut found, unknown) = self.memory.find(ids);
        if !unknown.is_empty() {
            let since = self.memory.read_begins();
            let _turn = self.reading_turn().await;
            let read = self.ask(Filter::new().ids(unknown)).await?;
            for kept in write_down(read.into_iter().collect()).await {
                self.memory.read(&kept, since);
                found.push(kept);
            }
        }
        Ok(found)
    }

    /// Asks the database one question that it answers rightly, with a few events.
    pub(super) async fn read(&self, question: Filter) -> Result<BTreeSet<Event>, EventStoreError> {
        let _turn = self.reading_turn().await;
        self.ask(question).await
    }

    /// Asks the database in a turn of the caller's.
    pub(super) async fn ask(&self, question: Filter) -> Result<BTreeSet<Event>, EventStoreError> {
        self.db.query(question).await.map_err(EventStoreError::Read)
    }

    /// Waits for a place among the readers: LMDB has a fixed number of them.
    pub(super) async fn reading_turn(&self) -> SemaphorePermit<'_> {
        self.reads
            .acquire()
            .await
            .expect("the semaphore is never closed")
    }
}

/// Writes down what was read, beside the tasks when it is much.
pub(super) async fn write_down(events: Vec<Event>) -> Vec<Arc<Kept>> {
    if events.len() <= WRITTEN_DOWN_AT_ONCE {
        return events.iter().map(Kept::of).collect();
    }
    spawn_blocking(move || events.iter().map(Kept::of).collect())
        .await
        .expect("writing down an event cannot panic")
}

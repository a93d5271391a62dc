//! Answering filters.

use std::collections::BTreeSet;
use std::sync::Arc;

use nostr::event::{Event, EventId};
use nostr::filter::Filter;
use nostr::types::Timestamp;
use nostr_database::NostrDatabase;
use tokio::sync::SemaphorePermit;
use tokio::task::spawn_blocking;

use super::plan::Plan;
use super::{EventStore, EventStoreError, Kept};

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
        self.query_where(filters, now, |_, _| true).await
    }

    /// Finds as [`Self::query`] does, but only events that `may_answer` admits to the
    /// filter; others do not count towards its limit.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] when the database fails.
    pub async fn query_where(
        &self,
        filters: Vec<Filter>,
        now: Timestamp,
        may_answer: impl Fn(&Filter, &Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let mut found = Vec::new();
        for filter in &filters {
            let wanted = filter.limit.unwrap_or(usize::MAX);
            let answers = |kept: &Kept| {
                kept.matches(filter) && !kept.is_expired_at(now) && may_answer(filter, kept)
            };
            found.extend(self.newest(filter, wanted, answers).await?);
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
        let found = self.by_ids(&[id].into()).await?;
        let mut found = found.into_iter();
        Ok(found.find(|kept| !kept.is_expired_at(now)))
    }

    /// Finds the newest events that answer one filter, in order.
    async fn newest(
        &self,
        filter: &Filter,
        wanted: usize,
        answers: impl Fn(&Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let Some(plan) = Plan::of(filter).filter(|_| wanted > 0) else {
            return Ok(Vec::new());
        };
        if let Some(found) = self.memory.newest(filter, wanted, &answers).await {
            return Ok(found);
        }
        match plan {
            Plan::ByIds(ids) => {
                let mut found = self.by_ids(&ids).await?;
                found.retain(|kept| answers(kept));
                found.sort();
                found.truncate(wanted);
                Ok(found)
            }
            Plan::NewestFirst(question) => self.newest_by_pages(question, wanted, answers).await,
        }
    }

    /// Finds stored events by id, expired or not, in no order.
    pub(super) async fn by_ids(
        &self,
        ids: &BTreeSet<EventId>,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let (mut found, unknown) = self.memory.find(ids);
        if !unknown.is_empty() {
            let since = self.memory.read_begins();
            let read = self.read(Filter::new().ids(unknown)).await?;
            for kept in write_down(read.into_iter().collect()).await {
                self.memory.read(&kept, since);
                found.push(kept);
            }
        }
        Ok(found)
    }

    /// Reads the answer to a question back in time, until enough of it could be used or
    /// nothing is left: the question asks for a superset.
    async fn newest_by_pages(
        &self,
        question: Filter,
        wanted: usize,
        answers: impl Fn(&Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let mut found = Vec::new();
        let mut pages = self.pages(question, wanted);
        while found.len() < wanted {
            let page = pages.next().await?;
            if page.is_empty() {
                break;
            }
            let read = write_down(page).await.into_iter();
            let missing = wanted.saturating_sub(found.len());
            found.extend(read.filter(|kept| answers(kept)).take(missing));
        }
        Ok(found)
    }

    /// Asks the database one question that it answers rightly.
    pub(super) async fn read(&self, question: Filter) -> Result<BTreeSet<Event>, EventStoreError> {
        let _turn = self.reading_turn().await;
        self.db.query(question).await.map_err(EventStoreError::Read)
    }

    /// Waits for a place among the readers: LMDB has a fixed number of them.
    async fn reading_turn(&self) -> SemaphorePermit<'_> {
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

//! Answering filters.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use nostr::event::{Event, EventId};
use nostr::filter::Filter;
use nostr::types::Timestamp;
use nostr_database::NostrDatabase;
use tokio::sync::SemaphorePermit;

use super::plan::Plan;
use super::{EventStore, EventStoreError, Kept};

/// By how much the next page is larger when too little of the last one could be used.
const WIDER: usize = 4;

/// The largest page, unless more events lie within one second.
const LARGEST_PAGE: usize = 5_000;

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
        let mut found = BTreeSet::new();
        for filter in &filters {
            let answers = |kept: &Kept| {
                kept.matches(filter) && !kept.is_expired_at(now) && may_answer(filter, kept)
            };
            found.extend(self.newest(filter, answers).await?);
        }
        Ok(found.into_iter().collect())
    }

    /// Finds the newest events that answer one filter, up to its limit.
    async fn newest(
        &self,
        filter: &Filter,
        answers: impl Fn(&Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let wanted = filter.limit.unwrap_or(usize::MAX);
        let Some(plan) = Plan::of(filter).filter(|_| wanted > 0) else {
            return Ok(Vec::new());
        };
        if plan.newest_first && filter.limit.is_some() {
            return self.newest_by_pages(plan.filter, wanted, answers).await;
        }
        let all = self.read(plan.filter).await?;
        let all = all.iter().map(Kept::of);
        Ok(all.filter(|kept| answers(kept)).take(wanted).collect())
    }

    /// Reads the answer to a question back in time, until enough of it could be used or
    /// nothing is left.
    ///
    /// The question asks for a superset, so its limit is not the limit of the filter; by
    /// pages, what cannot be used does not pile up in memory.
    async fn newest_by_pages(
        &self,
        question: Filter,
        wanted: usize,
        answers: impl Fn(&Kept) -> bool + Send + Sync,
    ) -> Result<Vec<Arc<Kept>>, EventStoreError> {
        let mut used = Vec::new();
        let (mut until, mut seen, mut size) = (question.until, None, wanted);
        loop {
            let page = Filter {
                until,
                limit: Some(size),
                ..question.clone()
            };
            let returned = self.read(page).await?;
            let was_last = returned.len() < size;
            let end = returned.last().map(place);
            // A page begins in the second where the one before ended, and repeats it.
            let fresh = returned
                .iter()
                .filter(|event| seen.is_none_or(|it| place(event) > it));
            let usable = fresh.map(Kept::of).filter(|kept| answers(kept));
            used.extend(usable.take(wanted.saturating_sub(used.len())));
            if was_last || used.len() == wanted {
                return Ok(used);
            }
            let larger = size.saturating_mul(WIDER);
            size = if end == seen {
                larger
            } else {
                larger.min(LARGEST_PAGE.max(size))
            };
            seen = end;
            until = end.map(|(Reverse(second), _)| second).or(until);
        }
    }

    /// Asks the database one question that it answers rightly.
    pub(super) async fn read(&self, question: Filter) -> Result<BTreeSet<Event>, EventStoreError> {
        let _turn = self.reading_turn().await;
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

/// Where an event stands in an answer: newest first, then lowest id first.
fn place(event: &Event) -> (Reverse<Timestamp>, EventId) {
    (Reverse(event.created_at), event.id)
}

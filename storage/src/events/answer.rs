//! Answering filters.

use std::collections::BTreeSet;

use nostr::event::Event;
use nostr::filter::{Filter, MatchEventOptions};
use nostr::types::Timestamp;
use nostr_database::NostrDatabase;
use tokio::sync::SemaphorePermit;

use super::plan::Plan;
use super::{EventStore, EventStoreError};

/// By how much the question is widened when too little of its answer could be used.
const WIDER: usize = 4;

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
    ) -> Result<Vec<Event>, EventStoreError> {
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
        may_answer: impl Fn(&Filter, &Event) -> bool + Send + Sync,
    ) -> Result<Vec<Event>, EventStoreError> {
        let mut found = BTreeSet::new();
        for filter in &filters {
            let answers = |event: &Event| {
                filter.match_event(event, MatchEventOptions::new())
                    && !event.is_expired_at(now)
                    && may_answer(filter, event)
            };
            found.extend(self.newest(filter, answers).await?);
        }
        Ok(found.into_iter().collect())
    }

    /// Finds the newest events that answer one filter, up to its limit.
    ///
    /// The database is asked for a superset, so its limit is not ours: the question is
    /// widened until enough of what it returned could be used, or nothing is left.
    async fn newest(
        &self,
        filter: &Filter,
        answers: impl Fn(&Event) -> bool + Send + Sync,
    ) -> Result<Vec<Event>, EventStoreError> {
        let wanted = filter.limit.unwrap_or(usize::MAX);
        let Some(plan) = Plan::of(filter).filter(|_| wanted > 0) else {
            return Ok(Vec::new());
        };
        let mut reach = (plan.newest_first && filter.limit.is_some()).then_some(wanted);
        loop {
            let question = Filter {
                limit: reach,
                ..plan.filter.clone()
            };
            let returned = self.read(question).await?;
            let was_all = reach.is_none_or(|reach| returned.len() < reach);
            let used: Vec<Event> = returned
                .into_iter()
                .filter(|event| answers(event))
                .take(wanted)
                .collect();
            if was_all || used.len() == wanted {
                return Ok(used);
            }
            reach = reach.map(|reach| reach.saturating_mul(WIDER));
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

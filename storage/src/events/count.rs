//! Counting what answers filters (NIP-45).

use std::collections::HashSet;

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::types::Timestamp;

use super::answer::write_down;
use super::plan::Plan;
use super::{EventStore, EventStoreError, Kept};

/// Events the database is asked for before the filters are called too broad.
const MOST_READ: usize = 100_000;

/// Events read in one go, at first.
const PAGE: usize = 500;

/// How many events answer some filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// So many.
    Exactly(usize),
    /// Too many events would have to be read to say.
    TooBroad,
}

impl EventStore {
    /// Counts the events that [`Self::query_where`] would find if the filters had no
    /// limits, each event once.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] when the database fails.
    pub async fn count_where(
        &self,
        filters: Vec<Filter>,
        now: Timestamp,
        may_answer: impl Fn(&Filter, &Kept) -> bool + Send + Sync,
    ) -> Result<Counted, EventStoreError> {
        let mut counted = HashSet::<EventId>::new();
        let mut left_to_read = MOST_READ;
        for filter in &filters {
            let answers = |kept: &Kept| {
                kept.matches(filter) && !kept.is_expired_at(now) && may_answer(filter, kept)
            };
            let Some(plan) = Plan::of(filter) else {
                continue;
            };
            if let Some(found) = self.memory.newest(filter, usize::MAX, answers).await {
                counted.extend(found.iter().map(|kept| kept.id));
                continue;
            }
            let question = match plan {
                Plan::ByIds(ids) => {
                    let found = self.by_ids(&ids).await?.into_iter();
                    counted.extend(found.filter(|kept| answers(kept)).map(|kept| kept.id));
                    continue;
                }
                Plan::NewestFirst(question) => question,
            };
            let mut pages = self.pages(question, PAGE);
            loop {
                let page = pages.next().await?;
                if page.is_empty() {
                    break;
                }
                let Some(left) = left_to_read.checked_sub(page.len()) else {
                    return Ok(Counted::TooBroad);
                };
                left_to_read = left;
                let read = write_down(page).await.into_iter();
                counted.extend(read.filter(|kept| answers(kept)).map(|kept| kept.id));
            }
        }
        Ok(Counted::Exactly(counted.len()))
    }
}

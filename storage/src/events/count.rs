//! Counting what answers filters (NIP-45).

use std::collections::HashSet;
use std::sync::Arc;

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::types::Timestamp;

use super::answer::IDS_READ_AT_ONCE;
use super::newest::Room;
use super::plan::Plan;
use super::{EventStore, EventStoreError, Kept};

/// Events the database is asked for before the filters are called too broad.
const MOST_READ: usize = 100_000;

/// How many events answer some filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// So many.
    Exactly(usize),
    /// Too many events would have to be read to say.
    TooBroad,
}

/// What has been counted so far.
struct Tally {
    ids: HashSet<EventId>,
    left_to_read: usize,
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
        let mut tally = Tally {
            ids: HashSet::new(),
            left_to_read: MOST_READ,
        };
        for filter in &filters {
            let answers = |kept: &Kept| {
                kept.matches(filter) && !kept.is_expired_at(now) && may_answer(filter, kept)
            };
            if self.count_one(filter, answers, &mut tally).await? == Counted::TooBroad {
                return Ok(Counted::TooBroad);
            }
        }
        Ok(Counted::Exactly(tally.ids.len()))
    }

    async fn count_one(
        &self,
        filter: &Filter,
        answers: impl Fn(&Kept) -> bool + Send + Sync,
        tally: &mut Tally,
    ) -> Result<Counted, EventStoreError> {
        match Plan::of(filter) {
            None => (),
            Some(Plan::ByIds(ids)) => {
                for ids in ids.chunks(IDS_READ_AT_ONCE) {
                    tally.add(self.by_ids(ids).await?, &answers);
                }
            }
            Some(Plan::NewestFirst(question)) => {
                if let Some(found) = self.memory.newest(filter, Room::UNBOUNDED, &answers).await {
                    tally.add(found, |_| true);
                    return Ok(tally.so_far());
                }
                let mut pages = self.pages(question, usize::MAX);
                loop {
                    let page = pages.next().await?;
                    if page.is_empty() {
                        break;
                    }
                    let Some(left) = tally.left_to_read.checked_sub(page.len()) else {
                        return Ok(Counted::TooBroad);
                    };
                    tally.left_to_read = left;
                    tally.add(page.write_down().await, &answers);
                }
            }
        }
        Ok(tally.so_far())
    }
}

impl Tally {
    fn add(&mut self, found: Vec<Arc<Kept>>, answers: impl Fn(&Kept) -> bool) {
        let found = found.into_iter().filter(|kept| answers(kept));
        self.ids.extend(found.map(|kept| kept.id));
    }

    fn so_far(&self) -> Counted {
        Counted::Exactly(self.ids.len())
    }
}

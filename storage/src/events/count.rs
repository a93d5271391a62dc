//! Counting what answers filters (NIP-45).

use std::collections::HashSet;

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::types::Timestamp;

use super::{EventStore, EventStoreError, Kept};

/// Events looked at for one filter before it is called too broad.
const LOOKED_AT: usize = 100_000;

/// How many events answer some filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// So many.
    Exactly(usize),
    /// Too many events would have to be looked at to say.
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
        for filter in filters {
            let bounded = filter.limit(LOOKED_AT);
            let found = self
                .query_where(vec![bounded], now, |filter, kept| may_answer(filter, kept))
                .await?;
            if found.len() >= LOOKED_AT {
                return Ok(Counted::TooBroad);
            }
            counted.extend(found.iter().map(|kept| kept.id));
        }
        Ok(Counted::Exactly(counted.len()))
    }
}

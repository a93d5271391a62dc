//! Reading a long answer page by page.

use std::cmp::Reverse;

use nostr::event::{Event, EventId};
use nostr::filter::Filter;
use nostr::types::Timestamp;

use super::{EventStore, EventStoreError};

/// By how much the next page is larger than the last one.
const WIDER: usize = 4;

/// The largest page, unless more events lie within one second.
const LARGEST_PAGE: usize = 1_000;

/// The answer of the database to one question, newest first.
///
/// What cannot be used of it does not pile up in memory.
pub(super) struct Pages<'a> {
    store: &'a EventStore,
    question: Filter,
    size: usize,
    last: Option<(Reverse<Timestamp>, EventId)>,
    is_over: bool,
}

impl EventStore {
    /// Begins to read the answer to a question that the database answers newest first;
    /// its limit does not count. The pages grow from this many events, or the most that
    /// are read at once.
    pub(super) fn pages(&self, question: Filter, first_page: usize) -> Pages<'_> {
        Pages {
            store: self,
            question,
            size: first_page.clamp(1, LARGEST_PAGE),
            last: None,
            is_over: false,
        }
    }
}

impl Pages<'_> {
    /// Reads the next page; after the last one comes an empty one.
    pub(super) async fn next(&mut self) -> Result<Vec<Event>, EventStoreError> {
        while !self.is_over {
            let question = self.question.clone().limit(self.size);
            let page = self.store.read(question).await?;
            self.is_over = page.len() < self.size;
            let seen = self.last;
            self.last = page.last().map(place).or(seen);
            self.widen(self.last == seen);
            // A page begins in the second where the one before ended, and repeats it.
            let fresh = page.into_iter().filter(|event| Some(place(event)) > seen);
            let fresh: Vec<Event> = fresh.collect();
            if !fresh.is_empty() {
                return Ok(fresh);
            }
        }
        Ok(Vec::new())
    }

    fn widen(&mut self, has_stood_still: bool) {
        let wider = self.size.saturating_mul(WIDER);
        self.size = if has_stood_still {
            wider
        } else {
            wider.min(LARGEST_PAGE.max(self.size))
        };
        if let Some((Reverse(second), _)) = self.last {
            self.question.until = Some(second);
        }
    }
}

/// Where an event stands in an answer: newest first, then lowest id first.
fn place(event: &Event) -> (Reverse<Timestamp>, EventId) {
    (Reverse(event.created_at), event.id)
}

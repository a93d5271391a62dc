//! Reading a long answer page by page.

use std::cmp::Reverse;
use std::sync::Arc;

use nostr::event::{Event, EventId, Tag};
use nostr::filter::Filter;
use nostr::types::Timestamp;
use tokio::sync::SemaphorePermit;

use super::answer::write_down;
use super::{EventStore, EventStoreError, Kept};

/// The first page, about whose size in bytes nothing is known.
const FIRST_PAGE: usize = 128;

/// The largest page, unless more events lie within one second.
const LARGEST_PAGE: usize = 500;

/// What a page should take in bytes, judged by the one before.
const PAGE_BYTES: usize = 4 << 20;

/// By how much the next page is larger than the last one, at most.
const WIDER: usize = 4;

/// The answer of the database to one question, newest first.
///
/// What cannot be used of it does not pile up in memory. A second with more events than
/// the largest page must be read as a whole; that is done for one answer at a time.
pub(super) struct Pages<'a> {
    store: &'a EventStore,
    question: Filter,
    size: usize,
    last: Option<(Reverse<Timestamp>, EventId)>,
    is_over: bool,
    crowded: Option<SemaphorePermit<'a>>,
}

/// Some events of an answer. The turn to read is kept until they are written down, so
/// that no more of them are in memory than there are turns.
pub(super) struct Page<'a> {
    events: Vec<Event>,
    _turn: Option<SemaphorePermit<'a>>,
}

impl EventStore {
    /// Begins to read the answer to a question that the database answers newest first, of
    /// which so many events may be enough; its limit does not count.
    pub(super) fn pages(&self, question: Filter, wanted: usize) -> Pages<'_> {
        Pages {
            store: self,
            question,
            size: wanted.clamp(1, FIRST_PAGE),
            last: None,
            is_over: false,
            crowded: None,
        }
    }
}

impl<'a> Pages<'a> {
    /// Reads the next page; after the last one comes an empty one.
    pub(super) async fn next(&mut self) -> Result<Page<'a>, EventStoreError> {
        while !self.is_over {
            self.enter_or_leave_the_crowd().await;
            let turn = self.store.reading_turn().await;
            let question = self.question.clone().limit(self.size);
            let page = self.store.ask(question).await?;
            self.is_over = page.len() < self.size;
            let seen = self.last;
            self.last = page.last().map(place).or(seen);
            if let Some((Reverse(second), _)) = self.last {
                let is_crowded = self.question.until.replace(second) == Some(second);
                self.size = self.next_size(page.iter(), is_crowded);
            }
            // A page begins in the second where the one before ended, and repeats it.
            let fresh = page.into_iter().filter(|event| Some(place(event)) > seen);
            let events: Vec<Event> = fresh.collect();
            if !events.is_empty() {
                return Ok(Page {
                    events,
                    _turn: Some(turn),
                });
            }
        }
        self.crowded = None;
        Ok(Page {
            events: Vec::new(),
            _turn: None,
        })
    }

    async fn enter_or_leave_the_crowd(&mut self) {
        if self.size <= LARGEST_PAGE {
            self.crowded = None;
        } else if self.crowded.is_none() {
            let crowded = self.store.crowded_seconds.acquire().await;
            self.crowded = Some(crowded.expect("the semaphore is never closed"));
        }
    }

    /// How many events to ask for after a page, which was crowded if all of it lay in the
    /// second where it began.
    fn next_size<'e>(
        &self,
        page: impl ExactSizeIterator<Item = &'e Event>,
        is_crowded: bool,
    ) -> usize {
        let wider = self.size.saturating_mul(WIDER);
        if is_crowded {
            return wider;
        }
        let count = page.len().max(1);
        let bytes: usize = page.map(size_bytes).sum();
        let fitting = PAGE_BYTES / (bytes / count).max(1);
        // One that is repeated, and one that is new.
        wider.min(fitting).clamp(2, LARGEST_PAGE)
    }
}

impl Page<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The events as the store shows them.
    pub(super) async fn write_down(self) -> Vec<Arc<Kept>> {
        write_down(self.events).await
    }

    /// The events, with the turn to read given back.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }
}

/// Where an event stands in an answer: newest first, then lowest id first.
fn place(event: &Event) -> (Reverse<Timestamp>, EventId) {
    (Reverse(event.created_at), event.id)
}

/// The memory an event takes, in bytes, as far as its author can make it large.
fn size_bytes(event: &Event) -> usize {
    let words = event.tags.iter().flat_map(Tag::as_slice);
    let words: usize = words.map(|word| size_of::<String>() + word.len()).sum();
    size_of::<Event>() + event.content.len() + words
}

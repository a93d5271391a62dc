//! Events by id, as many as there is room for.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use nostr::event::EventId;

use super::super::Kept;

/// What the maps take of memory for one event, in bytes.
const ENTRY_BYTES: usize = 80;

/// The events that were stored or asked for last.
///
/// Two generations: what is asked for moves to the young one, and when that is full, the
/// old one is forgotten and the young one becomes old.
#[derive(Debug)]
pub(super) struct Recent {
    young: HashMap<EventId, Arc<Kept>>,
    old: HashMap<EventId, Arc<Kept>>,
    young_bytes: usize,
    most_young_bytes: usize,
    /// How often something was removed from the store.
    removals: u64,
    /// False while it may not be known what is in the store.
    is_open: bool,
}

/// Tells what had been removed when a reader began to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct ReadSince(u64);

impl Recent {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            most_young_bytes: most_bytes / 2,
            removals: 0,
            is_open: false,
        }
    }

    pub(super) fn get(&mut self, id: &EventId) -> Option<Arc<Kept>> {
        if let Some(kept) = self.young.get(id) {
            return Some(kept.clone());
        }
        let kept = self.old.remove(id)?;
        self.put(&kept);
        Some(kept)
    }

    /// To be called before the store is read.
    pub(super) fn read_begins(&self) -> ReadSince {
        ReadSince(self.removals)
    }

    /// Takes in what was read, unless something was removed meanwhile: that could be it.
    pub(super) fn take_in(&mut self, kept: &Arc<Kept>, since: ReadSince) {
        if since == self.read_begins() {
            self.put(kept);
        }
    }

    pub(super) fn put(&mut self, kept: &Arc<Kept>) {
        if !self.is_open || self.young.insert(kept.id, kept.clone()).is_some() {
            return;
        }
        self.young_bytes += kept.size_bytes() + ENTRY_BYTES;
        if self.young_bytes > self.most_young_bytes {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    pub(super) fn remove(&mut self, ids: &[EventId]) {
        self.removals = self.removals.wrapping_add(1);
        for id in ids {
            self.old.remove(id);
            if let Some(kept) = self.young.remove(id) {
                self.young_bytes = self
                    .young_bytes
                    .saturating_sub(kept.size_bytes() + ENTRY_BYTES);
            }
        }
    }

    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// Forgets everything and takes nothing in.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        (self.young, self.old) = (HashMap::new(), HashMap::new());
        self.young_bytes = 0;
        self.removals = self.removals.wrapping_add(1);
    }
}

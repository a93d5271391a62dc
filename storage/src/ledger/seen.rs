//! Messages that were decided: a copy of one is told so, and nothing else (rule G2).

use escrow_core::UnixTime;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key::{KeyPart, key};
use super::page::Page;
use super::record::Record;
use super::table::Table;
use super::view::View;

/// What makes two messages the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeenKey {
    /// The id of the event that carried it.
    Event([u8; 32]),
    /// The digest of the message inside a gift wrap, which may come in
    /// several wraps.
    Inner([u8; 32]),
}

/// When a message was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The moment of its commit.
    pub(super) at: UnixTime,
}

impl Record for Seen {}

impl KeyPart for SeenKey {
    fn write(&self, key: &mut Vec<u8>) {
        match self {
            SeenKey::Event(id) => (1_u8, *id).write(key),
            SeenKey::Inner(digest) => (2_u8, *digest).write(key),
        }
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        match <(u8, [u8; 32])>::read(key)? {
            (1, id) => Some(SeenKey::Event(id)),
            (2, digest) => Some(SeenKey::Inner(digest)),
            _ => None,
        }
    }
}

impl View {
    /// When a message was decided, if it was.
    pub fn seen(&self, message: SeenKey) -> Result<Option<UnixTime>, StorageError> {
        let seen: Option<Seen> = self.record(Table::Seen, &message)?;
        Ok(seen.map(|seen| seen.at))
    }

    /// How many keys of decided messages are remembered.
    pub fn seen_len(&self) -> Result<u64, StorageError> {
        self.count(Table::Seen)
    }
}

impl Page<'_> {
    /// Remembers that a message was decided at a moment.
    pub fn put_seen(&mut self, message: SeenKey, at: UnixTime) -> Result<(), StorageError> {
        if let Some(before) = self.seen(message)? {
            self.remove(Table::SeenTimes, key(&(before, message)))?;
        }
        self.put(Table::SeenTimes, key(&(at, message)), Vec::new())?;
        self.put_record(Table::Seen, &message, &Seen { at })
    }

    /// Forgets messages decided before `older_than`, oldest first and at
    /// most `limit`; returns how many.
    pub fn purge_seen(
        &mut self,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<usize, StorageError> {
        let old = self.keys_before::<SeenKey>(Table::SeenTimes, older_than, limit)?;
        for (at, message) in &old {
            self.remove(Table::SeenTimes, key(&(*at, *message)))?;
            self.remove(Table::Seen, key(message))?;
        }
        Ok(old.len())
    }
}

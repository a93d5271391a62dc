//! What was decided, and what could not be: for people to read.

use escrow_core::UnixTime;
use escrow_core::order::OrderId;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key::{key, read_key};
use super::page::Page;
use super::record::{Record, decode};
use super::series::Series;
use super::table::Table;
use super::view::View;

/// How many messages are kept aside; one more pushes out the oldest.
pub const SET_ASIDE_LIMIT: u64 = 1_000;

/// One command that was decided. Never holds preimages, invoices or chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When.
    pub at: UnixTime,
    /// Where it came from: a trader, Lightning, a timer, the operator.
    pub origin: String,
    /// The order it was about.
    pub order: Option<OrderId>,
    /// The name of the command.
    pub command: String,
    /// What was decided, in a word or two.
    pub outcome: String,
}

/// A message whose command could not be decided, kept for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// When.
    pub at: UnixTime,
    /// The message as it came.
    pub event: String,
    /// What went wrong.
    pub why: String,
}

impl Record for JournalEntry {}
impl Record for SetAside {}

impl View {
    /// The entries from a number on, that number included, at most `limit`.
    pub fn journal_from(
        &self,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<(u64, JournalEntry)>, StorageError> {
        self.numbered(Table::Journal, seq, limit)
    }

    /// The messages set aside, oldest first, at most `limit`.
    pub fn set_aside(&self, limit: usize) -> Result<Vec<(u64, SetAside)>, StorageError> {
        self.numbered(Table::SetAside, 0, limit)
    }

    fn numbered<R: Record>(
        &self,
        table: Table,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<(u64, R)>, StorageError> {
        self.rows_from(table, &key(&seq))?
            .take(limit)
            .map(|row| {
                let (seq, bytes) = row?;
                Ok((read_key(table, &seq)?, decode(table, &bytes)?))
            })
            .collect()
    }
}

impl Page<'_> {
    /// Adds an entry; returns its number.
    pub fn push_journal(&mut self, entry: &JournalEntry) -> Result<u64, StorageError> {
        let seq = self.next_number(Series::Journal)?;
        self.put_record(Table::Journal, &seq, entry)?;
        Ok(seq)
    }

    /// Forgets the first entries as long as they are older than `older_than`,
    /// at most `limit`; returns how many. Entries lie in the order of time.
    pub fn prune_journal(
        &mut self,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<usize, StorageError> {
        let mut old = self.journal_from(0, limit)?;
        old.truncate(old.partition_point(|(_, entry)| entry.at < older_than));
        for (seq, _) in &old {
            self.remove(Table::Journal, key(seq))?;
        }
        Ok(old.len())
    }

    /// Keeps a message that could not be decided; returns its number.
    pub fn push_set_aside(&mut self, message: &SetAside) -> Result<u64, StorageError> {
        let seq = self.next_number(Series::SetAside)?;
        self.put_record(Table::SetAside, &seq, message)?;
        if self.count(Table::SetAside)? > SET_ASIDE_LIMIT
            && let Some((oldest, _)) = self.first(Table::SetAside)?
        {
            self.remove(Table::SetAside, oldest)?;
        }
        Ok(seq)
    }
}

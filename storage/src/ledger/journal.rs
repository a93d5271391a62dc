//! What was decided, and what could not be: for people to read.
//!
//! The journal is a chain: each entry carries the digest of itself and of all
//! before it, so an entry that is changed, removed or put in later shows, unless
//! everything after it is forged as well; against that helps whoever has written
//! down a head, for instance in his log. What is pruned leaves a checkpoint behind,
//! from which the rest is still verified.

use escrow_core::UnixTime;
use escrow_core::order::OrderId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::StorageError;
use super::key::{key, read_key};
use super::page::Page;
use super::record::{Record, decode, encode};
use super::series::{Series, read_number};
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

/// Where a chain stands: a number, and the digest of all entries up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// Number of the entry; 0 before the first.
    pub number: u64,
    /// SHA-256.
    pub digest: [u8; 32],
}

/// A journal in which every entry is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedJournal {
    /// Before the first entry that is still there.
    pub checkpoint: ChainLink,
    /// The last entry.
    pub head: ChainLink,
    /// How many entries there are.
    pub entries: u64,
}

/// Why a journal is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenJournal {
    /// An entry is not what was written.
    #[error("entry {0} is not as it was written, or one before it")]
    Changed(u64),
    /// An entry is gone.
    #[error("entry {0} is missing")]
    Missing(u64),
}

/// An entry as it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChainedEntry {
    #[serde(flatten)]
    pub(super) entry: JournalEntry,
    /// Of this entry and all before it; none in entries that are older than the chain.
    #[serde(default)]
    pub(super) digest: Option<[u8; 32]>,
}

/// In the table `node`.
const CHECKPOINT_KEY: &[u8] = b"journal_checkpoint";
const HEAD_KEY: &[u8] = b"journal_head";

/// Entries that are read at once on the way back from the last.
const BACKWARD_STEP: u64 = 256;

impl Record for ChainedEntry {}
impl Record for ChainLink {}
impl Record for SetAside {}

impl View {
    /// The entries from a number on, that number included, at most `limit`.
    pub fn journal_from(
        &self,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<(u64, JournalEntry)>, StorageError> {
        let rows = self.numbered::<ChainedEntry>(Table::Journal, seq, limit)?;
        Ok(rows
            .into_iter()
            .map(|(seq, row)| (seq, row.entry))
            .collect())
    }

    /// The entries since a moment, oldest first; of more than `limit` the newest.
    pub fn journal_since(
        &self,
        since: UnixTime,
        limit: usize,
    ) -> Result<Vec<(u64, JournalEntry)>, StorageError> {
        let mut from = self.last_journal_number()?.saturating_add(1);
        let mut found = Vec::new();
        while from > 0 && found.len() < limit {
            let until = from;
            from = from.saturating_sub(BACKWARD_STEP);
            let step = usize::try_from(until - from).unwrap_or(usize::MAX);
            let mut earlier = self.journal_from(from, step)?;
            earlier.retain(|(seq, _)| *seq < until);
            let is_over = earlier.first().is_none_or(|(_, first)| first.at < since);
            earlier.retain(|(_, entry)| entry.at >= since);
            found.splice(..0, earlier);
            if is_over {
                break;
            }
        }
        let surplus = found.len().saturating_sub(limit);
        Ok(found.split_off(surplus))
    }

    /// The entries about an order, oldest first. Reads the whole journal.
    pub fn journal_of(&self, order: OrderId) -> Result<Vec<(u64, JournalEntry)>, StorageError> {
        let mut found = Vec::new();
        for row in self.rows(Table::Journal)? {
            let (seq, bytes) = row?;
            let row: ChainedEntry = decode(Table::Journal, &bytes)?;
            if row.entry.order == Some(order) {
                found.push((read_key(Table::Journal, &seq)?, row.entry));
            }
        }
        Ok(found)
    }

    /// The last entry of the journal and the digest of all.
    pub fn journal_head(&self) -> Result<ChainLink, StorageError> {
        self.link(HEAD_KEY)
    }

    /// Looks whether every entry is as it was written. Reads the whole journal.
    pub fn verify_journal(&self) -> Result<Result<VerifiedJournal, BrokenJournal>, StorageError> {
        let checkpoint = self.link(CHECKPOINT_KEY)?;
        let head = self.journal_head()?;
        let (mut link, mut entries) = (checkpoint, 0);
        for row in self.rows(Table::Journal)? {
            let (seq, bytes) = row?;
            let number: u64 = read_key(Table::Journal, &seq)?;
            if number <= checkpoint.number {
                // From before the chain began.
                continue;
            }
            if number != link.number + 1 {
                return Ok(Err(BrokenJournal::Missing(link.number + 1)));
            }
            let row: ChainedEntry = decode(Table::Journal, &bytes)?;
            link = link.with(&row.entry);
            if row.digest != Some(link.digest) {
                return Ok(Err(BrokenJournal::Changed(number)));
            }
            entries += 1;
        }
        if link.number < self.last_journal_number()?.max(head.number) {
            return Ok(Err(BrokenJournal::Missing(link.number + 1)));
        }
        if link != head {
            return Ok(Err(BrokenJournal::Changed(link.number)));
        }
        Ok(Ok(VerifiedJournal {
            checkpoint,
            head,
            entries,
        }))
    }

    /// The first entries that are older, at most `limit`. Of the others only one
    /// is read: each heartbeat asks, and mostly there is nothing to forget.
    fn journal_before(
        &self,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<Vec<(u64, ChainedEntry)>, StorageError> {
        let mut old = Vec::new();
        for row in self.rows(Table::Journal)?.take(limit) {
            let (seq, bytes) = row?;
            let row: ChainedEntry = decode(Table::Journal, &bytes)?;
            if row.entry.at >= older_than {
                break;
            }
            old.push((read_key(Table::Journal, &seq)?, row));
        }
        Ok(old)
    }

    fn link(&self, name: &[u8]) -> Result<ChainLink, StorageError> {
        let row = self.get(Table::Node, name)?;
        let link = row.map(|bytes| decode(Table::Node, &bytes)).transpose()?;
        Ok(link.unwrap_or_default())
    }

    fn last_journal_number(&self) -> Result<u64, StorageError> {
        let row = self.get(Table::Series, Series::Journal.key())?;
        row.map_or(Ok(0), |bytes| read_number(Table::Series, &bytes))
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
        let number = self.next_number(Series::Journal)?;
        let mut before = self.journal_head()?;
        if before.number + 1 != number {
            // The chain begins behind entries that are older than it.
            before = ChainLink {
                number: number - 1,
                ..ChainLink::default()
            };
            self.put(Table::Node, CHECKPOINT_KEY.to_vec(), encode(&before))?;
        }
        let head = before.with(entry);
        let row = ChainedEntry {
            entry: entry.clone(),
            digest: Some(head.digest),
        };
        self.put_record(Table::Journal, &number, &row)?;
        self.put(Table::Node, HEAD_KEY.to_vec(), encode(&head))?;
        Ok(number)
    }

    /// Forgets the first entries as long as they are older than `older_than`,
    /// at most `limit`; returns how many. Entries lie in the order of time.
    pub fn prune_journal(
        &mut self,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<usize, StorageError> {
        let old = self.journal_before(older_than, limit)?;
        for (number, row) in &old {
            self.remove(Table::Journal, key(number))?;
            if let Some(digest) = row.digest {
                let number = *number;
                let checkpoint = encode(&ChainLink { number, digest });
                self.put(Table::Node, CHECKPOINT_KEY.to_vec(), checkpoint)?;
            }
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

impl ChainLink {
    /// The chain with one more entry. Each field is preceded by its length, so that
    /// no two entries make the same bytes.
    fn with(self, entry: &JournalEntry) -> ChainLink {
        let number = self.number + 1;
        let order = entry.order.map(|order| order.0.to_string());
        let mut digest = Sha256::new();
        digest.update(self.digest);
        digest.update(number.to_be_bytes());
        digest.update(entry.at.0.to_be_bytes());
        let fields = [
            entry.origin.as_str(),
            order.as_deref().unwrap_or_default(),
            &entry.command,
            &entry.outcome,
        ];
        for field in fields {
            let length = u64::try_from(field.len()).expect("a field fits into memory");
            digest.update(length.to_be_bytes());
            digest.update(field);
        }
        ChainLink {
            number,
            digest: digest.finalize().into(),
        }
    }
}

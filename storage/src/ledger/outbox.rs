//! Signed events that wait to be delivered, in the order of their commits.

use escrow_core::UnixTime;
use escrow_core::party::TradeKey;
use nostr::event::EventId;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key::{KeyPart, key, read_key};
use super::page::Page;
use super::record::{Record, decode};
use super::series::Series;
use super::table::Table;
use super::view::View;

/// The number of a row; later rows have higher ones, also over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxSeq(pub u64);

/// One finished event on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// What must stay in order with it.
    pub lane: Lane,
    /// The signed event, as JSON.
    pub event: String,
    /// Its id.
    pub event_id: EventId,
    /// Its `created_at`: not to be published before.
    pub created_at: UnixTime,
}

/// Rows of one lane are delivered one after the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Letters to one trade key.
    Recipient(TradeKey),
    /// Revisions of one public address (`kind:pubkey:d`).
    Address(String),
}

impl Record for OutboxRow {}

impl KeyPart for OutboxSeq {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        u64::read(key).map(OutboxSeq)
    }
}

impl View {
    /// The rows from a number on, that number included, at most `limit`.
    pub fn outbox_from(
        &self,
        seq: OutboxSeq,
        limit: usize,
    ) -> Result<Vec<(OutboxSeq, OutboxRow)>, StorageError> {
        self.rows_from(Table::Outbox, &key(&seq))?
            .take(limit)
            .map(|row| {
                let (seq, bytes) = row?;
                Ok((
                    read_key(Table::Outbox, &seq)?,
                    decode(Table::Outbox, &bytes)?,
                ))
            })
            .collect()
    }

    /// How many rows wait.
    pub fn outbox_len(&self) -> Result<u64, StorageError> {
        self.count(Table::Outbox)
    }
}

impl Page<'_> {
    /// Adds a row at the end.
    pub fn push_outbox(&mut self, row: &OutboxRow) -> Result<OutboxSeq, StorageError> {
        let seq = OutboxSeq(self.next_number(Series::Outbox)?);
        self.put_record(Table::Outbox, &seq, row)?;
        Ok(seq)
    }

    /// Removes rows that were delivered; one that is gone is left so.
    pub fn done_outbox(&mut self, seqs: &[OutboxSeq]) -> Result<(), StorageError> {
        seqs.iter()
            .try_for_each(|seq| self.remove(Table::Outbox, key(seq)))
    }
}

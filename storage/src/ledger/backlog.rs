//! Events that wait to be acknowledged by a mirror: of each public address
//! the newest revision only, and every letter.

use escrow_core::UnixTime;

use super::error::StorageError;
use super::key::{KeyPart, key, read_key};
use super::mirrors::MirrorNo;
use super::outbox::{Lane, OutboxRow, OutboxSeq};
use super::page::Page;
use super::record::decode;
use super::table::Table;
use super::view::View;

/// A row of the backlog: its number in the outbox, and the event.
pub type BacklogRow = (OutboxSeq, OutboxRow);

impl View {
    /// What waits for a mirror, from a number on, that number included, at
    /// most `limit` rows, oldest first.
    pub fn backlog_from(
        &self,
        mirror: MirrorNo,
        seq: OutboxSeq,
        limit: usize,
    ) -> Result<Vec<BacklogRow>, StorageError> {
        let mut rows = Vec::new();
        for row in self
            .rows_from(Table::Backlog, &key(&(mirror, seq)))?
            .take(limit)
        {
            let (name, bytes) = row?;
            let (of, seq): (MirrorNo, OutboxSeq) = read_key(Table::Backlog, &name)?;
            if of != mirror {
                break;
            }
            rows.push((seq, decode(Table::Backlog, &bytes)?));
        }
        Ok(rows)
    }

    /// A row that waits; none if it was done or replaced.
    pub fn backlog_row(
        &self,
        mirror: MirrorNo,
        seq: OutboxSeq,
    ) -> Result<Option<OutboxRow>, StorageError> {
        self.record(Table::Backlog, &(mirror, seq))
    }

    /// Whether an event of this address waits for a mirror.
    pub(super) fn address_waits(
        &self,
        mirror: MirrorNo,
        lane: &Lane,
    ) -> Result<bool, StorageError> {
        match lane {
            Lane::Address(address) => {
                let name = address_key(mirror, address);
                Ok(self.get(Table::BacklogAddresses, &name)?.is_some())
            }
            Lane::Recipient(_) => Ok(false),
        }
    }

    /// How many rows wait for a mirror; counts them one by one.
    pub fn backlog_len(&self, mirror: MirrorNo) -> Result<u64, StorageError> {
        let front = key(&mirror);
        let mut count = 0;
        for row in self.rows_from(Table::Backlog, &front)? {
            if !row?.0.starts_with(&front) {
                break;
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Page<'_> {
    /// Adds an event of the outbox to what waits for a mirror, in place of an
    /// older revision of its address.
    pub fn push_backlog(
        &mut self,
        mirror: MirrorNo,
        seq: OutboxSeq,
        row: &OutboxRow,
    ) -> Result<(), StorageError> {
        if let Lane::Address(address) = &row.lane {
            let name = address_key(mirror, address);
            if let Some(older) = self.get(Table::BacklogAddresses, &name)? {
                let older: OutboxSeq = read_key(Table::BacklogAddresses, &older)?;
                self.remove(Table::Backlog, key(&(mirror, older)))?;
            }
            self.put(Table::BacklogAddresses, name, key(&seq))?;
        }
        self.put_record(Table::Backlog, &(mirror, seq), row)
    }

    /// Removes rows that need not be brought any more; one that is gone is
    /// left so, and a newer revision has a number of its own and stays.
    pub fn done_backlog(
        &mut self,
        mirror: MirrorNo,
        seqs: &[OutboxSeq],
    ) -> Result<(), StorageError> {
        for seq in seqs {
            let Some(row) = self.backlog_row(mirror, *seq)? else {
                continue;
            };
            if let Lane::Address(address) = &row.lane {
                self.remove(Table::BacklogAddresses, address_key(mirror, address))?;
            }
            self.remove(Table::Backlog, key(&(mirror, *seq)))?;
        }
        Ok(())
    }

    /// Removes what was made before `older_than`, oldest first and at most
    /// `limit` rows; returns how many.
    pub fn purge_backlog(
        &mut self,
        mirror: MirrorNo,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<usize, StorageError> {
        let rows = self.backlog_from(mirror, OutboxSeq(0), limit)?;
        let old: Vec<_> = rows
            .into_iter()
            .take_while(|(_, row)| row.created_at < older_than)
            .map(|(seq, _)| seq)
            .collect();
        self.done_backlog(mirror, &old)?;
        Ok(old.len())
    }

    pub(super) fn drop_backlog(&mut self, mirror: MirrorNo) -> Result<(), StorageError> {
        let front = key(&mirror);
        for table in [Table::Backlog, Table::BacklogAddresses] {
            let mut names = Vec::new();
            for row in self.rows_from(table, &front)? {
                let (name, _) = row?;
                if !name.starts_with(&front) {
                    break;
                }
                names.push(name);
            }
            for name in names {
                self.remove(table, name)?;
            }
        }
        Ok(())
    }
}

fn address_key(mirror: MirrorNo, address: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(8 + address.len());
    mirror.write(&mut name);
    name.extend_from_slice(address.as_bytes());
    name
}

//! Numbers that only go up, also over restarts and emptied tables.

use super::error::StorageError;
use super::page::Page;
use super::table::Table;

/// A series of numbers of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Series {
    /// Rows of the outbox.
    Outbox,
    /// Mirrors.
    Mirrors,
    /// Entries of the journal.
    Journal,
    /// Messages set aside.
    SetAside,
    /// Entries of the books.
    Entries,
    /// Health events.
    Health,
}

impl Series {
    pub(super) fn key(self) -> &'static [u8] {
        match self {
            Series::Outbox => b"outbox",
            Series::Mirrors => b"mirrors",
            Series::Journal => b"journal",
            Series::SetAside => b"set_aside",
            Series::Entries => b"entries",
            Series::Health => b"health",
        }
    }
}

impl Page<'_> {
    /// The next number of a series, from 1 on; never given out again once
    /// the page is committed.
    pub(super) fn next_number(&mut self, series: Series) -> Result<u64, StorageError> {
        let last = match self.get(Table::Series, series.key())? {
            None => 0,
            Some(bytes) => read_number(Table::Series, &bytes)?,
        };
        let next = last.checked_add(1).expect("no node lives for 2^64 rows");
        self.put(
            Table::Series,
            series.key().to_vec(),
            next.to_be_bytes().to_vec(),
        )?;
        Ok(next)
    }
}

/// Reads a value that is a number.
pub(super) fn read_number(table: Table, bytes: &[u8]) -> Result<u64, StorageError> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StorageError::Damaged {
            table: table.name(),
            what: "a number is not 8 bytes long".into(),
        })
}

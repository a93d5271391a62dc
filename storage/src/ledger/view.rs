//! Reading: a snapshot of the ledger.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::OnceLock;

use escrow_core::UnixTime;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata};

use super::changes::{Changes, Row, Rows};
use super::error::StorageError;
use super::key::{KeyPart, key, read_key};
use super::record::{Record, decode};
use super::table::Table;

type WrittenTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The ledger as it was after one commit; later commits do not change it.
///
/// Every question to the ledger is a method here, written beside the table it
/// reads. A [`Page`](super::Page) is read the same way and sees its own
/// writes. Keep a view only as long as a question needs: it holds on to the
/// disk space of what was overwritten since.
pub struct View {
    snapshot: ReadTransaction,
    /// In the order of [`Table::ALL`]; most questions need a few, and to open
    /// one costs more than to read a row of it.
    tables: Box<[OnceLock<WrittenTable>]>,
    /// Always empty, except in a page.
    pub(super) changes: Changes,
}

impl View {
    pub(super) fn new(snapshot: ReadTransaction) -> View {
        View {
            snapshot,
            tables: Table::ALL.iter().map(|_| OnceLock::new()).collect(),
            changes: Changes::default(),
        }
    }

    /// What was written into it; gives up the snapshot, so that the commit
    /// may use the space of what it overwrites.
    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    /// The value of a key.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        if let Some(changed) = self
            .changes
            .of(table)
            .and_then(|changes| changes.rows.get(key))
        {
            return Ok(changed.clone());
        }
        let written = self
            .written(table)?
            .get(key)
            .map_err(StorageError::engine("read", table.name()))?;
        Ok(written.map(|value| value.value().to_vec()))
    }

    /// Whether a key is there.
    pub(super) fn has(&self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        if let Some(changed) = self
            .changes
            .of(table)
            .and_then(|changes| changes.rows.get(key))
        {
            return Ok(changed.is_some());
        }
        let written = self
            .written(table)?
            .get(key)
            .map_err(StorageError::engine("read", table.name()))?;
        Ok(written.is_some())
    }

    /// The record of a key.
    pub(super) fn record<R: Record>(
        &self,
        table: Table,
        name: &impl KeyPart,
    ) -> Result<Option<R>, StorageError> {
        self.get(table, &key(name))?
            .map(|bytes| decode(table, &bytes))
            .transpose()
    }

    /// All rows of a table.
    pub(super) fn rows(&self, table: Table) -> Result<Rows<'_>, StorageError> {
        self.rows_from(table, &[])
    }

    /// The rows from a key on, that key included.
    pub(super) fn rows_from(&self, table: Table, from: &[u8]) -> Result<Rows<'_>, StorageError> {
        static NOTHING: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let written = self
            .written(table)?
            .range::<&[u8]>(from..)
            .map_err(StorageError::engine("read", table.name()))?;
        let rows = self
            .changes
            .of(table)
            .map_or(&NOTHING, |changes| &changes.rows);
        let changed = rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        Ok(Rows::new(table, written, changed))
    }

    /// The keys that begin with `front`, without it: an index that names rows.
    pub(super) fn names<K: KeyPart>(
        &self,
        table: Table,
        front: &[u8],
    ) -> Result<Vec<K>, StorageError> {
        let mut names = Vec::new();
        for row in self.rows_from(table, front)? {
            let (key, _) = row?;
            let Some(name) = key.strip_prefix(front) else {
                break;
            };
            names.push(read_key(table, name)?);
        }
        Ok(names)
    }

    /// The first rows of a table whose keys begin with a moment before `until`.
    pub(super) fn keys_before<K: KeyPart>(
        &self,
        table: Table,
        until: UnixTime,
        limit: usize,
    ) -> Result<Vec<(UnixTime, K)>, StorageError> {
        let mut keys = Vec::new();
        for row in self.rows(table)?.take(limit) {
            let (at, rest) = read_key(table, &row?.0)?;
            if at >= until {
                break;
            }
            keys.push((at, rest));
        }
        Ok(keys)
    }

    /// How many rows a table has; costs the same for one and for a million.
    pub(super) fn count(&self, table: Table) -> Result<u64, StorageError> {
        let written = self
            .written(table)?
            .len()
            .map_err(StorageError::engine("count", table.name()))?;
        let grown = self.changes.of(table).map_or(0, |changes| changes.grown);
        Ok(written.saturating_add_signed(grown))
    }

    /// The first row of a table.
    pub(super) fn first(&self, table: Table) -> Result<Option<Row>, StorageError> {
        self.rows(table)?.next().transpose()
    }

    fn written(&self, table: Table) -> Result<&WrittenTable, StorageError> {
        let place = self
            .tables
            .get(table as usize)
            .expect("a view has a place for each table, in the order of the enum");
        if let Some(opened) = place.get() {
            return Ok(opened);
        }
        let opened = self
            .snapshot
            .open_table(table.definition())
            .map_err(StorageError::engine("open", table.name()))?;
        Ok(place.get_or_init(|| opened))
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

//! Changes that are not written yet, laid over a snapshot.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;

use super::error::StorageError;
use super::table::Table;

/// Key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// The changed rows of one table; `None` = removed.
#[derive(Debug, Default)]
pub(crate) struct TableChanges {
    /// By key.
    pub(crate) rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Rows added less rows removed.
    pub(crate) grown: i64,
}

/// The changed rows of all tables.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Table, TableChanges>);

impl Changes {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes of one table, if it has any.
    pub(crate) fn of(&self, table: Table) -> Option<&TableChanges> {
        self.0.get(&table)
    }

    /// The changes of one table, to add to them.
    pub(crate) fn of_mut(&mut self, table: Table) -> &mut TableChanges {
        self.0.entry(table).or_default()
    }

    /// All changed tables with their changes, in a fixed order.
    pub(crate) fn into_tables(self) -> impl Iterator<Item = (Table, TableChanges)> {
        self.0.into_iter()
    }
}

/// Rows of a snapshot with the changes laid over them, in the order of keys.
pub(crate) struct Rows<'a> {
    table: Table,
    written: Peekable<redb::Range<'static, &'static [u8], &'static [u8]>>,
    changed: Peekable<btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>>,
}

impl<'a> Rows<'a> {
    /// Lays `changed` over `written`; both must cover the same range.
    pub(crate) fn new(
        table: Table,
        written: redb::Range<'static, &'static [u8], &'static [u8]>,
        changed: btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>,
    ) -> Self {
        Rows {
            table,
            written: written.peekable(),
            changed: changed.peekable(),
        }
    }

    /// The next row of the snapshot.
    fn next_written(&mut self) -> Option<Result<Row, StorageError>> {
        let row = self.written.next()?;
        Some(
            row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
                .map_err(StorageError::engine("read", self.table.name())),
        )
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((changed, _)) = self.changed.peek() else {
                return self.next_written();
            };
            let order = match self.written.peek() {
                Some(Ok((written, _))) => written.value().cmp(changed.as_slice()),
                Some(Err(_)) => return self.next_written(),
                None => std::cmp::Ordering::Greater,
            };
            if order.is_lt() {
                return self.next_written();
            }
            if order.is_eq() {
                self.written.next();
            }
            if let Some((key, Some(value))) = self.changed.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

//! Writing: the changes of one commit.

use std::collections::BTreeSet;
use std::ops::Deref;

use super::error::StorageError;
use super::file::File;
use super::key::{KeyPart, key};
use super::record::{Record, encode};
use super::table::Table;
use super::view::View;

/// The changes of one commit, and the ledger as it is with them.
///
/// It collects the changes in memory, row by row in the order of keys, and
/// hands them to the file only in [`Page::commit`]: each table is opened once,
/// and giving up costs nothing. Every method of [`View`] can be called on it
/// and sees what the page has written.
///
/// A row that is refused (`Conflict`, `Invariant`) leaves the page as it was.
/// After any other failure drop the page: a part of the row may be in it.
#[derive(Debug)]
pub struct Page<'a> {
    file: &'a File,
    view: View,
}

/// A row of an index: where, and its key. Its value is empty.
pub(super) type Mark = (Table, Vec<u8>);

impl<'a> Page<'a> {
    pub(super) fn new(file: &'a File, view: View) -> Page<'a> {
        Page { file, view }
    }

    /// Writes the page to disk. When this returns `Ok` it survives a power
    /// cut, as a whole. A page without changes touches nothing.
    ///
    /// # Errors
    /// What the disk said. Nobody knows then whether the page is on disk;
    /// [`Ledger::reopen`](super::Ledger::reopen) finds out.
    pub fn commit(self) -> Result<(), StorageError> {
        let changes = self.view.into_changes();
        if changes.is_empty() {
            return Ok(());
        }
        self.file.commit(changes)
    }

    /// Whether nothing is written on it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.view.changes.is_empty()
    }

    /// Writes a value.
    pub(super) fn put(
        &mut self,
        table: Table,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<(), StorageError> {
        let is_new = !self.view.has(table, &key)?;
        let changes = self.view.changes.of_mut(table);
        changes.grown += i64::from(is_new);
        changes.rows.insert(key, Some(value));
        Ok(())
    }

    /// Writes a record.
    pub(super) fn put_record<R: Record>(
        &mut self,
        table: Table,
        name: &impl KeyPart,
        record: &R,
    ) -> Result<(), StorageError> {
        self.put(table, key(name), encode(record))
    }

    /// Removes a row; one that is not there is left so.
    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) -> Result<(), StorageError> {
        if self.view.has(table, &key)? {
            let changes = self.view.changes.of_mut(table);
            changes.grown -= 1;
            changes.rows.insert(key, None);
        }
        Ok(())
    }

    /// Moves a record's index rows from what they were to what they shall be.
    pub(super) fn reindex(
        &mut self,
        before: &BTreeSet<Mark>,
        after: BTreeSet<Mark>,
    ) -> Result<(), StorageError> {
        for (table, key) in before.difference(&after) {
            self.remove(*table, key.clone())?;
        }
        for (table, key) in after {
            if !self.view.has(table, &key)? {
                self.put(table, key, Vec::new())?;
            }
        }
        Ok(())
    }
}

impl Deref for Page<'_> {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

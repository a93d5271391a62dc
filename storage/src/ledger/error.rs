//! What can go wrong with the ledger.

use std::path::PathBuf;

/// The ledger failed, or refused a row that would break one of its promises.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk, or the database engine above it, failed. After a failed
    /// commit nobody knows whether it is on disk: reopen the ledger and look.
    #[error("ledger: {doing} {table}: {source}")]
    Engine {
        /// What was attempted.
        doing: &'static str,
        /// The table, or the file as a whole.
        table: &'static str,
        /// What the engine said.
        source: Box<redb::Error>,
    },
    /// Another process has the file open.
    #[error("the ledger {path} is locked: another process uses it")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of the node.
    #[error(
        "the ledger has format {found}, this version of the node knows formats up to {known}: use the newer version"
    )]
    NewerFormat {
        /// The format of the file.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The file was written by an older version of the node.
    #[error(
        "the ledger has format {found}, this version of the node needs format {known}: finish its trades with the older version, then start with a new data directory"
    )]
    OlderFormat {
        /// The format of the file.
        found: u32,
        /// The only format known here.
        known: u32,
    },
    /// A record was written by a newer version of the node.
    #[error(
        "ledger: a record of {table} has version {found}, this version of the node knows versions up to {known}"
    )]
    NewerRecord {
        /// The table.
        table: &'static str,
        /// The version of the record.
        found: u8,
        /// The newest version known here.
        known: u8,
    },
    /// A row cannot be read.
    #[error("ledger: a row of {table} is damaged: {what}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A row that must be unique is there already.
    #[error("ledger: {table} has another row for {what}")]
    Conflict {
        /// The table.
        table: &'static str,
        /// What is taken.
        what: String,
    },
    /// A row contradicts what the ledger promises.
    #[error("ledger: refused to write {table}: {what}")]
    Invariant {
        /// The table.
        table: &'static str,
        /// The broken promise.
        what: String,
    },
}

impl StorageError {
    /// Whether the same work may succeed later on the same file, once the
    /// ledger is reopened: a full or failing disk, yes; a broken row, no.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            StorageError::Engine { source, .. } => matches!(
                **source,
                redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed
            ),
            StorageError::Locked { .. } => true,
            StorageError::NewerFormat { .. }
            | StorageError::OlderFormat { .. }
            | StorageError::NewerRecord { .. }
            | StorageError::Damaged { .. }
            | StorageError::Conflict { .. }
            | StorageError::Invariant { .. } => false,
        }
    }

    /// Wraps what the engine said, with what was attempted on which table.
    pub(crate) fn engine<E: Into<redb::Error>>(
        doing: &'static str,
        table: &'static str,
    ) -> impl FnOnce(E) -> StorageError {
        move |source| StorageError::Engine {
            doing,
            table,
            source: Box::new(source.into()),
        }
    }
}

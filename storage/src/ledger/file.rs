//! The file below the tables: opening it, reopening it, committing to it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::{fmt, fs, io};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, TableError,
    WriteTransaction,
};

use super::changes::{Changes, TableChanges};
use super::error::StorageError;
use super::node::{FORMAT, FORMAT_KEY};
use super::table::Table;
use super::view::View;

/// Bytes of the file that are kept in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// What the errors call the file as a whole.
const WHOLE: &str = "file";

/// The database, while it is open.
pub(super) struct File {
    database: RwLock<Option<Database>>,
}

/// Opens the same database again and again.
pub(super) struct Opener(Box<dyn Fn() -> Result<Database, StorageError> + Send + Sync>);

impl Opener {
    pub(super) fn path(path: &Path) -> Opener {
        let path = path.to_owned();
        Opener(Box::new(move || {
            if !path.exists() {
                make(&path)?;
            }
            open_path(&path)
        }))
    }

    pub(super) fn backend<B: StorageBackend + Clone>(backend: B) -> Opener {
        Opener(Box::new(move || {
            builder()
                .create_with_backend(backend.clone())
                .map_err(StorageError::engine("open", WHOLE))
        }))
    }

    /// The database, with all tables in it.
    fn open(&self) -> Result<Database, StorageError> {
        let database = (self.0)()?;
        match format_of(&database)? {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => {
                return Err(StorageError::NewerFormat {
                    found,
                    known: FORMAT,
                });
            }
            Some(0) => return Err(damaged("it has format 0")),
            Some(found) => {
                return Err(StorageError::OlderFormat {
                    found,
                    known: FORMAT,
                });
            }
            None => lay_out(&database)?,
        }
        Ok(database)
    }
}

impl File {
    pub(super) fn open(opener: &Opener) -> Result<File, StorageError> {
        Ok(File {
            database: RwLock::new(Some(opener.open()?)),
        })
    }

    /// Closing comes first: the lock on the file goes with the old database.
    pub(super) fn reopen(&self, opener: &Opener) -> Result<(), StorageError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *database = None;
        *database = Some(opener.open()?);
        Ok(())
    }

    pub(super) fn view(&self) -> Result<View, StorageError> {
        let snapshot = self.with(|database| {
            database
                .begin_read()
                .map_err(StorageError::engine("read", WHOLE))
        })?;
        Ok(View::new(snapshot))
    }

    /// On disk when this returns, all or nothing.
    pub(super) fn commit(&self, changes: Changes) -> Result<(), StorageError> {
        self.with(|database| {
            let transaction = begin(database)?;
            for (table, changes) in changes.into_tables() {
                write(&transaction, table, &changes)?;
            }
            transaction
                .commit()
                .map_err(StorageError::engine("commit", WHOLE))
        })
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&Database) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match database.as_ref() {
            Some(database) => act(database),
            None => Err(StorageError::engine("use", WHOLE)(
                redb::Error::DatabaseClosed,
            )),
        }
    }
}

/// Makes an empty ledger beside `path` and then gives it its name: redb refuses
/// a file whose making was cut off, and a person would have to remove it.
fn make(path: &Path) -> Result<(), StorageError> {
    let failed = || StorageError::engine::<io::Error>("make", WHOLE);
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        Ok(()) | Err(_) => {}
    }
    lay_out(&open_path(unfinished)?)?;
    // Who trades with whom is nobody else's business, whatever the folder allows.
    fs::set_permissions(unfinished, fs::Permissions::from_mode(0o600)).map_err(failed())?;
    fs::rename(unfinished, path).map_err(failed())?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::File::open(folder.unwrap_or(Path::new("."))).map_err(failed())?;
    folder.sync_all().map_err(failed())
}

fn open_path(path: &Path) -> Result<Database, StorageError> {
    builder().create(path).map_err(|error| {
        if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
            StorageError::Locked {
                path: path.to_owned(),
            }
        } else {
            StorageError::engine("open", WHOLE)(error)
        }
    })
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// A commit syncs twice this way, but a file that was not closed opens in
/// milliseconds however large it is, instead of being walked from end to end.
fn begin(database: &Database) -> Result<WriteTransaction, StorageError> {
    let mut transaction = database
        .begin_write()
        .map_err(StorageError::engine("begin", WHOLE))?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(StorageError::engine("begin", WHOLE))?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn write(
    transaction: &WriteTransaction,
    table: Table,
    changes: &TableChanges,
) -> Result<(), StorageError> {
    let failed = || StorageError::engine::<redb::StorageError>("write", table.name());
    let mut rows = transaction
        .open_table(table.definition())
        .map_err(StorageError::engine("open", table.name()))?;
    for (key, value) in &changes.rows {
        match value {
            Some(value) => rows
                .insert(key.as_slice(), value.as_slice())
                .map_err(failed())?,
            None => rows.remove(key.as_slice()).map_err(failed())?,
        };
    }
    Ok(())
}

/// The format of the file; none if it is new.
fn format_of(database: &Database) -> Result<Option<u32>, StorageError> {
    let failed = || StorageError::engine::<redb::StorageError>("read", Table::Node.name());
    let snapshot = database
        .begin_read()
        .map_err(StorageError::engine("read", WHOLE))?;
    let node = match snapshot.open_table(Table::Node.definition()) {
        Ok(node) => node,
        Err(TableError::TableDoesNotExist(_)) => {
            let mut others = snapshot
                .list_tables()
                .map_err(StorageError::engine("read", WHOLE))?;
            return match others.next() {
                None => Ok(None),
                Some(_) => Err(damaged("it is another program's file")),
            };
        }
        Err(other) => return Err(StorageError::engine("open", Table::Node.name())(other)),
    };
    let row = node.get(FORMAT_KEY).map_err(failed())?;
    let bytes = row.as_ref().map(redb::AccessGuard::value);
    let format = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_be_bytes);
    format
        .map(Some)
        .ok_or_else(|| damaged("it does not say its format"))
}

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged {
        table: WHOLE,
        what: what.into(),
    }
}

/// Makes all tables in one commit with the format that has them, so that a file
/// is of that format or empty and never between.
fn lay_out(database: &Database) -> Result<(), StorageError> {
    let transaction = begin(database)?;
    for table in Table::ALL {
        transaction
            .open_table(table.definition())
            .map_err(StorageError::engine("make", table.name()))?;
    }
    let mut format = TableChanges::default();
    format
        .rows
        .insert(FORMAT_KEY.to_vec(), Some(FORMAT.to_be_bytes().to_vec()));
    write(&transaction, Table::Node, &format)?;
    transaction
        .commit()
        .map_err(StorageError::engine("commit", WHOLE))
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("File")
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

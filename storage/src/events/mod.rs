//! The event store: every Nostr event the relay keeps, in LMDB.
//!
//! LMDB and its indexes come from `nostr-lmdb`. What that crate gets wrong is put right
//! here, so that [`EventStore`] never returns an event that does not answer the question,
//! and never forgets a deletion:
//!
//! - it is asked only questions it answers rightly, for a superset (`plan`), and every
//!   event is checked again with the whole filter (`answer`);
//! - addresses are told apart by us where its index cannot (`address`);
//! - deletions are decided by us, from the deletion events themselves (`deletion`);
//! - what clients of the niche ask for is answered from memory, and so is what was stored
//!   or asked for last, by its id (`memory`);
//! - saves in flight are bounded, and one that failed only because it shared a
//!   transaction with a bad one is saved again.

mod address;
mod answer;
mod author_locks;
mod count;
mod deletion;
mod kept;
mod memory;
mod newest;
mod pages;
mod plan;
mod purge;
mod save;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nostr::event::EventId;
use nostr::key::PublicKey;
use nostr_database::error::Error as DatabaseError;
use nostr_lmdb::NostrLmdb;
use tokio::sync::{Mutex as AsyncMutex, RwLock, Semaphore};

use self::author_locks::AuthorLocks;
pub use self::count::Counted;
pub use self::kept::Kept;
use self::memory::Memory;
pub use self::save::Saved;

/// How the store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventStoreOptions {
    /// Largest size the database file may grow to, in bytes. It is address space, not
    /// memory: a save beyond it fails.
    pub map_size_bytes: usize,
    /// Saves of strangers that may wait for the database at once; further ones wait
    /// before it.
    pub saves_in_flight: usize,
    /// Saves of the node itself that may wait for the database beside them.
    pub own_saves_in_flight: usize,
    /// Memory for the events that the niche asks for, in bytes. A quarter of it is for
    /// other kinds than orders; a kind that finds no room is asked of the database.
    pub live_bytes: usize,
    /// Memory for other events that were stored or asked for last, in bytes.
    pub recent_bytes: usize,
    /// Queries that may read at once, each on its own thread; further ones wait.
    pub reads_at_once: usize,
    /// Whether opening waits until memory holds what it shall; otherwise whoever opened
    /// calls [`EventStore::fill_memory`] when he likes, and the database answers until
    /// then.
    pub fill_at_open: bool,
}

impl Default for EventStoreOptions {
    fn default() -> Self {
        Self {
            map_size_bytes: 32 << 30,
            saves_in_flight: 192,
            own_saves_in_flight: 64,
            live_bytes: 256 << 20,
            recent_bytes: 32 << 20,
            reads_at_once: 16,
            fill_at_open: true,
        }
    }
}

/// What the store could not do, because the disk or the database failed.
///
/// Trying again makes sense once the cause is gone: nothing was half done.
#[derive(Debug, thiserror::Error)]
pub enum EventStoreError {
    /// The database could not be opened.
    #[error("cannot open the event store at {path}: {source}")]
    Open {
        /// The folder of the database.
        path: PathBuf,
        /// What the database said.
        source: DatabaseError,
    },
    /// The event was not saved.
    #[error("cannot save event {id}: {source}")]
    Save {
        /// The event.
        id: EventId,
        /// What the database said.
        source: DatabaseError,
    },
    /// Stored events could not be read.
    #[error("cannot read the event store: {0}")]
    Read(#[source] DatabaseError),
    /// Stored events could not be removed.
    #[error("cannot remove events from the store: {0}")]
    Remove(#[source] DatabaseError),
}

/// Every event the relay keeps.
#[derive(Debug)]
pub struct EventStore {
    db: NostrLmdb,
    lanes: Lanes,
    reads: Semaphore,
    /// Who reads a second with so many events that they must be read at once.
    crowded_seconds: Semaphore,
    /// Held shared by every first attempt to write, alone by a second one.
    shared_batch: RwLock<()>,
    /// Held shared by a save until memory has taken it in, alone by a purge while it
    /// removes: memory must hear of both in the order in which they were done.
    purging: RwLock<()>,
    memory: Memory,
    /// Held by the one who reads the database into memory.
    filling: AsyncMutex<()>,
    authors: AuthorLocks,
    /// Authors of stored deletion events; all others are spared the look-up.
    deleters: Mutex<HashSet<PublicKey>>,
}

/// Who may write to the database at once. Its own queue has no bound and is emptied into
/// one transaction, so what is in these lanes is what a save may have to wait for.
#[derive(Debug)]
struct Lanes {
    strangers: Semaphore,
    own: Semaphore,
}

impl EventStore {
    /// Opens the store in the folder `path`, which is created when missing.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Open`] when the database cannot be opened,
    /// [`EventStoreError::Read`] when what memory is to hold cannot be read.
    pub async fn open(path: &Path, options: EventStoreOptions) -> Result<Self, EventStoreError> {
        let open = |source| EventStoreError::Open {
            path: path.to_owned(),
            source,
        };
        let db = NostrLmdb::builder(path)
            .map_size(options.map_size_bytes)
            .process_nip09(false)
            .process_nip62(false)
            .build()
            .await
            .map_err(open)?;
        let store = Self {
            db,
            lanes: Lanes {
                strangers: Semaphore::new(options.saves_in_flight),
                own: Semaphore::new(options.own_saves_in_flight),
            },
            reads: Semaphore::new(options.reads_at_once),
            crowded_seconds: Semaphore::new(1),
            shared_batch: RwLock::new(()),
            purging: RwLock::new(()),
            memory: Memory::new(options.live_bytes, options.recent_bytes),
            filling: AsyncMutex::new(()),
            authors: AuthorLocks::new(),
            deleters: Mutex::default(),
        };
        store.remember_deleters().await?;
        if options.fill_at_open {
            store.fill_memory().await?;
        }
        Ok(store)
    }
}

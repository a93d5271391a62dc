//! The ledger: every order, hold, payout and promise of the node, in one file.
//!
//! [`Ledger::page`] is the only way to write, and it needs the ledger itself:
//! who does not own it cannot write. Everybody else reads [`View`]s.
//!
//! ```
//! use escrow_core::UnixTime;
//! use storage::ledger::Ledger;
//!
//! let mut ledger = Ledger::in_memory();
//! let views = ledger.views();
//!
//! let mut page = ledger.page()?;
//! let first = page.next_stamp("38383:node:order", UnixTime(100))?;
//! let second = page.next_stamp("38383:node:order", UnixTime(100))?;
//! assert_eq!((first, second), (UnixTime(100), UnixTime(101)));
//! assert_eq!(views.view()?.stamp("38383:node:order")?, None);
//!
//! page.commit()?;
//! assert_eq!(views.view()?.stamp("38383:node:order")?, Some(UnixTime(101)));
//! # Ok::<(), storage::ledger::StorageError>(())
//! ```

mod backlog;
mod books;
mod changes;
mod disputes;
mod ended_takes;
mod error;
mod file;
mod holds;
mod invoices;
mod journal;
mod key;
mod lightning_node;
mod mirrors;
mod node;
mod orders;
mod outbox;
mod page;
mod paths;
mod payouts;
mod record;
mod seen;
mod series;
mod stamps;
mod table;
mod timers;
mod users;
mod view;

use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;

use crate::testing::PowerCutDisk;
use file::{File, Opener};

pub use backlog::BacklogRow;
pub use books::{Latch, Turnover, UnknownPayment};
pub use error::StorageError;
pub use holds::HoldCounts;
pub use journal::{
    BrokenJournal, ChainLink, JournalEntry, SET_ASIDE_LIMIT, SetAside, VerifiedJournal,
};
pub use lightning_node::LightningNode;
pub use mirrors::{Filled, Mirror, MirrorNo};
pub use node::{NodeIdentity, Tip};
pub use outbox::{Lane, OutboxRow, OutboxSeq};
pub use page::Page;
pub use seen::SeenKey;
pub use view::View;

/// The one writer of the ledger file.
#[derive(Debug)]
pub struct Ledger {
    file: Arc<File>,
    opener: Opener,
}

impl Ledger {
    /// Opens the ledger file, or makes an empty one.
    ///
    /// # Errors
    /// `Locked` if another process has it open, `NewerFormat` or `OlderFormat` if
    /// another version of the node wrote it, `Damaged` if it is another kind of file, otherwise what the
    /// disk said.
    pub fn open(path: &Path) -> Result<Ledger, StorageError> {
        Ledger::with_opener(Opener::path(path))
    }

    /// Opens the ledger on storage of the caller's own: a disk that fails on
    /// demand, for instance. Clones of `backend` must share their bytes.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn with_backend<B: StorageBackend + Clone>(backend: B) -> Result<Ledger, StorageError> {
        Ledger::with_opener(Opener::backend(backend))
    }

    /// An empty ledger that is gone when it is dropped.
    ///
    /// # Panics
    /// Never: memory does not fail.
    #[must_use]
    pub fn in_memory() -> Ledger {
        Ledger::with_backend(PowerCutDisk::new()).expect("memory takes what a new ledger writes")
    }

    fn with_opener(opener: Opener) -> Result<Ledger, StorageError> {
        Ok(Ledger {
            file: Arc::new(File::open(&opener)?),
            opener,
        })
    }

    /// Begins a page: nothing of it is on disk, or seen by any view, before
    /// [`Page::commit`] returns. A page that is dropped leaves no trace.
    ///
    /// # Errors
    /// What the disk said.
    pub fn page(&mut self) -> Result<Page<'_>, StorageError> {
        let view = self.file.view()?;
        Ok(Page::new(&self.file, view))
    }

    /// A handle with which others may read.
    #[must_use]
    pub fn views(&self) -> Views {
        Views {
            file: Arc::clone(&self.file),
        }
    }

    /// Closes the file and opens it again, after a commit that failed: only
    /// the disk knows whether that commit happened. Handles to views stay
    /// good; views that are being read end with an error.
    ///
    /// # Errors
    /// As [`Ledger::open`]. The ledger then stays closed, and so do its
    /// views, until this is called again and succeeds.
    pub fn reopen(&mut self) -> Result<(), StorageError> {
        self.file.reopen(&self.opener)
    }
}

/// A handle with which anybody may read the ledger, from any thread.
#[derive(Clone, Debug)]
pub struct Views {
    file: Arc<File>,
}

impl Views {
    /// The ledger as it is after the last commit.
    ///
    /// # Errors
    /// What the disk said; `is_temporary` while the ledger is being reopened.
    pub fn view(&self) -> Result<View, StorageError> {
        self.file.view()
    }
}

#[cfg(test)]
mod tests;

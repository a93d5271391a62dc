//! Reading the racks from the database.

use std::mem;
use std::sync::Arc;

use futures_util::future::{join, try_join_all};
use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use nostr_database::NostrDatabase;

use super::super::answer::write_down;
use super::super::{EventStore, EventStoreError, Kept};
use super::rack::Rack;
use super::{Holding, Memory};

impl EventStore {
    /// Reads into memory what it does not hold, as far as there is room.
    ///
    /// Called once after the store is opened, if opening did not wait for it, and by each
    /// purge: what was given up in between is held again. Reads and writes go on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Read`] or [`EventStoreError::Remove`] when the database fails;
    /// then the kinds that were not read through are asked of the database as before.
    pub async fn fill_memory(&self) -> Result<(), EventStoreError> {
        let _nobody_else = self.filling.lock().await;
        let Some(doubts) = self.memory.doubts_if_it_lacks_something() else {
            return Ok(());
        };
        self.earlier_writes().await?;
        let kinds = self.memory.begin_filling(doubts);
        let filled = kinds.iter().map(|kind| self.fill_rack(*kind));
        try_join_all(filled).await.map(|_| ())
    }

    /// Waits until the database has done every write that it was told before: one that
    /// nobody waits for any more may still be under way.
    async fn earlier_writes(&self) -> Result<(), EventStoreError> {
        let of_nothing = Filter::new().id(EventId::from_byte_array([0; 32]));
        let done = self.db.delete(of_nothing).await;
        done.map_err(EventStoreError::Remove)
    }

    /// Reads one page while the one before is written down.
    async fn fill_rack(&self, kind: Kind) -> Result<(), EventStoreError> {
        let mut pages = self.pages(Filter::new().kind(kind), usize::MAX);
        let mut page = pages.next().await?.into_events();
        while !page.is_empty() {
            let (next, kept) = join(pages.next(), write_down(page)).await;
            if !self.memory.fill(kind, &kept) {
                return Ok(());
            }
            page = next?.into_events();
        }
        self.memory.end_filling(kind);
        Ok(())
    }
}

impl Memory {
    /// Tells how often it has been in doubt, if some kind is not held.
    fn doubts_if_it_lacks_something(&self) -> Option<u64> {
        let book = self.look_up();
        let mut racks = book.racks.values();
        racks
            .any(|holding| holding.whole().is_none())
            .then_some(book.doubts)
    }

    /// Begins to hold the kinds that are not held, unless a new doubt arose. What a read
    /// that failed has left of a kind is begun anew.
    fn begin_filling(&self, doubts: u64) -> Vec<Kind> {
        let mut book = self.write();
        if book.doubts != doubts {
            return Vec::new();
        }
        self.recent().open();
        let mut begun = Vec::new();
        for (kind, holding) in &mut book.racks {
            if holding.whole().is_none() {
                *holding = Holding::Filling {
                    rack: Rack::default(),
                    disturbed: false,
                };
                begun.push(*kind);
            }
        }
        begun
    }

    /// Puts a page on its rack, and tells whether to go on. A kind that cannot be held
    /// makes room for no other.
    fn fill(&self, kind: Kind, page: &[Arc<Kept>]) -> bool {
        let mut book = self.write();
        let Some(Holding::Filling {
            rack,
            disturbed: false,
        }) = book.racks.get_mut(&kind)
        else {
            drop(book);
            self.end_filling(kind);
            return false;
        };
        for kept in page {
            rack.put(kept);
        }
        if book.is_crowded(kind) {
            let given_up = book.racks.get_mut(&kind).map(mem::take);
            drop(book);
            drop(given_up);
            return false;
        }
        true
    }

    fn end_filling(&self, kind: Kind) {
        let mut book = self.write();
        if let Some(holding) = book.racks.get_mut(&kind) {
            *holding = match mem::take(holding) {
                Holding::Filling {
                    rack,
                    disturbed: false,
                }
                | Holding::Whole(rack) => Holding::Whole(rack),
                Holding::Filling { .. } | Holding::Nothing => Holding::Nothing,
            };
        }
    }
}

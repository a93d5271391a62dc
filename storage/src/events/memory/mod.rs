//! What is answered without the disk.
//!
//! All stored events of the kinds the niche asks for lie on racks, one for each kind,
//! newest first (`rack`); others that were stored or asked for last are found by their id
//! (`recent`). Memory never says what the database would not: a write is taken in before
//! it is acknowledged, and what cannot be held or is in doubt is given up, so that the
//! database is asked, until it has been read again (`fill`).

mod fill;
mod list;
mod rack;
mod recent;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use tokio::task::yield_now;

use self::list::{Second, Spot};
use self::rack::{LARGEST_BYTES, Rack};
pub(super) use self::recent::ReadSince;
use self::recent::Recent;
use self::walk::Walk;
use super::Kept;
use super::newest::{Newest, Room};

const ORDER: Kind = Kind::Custom(38_383);

/// The kinds that lie on racks. All are replaceable or addressable.
const KINDS: [u16; 8] = [38_383, 38_384, 38_385, 38_386, 38_389, 0, 10_002, 30_078];

/// Events looked at before others may have their turn.
const LOOKED_AT_ONCE: usize = 1_024;

/// What is kept of the database in memory.
#[derive(Debug)]
pub(super) struct Memory {
    /// Locked before `recent` where both are.
    book: RwLock<Book>,
    recent: Mutex<Recent>,
}

#[derive(Debug)]
struct Book {
    racks: BTreeMap<Kind, Holding>,
    room_bytes: usize,
    doubts: u64,
}

/// How much of a kind is on its rack.
#[derive(Debug, Default)]
enum Holding {
    /// Nothing: the database must be asked.
    #[default]
    Nothing,
    /// All that was stored since the database is being read, and some of what it read.
    Filling {
        rack: Rack,
        /// True when something was removed meanwhile, which may come back from a page
        /// that was read before.
        disturbed: bool,
    },
    /// Every stored event.
    Whole(Rack),
}

/// A write that memory has not taken in.
///
/// Dropped before it is settled, because whoever wrote was dropped himself, it leaves
/// memory in doubt: the database may do the write at any time or never.
#[must_use]
pub(super) struct Unsettled<'a>(Option<&'a Memory>);

impl Unsettled<'_> {
    pub(super) fn settled(mut self) {
        self.0 = None;
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if let Some(memory) = self.0 {
            memory.doubt();
        }
    }
}

impl Memory {
    /// Builds a memory that holds nothing.
    pub(super) fn new(live_bytes: usize, recent_bytes: usize) -> Self {
        let racks = KINDS.map(|kind| (Kind::from_u16(kind), Holding::Nothing));
        Self {
            book: RwLock::new(Book {
                racks: racks.into(),
                room_bytes: live_bytes.min(LARGEST_BYTES),
                doubts: 0,
            }),
            recent: Mutex::new(Recent::new(recent_bytes)),
        }
    }

    /// Tells whether events of this kind lie on a rack, if there is room.
    pub(super) fn has_a_rack(kind: Kind) -> bool {
        KINDS.contains(&kind.as_u16())
    }

    /// To be called before the database is told to write, and settled when memory has
    /// taken in what became of it.
    pub(super) fn write_begins(&self, kind: Kind) -> Unsettled<'_> {
        Unsettled(Self::has_a_rack(kind).then_some(self))
    }

    /// As [`Self::write_begins`], before something is removed.
    pub(super) fn removal_begins(&self) -> Unsettled<'_> {
        Unsettled(Some(self))
    }

    /// Takes in a stored event.
    ///
    /// Events of one address may come in another order than they were stored: the best
    /// version stays.
    pub(super) fn stored(&self, kept: &Arc<Kept>) {
        if Self::has_a_rack(kept.kind) {
            let given_up = self.write().put(kept);
            drop(given_up);
        } else if is_never_replaced(kept.kind) {
            self.recent().put(kept);
        }
    }

    /// Forgets what may have been removed.
    pub(super) fn removed(&self, ids: &[EventId]) {
        for holding in self.write().racks.values_mut() {
            holding.remove(ids);
        }
        self.recent().remove(ids);
    }

    /// Gives up everything: it may differ from the database.
    pub(super) fn doubt(&self) {
        let mut book = self.write();
        book.doubts = book.doubts.wrapping_add(1);
        let given_up: Vec<Holding> = book.racks.values_mut().map(mem::take).collect();
        self.recent().close();
        drop(book);
        drop(given_up);
    }

    /// To be called before the database is read for something to be taken in.
    pub(super) fn read_begins(&self) -> ReadSince {
        self.recent().read_begins()
    }

    /// Takes in an event that was read from the database.
    pub(super) fn read(&self, kept: &Arc<Kept>, since: ReadSince) {
        if is_never_replaced(kept.kind) {
            self.recent().take_in(kept, since);
        }
    }

    /// Finds events by id, and names those it does not know about.
    pub(super) fn find(&self, ids: &[EventId]) -> (Vec<Arc<Kept>>, Vec<EventId>) {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            match self.get(*id) {
                Some(kept) => found.push(kept),
                None => unknown.push(*id),
            }
        }
        (found, unknown)
    }

    /// Finds an event by id.
    pub(super) fn get(&self, id: EventId) -> Option<Arc<Kept>> {
        let on_a_rack = {
            let book = self.look_up();
            let mut whole = book.racks.values().filter_map(Holding::whole);
            whole.find_map(|rack| rack.get(id))
        };
        on_a_rack.or_else(|| self.recent().get(&id))
    }

    /// Finds the newest events that answer a filter, or says that the database must be
    /// asked.
    ///
    /// Only a filter that names kinds, all of them whole, is answered. Others have their
    /// turn in between, so a long answer may lack an event that was replaced meanwhile; whoever
    /// listens, too, hears of its successor.
    pub(super) async fn newest(
        &self,
        filter: &Filter,
        room: Room,
        answers: impl Fn(&Kept) -> bool,
    ) -> Option<Vec<Arc<Kept>>> {
        let mut newest = Newest::new(room);
        let mut from = filter.until.map_or(Second::LAST, Second::of);
        loop {
            let rest = {
                let book = self.look_up();
                let mut walk = book.walk(filter, from)?;
                look_at_some(&mut walk, &answers, &mut newest)
            };
            match rest {
                Some(second) => from = second,
                None => break,
            }
            yield_now().await;
        }
        Some(newest.into_found())
    }

    fn look_up(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects answers until there are enough or many events have been looked at, and then
/// says with which second to go on. It only stops between seconds.
fn look_at_some(
    walk: &mut Walk<'_>,
    answers: impl Fn(&Kept) -> bool,
    newest: &mut Newest,
) -> Option<Second> {
    let (mut looked_at, mut this) = (0, walk.second()?);
    loop {
        let next = walk.second()?;
        if next != this && newest.is_full() {
            return None;
        }
        if next != this && looked_at >= LOOKED_AT_ONCE {
            return Some(next);
        }
        this = next;
        looked_at += 1;
        newest.extend(walk.next().filter(|kept| answers(kept)).cloned());
    }
}

/// Tells whether an event of this kind only leaves the store by its id.
fn is_never_replaced(kind: Kind) -> bool {
    !kind.is_replaceable() && !kind.is_addressable()
}

impl Book {
    /// Puts an event on its rack. Returns what has to be given up to make room, to be
    /// dropped when the lock is free again.
    fn put(&mut self, kept: &Arc<Kept>) -> Vec<Holding> {
        if let Some(rack) = self.racks.get_mut(&kept.kind).and_then(Holding::rack) {
            rack.put(kept);
        }
        let mut given_up = Vec::new();
        while self.is_crowded(kept.kind) {
            let neighbours = self.racks.iter_mut();
            let neighbours = neighbours.filter(|(kind, _)| share_room(**kind, kept.kind));
            let Some((_, largest)) = neighbours.max_by_key(|(_, it)| it.size_bytes()) else {
                break;
            };
            given_up.push(mem::take(largest));
        }
        given_up
    }

    /// Tells whether the kinds that share their room with this one take more than it is.
    ///
    /// Three quarters are for orders alone: their number is bounded by the policy, so
    /// nobody can push them out by means of profiles or lists.
    fn is_crowded(&self, kind: Kind) -> bool {
        let neighbours = self.racks.iter();
        let neighbours = neighbours.filter(|(other, _)| share_room(**other, kind));
        let taken: usize = neighbours.map(|(_, holding)| holding.size_bytes()).sum();
        let quarter = self.room_bytes / 4;
        taken
            > if kind == ORDER {
                self.room_bytes - quarter
            } else {
                quarter
            }
    }

    /// The events that may match a filter, newest first from this second on, if all of
    /// its kinds are whole.
    fn walk(&self, filter: &Filter, from: Second) -> Option<Walk<'_>> {
        let kinds = filter.kinds.as_ref().filter(|kinds| !kinds.is_empty())?;
        let to = filter.since.map_or(Second::FIRST, Second::of);
        let range = Spot::back_in_time(from, to);
        let mut walk = Walk::default();
        for (number, kind) in kinds.iter().enumerate() {
            let rack = self.racks.get(kind)?.whole()?;
            for list in rack.narrowest(filter) {
                walk.add(rack, number, list.range(&range));
            }
        }
        Some(walk)
    }
}

fn share_room(one: Kind, other: Kind) -> bool {
    (one == ORDER) == (other == ORDER)
}

impl Holding {
    fn whole(&self) -> Option<&Rack> {
        match self {
            Self::Whole(rack) => Some(rack),
            Self::Nothing | Self::Filling { .. } => None,
        }
    }

    fn rack(&mut self) -> Option<&mut Rack> {
        match self {
            Self::Whole(rack) | Self::Filling { rack, .. } => Some(rack),
            Self::Nothing => None,
        }
    }

    fn remove(&mut self, ids: &[EventId]) {
        if let Self::Filling { disturbed, .. } = self {
            *disturbed = true;
        }
        if let Some(rack) = self.rack() {
            for id in ids {
                rack.remove(*id);
            }
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Whole(rack) | Self::Filling { rack, .. } => rack.size_bytes(),
            Self::Nothing => 0,
        }
    }
}

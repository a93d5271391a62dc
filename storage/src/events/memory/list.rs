//! Places on a rack, newest first.

use std::collections::BTreeSet;
use std::iter;
use std::ops::RangeInclusive;

use nostr::types::Timestamp;

const CELL_BITS: u32 = 24;

/// The number of cells a place can name.
pub(super) const CELLS: usize = 1 << CELL_BITS;

/// The second in which everything later stands, too.
const LAST_SECOND: u64 = (1 << (u64::BITS - CELL_BITS)) - 1;

/// A cell of a rack, and the second of the event in it: the newest comes first.
///
/// Within one second the order is that of the cells. Whoever reads must take a second as
/// a whole and sort it by the rules. In return a place takes eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot(u64);

impl Spot {
    pub(super) fn new(second: Second, cell: usize) -> Self {
        Self(((LAST_SECOND - second.0) << CELL_BITS) | cell as u64)
    }

    pub(super) fn second(self) -> Second {
        Second(LAST_SECOND - (self.0 >> CELL_BITS))
    }

    pub(super) fn cell(self) -> usize {
        let cell = self.0 % CELLS as u64;
        usize::try_from(cell).expect("a cell is far below the size of memory")
    }

    /// The spots from one second back to another.
    pub(super) fn back_in_time(from: Second, to: Second) -> RangeInclusive<Self> {
        Self::new(from, 0)..=Self::new(to, CELLS - 1)
    }
}

/// A second as spots know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Second(u64);

impl Second {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const LAST: Self = Self(LAST_SECOND);

    pub(super) fn of(time: Timestamp) -> Self {
        Self(time.as_secs().min(LAST_SECOND))
    }
}

/// Places of events that have something in common. It is never empty.
#[derive(Debug)]
pub(super) enum List {
    /// What names are mostly about: an order has its name for itself.
    One(Spot),
    /// Several spots.
    #[expect(
        clippy::box_collection,
        reason = "most lists are of one place, and small"
    )]
    Many(Box<BTreeSet<Spot>>),
}

impl List {
    pub(super) fn insert(&mut self, spot: Spot) {
        match self {
            Self::One(only) if *only == spot => (),
            Self::One(only) => *self = Self::Many(Box::new([*only, spot].into())),
            Self::Many(spots) => {
                spots.insert(spot);
            }
        }
    }

    /// Takes a place off the list, and tells whether nothing is left of the list.
    pub(super) fn remove(&mut self, spot: Spot) -> bool {
        match self {
            Self::One(only) => *only == spot,
            Self::Many(spots) => {
                spots.remove(&spot);
                if let (1, Some(only)) = (spots.len(), spots.first()) {
                    *self = Self::One(*only);
                }
                false
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(spots) => spots.len(),
        }
    }

    /// The spots within a range, newest first.
    pub(super) fn range(
        &self,
        range: &RangeInclusive<Spot>,
    ) -> Box<dyn Iterator<Item = Spot> + '_> {
        match self {
            Self::One(only) => Box::new(iter::once(*only).filter({
                let range = range.clone();
                move |only| range.contains(only)
            })),
            Self::Many(spots) if range.is_empty() => Box::new(spots.range(..).take(0).copied()),
            Self::Many(spots) => Box::new(spots.range(range.clone()).copied()),
        }
    }
}

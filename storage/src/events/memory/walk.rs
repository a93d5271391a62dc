//! Reading several lists of several racks as one, newest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use super::super::Kept;
use super::list::{Second, Spot};
use super::rack::Rack;

/// Spots of one rack, newest first.
struct Source<'a> {
    rack: &'a Rack,
    /// Tells racks apart.
    number: usize,
    spots: Box<dyn Iterator<Item = Spot> + 'a>,
}

/// The events on some lists, newest first, each once; within a second in no order.
#[derive(Default)]
pub(super) struct Walk<'a> {
    /// Those of one rack stand together.
    sources: Vec<Source<'a>>,
    /// The next spot of each source that has one.
    next: BinaryHeap<Reverse<(Spot, usize)>>,
}

impl<'a> Walk<'a> {
    pub(super) fn add(
        &mut self,
        rack: &'a Rack,
        number: usize,
        mut spots: Box<dyn Iterator<Item = Spot> + 'a>,
    ) {
        if let Some(first) = spots.next() {
            self.next.push(Reverse((first, self.sources.len())));
            self.sources.push(Source {
                rack,
                number,
                spots,
            });
        }
    }

    /// The second of the event that comes next.
    pub(super) fn second(&self) -> Option<Second> {
        let Reverse((spot, _)) = self.next.peek()?;
        Some(spot.second())
    }

    /// Takes the next spot of a list, if it is of this event or none is given.
    fn take(&mut self, only: Option<(Spot, usize)>) -> Option<(Spot, &Source<'a>)> {
        let mut next = self.next.peek_mut()?;
        let Reverse((spot, source)) = *next;
        let source = self.sources.get_mut(source)?;
        if only.is_some_and(|only| only != (spot, source.number)) {
            return None;
        }
        match source.spots.next() {
            Some(following) => next.0.0 = following,
            None => drop(PeekMut::pop(next)),
        }
        Some((spot, source))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a Arc<Kept>;

    fn next(&mut self) -> Option<Self::Item> {
        let (spot, source) = self.take(None)?;
        let (rack, this) = (source.rack, (spot, source.number));
        // The lists of one filter may share an event: it comes from one after the other.
        // They all go on, so that what comes next is another event.
        while self.take(Some(this)).is_some() {}
        rack.at(spot)
    }
}

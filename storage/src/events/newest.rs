//! The newest events that answer a filter, as many as there is room for.

use std::sync::Arc;

use super::Kept;

/// How much an answer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Events.
    pub(super) events: usize,
    /// Bytes of JSON; the newest event has room whatever its size.
    pub(super) bytes: usize,
}

/// An answer that grows.
///
/// What it leaves out comes after everything it holds.
#[derive(Debug)]
pub(super) struct Newest {
    room: Room,
    found: Vec<Arc<Kept>>,
    bytes: usize,
    /// The first event that was left out.
    end: Option<Arc<Kept>>,
}

impl Room {
    pub(super) const UNBOUNDED: Self = Self {
        events: usize::MAX,
        bytes: usize::MAX,
    };
}

impl Newest {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            found: Vec::new(),
            bytes: 0,
            end: None,
        }
    }

    /// Takes in events, in any order.
    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = Arc<Kept>>) {
        for kept in events {
            if self.end.as_ref().is_none_or(|end| kept < *end) {
                self.bytes = self.bytes.saturating_add(kept.json().len());
                self.found.push(kept);
            }
        }
    }

    /// Tells whether nothing that comes after all events so far would have room.
    pub(super) fn is_full(&self) -> bool {
        let is_anything = !self.found.is_empty();
        self.found.len() >= self.room.events || (is_anything && self.bytes >= self.room.bytes)
    }

    /// Puts them in order and leaves out what has no room.
    pub(super) fn cut(&mut self) {
        self.found.sort();
        let mut bytes = 0_usize;
        let fits = |(number, kept): &(usize, &Arc<Kept>)| {
            let all = bytes.saturating_add(kept.json().len());
            let fits = *number < self.room.events && (*number == 0 || all <= self.room.bytes);
            if fits {
                bytes = all;
            }
            fits
        };
        let fitting = self.found.iter().enumerate().take_while(fits).count();
        if let Some(end) = self.found.drain(fitting..).next() {
            self.end = Some(end);
        }
        self.bytes = bytes;
    }

    /// The events that have room, in order.
    pub(super) fn into_found(mut self) -> Vec<Arc<Kept>> {
        self.cut();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use nostr::event::{EventBuilder, FinalizeEvent, Kind};
    use nostr::key::Keys;
    use nostr::types::Timestamp;

    use super::*;

    fn note(at: u64, size: usize) -> Arc<Kept> {
        let note = EventBuilder::new(Kind::TextNote, "x".repeat(size))
            .custom_created_at(Timestamp::from(at))
            .finalize(&Keys::generate());
        Kept::of(&note.unwrap())
    }

    #[test]
    fn what_comes_late_never_stands_behind_a_gap() {
        let [newest, large, small] = [note(30, 10), note(20, 5_000), note(10, 10)];
        let room = Room {
            events: 10,
            bytes: 2_000,
        };
        let mut answer = Newest::new(room);
        answer.extend([large, newest.clone()]);
        assert!(answer.is_full());
        answer.cut();
        assert!(
            !answer.is_full(),
            "there is room, but not for what is older"
        );
        answer.extend([small]);
        assert_eq!(answer.into_found(), [newest]);
    }

    #[test]
    fn the_newest_event_has_room_whatever_its_size() {
        let [newest, older] = [note(20, 100), note(10, 10)];
        let mut answer = Newest::new(Room {
            events: 10,
            bytes: 0,
        });
        answer.extend([older, newest.clone()]);
        assert_eq!(answer.into_found(), [newest]);
    }
}

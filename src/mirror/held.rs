//! Messages of one mirror's past that wait until all of it is read.

use std::collections::BTreeMap;
use std::mem;

use nostr::event::{Event, EventId};
use nostr::types::Timestamp;

/// Messages that are held at once.
const MOST: usize = 2_000;

/// Bytes that are held at once. Nobody has looked at them yet, so a stranger
/// may have made each message as large as one can be.
const MOST_BYTES: usize = 4 << 20;

/// What is held, in the order in which it was made.
#[derive(Default)]
pub(super) struct Held {
    /// As JSON, because the size of an event in memory is many times that of
    /// its JSON if it consists of small tags.
    letters: BTreeMap<(Timestamp, EventId), String>,
    bytes: usize,
}

impl Held {
    /// Holds a message with its JSON; a copy takes the place of the one before.
    pub(super) fn put(&mut self, event: &Event, json: String) {
        self.bytes += json.len();
        let before = self.letters.insert((event.created_at, event.id), json);
        self.bytes -= before.map_or(0, |json| json.len());
    }

    /// Whether there is no more room.
    pub(super) fn is_full(&self) -> bool {
        self.letters.len() >= MOST || self.bytes >= MOST_BYTES
    }

    /// Gives all of it away, the oldest first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Event> + use<> {
        let letters = mem::take(self).letters.into_values();
        letters.filter_map(|json| Event::from_json(json).ok())
    }
}

#[cfg(test)]
mod tests {
    use nostr::event::{EventBuilder, FinalizeEvent, Kind};
    use nostr::key::Keys;

    use super::*;

    fn letter(bytes: usize, at: u64) -> Event {
        EventBuilder::new(Kind::GiftWrap, "x".repeat(bytes))
            .custom_created_at(Timestamp::from_secs(at))
            .finalize(&Keys::generate())
            .expect("it is signed")
    }

    fn put(held: &mut Held, event: &Event) {
        held.put(event, event.as_json());
    }

    #[test]
    fn few_large_messages_fill_it_like_many_small_ones() {
        let mut held = Held::default();
        let large = MOST_BYTES / 10;
        for at in 0..9 {
            put(&mut held, &letter(large, at));
        }
        assert!(!held.is_full());
        put(&mut held, &letter(large, 10));
        assert!(held.is_full(), "ten of them are more than it holds");
        assert_eq!(held.take().count(), 10);
        assert!(!held.is_full(), "and all of them have left");

        let mut small = letter(0, 0);
        for number in 0..MOST {
            assert!(!held.is_full(), "{number}");
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            small.id = EventId::from_byte_array(id);
            put(&mut held, &small);
        }
        assert!(held.is_full());
    }

    #[test]
    fn a_copy_takes_no_room_and_the_oldest_leaves_first() {
        let mut held = Held::default();
        let (late, early) = (letter(MOST_BYTES / 3, 20), letter(7, 10));
        for event in [&late, &early, &late, &late, &late] {
            put(&mut held, event);
        }
        assert!(!held.is_full());
        assert_eq!(held.take().collect::<Vec<_>>(), [early, late]);
    }
}

//! The rules of the gate, one file each.

pub(crate) mod addressed_to_us;
pub(crate) mod authentication;
pub(crate) mod expiry;
pub(crate) mod order_book;
pub(crate) mod own_events;
pub(crate) mod proof_of_work;
pub(crate) mod protected;
pub(crate) mod rate;
pub(crate) mod size;

pub use size::MAX_D_TAG_BYTES;

use nostr::event::Event;

/// Kinds that carry a message to one recipient: NIP-17 chat and gift wrap.
const MESSAGE_KINDS: [u16; 2] = [14, 1059];

/// Tells whether the event carries a message to one recipient.
pub(crate) fn is_message(event: &Event) -> bool {
    MESSAGE_KINDS.contains(&event.kind.as_u16())
}

#[cfg(test)]
pub(crate) mod samples {
    //! Events for the tables of the rules.

    use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
    use nostr::key::Keys;
    use nostr::types::Timestamp;

    use crate::Arrival;

    /// The time at which every sample arrives.
    pub(crate) const NOW: u64 = 1_700_000_000;

    pub(crate) fn event(by: &Keys, kind: u16, tags: &[&[&str]]) -> Event {
        event_at(by, kind, tags, NOW)
    }

    pub(crate) fn event_at(by: &Keys, kind: u16, tags: &[&[&str]], created_at: u64) -> Event {
        EventBuilder::new(Kind::from(kind), "content")
            .tags(
                tags.iter()
                    .map(|tag| Tag::parse(tag.iter().copied()).unwrap()),
            )
            .custom_created_at(Timestamp::from(created_at))
            .finalize(by)
            .unwrap()
    }

    pub(crate) fn arrival(event: &Event) -> Arrival<'_> {
        Arrival {
            event,
            size_bytes: 500,
            now: Timestamp::from(NOW),
        }
    }
}

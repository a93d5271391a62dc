//! An event as the store shows it.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::sync::Arc;

use nostr::event::{Event, EventId, Kind};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::PublicKey;
use nostr::types::Timestamp;

/// An event on its way out: its JSON, written once, and what filters ask about.
///
/// Answers, live delivery and everything that is kept in memory share one such copy. It
/// takes a third of the room of an [`Event`], whose every word is a string of its own.
///
/// In an answer it stands newest first, in the same second lowest id first: that is its
/// order.
#[derive(Clone)]
pub struct Kept {
    /// Its id.
    pub id: EventId,
    /// Its author.
    pub author: PublicKey,
    /// Its kind.
    pub kind: Kind,
    /// When its author made it.
    pub created_at: Timestamp,
    /// The second in which it expires (NIP-40).
    pub expires_at: Option<Timestamp>,
    tags: TagValues,
    json: Box<str>,
}

impl Kept {
    /// Writes down an event.
    #[must_use]
    pub fn of(event: &Event) -> Arc<Self> {
        Arc::new(Self {
            id: event.id,
            author: event.pubkey,
            kind: event.kind,
            created_at: event.created_at,
            expires_at: event.tags.expiration(),
            tags: TagValues::of(event),
            json: event.as_json().into(),
        })
    }

    /// The event as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The event itself, read from the JSON.
    ///
    /// # Panics
    ///
    /// Never: an event wrote the JSON.
    #[must_use]
    pub fn event(&self) -> Event {
        Event::from_json(&*self.json).expect("an event reads what it wrote")
    }

    /// The first values of its tags with this letter, in their order.
    pub fn values(&self, letter: SingleLetterTag) -> impl Iterator<Item = &str> {
        self.tags
            .iter()
            .filter(move |(its, _)| *its == letter)
            .map(|(_, value)| value)
    }

    /// Every single-letter tag with its first value, in their order.
    pub fn letters_and_values(&self) -> impl Iterator<Item = (SingleLetterTag, &str)> {
        self.tags.iter()
    }

    /// Tells whether it may no longer be shown at `now`.
    #[must_use]
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        has_passed(self.expires_at, now)
    }

    /// Tells whether it matches every condition of a filter; the limit is none.
    ///
    /// An empty list asks for events that are one of none, so nothing matches it.
    #[must_use]
    pub fn matches(&self, filter: &Filter) -> bool {
        let Filter {
            ids,
            authors,
            kinds,
            search,
            since,
            until,
            limit: _,
            generic_tags,
        } = filter;
        search.is_none()
            && ids.as_ref().is_none_or(|ids| ids.contains(&self.id))
            && kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&self.kind))
            && authors
                .as_ref()
                .is_none_or(|authors| authors.contains(&self.author))
            && since.is_none_or(|since| self.created_at >= since)
            && until.is_none_or(|until| self.created_at <= until)
            && generic_tags
                .iter()
                .all(|(letter, wanted)| self.values(*letter).any(|value| wanted.contains(value)))
    }

    /// The memory it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.json.len() + self.tags.size_bytes()
    }
}

/// Tells whether what expires then has expired at `now`: in that very second it has.
pub(super) fn has_passed(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |it: &Self| (Reverse(it.created_at), it.id);
        place(self).cmp(&place(other))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.json)
    }
}

/// The first values of the single-letter tags of an event, in two pieces of memory.
#[derive(Clone)]
struct TagValues {
    /// Each letter, and where its value ends in `text`.
    ends: Box<[(SingleLetterTag, u32)]>,
    text: Box<str>,
}

impl TagValues {
    fn of(event: &Event) -> Self {
        let (mut ends, mut text) = (Vec::new(), String::new());
        for tag in event.tags.iter() {
            let letter = tag.single_letter_tag();
            let (Some(letter), Some(value)) = (letter, tag.content()) else {
                continue;
            };
            text.push_str(value);
            // An event of four gigabytes does not exist; were there one, the tags beyond
            // would not be found.
            let Ok(end) = u32::try_from(text.len()) else {
                break;
            };
            ends.push((letter, end));
        }
        Self {
            ends: ends.into(),
            text: text.into(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (SingleLetterTag, &str)> {
        let mut begin = 0;
        self.ends.iter().map(move |(letter, end)| {
            let end = *end as usize;
            let value = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            (*letter, value)
        })
    }

    fn size_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nostr::event::{EventBuilder, FinalizeEvent, Tag};
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn what_is_kept_of_an_event_answers_as_the_event_does() {
        let author = Keys::generate();
        let tag = |parts: &[&str]| Tag::parse(parts.iter().copied()).unwrap();
        let event = EventBuilder::new(Kind::from(38_383), "text with \"quotes\"")
            .tags([
                tag(&["d", "an order"]),
                tag(&["k", "buy", "sell"]),
                tag(&["pm", "cash"]),
                tag(&["k", "later"]),
                tag(&["y", ""]),
                tag(&["z"]),
                tag(&["expiration", "2000"]),
            ])
            .custom_created_at(Timestamp::from(1_000))
            .finalize(&author)
            .unwrap();
        let kept = Kept::of(&event);
        assert_eq!(kept.event(), event);
        assert!(!kept.is_expired_at(1_999.into()) && kept.is_expired_at(2_000.into()));
        let values: Vec<_> = kept.values(SingleLetterTag::LOWERCASE_K).collect();
        assert_eq!(values, ["buy", "later"]);

        let any = Filter::new;
        let by = |letter, value: &str| any().custom_tag(letter, value);
        let table = [
            (any(), true),
            (any().id(event.id), true),
            (any().id(EventId::from_byte_array([0; 32])), false),
            (any().author(author.public_key()).kind(event.kind), true),
            (any().author(Keys::generate().public_key()), false),
            (any().since(1_000.into()).until(1_000.into()), true),
            (any().since(1_001.into()), false),
            (any().until(999.into()), false),
            (any().limit(0), true),
            (any().identifier("an order"), true),
            (by(SingleLetterTag::LOWERCASE_K, "later"), true),
            (by(SingleLetterTag::LOWERCASE_K, "sell"), false),
            (by(SingleLetterTag::LOWERCASE_Y, ""), true),
            (by(SingleLetterTag::UPPERCASE_K, "buy"), false),
            (by(SingleLetterTag::LOWERCASE_Z, ""), false),
            (any().search("text"), false),
            (
                Filter {
                    kinds: Some(BTreeSet::new()),
                    ..any()
                },
                false,
            ),
        ];
        for (filter, expected) in table {
            assert_eq!(kept.matches(&filter), expected, "{filter:?}");
        }
    }
}

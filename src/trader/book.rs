//! The order book as a trader sees it.

use std::collections::BTreeMap;

use escrow_core::wire::BookStatus;
use nostr::event::Event;
use uuid::Uuid;

/// Every revision of every order that came over the line, in order of arrival.
#[derive(Debug, Default)]
pub struct Book {
    orders: BTreeMap<Uuid, Vec<Event>>,
}

impl Book {
    /// All revisions of an order that were seen; empty if it never was.
    #[must_use]
    pub fn revisions(&self, order: Uuid) -> &[Event] {
        self.orders.get(&order).map_or(&[], Vec::as_slice)
    }

    /// What the newest revision says.
    #[must_use]
    pub fn status(&self, order: Uuid) -> Option<BookStatus> {
        let newest = self.revisions(order).iter().max_by_key(|e| e.created_at)?;
        BookStatus::parse(tag(newest, "s")?)
    }

    /// Every order that was seen.
    pub fn orders(&self) -> impl Iterator<Item = Uuid> {
        self.orders.keys().copied()
    }

    /// The orders that can be taken.
    pub fn pending(&self) -> impl Iterator<Item = Uuid> {
        self.orders
            .keys()
            .copied()
            .filter(|order| self.status(*order) == Some(BookStatus::Pending))
    }

    /// Takes in a revision; events that name no order are not part of the book.
    pub(super) fn note(&mut self, event: Event) {
        let Some(Ok(order)) = tag(&event, "d").map(Uuid::parse_str) else {
            return;
        };
        let revisions = self.orders.entry(order).or_default();
        if !revisions.iter().any(|known| known.id == event.id) {
            revisions.push(event);
        }
    }

    pub(super) fn forget(&mut self, order: Uuid) {
        self.orders.remove(&order);
    }
}

/// The first value of a tag.
pub(super) fn tag<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    event.tags.iter().find_map(|tag| match tag.as_slice() {
        [key, value, ..] if key == name => Some(value.as_str()),
        _ => None,
    })
}

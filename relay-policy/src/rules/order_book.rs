//! Room in the order book for strangers.
//!
//! The relay carries the orders of any Mostro that signs them, but one key must not fill
//! the book: the addresses it keeps alive are counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nostr::event::Event;
use nostr::key::PublicKey;
use nostr::types::Timestamp;

use super::expiry::has_passed;
use crate::gate::GateTerms;
use crate::{Arrival, Prefix, Refusal};

/// Kind of an order event.
const ORDER: u16 = 38_383;

/// The live order addresses of everybody but the node.
#[derive(Debug, Default)]
pub(crate) struct OrderBook {
    shelves: Mutex<Shelves>,
}

/// `d` tag → the second in which the address is free again, if there is one.
type Shelf = HashMap<String, Option<Timestamp>>;

#[derive(Debug, Default)]
struct Shelves {
    by_author: HashMap<PublicKey, Shelf>,
    total: usize,
}

/// What the book is told of an order event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderHead<'a> {
    /// Its author.
    pub author: PublicKey,
    /// Its `d` tag; empty when it has none.
    pub name: &'a str,
    /// When it frees its place (NIP-40).
    pub expires_at: Option<Timestamp>,
}

impl OrderBook {
    /// Counts an order that is stored already.
    pub(crate) fn remember(&self, order: OrderHead<'_>) {
        self.shelves
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(order);
    }

    /// Finds room for an order, or refuses it.
    pub(crate) fn check(&self, arrival: Arrival<'_>, terms: &GateTerms) -> Result<(), Refusal> {
        if arrival.event.kind.as_u16() != ORDER {
            return Ok(());
        }
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let order = OrderHead::of(arrival.event);
        if !shelves.holds(order) {
            shelves.make_room(&order.author, arrival.now, terms)?;
        }
        shelves.put(order);
        Ok(())
    }
}

impl Shelves {
    fn holds(&self, order: OrderHead<'_>) -> bool {
        self.by_author
            .get(&order.author)
            .is_some_and(|shelf| shelf.contains_key(order.name))
    }

    fn put(&mut self, order: OrderHead<'_>) {
        // An order without expiration holds its place for as long as the process lives.
        let held = self.by_author.entry(order.author).or_default();
        let before = held.insert(order.name.to_owned(), order.expires_at);
        if before.is_none() {
            self.total = self.total.saturating_add(1);
        }
    }

    fn make_room(
        &mut self,
        author: &PublicKey,
        now: Timestamp,
        terms: &GateTerms,
    ) -> Result<(), Refusal> {
        let full = |shelves: &Self| {
            shelves.by_author.get(author).map_or(0, Shelf::len) >= terms.orders_per_key
        };
        if full(self) || self.total >= terms.orders_of_strangers {
            self.clear_expired(now);
        }
        if full(self) {
            let quota = terms.orders_per_key;
            return Err(Refusal::new(
                Prefix::RateLimited,
                format!("this key has {quota} live orders, the most that are carried"),
            ));
        }
        if self.total >= terms.orders_of_strangers {
            return Err(Refusal::new(Prefix::RateLimited, "the order book is full"));
        }
        Ok(())
    }

    fn clear_expired(&mut self, now: Timestamp) {
        self.by_author.retain(|_, shelf| {
            shelf.retain(|_, expires_at| !has_passed(*expires_at, now));
            !shelf.is_empty()
        });
        self.total = self.by_author.values().map(Shelf::len).sum();
    }
}

impl<'a> OrderHead<'a> {
    fn of(order: &'a Event) -> Self {
        let mut tags = order.tags.iter();
        let name = tags.find(|tag| tag.kind() == "d");
        Self {
            author: order.pubkey,
            name: name.and_then(|tag| tag.content()).unwrap_or_default(),
            expires_at: order.tags.expiration(),
        }
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::{NOW, arrival, event};

    fn terms(orders_per_key: usize, orders_of_strangers: usize) -> GateTerms {
        GateTerms {
            orders_per_key,
            orders_of_strangers,
            ..GateTerms::default()
        }
    }

    fn order(by: &Keys, name: &str, expires: u64) -> Event {
        event(
            by,
            ORDER,
            &[&["d", name], &["expiration", &expires.to_string()]],
        )
    }

    #[test]
    fn a_key_keeps_its_quota_of_live_addresses() {
        let (alice, bob) = (Keys::generate(), Keys::generate());
        let (book, terms) = (OrderBook::default(), terms(2, 100));
        let mut now = Timestamp::from(NOW);
        let mut carried = |event: &Event, at: u64| {
            now = Timestamp::from(at);
            book.check(
                Arrival {
                    now,
                    ..arrival(event)
                },
                &terms,
            )
            .is_ok()
        };
        assert!(carried(&order(&alice, "a", NOW + 10), NOW));
        assert!(carried(&order(&alice, "b", NOW + 99), NOW));
        assert!(
            carried(&order(&alice, "a", NOW + 20), NOW),
            "a new version takes no room"
        );
        assert!(
            !carried(&order(&alice, "c", NOW + 99), NOW),
            "the quota is used up"
        );
        assert!(
            carried(&order(&bob, "c", NOW + 99), NOW),
            "others have their own quota"
        );
        assert!(
            carried(&event(&alice, 1, &[&["d", "x"]]), NOW),
            "only orders are counted"
        );
        assert!(
            !carried(&order(&alice, "c", NOW + 99), NOW + 19),
            "its last second is not over"
        );
        assert!(
            carried(&order(&alice, "c", NOW + 99), NOW + 20),
            "an expired order frees room"
        );
    }

    #[test]
    fn the_whole_book_is_bounded_and_counts_what_is_stored() {
        let (alice, bob) = (Keys::generate(), Keys::generate());
        let (book, terms) = (OrderBook::default(), terms(10, 2));
        book.remember(OrderHead::of(&order(&alice, "stored", NOW + 10)));
        assert!(
            book.check(arrival(&order(&bob, "a", NOW + 10)), &terms)
                .is_ok()
        );
        assert!(
            book.check(arrival(&order(&bob, "b", NOW + 10)), &terms)
                .is_err()
        );
    }
}

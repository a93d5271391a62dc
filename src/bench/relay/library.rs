//! Stored events to ask for: a Mostro's book and notices, its letters to
//! traders, and their chats. What a filter must find is known beforehand.

use std::time::Duration;

use anyhow::ensure;
use nostr::event::{Event, EventId};
use nostr::filter::{Filter, MatchEventOptions};
use nostr::key::{Keys, PublicKey};
use serde_json::Value;

use super::load::{self, Pace};
use super::stock::{self, Author, Draft, order_id};

/// People of each sort, and messages that each of them has.
const PEOPLE: usize = 20;
const MESSAGES_EACH: u64 = 20;

/// Disputes of the Mostro.
const DISPUTES: u64 = 50;

/// Publishing the library may take so long.
const FILLING_TIME: Duration = Duration::from_secs(300);

/// Events on a relay, no two of them of the same second.
pub(super) struct Library {
    /// All of them, newest first.
    events: Vec<Event>,
    /// The key of the Mostro.
    pub(super) node: PublicKey,
    /// Trade keys, to which the Mostro has written in both ways.
    pub(super) traders: Vec<PublicKey>,
    /// Keys that have written to each other by kind 14.
    pub(super) chatters: Vec<PublicKey>,
    /// Orders of the Mostro.
    pub(super) orders: u64,
}

impl Library {
    /// Publishes a library with so many orders.
    ///
    /// # Errors
    /// If the relay does not take all of it.
    pub(super) async fn fill(url: &str, orders: u64, now: u64) -> anyhow::Result<Library> {
        let (drafts, mut library) = Library::draft(orders, now);
        let parcels = stock::sign(drafts).await?;
        let mut events: Vec<_> = parcels.iter().map(|parcel| parcel.event.clone()).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.created_at));
        library.events = events;
        let pace = Pace {
            window: 64,
            limit: FILLING_TIME,
        };
        let published = load::publish(url, load::deal(parcels, 8), pace).await?;
        let (sent, all) = (published.count(), library.events.len());
        ensure!(
            sent == all,
            "only {sent} of {all} events could be published"
        );
        Ok(library)
    }

    /// What these filters must find, each newest first; an event that two of
    /// them match comes once.
    pub(super) fn found_by(&self, filters: &[Value]) -> anyhow::Result<Vec<EventId>> {
        let mut found = Vec::new();
        for filter in filters {
            let filter: Filter = serde_json::from_value(filter.clone())?;
            let matching = self.events.iter();
            let matching = matching
                .filter(|event| filter.match_event(event, MatchEventOptions::new()))
                .take(filter.limit.unwrap_or(usize::MAX));
            for event in matching {
                if !found.contains(&event.id) {
                    found.push(event.id);
                }
            }
        }
        Ok(found)
    }

    /// The ids of some orders.
    pub(super) fn some_orders(&self, count: usize) -> Vec<String> {
        let orders = self.events.iter();
        let orders = orders.filter(|event| event.kind.as_u16() == 38_383);
        let apart = usize::try_from(self.orders).unwrap_or_default() / count.max(1);
        let some = orders.step_by(apart.max(1)).take(count);
        some.map(|event| event.id.to_hex()).collect()
    }

    /// The `d` tag of an order in the middle of the book.
    pub(super) fn an_order(&self) -> String {
        order_id(self.node, self.orders / 2)
    }

    fn draft(orders: u64, now: u64) -> (Vec<Draft>, Library) {
        let node = Keys::generate();
        let people = || (0..PEOPLE).map(|_| Keys::generate()).collect::<Vec<_>>();
        let (traders, chatters) = (people(), people());
        let mut drafts = Vec::new();
        for address in 0..orders {
            drafts.push(Draft::order(&node, address, now));
        }
        drafts.extend(Draft::notices(&node, DISPUTES, now));
        for number in 0..MESSAGES_EACH {
            let neighbours = chatters.iter().skip(1).chain(&chatters);
            for ((trader, chatter), neighbour) in traders.iter().zip(&chatters).zip(neighbours) {
                let trader = trader.public_key();
                drafts.push(Draft::gift_wrap(number, trader, now));
                let author = Author::Known(node.clone());
                drafts.push(Draft::direct(author, number, trader, now));
                let author = Author::Known(chatter.clone());
                drafts.push(Draft::direct(author, number, neighbour.public_key(), now));
            }
        }
        // Neither the kinds nor the people come in blocks of time.
        let all = drafts.len() as u64;
        let stride = (all / 7..=all)
            .find(|stride| coprime(*stride, all))
            .unwrap_or(1);
        for (place, draft) in (0..).zip(&mut drafts) {
            draft.created_at = now - all + place * stride % all;
        }
        let public = |people: &[Keys]| people.iter().map(Keys::public_key).collect();
        let library = Library {
            events: Vec::new(),
            node: node.public_key(),
            traders: public(&traders),
            chatters: public(&chatters),
            orders,
        };
        (drafts, library)
    }
}

fn coprime(a: u64, b: u64) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}

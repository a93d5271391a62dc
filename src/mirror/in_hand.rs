//! The messages of one mirror that are being decided.
//!
//! A message that names a Lightning address waits until that was asked, and the
//! address may be slow on purpose. So several messages are in hand at once, and
//! only those of one author wait for each other (rule G19).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nostr::event::Event;
use nostr::key::PublicKey;
use tokio::time::Instant;

/// Messages in hand at once, with those that wait for another of their author.
/// Beyond, the mirror waits.
const MOST: usize = 256;

/// Messages of one author that wait for each other: a trade key has no more to
/// say at once, and nobody shall fill the hand with one slow address.
const MOST_WAITING: usize = 32;

type Deciding = Pin<Box<dyn Future<Output = Ticket> + Send>>;

/// Counts the messages as they come.
type Ticket = u64;

/// What decides one message.
pub(super) trait Decides {
    fn decide(&self, event: Event) -> impl Future<Output = ()> + Send + 'static;
}

/// The messages in hand.
pub(super) struct InHand<D> {
    decides: D,
    running: FuturesUnordered<Deciding>,
    /// Who wrote each, and since when it is here.
    came: BTreeMap<Ticket, (PublicKey, Instant)>,
    /// Authors of whom a message is being decided, and their next ones.
    waiting: HashMap<PublicKey, VecDeque<(Ticket, Event)>>,
    next: Ticket,
}

impl<D: Decides> InHand<D> {
    pub(super) fn new(decides: D) -> InHand<D> {
        InHand {
            decides,
            running: FuturesUnordered::new(),
            came: BTreeMap::new(),
            waiting: HashMap::new(),
            next: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.came.len() < MOST
    }

    /// Since when the oldest is here; none if nothing is.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.came.first_key_value().map(|(_, (_, at))| *at)
    }

    /// Takes a message in hand; returns at once if there is room. What is too
    /// much of one author is left until the mirror is read again.
    pub(super) async fn take(&mut self, event: Event) {
        while !self.has_room() {
            self.one_is_decided().await;
        }
        let ticket = self.next;
        let author = event.pubkey;
        match self.waiting.get_mut(&author) {
            Some(queue) if queue.len() >= MOST_WAITING => {
                tracing::debug!(id = %event.id, "a message from a mirror is left for later");
                return;
            }
            Some(queue) => queue.push_back((ticket, event)),
            None => {
                self.waiting.insert(author, VecDeque::new());
                self.begin(ticket, event);
            }
        }
        self.next += 1;
        self.came.insert(ticket, (author, Instant::now()));
    }

    /// Returns when these and all that were in hand are decided.
    pub(super) async fn all(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.take(event).await;
        }
        while !self.came.is_empty() {
            self.one_is_decided().await;
        }
    }

    /// Returns when one is decided, or nothing is in hand. May be dropped at
    /// any time.
    pub(super) async fn one_is_decided(&mut self) {
        let Some(ticket) = self.running.next().await else {
            return;
        };
        let Some((author, _)) = self.came.remove(&ticket) else {
            return;
        };
        match self.waiting.get_mut(&author).and_then(VecDeque::pop_front) {
            Some((ticket, event)) => self.begin(ticket, event),
            None => drop(self.waiting.remove(&author)),
        }
    }

    fn begin(&mut self, ticket: Ticket, event: Event) {
        let deciding = self.decides.decide(event);
        self.running.push(Box::pin(async move {
            deciding.await;
            ticket
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use nostr::event::{EventBuilder, FinalizeEvent, Kind};
    use nostr::key::Keys;
    use tokio::sync::Notify;

    use super::*;

    /// Notes what is begun and decided; "slow" waits until it is let go.
    #[derive(Clone, Default)]
    struct Desk {
        told: Arc<Mutex<Vec<String>>>,
        slow: Arc<Notify>,
    }

    impl Decides for Desk {
        fn decide(&self, event: Event) -> impl Future<Output = ()> + Send + 'static {
            let desk = self.clone();
            async move {
                if event.content.starts_with("slow") {
                    desk.slow.notified().await;
                }
                desk.told
                    .lock()
                    .expect("no test panics with it")
                    .push(event.content);
            }
        }
    }

    fn letter(keys: &Keys, text: &str) -> Event {
        EventBuilder::new(Kind::TextNote, text)
            .finalize(keys)
            .expect("it is signed")
    }

    fn told(desk: &Desk) -> Vec<String> {
        desk.told.lock().expect("no test panics with it").clone()
    }

    #[tokio::test]
    async fn g19_a_slow_address_delays_its_author_only() {
        let (mallory, bob) = (Keys::generate(), Keys::generate());
        let desk = Desk::default();
        let mut hand = InHand::new(desk.clone());
        for (keys, text) in [(&mallory, "slow"), (&mallory, "after it"), (&bob, "bob's")] {
            hand.take(letter(keys, text)).await;
        }
        hand.one_is_decided().await;
        assert_eq!(told(&desk), ["bob's"]);
        assert!(hand.oldest().is_some(), "mallory's first is here");
        for _ in 1..=MOST_WAITING {
            hand.take(letter(&mallory, "too much")).await;
        }
        desk.slow.notify_one();
        hand.all([]).await;
        assert_eq!(told(&desk)[..3], ["bob's", "slow", "after it"]);
        assert_eq!(told(&desk).len(), 1 + 1 + MOST_WAITING, "one was left");
        assert_eq!((hand.oldest(), hand.waiting.len()), (None, 0));
    }

    #[tokio::test]
    async fn no_more_than_so_many_are_in_hand() {
        let mallory = Keys::generate();
        let desk = Desk::default();
        let mut hand = InHand::new(desk.clone());
        hand.take(letter(&mallory, "slow")).await;
        for _ in 1..MOST {
            assert!(hand.has_room());
            hand.take(letter(&Keys::generate(), "quick")).await;
        }
        assert!(!hand.has_room());
        hand.take(letter(&Keys::generate(), "one too many")).await;
        assert!(!told(&desk).is_empty(), "another had to make room for it");
    }
}

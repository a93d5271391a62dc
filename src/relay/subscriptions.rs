//! Who wants to see what as it happens.
//!
//! Sessions know subscriptions by this type alone, and an event knows nobody: how the
//! subscriptions that an event may answer are found is decided here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::types::Timestamp;
use relay_policy::Session;
use storage::events::Kept;

use super::outgoing::Outgoing;
use super::visibility::Visibility;
use super::words;

/// Every open subscription of every connection.
pub(super) struct Subscriptions {
    visibility: Visibility,
    readers: RwLock<HashMap<u64, Arc<Reader>>>,
    on_their_way: Mutex<HashMap<EventId, usize>>,
}

/// One connection, as far as subscriptions care.
#[derive(Debug)]
pub(super) struct Reader {
    session: Session,
    outgoing: Arc<Outgoing>,
    held_bytes_cap: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_name: HashMap<String, Subscription>,
    opened: u64,
}

#[derive(Debug)]
struct Subscription {
    filters: Vec<Filter>,
    number: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The stored part is being read; live events wait until it has been sent.
    Reading {
        held: Vec<Arc<Kept>>,
        held_bytes: usize,
    },
    /// Live events are sent as they come, but for these, which the stored part contained.
    Live { already_sent: HashSet<EventId> },
}

/// A subscription whose stored part is still to be sent.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) name: String,
    pub(super) filters: Vec<Filter>,
    number: u64,
}

/// The connection has as many subscriptions as it may have.
#[derive(Debug)]
pub(super) struct TooMany;

impl Subscriptions {
    pub(super) fn new(visibility: Visibility) -> Self {
        Self {
            visibility,
            readers: RwLock::new(HashMap::new()),
            on_their_way: Mutex::new(HashMap::new()),
        }
    }

    /// Adds a connection that has no subscription yet, for as long as the guard lives.
    pub(super) fn join(
        self: &Arc<Self>,
        session: Session,
        outgoing: Arc<Outgoing>,
        held_bytes_cap: usize,
    ) -> Joined {
        let id = session.id;
        let open = Mutex::default();
        let reader = Arc::new(Reader {
            session,
            outgoing,
            held_bytes_cap,
            open,
        });
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        readers.insert(id, reader.clone());
        Joined {
            reader,
            subscriptions: self.clone(),
        }
    }

    /// Notes that an event may be stored before it is delivered.
    ///
    /// To be called before the event is saved; the mark is held until it is delivered.
    pub(super) fn set_out(self: &Arc<Self>, id: EventId) -> OnItsWay {
        let mut on_their_way = self
            .on_their_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let marks = on_their_way.entry(id).or_default();
        *marks = marks.saturating_add(1);
        OnItsWay {
            id,
            subscriptions: self.clone(),
        }
    }

    /// Sends an event to everybody who wants it and may see it.
    pub(super) fn deliver(&self, kept: &Arc<Kept>, now: Timestamp) {
        let readers: Vec<Arc<Reader>> = {
            let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
            readers.values().cloned().collect()
        };
        for reader in readers {
            reader.receive(kept, |filter| {
                self.visibility.shows(&reader.session, filter, kept, now)
            });
        }
    }

    /// Ends the stored part of a subscription: `EOSE`, then what came meanwhile, then live.
    ///
    /// No event is missed, because the subscription was open before the store was read.
    /// None is shown twice, because an event that the store returned is either already
    /// held here, or delivered before the subscription opened, or still on its way; the
    /// last are remembered until they come by.
    pub(super) fn go_live(&self, reader: &Reader, ticket: &Ticket, sent: &HashSet<EventId>) {
        let mut open = reader.lock();
        let Some(subscription) = open.current(ticket) else {
            return;
        };
        reader.outgoing.push_live(words::eose(&ticket.name));
        let already_sent = self.still_to_come(sent);
        let before = std::mem::replace(&mut subscription.phase, Phase::Live { already_sent });
        if let Phase::Reading { held, .. } = before {
            for kept in held.iter().filter(|kept| !sent.contains(&kept.id)) {
                reader
                    .outgoing
                    .push_live(words::event(&ticket.name, kept.json()));
            }
        }
    }

    fn still_to_come(&self, sent: &HashSet<EventId>) -> HashSet<EventId> {
        let on_their_way = self
            .on_their_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        on_their_way
            .keys()
            .filter(|id| sent.contains(*id))
            .copied()
            .collect()
    }
}

impl Reader {
    /// Opens a subscription, in place of one with the same name.
    pub(super) fn open(
        &self,
        name: String,
        filters: Vec<Filter>,
        most: usize,
    ) -> Result<Ticket, TooMany> {
        let mut open = self.lock();
        if open.by_name.len() >= most && !open.by_name.contains_key(&name) {
            return Err(TooMany);
        }
        open.opened = open.opened.saturating_add(1);
        let number = open.opened;
        let phase = Phase::Reading {
            held: Vec::new(),
            held_bytes: 0,
        };
        let subscription = Subscription {
            filters: filters.clone(),
            number,
            phase,
        };
        open.by_name.insert(name.clone(), subscription);
        Ok(Ticket {
            name,
            filters,
            number,
        })
    }

    /// Closes the subscription with this name, if there is one.
    pub(super) fn close(&self, name: &str) {
        self.lock().by_name.remove(name);
    }

    /// Tells whether the subscription is neither closed nor replaced.
    pub(super) fn is_open(&self, ticket: &Ticket) -> bool {
        self.lock().current(ticket).is_some()
    }

    /// Closes this very subscription, and tells whether it was still open.
    pub(super) fn give_up(&self, ticket: &Ticket) -> bool {
        let mut open = self.lock();
        let was_open = open.current(ticket).is_some();
        if was_open {
            open.by_name.remove(&ticket.name);
        }
        was_open
    }

    fn receive(&self, kept: &Arc<Kept>, shows: impl Fn(&Filter) -> bool) {
        let mut open = self.lock();
        for (name, subscription) in &mut open.by_name {
            if !subscription.filters.iter().any(&shows) {
                continue;
            }
            match &mut subscription.phase {
                Phase::Reading { held, held_bytes } => {
                    *held_bytes = held_bytes.saturating_add(kept.json().len());
                    if *held_bytes > self.held_bytes_cap {
                        return self.outgoing.overflow();
                    }
                    held.push(kept.clone());
                }
                Phase::Live { already_sent } => {
                    if !already_sent.remove(&kept.id) {
                        self.outgoing.push_live(words::event(name, kept.json()));
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn current(&mut self, ticket: &Ticket) -> Option<&mut Subscription> {
        self.by_name
            .get_mut(&ticket.name)
            .filter(|it| it.number == ticket.number)
    }
}

/// The presence of one connection; ends with its subscriptions when dropped.
pub(super) struct Joined {
    pub(super) reader: Arc<Reader>,
    subscriptions: Arc<Subscriptions>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut readers = self
            .subscriptions
            .readers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        readers.remove(&self.reader.session.id);
    }
}

/// Marks an event as perhaps stored and not yet delivered.
pub(super) struct OnItsWay {
    id: EventId,
    subscriptions: Arc<Subscriptions>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut on_their_way = self
            .subscriptions
            .on_their_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(marks) = on_their_way.get_mut(&self.id) {
            *marks = marks.saturating_sub(1);
            if *marks == 0 {
                on_their_way.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nostr::event::{EventBuilder, FinalizeEvent, Kind};
    use nostr::key::Keys;
    use relay_policy::Reading;

    use super::*;
    use crate::relay::outgoing::Next;

    fn subscriptions() -> (Arc<Subscriptions>, Joined) {
        let policy = Arc::new(Reading::new(Keys::generate().public_key()));
        let subscriptions = Arc::new(Subscriptions::new(Visibility::new(policy)));
        let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
        let joined = subscriptions.join(session, Arc::new(Outgoing::new(1_000_000)), 1_000_000);
        (subscriptions, joined)
    }

    fn note(text: &str) -> Arc<Kept> {
        let draft = EventBuilder::new(Kind::TextNote, text);
        Kept::of(&draft.finalize(&Keys::generate()).unwrap())
    }

    fn deliver(subscriptions: &Subscriptions, kept: &Arc<Kept>) {
        subscriptions.deliver(kept, kept.created_at);
    }

    async fn sent(joined: &Joined) -> Vec<String> {
        let Next::Send(frames) = joined.reader.outgoing.next().await else {
            panic!("the connection closes")
        };
        frames.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn what_came_during_the_stored_part_follows_it_without_repetition() {
        let (subscriptions, joined) = subscriptions();
        let (stored, fresh) = (note("read from the store as well"), note("too late for it"));
        let ticket = joined
            .reader
            .open("a".to_owned(), vec![Filter::new()], 1)
            .unwrap();
        deliver(&subscriptions, &stored);
        deliver(&subscriptions, &fresh);
        subscriptions.go_live(&joined.reader, &ticket, &HashSet::from([stored.id]));
        let expected = [words::eose("a"), words::event("a", fresh.json())];
        assert_eq!(sent(&joined).await, expected);
    }

    #[tokio::test]
    async fn an_event_that_was_read_before_it_is_delivered_is_not_shown_again() {
        let (subscriptions, joined) = subscriptions();
        let (early, next) = (note("stored, not yet delivered"), note("another"));
        let on_its_way = subscriptions.set_out(early.id);
        drop(subscriptions.set_out(early.id));
        let ticket = joined
            .reader
            .open("a".to_owned(), vec![Filter::new()], 1)
            .unwrap();
        subscriptions.go_live(&joined.reader, &ticket, &HashSet::from([early.id]));
        deliver(&subscriptions, &early);
        drop(on_its_way);
        deliver(&subscriptions, &next);
        let expected = [words::eose("a"), words::event("a", next.json())];
        assert_eq!(sent(&joined).await, expected);
        assert!(subscriptions.on_their_way.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_subscription_that_was_replaced_does_not_go_live() {
        let (subscriptions, joined) = subscriptions();
        let open = || {
            joined
                .reader
                .open("a".to_owned(), vec![Filter::new()], 1)
                .unwrap()
        };
        let (first, second) = (open(), open());
        subscriptions.go_live(&joined.reader, &first, &HashSet::new());
        assert!(!joined.reader.is_open(&first) && !joined.reader.give_up(&first));
        subscriptions.go_live(&joined.reader, &second, &HashSet::new());
        assert_eq!(sent(&joined).await, [words::eose("a")]);
        assert!(
            joined
                .reader
                .open("b".to_owned(), vec![Filter::new()], 1)
                .is_err()
        );
        assert!(joined.reader.give_up(&second));
        assert!(
            joined
                .reader
                .open("b".to_owned(), vec![Filter::new()], 1)
                .is_ok()
        );
    }

    #[tokio::test]
    async fn who_has_left_is_not_visited() {
        let (subscriptions, joined) = subscriptions();
        let reader = joined.reader.clone();
        reader.open("a".to_owned(), vec![Filter::new()], 1).unwrap();
        drop(joined);
        let late = note("too late");
        deliver(&subscriptions, &late);
        assert_eq!(Arc::strong_count(&late), 1, "nobody holds it");
    }
}

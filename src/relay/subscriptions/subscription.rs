//! One open subscription.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::types::Timestamp;
use relay_policy::Session;
use storage::events::Kept;

use super::index::{Place, values_in};
use super::on_their_way::OnTheirWay;
use crate::relay::frame::Frame;
use crate::relay::outgoing::Outgoing;
use crate::relay::visibility::Visibility;
use crate::relay::words;

/// Who hears what his subscriptions receive.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) session: Session,
    pub(super) outgoing: Arc<Outgoing>,
    /// Bytes of live events that one subscription may hold while its stored part is sent.
    pub(super) held_bytes_cap: usize,
}

/// The filters of one `REQ`, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Subscription {
    number: u64,
    name: Arc<str>,
    /// What stands before an event in its frames.
    head: Arc<str>,
    filters: Vec<Filter>,
    places: Box<[Place]>,
    listener: Arc<Listener>,
    phase: Mutex<Phase>,
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
    /// Nothing is sent, even if a delivery that began before still comes by.
    Closed,
}

/// What a subscription is opened with.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) filters: Vec<Filter>,
    pub(super) places: Vec<Place>,
}

impl Subscription {
    /// Begins to hold what it receives; the number is greater than all before.
    pub(super) fn new(number: u64, request: Request, listener: Arc<Listener>) -> Self {
        Self {
            number,
            head: words::before_event(&request.name).into(),
            name: request.name.into(),
            filters: request.filters,
            places: request.places.into(),
            listener,
            phase: Mutex::new(Phase::Reading {
                held: Vec::new(),
                held_bytes: 0,
            }),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn values(&self) -> usize {
        self.filters.iter().map(values_in).sum()
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(*self.lock(), Phase::Closed)
    }

    pub(super) fn close(&self) {
        *self.lock() = Phase::Closed;
    }

    /// Sends or holds an event, if it is one the subscription shows.
    pub(super) fn receive(&self, kept: &Arc<Kept>, visibility: &Visibility, now: Timestamp) {
        let Listener {
            session,
            outgoing,
            held_bytes_cap,
        } = &*self.listener;
        let shows = |filter| visibility.shows(session, filter, kept, now);
        if !self.filters.iter().any(shows) {
            return;
        }
        match &mut *self.lock() {
            Phase::Reading { held, held_bytes } => {
                *held_bytes = held_bytes.saturating_add(kept.json().len());
                if *held_bytes > *held_bytes_cap {
                    return outgoing.overflow();
                }
                held.push(kept.clone());
            }
            Phase::Live { already_sent } => {
                if already_sent.is_empty() || !already_sent.remove(&kept.id) {
                    outgoing.push_live(self.frame(kept.clone()));
                }
            }
            Phase::Closed => (),
        }
    }

    /// Says `EOSE`, then what came meanwhile, and sends what comes from then on.
    pub(super) fn go_live(&self, sent: &[Arc<Kept>], on_their_way: &OnTheirWay) {
        let mut phase = self.lock();
        let Phase::Reading { held, .. } = &mut *phase else {
            return;
        };
        let held = std::mem::take(held);
        let sent = LazyCell::new(|| sent.iter().map(|kept| kept.id).collect::<HashSet<_>>());
        let outgoing = &self.listener.outgoing;
        outgoing.push_live(words::eose(&self.name).into());
        for kept in held {
            if !sent.contains(&kept.id) {
                outgoing.push_live(self.frame(kept));
            }
        }
        // An event that was read was marked before it was stored, so a mark that comes
        // between the two looks is of no concern.
        let already_sent = if on_their_way.is_empty() {
            HashSet::new()
        } else {
            on_their_way.among(&sent)
        };
        *phase = Phase::Live { already_sent };
    }

    pub(super) fn frame(&self, kept: Arc<Kept>) -> Frame {
        Frame::Event {
            head: self.head.clone(),
            kept,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

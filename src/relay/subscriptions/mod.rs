//! Who wants to see what as it happens.
//!
//! Sessions know subscriptions by this type alone, and an event knows nobody: the index
//! names the subscriptions that it may concern, and each of them is asked.

mod index;
mod on_their_way;
mod reader;
mod subscription;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nostr::event::EventId;
use nostr::types::Timestamp;
use relay_policy::Session;
use storage::events::Kept;

use self::index::Index;
pub(super) use self::index::values_in;
pub(super) use self::on_their_way::OnItsWay;
use self::on_their_way::OnTheirWay;
pub(super) use self::reader::{Joined, Reader, Ticket};
use self::subscription::Listener;
use super::limits::RelayLimits;
use super::outgoing::Outgoing;
use super::visibility::Visibility;

/// Every open subscription of every connection.
pub(super) struct Subscriptions {
    visibility: Visibility,
    index: Index,
    opened: AtomicU64,
    on_their_way: Arc<OnTheirWay>,
}

impl Subscriptions {
    pub(super) fn new(visibility: Visibility) -> Self {
        Self {
            visibility,
            index: Index::default(),
            opened: AtomicU64::new(0),
            on_their_way: Arc::default(),
        }
    }

    /// Adds a connection that has no subscription yet, for as long as the guard lives.
    pub(super) fn join(
        self: &Arc<Self>,
        session: Session,
        outgoing: Arc<Outgoing>,
        limits: &RelayLimits,
    ) -> Joined {
        let listener = Listener {
            session,
            outgoing,
            held_bytes_cap: limits.waiting_bytes,
        };
        Joined::new(Reader::new(self.clone(), listener, limits))
    }

    /// Notes that an event may be stored before it is delivered.
    ///
    /// To be called before the event is saved; the mark is held until it is delivered.
    pub(super) fn set_out(&self, id: EventId) -> OnItsWay {
        self.on_their_way.mark(id)
    }

    /// Sends an event to everybody who wants it and may see it.
    ///
    /// It is asked of one subscription after the other and written for none of them: the
    /// writer of each connection does that. A subscription opened meanwhile is not asked,
    /// and finds the event in the store.
    pub(super) fn deliver(&self, kept: &Arc<Kept>, now: Timestamp) {
        for subscription in self.index.candidates(kept) {
            subscription.receive(kept, &self.visibility, now);
        }
    }

    /// Ends the stored part of a subscription: `EOSE`, then what came meanwhile, then live.
    ///
    /// No event is missed, because the subscription was open before the store was read.
    /// None is shown twice, because an event that the store returned is either already
    /// held here, or delivered before the subscription opened, or still on its way; the
    /// last are remembered until they come by.
    pub(super) fn go_live(&self, ticket: &Ticket, sent: &[Arc<Kept>]) {
        ticket.subscription().go_live(sent, &self.on_their_way);
    }

    fn next_number(&self) -> u64 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;

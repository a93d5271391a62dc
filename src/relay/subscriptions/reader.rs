//! The subscriptions of one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::filter::Filter;
use relay_policy::{Prefix, Refusal};
use storage::events::Kept;

use super::Subscriptions;
use super::index::values_in;
use super::subscription::{Listener, Request, Subscription};
use crate::relay::frame::Frame;
use crate::relay::limits::RelayLimits;

/// One connection, as far as subscriptions care.
pub(in crate::relay) struct Reader {
    subscriptions: Arc<Subscriptions>,
    listener: Arc<Listener>,
    most_open: usize,
    most_values: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    by_name: HashMap<Arc<str>, Arc<Subscription>>,
    values: usize,
}

/// A subscription whose stored part is still to be sent.
#[derive(Debug)]
pub(in crate::relay) struct Ticket(Arc<Subscription>);

impl Reader {
    pub(super) fn new(
        subscriptions: Arc<Subscriptions>,
        listener: Listener,
        limits: &RelayLimits,
    ) -> Self {
        Self {
            subscriptions,
            listener: Arc::new(listener),
            most_open: limits.subscriptions,
            most_values: limits.open_values,
            open: Mutex::default(),
        }
    }

    /// Opens a subscription, in place of one with the same name.
    ///
    /// # Errors
    ///
    /// When the connection would have more open than it may; the old one is closed all the
    /// same.
    pub(in crate::relay) fn open(
        &self,
        name: String,
        filters: Vec<Filter>,
    ) -> Result<Ticket, Refusal> {
        let mut open = self.lock();
        self.shut(&mut open, &name);
        self.has_room(&open, &filters)?;
        let request = Request {
            places: self.subscriptions.index.places(&filters),
            name,
            filters,
        };
        let number = self.subscriptions.next_number();
        let subscription = Subscription::new(number, request, self.listener.clone());
        let subscription = Arc::new(subscription);
        open.values = open.values.saturating_add(subscription.values());
        open.by_name
            .insert(subscription.name().clone(), subscription.clone());
        self.subscriptions.index.file(&subscription);
        Ok(Ticket(subscription))
    }

    fn has_room(&self, open: &Open, filters: &[Filter]) -> Result<(), Refusal> {
        let refuse = |what: String| Err(Refusal::new(Prefix::RateLimited, what));
        if open.by_name.len() >= self.most_open {
            return refuse(format!("over {} open subscriptions", self.most_open));
        }
        let values = filters
            .iter()
            .map(values_in)
            .fold(open.values, usize::saturating_add);
        if values > self.most_values {
            let most = self.most_values;
            return refuse(format!("over {most} values in all open subscriptions"));
        }
        Ok(())
    }

    /// Closes the subscription with this name, if there is one.
    pub(in crate::relay) fn close(&self, name: &str) {
        self.shut(&mut self.lock(), name);
    }

    /// Closes this very subscription, and tells whether it was still open.
    pub(in crate::relay) fn give_up(&self, ticket: &Ticket) -> bool {
        let mut open = self.lock();
        let was_open = ticket.is_open();
        if was_open {
            self.shut(&mut open, ticket.name());
        }
        was_open
    }

    fn leave(&self) {
        let mut open = self.lock();
        let names: Vec<_> = open.by_name.keys().cloned().collect();
        for name in names {
            self.shut(&mut open, &name);
        }
    }

    fn shut(&self, open: &mut Open, name: &str) {
        if let Some(subscription) = open.by_name.remove(name) {
            self.subscriptions.index.take_out(&subscription);
            subscription.close();
            open.values = open.values.saturating_sub(subscription.values());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(in crate::relay) fn name(&self) -> &str {
        self.0.name()
    }

    pub(in crate::relay) fn filters(&self) -> &[Filter] {
        self.0.filters()
    }

    /// Tells whether the subscription is neither closed nor replaced.
    pub(in crate::relay) fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// The frame that shows the subscription an event.
    pub(in crate::relay) fn frame(&self, kept: Arc<Kept>) -> Frame {
        self.0.frame(kept)
    }

    pub(super) fn subscription(&self) -> &Subscription {
        &self.0
    }
}

/// The presence of one connection; ends with its subscriptions when dropped.
pub(in crate::relay) struct Joined {
    pub(in crate::relay) reader: Arc<Reader>,
}

impl Joined {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader: Arc::new(reader),
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.reader.leave();
    }
}

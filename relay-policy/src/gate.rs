//! The write policy of a Mostro node: its rules in order of cost.

use std::net::IpAddr;
use std::sync::Arc;

use nostr::event::Event;
use nostr::key::PublicKey;

use crate::rules::addressed_to_us::{self, Addressee};
use crate::rules::order_book::{OrderBook, OrderHead};
use crate::rules::rate::{Rate, Rates};
use crate::rules::{authentication, expiry, own_events, proof_of_work, protected, size};
use crate::{
    Arrival, Inbox, KnownKeys, Prefix, Refusal, Session, Verdict, WritePolicy, address_group,
};

/// What the gate asks of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateTerms {
    /// Largest event in bytes, messages excepted.
    pub event_bytes: usize,
    /// Largest message (kinds 14 and 1059) in bytes.
    pub message_bytes: usize,
    /// How far ahead of the clock `created_at` may be, in seconds.
    pub future_secs: u64,
    /// Leading zero bits that a message to the node must show (Y1).
    pub pow: u8,
    /// Leading zero bits for authors the node does not know; the higher of both counts (Y2).
    pub pow_first_contact: u8,
    /// Live order addresses that one foreign key may keep.
    pub orders_per_key: usize,
    /// Live order addresses of all foreign keys together.
    pub orders_of_strangers: usize,
    /// Events of one address (IPv6: one /64); absent means no bound (Y4).
    pub per_address: Option<Rate>,
    /// Events of one author, counted once the signature is right; absent means no bound (Y4).
    pub per_author: Option<Rate>,
}

impl Default for GateTerms {
    fn default() -> Self {
        Self {
            event_bytes: 32 * 1024,
            message_bytes: 128 * 1024,
            future_secs: 900,
            pow: 0,
            pow_first_contact: 0,
            orders_per_key: 1_000,
            orders_of_strangers: 100_000,
            per_address: None,
            per_author: None,
        }
    }
}

/// The write policy of a Mostro node.
pub struct Gate {
    node: PublicKey,
    terms: GateTerms,
    known: Arc<dyn KnownKeys>,
    inbox: Option<Arc<dyn Inbox>>,
    addresses: Rates<IpAddr>,
    authors: Rates<PublicKey>,
    order_book: OrderBook,
}

impl Gate {
    /// Builds the gate of the node with this key.
    ///
    /// Without an inbox the relay works alone, and messages to the node are refused.
    #[must_use]
    pub fn new(
        node: PublicKey,
        terms: GateTerms,
        known: Arc<dyn KnownKeys>,
        inbox: Option<Arc<dyn Inbox>>,
    ) -> Self {
        Self {
            node,
            terms,
            known,
            inbox,
            addresses: Rates::new(terms.per_address),
            authors: Rates::new(terms.per_author),
            order_book: OrderBook::default(),
        }
    }

    /// Counts a stored order against the quota of its author.
    ///
    /// Called once at start for each stored order event; the node's own are not counted.
    pub fn remember_order(&self, order: OrderHead<'_>) {
        if order.author != self.node {
            self.order_book.remember(order);
        }
    }

    fn judge(&self, session: &Session, arrival: Arrival<'_>) -> Result<Addressee, Refusal> {
        let addressee = addressed_to_us::addressee(arrival.event, &self.node)?;
        own_events::check(arrival.event, &self.node, addressee)?;
        protected::check_author(session, arrival.event)?;
        self.authors.check(arrival.event.pubkey, arrival.now)?;
        self.order_book.check(arrival, &self.terms)?;
        Ok(addressee)
    }

    fn hand_over(&self, session: &Session, event: &Event) -> Verdict {
        match &self.inbox {
            Some(inbox) => Verdict::Taken(inbox.submit(session, event.clone())),
            None => Verdict::Refuse(Refusal::new(
                Prefix::Restricted,
                "this relay runs without an escrow and takes no messages to its node",
            )),
        }
    }
}

impl WritePolicy for Gate {
    fn before_signature(&self, session: &Session, arrival: Arrival<'_>) -> Result<(), Refusal> {
        size::check(arrival, &self.terms)?;
        self.addresses
            .check(address_group(session.peer), arrival.now)?;
        expiry::check(arrival, &self.terms)?;
        authentication::check(arrival.event)?;
        protected::check_repost(arrival.event)?;
        match addressed_to_us::addressee(arrival.event, &self.node)? {
            Addressee::Node => {
                proof_of_work::check(arrival.event, self.known.as_ref(), &self.terms)
            }
            Addressee::Others => Ok(()),
        }
    }

    fn after_signature(&self, session: &Session, arrival: Arrival<'_>) -> Verdict {
        match self.judge(session, arrival) {
            Ok(Addressee::Node) => self.hand_over(session, arrival.event),
            Ok(Addressee::Others) => Verdict::Keep,
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::ready;
    use std::sync::Mutex;

    use nostr::event::EventId;
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::{arrival, event};
    use crate::{BoxFuture, Receipt};

    #[derive(Default)]
    struct Recorder(Mutex<Vec<EventId>>);

    impl Inbox for Recorder {
        fn submit(&self, _: &Session, event: Event) -> BoxFuture<'static, Receipt> {
            self.0.lock().unwrap().push(event.id);
            Box::pin(ready(Receipt {
                accepted: true,
                message: String::new(),
            }))
        }
    }

    fn session() -> Session {
        Session::new(1, IpAddr::from([192, 0, 2, 7]))
    }

    fn outcome(gate: &Gate, event: &Event) -> String {
        match gate.before_signature(&session(), arrival(event)) {
            Ok(()) => format!("{:?}", gate.after_signature(&session(), arrival(event))),
            Err(refusal) => format!("Refuse({refusal})"),
        }
    }

    #[test]
    fn each_event_goes_where_it_belongs() {
        let (node, stranger) = (Keys::generate(), Keys::generate());
        let inbox = Arc::new(Recorder::default());
        let gate = Gate::new(
            node.public_key(),
            GateTerms::default(),
            Arc::new(BTreeSet::new()),
            Some(inbox.clone()),
        );
        let (ours, theirs) = (node.public_key().to_hex(), stranger.public_key().to_hex());
        let table: [(&str, Event, &str); 10] = [
            ("a note", event(&stranger, 1, &[]), "Keep"),
            (
                "a stranger's order",
                event(&stranger, 38_383, &[&["d", "a"]]),
                "Keep",
            ),
            (
                "chat of strangers",
                event(&stranger, 14, &[&["p", &theirs]]),
                "Keep",
            ),
            (
                "a message to us",
                event(&stranger, 14, &[&["p", &ours]]),
                "Taken",
            ),
            (
                "a gift wrap to us",
                event(&stranger, 1059, &[&["p", &ours]]),
                "Taken",
            ),
            (
                "the node to itself",
                event(&node, 14, &[&["p", &ours]]),
                "Taken",
            ),
            (
                "an order in the node's name",
                event(&node, 38_383, &[&["d", "a"]]),
                "Refuse(blocked: only the node itself publishes with its key)",
            ),
            (
                "a protected note",
                event(&stranger, 1, &[&["-"]]),
                "Refuse(auth-required: the event is protected: only its author may publish it)",
            ),
            (
                "a proof of a key",
                event(&stranger, 22_242, &[]),
                "Refuse(invalid: an event of kind 22242 belongs into an AUTH message)",
            ),
            (
                "a message to us and another",
                event(&stranger, 14, &[&["p", &ours], &["p", &theirs]]),
                "Refuse(invalid: a message to the node must have exactly one p tag)",
            ),
        ];
        for (case, event, expected) in &table {
            assert_eq!(outcome(&gate, event), *expected, "{case}");
        }
        assert_eq!(
            *inbox.0.lock().unwrap(),
            [table[3].1.id, table[4].1.id, table[5].1.id]
        );
    }

    #[test]
    fn without_an_inbox_a_message_to_the_node_is_refused() {
        let node = Keys::generate().public_key();
        let gate = Gate::new(node, GateTerms::default(), Arc::new(BTreeSet::new()), None);
        let message = event(&Keys::generate(), 14, &[&["p", &node.to_hex()]]);
        assert!(outcome(&gate, &message).starts_with("Refuse(restricted: "));
    }

    #[test]
    fn g3_u1_work_is_asked_of_messages_to_the_node_only() {
        let node = Keys::generate().public_key();
        let terms = GateTerms {
            pow: 64,
            ..GateTerms::default()
        };
        let gate = Gate::new(node, terms, Arc::new(BTreeSet::new()), None);
        let (ours, sender) = (node.to_hex(), Keys::generate());
        let to_us = event(&sender, 14, &[&["p", &ours]]);
        assert_eq!(
            outcome(&gate, &to_us),
            "Refuse(pow: 64 leading zero bits of the id are required)"
        );
        let chat = event(&sender, 14, &[&["p", &sender.public_key().to_hex()]]);
        assert_eq!(outcome(&gate, &chat), "Keep");
    }

    #[test]
    fn y4_an_unverified_author_is_not_charged() {
        let (node, victim) = (Keys::generate().public_key(), Keys::generate());
        let once = Some(Rate {
            per_second: 0,
            burst: 1,
        });
        let terms = GateTerms {
            per_author: once,
            ..GateTerms::default()
        };
        let gate = Gate::new(node, terms, Arc::new(BTreeSet::new()), None);
        let gm = event(&victim, 1, &[]);
        for _ in 0..5 {
            gate.before_signature(&session(), arrival(&gm)).unwrap();
        }
        assert_eq!(outcome(&gate, &gm), "Keep");
        assert!(outcome(&gate, &gm).starts_with("Refuse(rate-limited: "));
    }
}

//! The two questions a relay engine asks.

use nostr::event::{Event, Kind};
use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::types::Timestamp;

use crate::{Refusal, Session, Verdict};

/// One event as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The event, well-formed but not yet verified.
    pub event: &'a Event,
    /// Size of its JSON text in bytes.
    pub size_bytes: usize,
    /// The time of arrival.
    pub now: Timestamp,
}

/// Decides what may be written.
///
/// The engine asks twice, once on each side of the signature check: first what is cheap
/// and trusts nothing, then what relies on the author. Neither question may block.
pub trait WritePolicy: Send + Sync {
    /// Judges what can be judged before the id and the signature are verified.
    ///
    /// The engine may ask ahead of the event's turn, when the keys of the session that the
    /// client has just proven are not there yet.
    ///
    /// # Errors
    ///
    /// The refusal becomes the `OK false` of the sender.
    fn before_signature(&self, session: &Session, arrival: Arrival<'_>) -> Result<(), Refusal>;

    /// Decides what shall become of an event that is verified.
    fn after_signature(&self, session: &Session, arrival: Arrival<'_>) -> Verdict;
}

/// What a reading policy is told of an event: what it is and whose, not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHead {
    /// Its kind.
    pub kind: Kind,
    /// Its author.
    pub author: PublicKey,
}

/// Decides what may be read.
pub trait QueryPolicy: Send + Sync {
    /// Judges a question before anything is read.
    ///
    /// # Errors
    ///
    /// The refusal becomes the `CLOSED` of the subscription. With the prefix
    /// `auth-required` the client is asked to prove a key and may try again.
    fn admit(&self, session: &Session, filters: &[Filter]) -> Result<(), Refusal>;

    /// Tells whether an event that matches `filter` may be shown to who asked.
    ///
    /// The one check for stored events, live events and counts.
    fn may_see(&self, session: &Session, filter: &Filter, event: EventHead) -> bool;
}

//! The relay engine: sessions, subscriptions and the way of an event to the disk.
//!
//! It knows the event store and the two policies, and nothing else of the node. Every
//! task it starts is counted: [`Relay::ended`] returns when all are over.

mod auth;
mod frame;
mod limits;
mod nip11;
mod outgoing;
mod pace;
mod saver;
mod session;
mod subscriptions;
mod verify;
mod visibility;
mod waiting_room;
mod words;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nostr::event::{Event, EventId};
use nostr::types::{RelayUrl, Timestamp};
use relay_policy::{QueryPolicy, Session, WritePolicy};
use storage::events::{EventStore, EventStoreError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::limits::RelayLimits;
pub use self::nip11::{RelayProfile, nip11};
use self::saver::Saver;
use self::subscriptions::Subscriptions;
use self::verify::Verifiers;
use self::visibility::Visibility;
use self::waiting_room::WaitingRoom;

/// Tells the time to the relay.
pub type RelayClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a relay is made of.
pub struct RelayParts {
    /// Where events are kept.
    pub store: Arc<EventStore>,
    /// Who may write.
    pub writing: Arc<dyn WritePolicy>,
    /// Who may read.
    pub reading: Arc<dyn QueryPolicy>,
    /// What one client may cost.
    pub limits: RelayLimits,
    /// Under which addresses clients reach it; a proof of a key must name one (NIP-42).
    pub urls: Vec<RelayUrl>,
    /// What time it is.
    pub clock: RelayClock,
}

/// A running relay; clones are handles to the same one.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    parts: RelayParts,
    visibility: Visibility,
    subscriptions: Arc<Subscriptions>,
    saver: Saver,
    verifiers: Verifiers,
    waiting_room: Arc<WaitingRoom>,
    tasks: TaskTracker,
    sessions: AtomicU64,
}

/// Some events of the node could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("{} own event(s) not stored, the first one: {}", failures.len(), first(failures))]
pub struct PublishError {
    /// The events that are not stored, and why; all others are stored and were shown.
    pub failures: Vec<(EventId, PublishFailure)>,
}

/// Why an event of the node could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum PublishFailure {
    /// The store failed; trying again makes sense.
    #[error(transparent)]
    Store(#[from] EventStoreError),
    /// The store will never keep this event; trying again makes no sense.
    #[error("the store cannot keep it: {0}")]
    Unkeepable(&'static str),
}

impl Relay {
    /// Builds a relay; it does nothing until a session or an event comes.
    #[must_use]
    pub fn new(parts: RelayParts) -> Self {
        let visibility = Visibility::new(parts.reading.clone());
        let subscriptions = Arc::new(Subscriptions::new(visibility.clone()));
        let saver = Saver::new(
            parts.store.clone(),
            subscriptions.clone(),
            parts.clock.clone(),
            parts.limits.unsaved_bytes,
        );
        let waiting_room = WaitingRoom::new(parts.limits.waiting_bytes_in_all);
        let tasks = TaskTracker::new();
        Self {
            inner: Arc::new(Inner {
                parts,
                visibility,
                subscriptions,
                saver,
                verifiers: Verifiers::new(tasks.clone()),
                waiting_room,
                tasks,
                sessions: AtomicU64::new(0),
            }),
        }
    }

    /// The limits this relay enforces.
    #[must_use]
    pub fn limits(&self) -> &RelayLimits {
        &self.inner.parts.limits
    }

    /// Stores events of the node and shows them to subscribers in the given order.
    ///
    /// They go past the write policy. All are saved at once, which makes one commit of
    /// them; when this returns `Ok`, each is on disk, or a newer version is. An event
    /// that was stored before counts as success and is not shown again, so that a second
    /// attempt shows exactly what the first could not store.
    ///
    /// # Errors
    ///
    /// Names the events that are not stored; the others are stored and were shown.
    pub async fn publish(&self, events: Vec<Event>) -> Result<(), PublishError> {
        self.inner.saver.publish(events).await
    }

    /// Serves one client until he leaves, must leave, or `stop` is cancelled.
    ///
    /// The stream begins where the handshake of the websocket has ended.
    pub async fn serve<Stream>(&self, stream: Stream, peer: IpAddr, stop: CancellationToken)
    where
        Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let number = self.inner.sessions.fetch_add(1, Ordering::Relaxed);
        session::serve(self, stream, Session::new(number, peer), stop).await;
    }

    /// Waits until every event that was accepted for storing has been stored and shown,
    /// and every message that was taken has its receipt.
    ///
    /// To be called when no session is served any more. Whoever stands behind the inbox
    /// must still be there, or end its futures.
    pub async fn ended(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn now(&self) -> Timestamp {
        (self.inner.parts.clock)()
    }
}

fn first(failures: &[(EventId, PublishFailure)]) -> String {
    failures
        .first()
        .map_or_else(String::new, |(id, why)| format!("{id}: {why}"))
}

impl fmt::Debug for Relay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Relay")
            .field("limits", self.limits())
            .finish_non_exhaustive()
    }
}

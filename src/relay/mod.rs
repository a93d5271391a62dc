//! The relay engine: sessions, subscriptions and the way of an event to the disk.
//!
//! It knows the event store and the two policies, and nothing else of the node. Every
//! task it starts is counted: [`Relay::ended`] returns when all are over.

mod frame;
mod limits;
mod nip11;
mod outgoing;
mod session;
mod subscriptions;
mod visibility;
mod words;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use nostr::event::{Event, EventId};
use nostr::types::Timestamp;
use relay_policy::{Prefix, QueryPolicy, Receipt, Refusal, Session, WritePolicy};
use storage::events::{EventStore, EventStoreError, Kept, Saved};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::limits::RelayLimits;
pub use self::nip11::{RelayProfile, nip11};
use self::subscriptions::Subscriptions;
use self::visibility::Visibility;

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
        let (tasks, sessions) = (TaskTracker::new(), AtomicU64::new(0));
        Self {
            inner: Arc::new(Inner {
                parts,
                visibility,
                subscriptions,
                tasks,
                sessions,
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
        let saves = events.into_iter().map(|event| async {
            let on_its_way = self.inner.subscriptions.set_out(event.id);
            let saved = self.inner.parts.store.save(event.clone()).await;
            (event, on_its_way, saved)
        });
        let mut failures = Vec::new();
        for (event, _on_its_way, saved) in join_all(saves).await {
            match saved {
                Ok(Saved::Stored | Saved::Ephemeral) => self.show(&event),
                Ok(Saved::Duplicate | Saved::Superseded | Saved::Deleted) => (),
                Ok(Saved::Unkeepable(why)) => {
                    failures.push((event.id, PublishFailure::Unkeepable(why)));
                }
                Err(error) => failures.push((event.id, error.into())),
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(PublishError { failures })
        }
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

    /// Stores a client's event and shows it when its turn has come.
    async fn keep(&self, event: Event, mut turn: Turn) -> Receipt {
        let _on_its_way = self.inner.subscriptions.set_out(event.id);
        let saved = self.inner.parts.store.save(event.clone()).await;
        turn.comes().await;
        if let Ok(Saved::Stored | Saved::Ephemeral) = saved {
            self.show(&event);
        }
        receipt(saved)
    }

    fn show(&self, event: &Event) {
        self.inner
            .subscriptions
            .deliver(&Kept::of(event), self.now());
    }
}

fn receipt(saved: Result<Saved, EventStoreError>) -> Receipt {
    let accepted = |message: String| Receipt {
        accepted: true,
        message,
    };
    let refused = |refusal: Refusal| Receipt {
        accepted: false,
        message: refusal.to_string(),
    };
    match saved {
        Ok(Saved::Stored | Saved::Ephemeral) => accepted(String::new()),
        Ok(Saved::Duplicate) => {
            accepted(Refusal::new(Prefix::Duplicate, "this event is stored already").to_string())
        }
        Ok(Saved::Superseded) => {
            accepted(Refusal::new(Prefix::Duplicate, "a newer version is stored").to_string())
        }
        Ok(Saved::Deleted) => refused(Refusal::new(
            Prefix::Blocked,
            "the author has deleted this event",
        )),
        Ok(Saved::Unkeepable(why)) => refused(Refusal::invalid(why)),
        Err(error) => {
            tracing::error!(%error, "an event could not be stored");
            refused(Refusal::new(
                Prefix::Error,
                "the event could not be stored, send it again",
            ))
        }
    }
}

fn first(failures: &[(EventId, PublishFailure)]) -> String {
    failures
        .first()
        .map_or_else(String::new, |(id, why)| format!("{id}: {why}"))
}

/// The place of an event among those of its connection: they are saved side by side, but
/// shown one after the other, in the order they came.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with the turn, which lets the next one come.
    _after: oneshot::Sender<()>,
}

/// Gives out turns.
#[derive(Default)]
struct Turns {
    last: Option<oneshot::Receiver<()>>,
}

impl Turns {
    fn next(&mut self) -> Turn {
        let (after, last) = oneshot::channel();
        Turn {
            before: self.last.replace(last),
            _after: after,
        }
    }
}

impl Turn {
    /// Waits until everything before has been shown.
    async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // An error means that the turn before is over, which is all there is to know.
            let _over = before.await;
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Relay")
            .field("limits", self.limits())
            .finish_non_exhaustive()
    }
}

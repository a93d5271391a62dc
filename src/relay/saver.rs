//! The way of an event to the disk, and from there to those who want to see it.
//!
//! Events are saved side by side, so that the store commits many at once, and shown one
//! after the other: those of a client in the order he sent them, those of the node in the
//! order it published them. What clients may have waiting is bounded for all of them
//! together; the node's own events have a lane of their own and never wait for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;
use nostr::event::{Event, EventId};
use relay_policy::{Prefix, Receipt, Refusal};
use storage::events::{EventStore, EventStoreError, Kept, Saved};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::pace::Pace;
use super::subscriptions::Subscriptions;
use super::{PublishError, PublishFailure, RelayClock};

/// What the smallest event takes in memory, in bytes.
const LEAST_EVENT_BYTES: usize = 1_024;

/// Saves events and shows them.
pub(super) struct Saver {
    store: Arc<EventStore>,
    subscriptions: Arc<Subscriptions>,
    clock: RelayClock,
    room: Arc<Semaphore>,
    room_bytes: u32,
    own: Mutex<Turns>,
}

/// Whose events are saved.
#[derive(Clone, Copy)]
enum Whose {
    Clients,
    TheNode,
}

/// Room for events that wait to be saved; given back when dropped.
pub(super) struct Room {
    _bytes: OwnedSemaphorePermit,
}

impl Saver {
    /// Has room for `room_bytes` bytes of clients' events.
    pub(super) fn new(
        store: Arc<EventStore>,
        subscriptions: Arc<Subscriptions>,
        clock: RelayClock,
        room_bytes: u32,
    ) -> Self {
        let all = usize::try_from(room_bytes).unwrap_or(usize::MAX);
        Self {
            store,
            subscriptions,
            clock,
            room: Arc::new(Semaphore::new(all)),
            room_bytes,
            own: Mutex::default(),
        }
    }

    /// Waits for room for a client's events of these sizes; who asked first is first.
    ///
    /// More than there is room for at all gets everything there is.
    pub(super) async fn room_for(&self, sizes: impl Iterator<Item = usize>) -> Room {
        let bytes: usize = sizes.map(|size| size.max(LEAST_EVENT_BYTES)).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.room.clone();
        let permit = room.acquire_many_owned(bytes.min(self.room_bytes)).await;
        Room {
            _bytes: permit.expect("the semaphore is never closed"),
        }
    }

    /// Stores a client's events and shows them when their turn has come.
    pub(super) async fn keep(&self, events: Vec<Event>, turn: Turn) -> Vec<(EventId, Receipt)> {
        let saved = self.save_and_show(events, turn, Whose::Clients).await;
        saved
            .into_iter()
            .map(|(id, saved)| (id, receipt(saved)))
            .collect()
    }

    /// Stores events of the node and shows them, see [`super::Relay::publish`].
    pub(super) async fn publish(&self, events: Vec<Event>) -> Result<(), PublishError> {
        let turn = self
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next();
        let mut failures = Vec::new();
        for (id, saved) in self.save_and_show(events, turn, Whose::TheNode).await {
            match saved {
                Ok(
                    Saved::Stored(_)
                    | Saved::Ephemeral
                    | Saved::Duplicate
                    | Saved::Superseded
                    | Saved::Deleted,
                ) => (),
                Ok(Saved::Unkeepable(why)) => {
                    failures.push((id, PublishFailure::Unkeepable(why)));
                }
                Err(error) => failures.push((id, error.into())),
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(PublishError { failures })
        }
    }

    async fn save_and_show(
        &self,
        events: Vec<Event>,
        mut turn: Turn,
        whose: Whose,
    ) -> Vec<(EventId, Result<Saved, EventStoreError>)> {
        let saves = events.into_iter().map(|event| async {
            let on_its_way = self.subscriptions.set_out(event.id);
            let saved = match whose {
                Whose::Clients => self.store.save(&event).await,
                Whose::TheNode => self.store.save_own(&event).await,
            };
            (event, on_its_way, saved)
        });
        let saves = join_all(saves).await;
        turn.comes().await;
        let mut pace = Pace::default();
        let mut outcomes = Vec::with_capacity(saves.len());
        for (event, _on_its_way, saved) in saves {
            let kept = match &saved {
                Ok(Saved::Stored(kept)) => Some(kept.clone()),
                Ok(Saved::Ephemeral) => Some(Kept::of(&event)),
                Ok(
                    Saved::Duplicate | Saved::Superseded | Saved::Deleted | Saved::Unkeepable(_),
                )
                | Err(_) => None,
            };
            if let Some(kept) = kept {
                let began = Instant::now();
                self.subscriptions.deliver(&kept, (self.clock)());
                pace.rest_after(began).await;
            }
            outcomes.push((event.id, saved));
        }
        outcomes
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
        Ok(Saved::Stored(_) | Saved::Ephemeral) => accepted(String::new()),
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

/// The place of some events among those of their sender: they are saved side by side, but
/// shown one after the other, in the order they came.
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with the turn, which lets the next one come.
    _after: oneshot::Sender<()>,
}

/// Gives out turns.
#[derive(Default)]
pub(super) struct Turns {
    last: Option<oneshot::Receiver<()>>,
}

impl Turns {
    pub(super) fn next(&mut self) -> Turn {
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use nostr::event::{EventBuilder, FinalizeEvent, Kind};
    use nostr::key::Keys;
    use nostr::types::Timestamp;
    use relay_policy::Reading;
    use storage::events::EventStoreOptions;
    use tempfile::TempDir;

    use super::*;
    use crate::relay::visibility::Visibility;

    async fn saver(room_bytes: u32) -> (Saver, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let options = EventStoreOptions {
            map_size_bytes: 16 << 20,
            ..EventStoreOptions::default()
        };
        let store = EventStore::open(folder.path(), options).await.unwrap();
        let policy = Arc::new(Reading::new(Keys::generate().public_key()));
        let saver = Saver::new(
            Arc::new(store),
            Arc::new(Subscriptions::new(Visibility::new(policy))),
            Arc::new(Timestamp::now),
            room_bytes,
        );
        (saver, folder)
    }

    #[tokio::test]
    async fn room_is_given_in_the_order_it_was_asked_for_and_small_events_count() {
        let (saver, _folder) = saver(4 * 1_024).await;
        let four = saver.room_for([1; 4].into_iter()).await;
        let mut large = Box::pin(saver.room_for([1_000_000].into_iter()));
        assert!(large.as_mut().now_or_never().is_none());
        drop(saver.room_for(std::iter::empty()).await);
        let mut small = Box::pin(saver.room_for([1].into_iter()));
        assert!(small.as_mut().now_or_never().is_none());
        drop(four);
        let all = large.await;
        assert!(small.as_mut().now_or_never().is_none());
        drop(all);
        drop(small.await);
    }

    #[tokio::test]
    async fn the_node_publishes_although_clients_wait_for_room() {
        let (saver, _folder) = saver(1).await;
        let _all = saver.room_for([1].into_iter()).await;
        let mut stranger = Box::pin(saver.room_for([1].into_iter()));
        assert!(stranger.as_mut().now_or_never().is_none());
        let event = EventBuilder::new(Kind::TextNote, "ours").finalize(&Keys::generate());
        saver.publish(vec![event.unwrap()]).await.unwrap();
        assert!(stranger.as_mut().now_or_never().is_none());
    }
}

//! Carries the outbox to the relay.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nostr::event::{Event, EventId};
use storage::ledger::{OutboxRow, OutboxSeq, StorageError, Views};
use tokio::sync::Notify;

use crate::workers::backoff::Backoff;

/// Most events handed over at once.
const LOAD: usize = 256;

/// Where the node's finished events go: its own relay, later other relays too.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Stores the events and shows them to subscribers, in this order. The
    /// same event may come again after a crash.
    ///
    /// # Errors
    /// If not all of them are stored; the whole load is then brought again.
    async fn publish(&self, events: Vec<Event>) -> Result<(), PublishError>;
}

/// Why events could not be published; they are brought again.
#[derive(Debug, thiserror::Error)]
#[error("events cannot be published: {0}")]
pub struct PublishError(pub String);

/// Outbox rows that have arrived; the writer takes them with its next commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivered(Arc<Mutex<Vec<OutboxSeq>>>);

impl Delivered {
    pub(crate) fn add(&self, rows: impl IntoIterator<Item = OutboxSeq>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(rows);
    }

    pub(crate) fn take(&self) -> Vec<OutboxSeq> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One walk along the outbox, in its order.
pub(crate) struct Courier {
    views: Views,
    publisher: Arc<dyn Publisher>,
    delivered: Delivered,
    /// The first row that was not brought yet.
    next: OutboxSeq,
}

impl Courier {
    pub(crate) fn new(
        views: Views,
        publisher: Arc<dyn Publisher>,
        delivered: Delivered,
    ) -> Courier {
        Courier {
            views,
            publisher,
            delivered,
            next: OutboxSeq(0),
        }
    }

    /// Brings all that waits.
    pub(crate) async fn empty_outbox(&mut self) -> Result<(), CourierError> {
        loop {
            let rows = self.views.view()?.outbox_from(self.next, LOAD)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            let next = OutboxSeq(last.0 + 1);
            let (seqs, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            self.publisher.publish(read(&rows)?).await?;
            self.delivered.add(seqs);
            self.next = next;
        }
    }

    /// Brings what each commit adds; ends only with its task.
    pub(crate) async fn run(mut self, committed: &Notify) {
        let mut backoff = Backoff::starting_at(Duration::from_millis(250));
        loop {
            match self.empty_outbox().await {
                Ok(()) => {
                    backoff.reset();
                    committed.notified().await;
                }
                Err(why) => {
                    tracing::error!(%why, "the outbox is brought again");
                    backoff.wait(committed).await;
                }
            }
        }
    }
}

fn read(rows: &[OutboxRow]) -> Result<Vec<Event>, CourierError> {
    rows.iter()
        .map(|row| Event::from_json(&row.event).map_err(|_| CourierError::Damaged(row.event_id)))
        .collect()
}

/// Why the outbox was not emptied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CourierError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("event {0} in the outbox cannot be read")]
    Damaged(EventId),
}

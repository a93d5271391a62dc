//! The line to Lightning and back to the writer, shared by the workers.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::Command;
use escrow_lightning::{LightningBackend, LnError, LnResult, Lnurl};
use storage::ledger::Views;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::mailbox::Mailbox;
use crate::preimages::Preimages;
use crate::submission::{Receipt, Submission};
use crate::workers::health::{LightningHealth, Standing};

/// Longest wait for an answer of Lightning.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// What a worker needs to act and to report.
#[derive(Clone)]
pub(crate) struct Switchboard {
    pub(crate) backend: Arc<dyn LightningBackend>,
    pub(crate) addresses: Arc<Lnurl>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) views: Views,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) preimages: Arc<Preimages>,
    pub(crate) health: watch::Receiver<LightningHealth>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) unseen: Arc<Unseen>,
}

/// Payments that an earlier process may have started, and of which Lightning
/// has not been asked yet. Nothing is sent while there are any (rule P15).
#[derive(Debug, Default)]
pub(crate) struct Unseen(watch::Sender<BTreeSet<PaymentHash>>);

impl Unseen {
    /// Adds what was found in the ledger at start.
    pub(crate) fn found(&self, hashes: impl IntoIterator<Item = PaymentHash>) {
        self.0.send_modify(|unseen| unseen.extend(hashes));
    }

    /// Lightning has said how this one stands.
    pub(crate) fn seen(&self, hash: PaymentHash) {
        self.0.send_if_modified(|unseen| unseen.remove(&hash));
    }

    /// Waits until there are none.
    pub(crate) async fn is_empty(&self) {
        let mut unseen = self.0.subscribe();
        // It never errs, because the sender is ours.
        let _ = unseen.wait_for(BTreeSet::is_empty).await;
    }
}

impl Switchboard {
    /// Tells the writer; true once it is decided and on disk.
    pub(crate) async fn report(&self, command: Command) -> bool {
        self.mailbox.report(Submission::Report(command)).await == Some(Receipt::Decided)
    }

    /// Waits for Lightning's answer, but not for ever: what was cut short may
    /// have happened.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = LnResult<T>>) -> LnResult<T> {
        limited(CALL_LIMIT, call).await
    }

    /// Whether Lightning had trouble after a payment was sent (rule P7).
    pub(crate) fn was_in_trouble(&self, sent: Instant) -> bool {
        self.standing.borrow().was_in_trouble(sent, Instant::now())
    }

    /// Waits until Lightning is fully up and synced (rule P7).
    pub(crate) async fn lightning_is_ready(&self) {
        let mut health = self.health.clone();
        // An error means that the health worker ended, and so does everything else.
        let _ = health.wait_for(LightningHealth::is_ready).await;
    }
}

/// Waits for an answer at most `limit`.
pub(crate) async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = LnResult<T>>,
) -> LnResult<T> {
    timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(LnError::Ambiguous(format!("no answer within {limit:?}"))))
}

//! The line to Lightning and back to the writer, shared by the workers.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::Command;
use escrow_lightning::{LightningBackend, LnError, LnResult, Lnurl};
use nostr::key::PublicKey;
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
    pub(crate) node: PublicKey,
    pub(crate) preimages: Arc<Preimages>,
    pub(crate) health: watch::Receiver<LightningHealth>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) unseen: Arc<Unseen>,
}

/// What a start has to ask Lightning before it may send anything: how the
/// payments stand that an earlier process may have started (rule P15), and
/// which others it has made.
#[derive(Debug)]
pub(crate) struct Unseen(watch::Sender<ToAsk>);

#[derive(Debug)]
struct ToAsk {
    payments: BTreeSet<PaymentHash>,
    history: bool,
}

impl ToAsk {
    fn is_nothing(&self) -> bool {
        self.payments.is_empty() && !self.history
    }
}

impl Default for Unseen {
    /// At start.
    fn default() -> Unseen {
        Unseen(watch::Sender::new(ToAsk {
            payments: BTreeSet::new(),
            history: true,
        }))
    }
}

impl Unseen {
    /// Adds what was found in the ledger at start.
    pub(crate) fn found(&self, hashes: impl IntoIterator<Item = PaymentHash>) {
        self.0.send_modify(|ask| ask.payments.extend(hashes));
    }

    /// Lightning has said how this one stands.
    pub(crate) fn seen(&self, hash: PaymentHash) {
        self.0.send_if_modified(|ask| ask.payments.remove(&hash));
    }

    /// Lightning's payments were compared with the ledger.
    pub(crate) fn seen_history(&self) {
        self.0
            .send_if_modified(|ask| std::mem::take(&mut ask.history));
    }

    /// Waits until all of it was asked.
    pub(crate) async fn is_empty(&self) {
        let mut ask = self.0.subscribe();
        // It never errs, because the sender is ours.
        let _ = ask.wait_for(ToAsk::is_nothing).await;
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

    /// Whether the books stop all payments; a ledger that cannot be read does
    /// so too (rule X13).
    pub(crate) fn is_latched(&self) -> bool {
        let latch = self.views.view().and_then(|view| view.latch());
        !matches!(latch, Ok(None))
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

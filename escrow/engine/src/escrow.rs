//! The escrow as a running thing: opens, serves, ends.

mod handle;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::command::{Ask, Request};
use escrow_core::decision::Effect;
use escrow_core::maintenance::Maintenance;
use escrow_core::questions;
use escrow_lightning::{LightningBackend, Lnurl};
use nostr::event::Event;
use nostr::key::PublicKey;
use storage::ledger::{Ledger, MirrorNo, NodeIdentity, StorageError, Views};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::addresses;
use crate::clock::{Clock, ClockGuard, Sight};
use crate::desk::Desk;
use crate::entropy::Entropy;
use crate::fair_queue::Source;
use crate::intake::Intake;
use crate::known_keys::KnownKeys;
use crate::mailbox::{Lane, Mailbox, MailboxLimits, STOPPING, Waiting};
use crate::mailroom::Mailroom;
use crate::reception::{Memory, Reception};
use crate::recovery::{self, ForeignLedger};
use crate::strangers::Strangers;
use crate::submission::{Path, Receipt, Refusal, Submission, TraderMessage};
use crate::workers::alarms;
use crate::workers::bookkeeper;
use crate::workers::chain::ChainWatch;
use crate::workers::courier::{Courier, Delivered, Publisher};
use crate::workers::dispatch::{self, Nudge, Task};
use crate::workers::health::{HealthWatch, LightningHealth, Standing};
use crate::workers::switchboard::Switchboard;
use crate::writer::{BATCH, Engine, StepError};

/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How often a ledger that failed is opened again before the node gives up.
const REOPENINGS: u32 = 10;

/// Time between a failed commit, or a failed reopening, and the next reopening.
const REOPENING_PAUSE: Duration = Duration::from_secs(1);

/// Nudges that may wait for the dispatcher.
const NUDGES: usize = 1_024;

/// What a banned sender is told.
const BANNED: &str = "this node does not trade with you";

/// What an escrow is made of.
pub struct Parts {
    /// The open ledger.
    pub ledger: Ledger,
    /// Keys, terms, secrets.
    pub desk: Desk,
    /// Opens what traders send.
    pub intake: Intake,
    /// The money.
    pub backend: Arc<dyn LightningBackend>,
    /// Asks the servers behind traders' addresses.
    pub addresses: Arc<Lnurl>,
    /// Where events go.
    pub publisher: Arc<dyn Publisher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bounds of the queues.
    pub mailbox: MailboxLimits,
    /// Envelopes of unknown keys opened per second.
    pub strangers_per_second: u32,
    /// Identities and trade keys that get no new trades (rule Y8).
    pub banned: Vec<PublicKey>,
    /// Addresses of the external relays that get a copy of what is published.
    pub mirrors: Vec<String>,
}

/// Why the escrow cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EscrowError {
    /// The ledger is that of another node.
    #[error(transparent)]
    Foreign(#[from] ForeignLedger),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A step could not be committed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A task of the escrow failed: a bug.
    #[error("a task of the escrow failed: {0}")]
    Task(#[from] JoinError),
}

/// Whether the escrow decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not, and why.
    NotReady(String),
}

/// A running escrow.
pub struct Escrow {
    handle: EscrowHandle,
    tasks: JoinSet<Result<(), EscrowError>>,
}

impl Escrow {
    /// Takes up the ledger and starts to serve. When this returns, what
    /// Lightning did meanwhile is decided and the outbox has been brought to
    /// the publisher once.
    ///
    /// # Errors
    /// If the ledger is another node's, or cannot be read or written.
    pub async fn start(parts: Parts, stop: CancellationToken) -> Result<Escrow, EscrowError> {
        let known = KnownKeys::default();
        let node = NodeIdentity {
            public_key: parts.desk.keys.public_key(),
            network: parts.desk.stationery.network.clone(),
        };
        let preimages = parts.desk.preimages.clone();
        let keys = parts.desk.keys.clone();
        let letter_secs = parts.desk.stationery.letter_secs;
        let most_orders = parts.desk.terms.max_orders_per_response;
        let mut engine = Engine::new(parts.ledger, parts.desk, known.clone())?;
        engine.adopt(&node)?;
        let mirrors = engine.set_mirrors(&parts.mirrors)?;
        let mailbox = Arc::new(Mailbox::new(parts.mailbox));
        let watch = HealthWatch::begin(parts.backend.clone()).await;
        let (health, standing) = (watch.health(), watch.standing());
        let mut tasks = JoinSet::new();
        // What follows may take minutes; an answer of Lightning is soon old.
        tasks.spawn(endless(watch.run()));
        let board = Switchboard {
            backend: parts.backend.clone(),
            addresses: parts.addresses.clone(),
            clock: parts.clock.clone(),
            views: engine.views(),
            mailbox: mailbox.clone(),
            node: node.public_key,
            preimages,
            health: health.clone(),
            standing: standing.clone(),
            unseen: Arc::default(),
        };
        let reception = Arc::new(Reception {
            keys,
            letter_secs,
            most_orders,
            views: engine.views(),
            publisher: Arc::downgrade(&parts.publisher),
            clock: parts.clock.clone(),
            letter_times: engine.letter_times(),
            memory: Mutex::new(Memory::new(Entropy::from_os())),
        });
        let guard = ClockGuard::new(parts.clock);
        let mut begun = engine.take_up(guard.now())?.effects;
        begun.extend(recovery::reconcile(&mut engine, &board, &guard).await?);
        let delivered = Delivered::default();
        let mut courier = Courier::new(engine.views(), parts.publisher, delivered.clone());
        let strangers = Strangers::new(parts.strangers_per_second);
        let mailroom = Arc::new(Mailroom::new(parts.intake, known.clone(), strangers));
        let committed = Arc::new(Notify::new());
        let (nudge, nudges) = mpsc::channel(NUDGES);
        let (mirrored, mirrored_seen) = watch::channel(());
        let present = engine.views().view()?.maintenance()?;
        let (maintenance, maintenance_seen) = watch::channel(present);
        let (readiness, readiness_seen) = watch::channel(Readiness::Ready);
        let handle = EscrowHandle {
            mailbox: mailbox.clone(),
            mailroom: mailroom.clone(),
            reception,
            addresses: parts.addresses,
            banned: parts.banned.into(),
            known,
            health: health.clone(),
            readiness: readiness_seen,
            views: engine.views(),
            mirrors: mirrors.into(),
            mirrored: mirrored_seen,
            maintenance: maintenance_seen,
        };
        let desk = WritingDesk {
            mailbox,
            mailroom: mailroom.clone(),
            guard,
            timers_move_by: None,
            chain: ChainWatch::new(health),
            standing,
            delivered,
            committed: committed.clone(),
            mirrored,
            maintenance,
            nudge,
            readiness,
            stop,
        };
        tasks.spawn(endless(bookkeeper::run(board.clone())));
        tasks.spawn(endless(dispatch::run(board, nudges)));
        tasks.spawn(endless(async move { mailroom.serve().await }));
        tasks.spawn(desk.serve(engine, begun));
        // What was begun has no time to wait for a long outbox (rule B6).
        if let Err(why) = courier.empty_outbox().await {
            tracing::error!(%why, "the outbox could not be brought at start; it is tried again");
        }
        tasks.spawn(endless(async move { courier.run(&committed).await }));
        Ok(Escrow { handle, tasks })
    }

    /// The way in.
    #[must_use]
    pub fn handle(&self) -> EscrowHandle {
        self.handle.clone()
    }

    /// Waits until the escrow was stopped, or until it cannot go on.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub async fn ended(mut self) -> Result<(), EscrowError> {
        // The first task to end is the writer, or one that failed; the others
        // have nothing to finish: what they were about to do is in the ledger.
        // They are waited for all the same, because they hold it open.
        let ended = self.tasks.join_next().await;
        self.tasks.shutdown().await;
        ended.map_or(Ok(()), |ended| ended?)
    }
}

async fn endless(work: impl Future<Output = ()>) -> Result<(), EscrowError> {
    work.await;
    Ok(())
}

/// The way into a running escrow; cheap to clone.
#[derive(Clone)]
pub struct EscrowHandle {
    mailbox: Arc<Mailbox>,
    mailroom: Arc<Mailroom>,
    reception: Arc<Reception>,
    addresses: Arc<Lnurl>,
    banned: Arc<[PublicKey]>,
    known: KnownKeys,
    health: watch::Receiver<LightningHealth>,
    readiness: watch::Receiver<Readiness>,
    views: Views,
    mirrors: Arc<[MirrorNo]>,
    mirrored: watch::Receiver<()>,
    maintenance: watch::Receiver<Option<Maintenance>>,
}

impl EscrowHandle {
    /// Takes a message to the node, whose id and signature have been checked,
    /// and waits until it is decided. When the receipt says so, the decision
    /// is on disk and survives a power cut.
    ///
    /// Who is not known by his key waits for his source's turn (rule Y4); the
    /// sender of a gift wrap is known only once it is open.
    pub async fn submit(&self, source: Source, event: Event) -> Receipt {
        self.submit_by(Path::OwnRelay, source, event).await
    }

    /// As [`EscrowHandle::submit`], for a message that came by this path.
    pub async fn submit_by(&self, path: Path, source: Source, event: Event) -> Receipt {
        let mut message = match self.mailroom.open(source, event).await {
            Ok(message) => TraderMessage { path, ..message },
            Err(receipt) => return receipt,
        };
        if self.is_banned(&message.request) {
            return Receipt::Refused(Refusal::Blocked(BANNED.into()));
        }
        if let Some(receipt) = self.reception.answer(&message).await {
            return receipt;
        }
        addresses::look_up(&self.addresses, &mut message.request.ask).await;
        let lane = if self.known.knows(&message.request.sender.trade_key.0) {
            Lane::Known
        } else {
            Lane::Stranger
        };
        let submission = Submission::Message(message);
        let receipt = self.mailbox.post(lane, source, submission).await;
        receipt.unwrap_or_else(|_| Receipt::error(STOPPING))
    }

    /// Rule Y8: whoever is banned may still bring his living trades to an end.
    fn is_banned(&self, request: &Request) -> bool {
        let needs_trust = match &request.ask {
            Ask::NewOrder(_)
            | Ask::TakeSell { .. }
            | Ask::TakeBuy { .. }
            | Ask::RateUser { .. }
            | Ask::Question(_) => true,
            Ask::AddInvoice { .. }
            | Ask::FiatSent { .. }
            | Ask::Release { .. }
            | Ask::Cancel
            | Ask::Dispute
            | Ask::TradePubkey
            | Ask::TakeDispute(_)
            | Ask::AdminSettle { .. }
            | Ask::AdminCancel { .. }
            | Ask::Govern(_)
            | Ask::Refused(_) => false,
        };
        let who = [request.sender.trade_key.0, questions::about(request).0];
        needs_trust && who.iter().any(|key| self.banned.contains(key))
    }
}

/// Where the writer sits.
struct WritingDesk {
    mailbox: Arc<Mailbox>,
    mailroom: Arc<Mailroom>,
    guard: ClockGuard,
    /// By how much a clock that is believed again moves what traders wait for.
    timers_move_by: Option<u64>,
    chain: ChainWatch,
    standing: watch::Receiver<Standing>,
    delivered: Delivered,
    committed: Arc<Notify>,
    mirrored: watch::Sender<()>,
    maintenance: watch::Sender<Option<Maintenance>>,
    nudge: mpsc::Sender<Nudge>,
    readiness: watch::Sender<Readiness>,
    stop: CancellationToken,
}

/// However the writer ends, nobody is left waiting for it.
impl Drop for WritingDesk {
    fn drop(&mut self) {
        self.mailroom.close();
        self.mailbox.close();
    }
}

impl WritingDesk {
    /// Decides what comes until it is told to stop.
    async fn serve(mut self, mut engine: Engine, begun: Vec<Effect>) -> Result<(), EscrowError> {
        self.wake_all(&engine).await?;
        self.start(begun).await;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let timer = self.until_timer(&engine)?;
            let batch = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                _ = heartbeat.tick() => vec![unasked(Submission::Heartbeat)],
                shown = self.chain.next() => vec![unasked(Submission::Tip(shown))],
                batch = self.mailbox.take(BATCH) => batch,
                () = timer => Vec::new(),
            };
            engine = self.turn(engine, batch).await?;
        }
        // What comes next is downtime.
        let last = vec![unasked(Submission::Heartbeat)];
        self.turn(engine, last).await?;
        Ok(())
    }

    /// The time, and what it means for the timers (rule E14).
    fn time(&mut self, engine: &mut Engine) -> UnixTime {
        let sight = self.guard.look();
        match sight {
            Sight::Steady(_) | Sight::Doubtful(_) => {}
            Sight::Jumped { by_secs, .. } => {
                engine.hold_timers();
                self.timers_move_by = None;
                tracing::error!(
                    by_secs,
                    "the machine's clock jumped: deadlines of traders stop until it has been \
                     steady for 90 s; see that the machine keeps its time"
                );
            }
            Sight::Settled { ahead_secs, .. } => {
                self.timers_move_by = Some(ahead_secs);
                tracing::warn!(
                    ahead_secs,
                    "the machine's clock is believed again: deadlines of traders go on, moved with \
                     it"
                );
            }
        }
        sight.now()
    }

    /// Ends when the next timer is due; never, if there is none.
    fn until_timer(
        &self,
        engine: &Engine,
    ) -> Result<impl Future<Output = ()> + use<>, StorageError> {
        let at = engine
            .next_timer()?
            .map(|at| Instant::now() + Duration::from_secs(at.secs_since(self.guard.now())));
        Ok(async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        })
    }

    /// One step, off the runtime's own threads, because it waits for the disk.
    async fn turn(
        &mut self,
        mut engine: Engine,
        batch: Vec<Waiting>,
    ) -> Result<Engine, EscrowError> {
        let (submissions, receipts): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.submission, waiting.receipt))
            .unzip();
        let delivered = self.delivered.take();
        let now = self.time(&mut engine);
        let standing = *self.standing.borrow();
        engine.set_lightning_ready(!standing.is_deferring(Instant::now()));
        engine.set_outbound(standing.outbound(Instant::now()));
        let mut timers_move_by = self.timers_move_by;
        let (mut engine, delivered, timers_move_by, outcome) =
            tokio::task::spawn_blocking(move || {
                let moved = timers_move_by.map(|secs| engine.let_timers_go(now, secs));
                let stepped = moved.transpose().and_then(|moved| {
                    timers_move_by = None;
                    let mut outcome = engine.step(now, &submissions, &delivered)?;
                    outcome.effects.extend(moved.unwrap_or_default().effects);
                    Ok(outcome)
                });
                (engine, delivered, timers_move_by, stepped)
            })
            .await?;
        // They have moved, although the step after that may have failed.
        self.timers_move_by = timers_move_by;
        match outcome {
            Ok(outcome) => {
                self.committed.notify_one();
                self.tell_maintenance(outcome.maintenance);
                if outcome.mirrored {
                    self.mirrored.send_replace(());
                }
                for (waiting, receipt) in receipts.into_iter().zip(outcome.receipts.iter()) {
                    // Who does not wait any more does not want to know.
                    let _ = waiting.send(receipt.clone());
                }
                self.start(outcome.effects).await;
            }
            Err(why) => {
                tracing::error!(%why, "a step could not be committed");
                for waiting in receipts {
                    let _ = waiting.send(Receipt::error("the node could not write this down"));
                }
                self.delivered.add(delivered);
                self.reopen(&mut engine).await?;
            }
        }
        Ok(engine)
    }

    fn tell_maintenance(&self, present: Option<Maintenance>) {
        self.maintenance.send_if_modified(|told| {
            let is_news = *told != present;
            *told = present;
            is_news
        });
    }

    async fn start(&self, effects: Vec<Effect>) {
        for effect in effects {
            let nudge = match effect {
                Effect::OpenHold(hash) | Effect::SettleHold(hash) | Effect::CancelHold(hash) => {
                    Nudge::Decided(Task::Hold(hash))
                }
                Effect::LookUpHold(hash) => Nudge::LookUp(hash),
                Effect::Pay(hash) => Nudge::Decided(Task::Payment(hash)),
                Effect::Resolve(payout) => Nudge::Decided(Task::Address(payout)),
                Effect::Alarm(alarm) => {
                    tracing::error!("{}", alarms::words(alarm));
                    continue;
                }
                // Written in the commit itself.
                Effect::PublishOrder(_)
                | Effect::PublishDispute(_)
                | Effect::PublishRating { .. }
                | Effect::PublishDevFee(_)
                | Effect::WakeAt(_) => continue,
            };
            // The dispatcher ends with the escrow; the row keeps the intent.
            let _ = self.nudge.send(nudge).await;
        }
    }

    /// After a failed commit only the disk knows what happened: the ledger is
    /// opened again and believed.
    async fn reopen(&self, engine: &mut Engine) -> Result<(), EscrowError> {
        self.readiness
            .send_replace(Readiness::NotReady("the ledger is being reopened".into()));
        for tries in 1.. {
            // A disk that is full stays so for a while, and timers are due all the time.
            tokio::time::sleep(REOPENING_PAUSE).await;
            match engine.reopen() {
                Ok(()) => break,
                Err(why) if tries >= REOPENINGS => return Err(why.into()),
                Err(why) => tracing::error!(%why, tries, "the ledger cannot be opened again yet"),
            }
        }
        self.wake_all(engine).await?;
        self.committed.notify_one();
        // The commit that failed may be on disk.
        self.tell_maintenance(engine.views().view()?.maintenance()?);
        self.mirrored.send_replace(());
        self.readiness.send_replace(Readiness::Ready);
        Ok(())
    }

    async fn wake_all(&self, engine: &Engine) -> Result<(), StorageError> {
        let living = recovery::living(&engine.views().view()?)?;
        for task in living {
            let _ = self.nudge.send(Nudge::Found(task)).await;
        }
        Ok(())
    }
}

/// Something of the writer's own, whose receipt nobody waits for.
fn unasked(submission: Submission) -> Waiting {
    Waiting {
        submission,
        receipt: oneshot::channel().0,
    }
}

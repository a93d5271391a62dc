//! The shell around the world: one desk where every request is served in
//! turn, with a clock on the wall and a journal that is synced before anybody
//! is answered.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use escrow_core::{PaymentHash, UnixTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::acts::{Act, Command, Tick};
use super::faults::{Fault, FaultAction, Faults, Op};
use super::journal::{self, Damaged, FileJournal, Journal, Line};
use super::world::{Change, Setup, World};
use crate::backend::{HoldSnapshot, LnError, LnResult, PaymentState};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// Requests that may wait at the desk.
const QUEUE: usize = 1_024;
/// Requests answered with one sync of the journal.
const BATCH: usize = 512;
/// A journal longer than this is written anew when it is opened.
const MAX_LATER_LINES: usize = 1_000;
/// How often time passes when nobody asks for anything.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// The sandbox as the rest of the program holds it; clones are the same one.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    counter: Counter,
    trouble: Mutex<Trouble>,
}

/// How requests reach the desk.
enum Counter {
    /// At once, in the caller's own time. Nothing waits for another thread,
    /// so that paused clocks in tests stand still meanwhile.
    AtOnce(Box<Mutex<Desk>>),
    /// Through a queue to a thread that syncs a file.
    Queue(Queue),
}

struct Queue {
    /// Taken out when the sandbox ends, which ends the thread.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// What is wrong with the node at this moment.
#[derive(Default)]
struct Trouble {
    faults: Faults,
    down_until: Option<Instant>,
    hanging: Vec<Request>,
}

/// Works at the desk, and leaves an answer to be given after the sync.
type Request = Box<dyn FnOnce(&mut Desk) -> Answer + Send>;
type Answer = Box<dyn FnOnce(&LnResult<()>) + Send>;

/// Why a sandbox did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read or written.
    #[error("the sandbox's journal cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// The file is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sandbox")
    }
}

impl Sandbox {
    /// A sandbox without a journal: it ends with its last clone.
    #[must_use]
    pub fn in_memory(setup: &Setup, clock: Clock) -> Self {
        let world = World::new(setup, clock());
        Self::at_once(Desk::new(world, None, clock))
    }

    /// A sandbox over the caller's journal, synced in the caller's own time;
    /// for tests that cut the power.
    ///
    /// # Errors
    /// If the journal cannot be read, or holds damage no power cut explains.
    pub fn with_journal(
        mut journal: Box<dyn Journal>,
        setup: &Setup,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let world = open_world(journal.as_mut(), setup, clock())?;
        Ok(Self::at_once(Desk::new(world, Some(journal), clock)))
    }

    /// A sandbox over the file at `path`, which is made if it is not there;
    /// `setup` counts only then. A thread serves it and commits requests that
    /// wait at the same time together.
    ///
    /// # Errors
    /// If the file cannot be used, or holds damage no power cut explains.
    pub fn open(path: &Path, setup: &Setup, clock: Clock) -> Result<Self, OpenError> {
        let mut journal = FileJournal::open(path)?;
        let world = open_world(&mut journal, setup, clock())?;
        let desk = Desk::new(world, Some(Box::new(journal)), clock);
        let (requests, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || serve(desk, waiting))?;
        let queue = Queue {
            requests: Some(requests),
            thread: Some(thread),
        };
        Ok(Self::new(Counter::Queue(queue)))
    }

    fn at_once(desk: Desk) -> Self {
        Self::new(Counter::AtOnce(Box::new(Mutex::new(desk))))
    }

    fn new(counter: Counter) -> Self {
        Sandbox {
            shared: Arc::new(Shared {
                counter,
                trouble: Mutex::default(),
            }),
        }
    }

    /// Does something to the world: what wallets, miners and tests do. Faults
    /// do not touch it. It is durable when this returns.
    pub async fn apply<A>(&self, act: A) -> LnResult<A::Reply>
    where
        A: Act + Send + 'static,
        A::Reply: Send + 'static,
    {
        self.ask(|desk| desk.apply(act)).await
    }

    /// Looks at the world.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&World) -> T + Send + 'static,
    ) -> LnResult<T> {
        self.ask(|desk| look(&desk.world)).await
    }

    /// Lets time pass until `stop` is ready: invoices expire and blocks are
    /// found although nobody asks.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut ticks = tokio::time::interval(TICK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = ticks.tick() => {
                    // Every request ticks; a broken journal is told to
                    // whoever asks for something.
                    let _told_elsewhere = self.ask(|_| ()).await;
                }
            }
        }
    }

    /// Adds a rule; rules are used in the order they came.
    pub fn add_fault(&self, fault: Fault) {
        self.trouble().faults.add(fault);
    }

    /// Forgets the rules, lets hanging calls go and brings the node back.
    pub async fn clear_faults(&self) {
        self.come_back();
        self.trouble().faults.clear();
        self.let_go().await;
    }

    /// Lets the calls that hang go on, in their order.
    pub async fn let_go(&self) {
        let hanging = std::mem::take(&mut self.trouble().hanging);
        for request in hanging {
            self.hand_in(request).await;
        }
    }

    /// Stops the node: streams end, and calls find nobody for so long.
    pub async fn go_down(&self, down: Duration) {
        self.trouble().down_until = Some(Instant::now() + down);
        // Without a world to ask there are no streams to end.
        let _no_streams = self.ask(|desk| desk.watchers.end()).await;
    }

    /// Ends the stop of the node early.
    pub fn come_back(&self) {
        self.trouble().down_until = None;
    }

    /// A call of the backend: first whatever is wrong with the node, then the
    /// desk.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        op: Op,
        work: impl FnOnce(&mut Desk) -> T + Send + 'static,
    ) -> LnResult<T> {
        let action = {
            let mut trouble = self.trouble();
            if trouble
                .down_until
                .is_some_and(|until| Instant::now() < until)
            {
                return Err(LnError::Unavailable("the node is down".into()));
            }
            trouble.faults.take(op)
        };
        match action {
            None => self.ask(work).await,
            Some(FaultAction::FailBefore) => Err(LnError::Unavailable(
                "a fault was ordered: nothing was done".into(),
            )),
            Some(FaultAction::FailAfter) => {
                self.ask(work).await?;
                Err(LnError::Ambiguous(
                    "a fault was ordered: the answer is lost".into(),
                ))
            }
            Some(FaultAction::Hang) => {
                let (request, reply) = request(work);
                self.trouble().hanging.push(request);
                reply.await.unwrap_or_else(|_| Err(gone()))
            }
            Some(FaultAction::RestartNode { down_ms }) => {
                self.go_down(Duration::from_millis(down_ms)).await;
                Err(LnError::Unavailable("the node is down".into()))
            }
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk) -> T + Send + 'static,
    ) -> LnResult<T> {
        let (request, reply) = request(work);
        self.hand_in(request).await;
        reply.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn hand_in(&self, request: Request) {
        match &self.shared.counter {
            Counter::AtOnce(desk) => {
                desk.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .serve(vec![request]);
            }
            Counter::Queue(queue) => {
                if let Some(requests) = &queue.requests {
                    // If nobody serves the desk, the request is dropped here
                    // and its caller told so.
                    let _caller_is_told = requests.send(request).await;
                }
            }
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Queue {
    /// Waits for the thread, so that the file is closed and complete when the
    /// last clone is gone.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's thread had panicked");
        }
    }
}

fn request<T: Send + 'static>(
    work: impl FnOnce(&mut Desk) -> T + Send + 'static,
) -> (Request, oneshot::Receiver<LnResult<T>>) {
    let (answer, reply) = oneshot::channel();
    let request: Request = Box::new(move |desk| {
        let result = work(desk);
        Box::new(move |committed: &LnResult<()>| {
            // A caller who stopped waiting needs no answer.
            let _waits_no_more = answer.send(committed.clone().map(|()| result));
        })
    });
    (request, reply)
}

fn gone() -> LnError {
    LnError::Ambiguous("the sandbox stopped before it answered".into())
}

fn open_world(journal: &mut dyn Journal, setup: &Setup, now: UnixTime) -> Result<World, OpenError> {
    let bytes = journal.load()?;
    let recalled = journal::recall(&bytes)?;
    match recalled.world {
        Some(world) if recalled.later_lines <= MAX_LATER_LINES && !recalled.torn => Ok(world),
        kept => {
            let world = kept.unwrap_or_else(|| World::new(setup, now));
            let line = Line::World(Box::new(world.clone()));
            journal.replace(&journal::encode(&line))?;
            Ok(world)
        }
    }
}

/// Serves requests until the last sender is gone. All that wait are committed
/// together, so that one sync pays for many.
fn serve(mut desk: Desk, mut waiting: mpsc::Receiver<Request>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        desk.serve(batch);
    }
}

/// Whatever belongs to the world, in one pair of hands.
pub(super) struct Desk {
    pub(super) world: World,
    pub(super) watchers: Watchers,
    clock: Clock,
    journal: Option<Box<dyn Journal>>,
    /// A journal that failed once is not trusted again: nobody knows what it
    /// holds until it is opened anew.
    broken: bool,
    /// Done since the last commit.
    done: Vec<(UnixTime, Command)>,
    changes: Vec<Change>,
}

impl Desk {
    fn new(world: World, journal: Option<Box<dyn Journal>>, clock: Clock) -> Self {
        let watchers = Watchers::new(world.height());
        let (done, changes) = (Vec::new(), Vec::new());
        Desk {
            world,
            watchers,
            clock,
            journal,
            broken: false,
            done,
            changes,
        }
    }

    /// Does something to the world and notes it for the journal.
    pub(super) fn apply<A: Act>(&mut self, act: A) -> A::Reply {
        let command = act.clone().into();
        let applied = self.world.apply((self.clock)(), act);
        self.done.push((self.world.now(), command));
        self.changes.extend(applied.changes);
        applied.reply
    }

    fn serve(&mut self, batch: Vec<Request>) {
        self.tick();
        let answers: Vec<Answer> = batch.into_iter().map(|request| request(self)).collect();
        self.tick();
        let committed = self.commit();
        for answer in answers {
            answer(&committed);
        }
    }

    /// Lets time pass; worth a line only if something happened.
    fn tick(&mut self) {
        let applied = self.world.apply((self.clock)(), Tick);
        if applied.time_worked {
            self.done.push((self.world.now(), Tick.into()));
            self.changes.extend(applied.changes);
        }
    }

    /// Makes what was done durable, then tells the watchers.
    fn commit(&mut self) -> LnResult<()> {
        let done = std::mem::take(&mut self.done);
        let changes = std::mem::take(&mut self.changes);
        if self.broken {
            return Err(LnError::Unavailable("the sandbox's journal failed".into()));
        }
        if let Some(journal) = &mut self.journal
            && !done.is_empty()
            && let Err(error) = journal.append(&journal::encode(&Line::Done(done)))
        {
            self.broken = true;
            self.watchers.end();
            tracing::error!(%error, "the sandbox's journal cannot be written; restart to go on");
            return Err(LnError::Ambiguous("the sandbox's journal failed".into()));
        }
        for change in changes {
            self.watchers.tell(change);
        }
        Ok(())
    }
}

/// Who waits for news. Only the latest news counts: a slow watcher misses
/// what was between.
pub(super) struct Watchers {
    holds: BTreeMap<PaymentHash, watch::Sender<HoldSnapshot>>,
    payments: BTreeMap<PaymentHash, watch::Sender<PaymentState>>,
    height: watch::Sender<u32>,
}

impl Watchers {
    fn new(height: u32) -> Self {
        let (holds, payments) = (BTreeMap::new(), BTreeMap::new());
        Watchers {
            holds,
            payments,
            height: watch::Sender::new(height),
        }
    }

    /// A receiver whose first news is the present state. In a final state the
    /// sender is dropped at once, so that the stream ends after it.
    pub(super) fn hold(&mut self, now: HoldSnapshot) -> watch::Receiver<HoldSnapshot> {
        let is_final = now.state.is_final();
        let hash = now.hash;
        subscribe(&mut self.holds, hash, now, is_final)
    }

    /// As [`Self::hold`].
    pub(super) fn payment(
        &mut self,
        hash: PaymentHash,
        now: PaymentState,
    ) -> watch::Receiver<PaymentState> {
        let is_final = now.is_final();
        subscribe(&mut self.payments, hash, now, is_final)
    }

    pub(super) fn height(&self) -> watch::Receiver<u32> {
        let mut news = self.height.subscribe();
        news.mark_changed();
        news
    }

    fn tell(&mut self, change: Change) {
        match change {
            Change::Hold(snapshot) => {
                let is_final = snapshot.state.is_final();
                tell(&mut self.holds, snapshot.hash, snapshot, is_final);
            }
            Change::Payment(hash, state) => {
                let is_final = state.is_final();
                tell(&mut self.payments, hash, state, is_final);
            }
            Change::Block(height) => {
                self.height.send_replace(height);
            }
        }
    }

    /// Ends every stream.
    fn end(&mut self) {
        let height = *self.height.borrow();
        *self = Watchers::new(height);
    }
}

type Senders<T> = BTreeMap<PaymentHash, watch::Sender<T>>;

fn subscribe<T>(
    senders: &mut Senders<T>,
    hash: PaymentHash,
    now: T,
    is_final: bool,
) -> watch::Receiver<T> {
    if is_final {
        let mut news = watch::Sender::new(now).subscribe();
        news.mark_changed();
        return news;
    }
    let mut news = senders
        .entry(hash)
        .or_insert_with(|| watch::Sender::new(now))
        .subscribe();
    news.mark_changed();
    news
}

fn tell<T>(senders: &mut Senders<T>, hash: PaymentHash, news: T, is_final: bool) {
    let Some(sender) = senders.get(&hash) else {
        return;
    };
    sender.send_replace(news);
    if is_final || sender.receiver_count() == 0 {
        senders.remove(&hash);
    }
}

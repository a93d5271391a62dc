//! The sandbox as the program holds it: a queue in front of the desk, and
//! whatever is wrong with the node.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::acts::{Act, LosePayments, Peers};
use super::desk::{Answer, Clock, Desk, OpenError, Request, open_world, serve};
use super::faults::{Condition, Fault, FaultAction, Faults, Op, bent};
use super::journal::{FileJournal, Journal};
use super::world::{Setup, World};
use crate::backend::{LnError, LnResult, NodeInfo};

/// Requests that may wait at the desk.
const QUEUE: usize = 1_024;
/// How often time passes when nobody asks for anything.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// A stop of the node is no longer than this; [`Sandbox::come_back`] ends it
/// sooner.
pub(super) const LONGEST_STOP: Duration = Duration::from_secs(30 * 86_400);

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
    condition: Condition,
    hanging: Vec<Request>,
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
        {
            let mut trouble = self.trouble();
            trouble.faults.clear();
            trouble.condition = Condition::default();
        }
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
    /// Wallets, blocks and expiries go on meanwhile.
    pub async fn go_down(&self, down: Duration) {
        self.trouble().down_until = Some(Instant::now() + down.min(LONGEST_STOP));
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
        let action = self.trouble().next(op, Instant::now())?;
        match action {
            // How the node shows itself is seen in what `info` says, and how
            // it tells its news in the streams.
            None
            | Some(
                FaultAction::StaleHeight { .. }
                | FaultAction::NotSynced { .. }
                | FaultAction::InfoHangs { .. }
                | FaultAction::StartWindow { .. }
                | FaultAction::DropStream
                | FaultAction::EofStreamNoTerminal
                | FaultAction::SilentStream
                | FaultAction::DuplicateUpdate
                | FaultAction::ReorderUpdate,
            ) => self.ask(work).await,
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
            Some(FaultAction::Delay { ms }) => {
                sleep(Duration::from_millis(ms)).await;
                self.ask(work).await
            }
            Some(FaultAction::RestartNode { down_ms }) => {
                self.go_down(Duration::from_millis(down_ms)).await;
                Err(LnError::Unavailable("the node is down".into()))
            }
            Some(FaultAction::LockedWallet { .. }) => {
                let _no_streams = self.ask(|desk| desk.watchers.end()).await;
                Err(locked())
            }
            Some(FaultAction::LoseAttempt) => {
                let lose = |count| LosePayments { count };
                self.ask(move |desk| {
                    desk.apply(lose(1));
                    let result = work(desk);
                    desk.apply(lose(0));
                    result
                })
                .await
            }
        }
    }

    /// What the node says of itself, in the condition it is in.
    pub(super) async fn info_by(
        &self,
        look: impl FnOnce(&World) -> NodeInfo + Send + 'static,
    ) -> LnResult<NodeInfo> {
        let info = self.call(Op::Info, |desk| look(&desk.world)).await?;
        let silent_until = self.trouble().condition.silent_until(Instant::now());
        if let Some(until) = silent_until {
            sleep_until(until).await;
        }
        Ok(self.trouble().condition.shown(info, Instant::now()))
    }

    /// Starts a payment, which cannot leave while the node has no peers.
    pub(super) async fn pay_by<A>(&self, act: A) -> LnResult<A::Reply>
    where
        A: Act + Send + 'static,
        A::Reply: Send + 'static,
    {
        let is_starting = self.trouble().condition.is_starting(Instant::now());
        self.call(Op::StartPayment, move |desk| {
            if !is_starting {
                return desk.apply(act);
            }
            desk.apply(Peers { are_online: false });
            let reply = desk.apply(act);
            desk.apply(Peers { are_online: true });
            reply
        })
        .await
    }

    /// Bends a stream if that was ordered.
    pub(super) fn bend<T: Clone + Send + 'static>(
        &self,
        op: Op,
        news: BoxStream<'static, T>,
    ) -> BoxStream<'static, T> {
        let fault = self.trouble().faults.take_bend(op);
        bent(news, fault)
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

impl Trouble {
    /// What is ordered for a call, if the node is there to be called.
    fn next(&mut self, op: Op, now: Instant) -> LnResult<Option<FaultAction>> {
        if self.down_until.is_some_and(|until| now < until) {
            return Err(LnError::Unavailable("the node is down".into()));
        }
        if self.condition.is_locked(now) {
            return Err(locked());
        }
        let action = self.faults.take(op);
        if let Some(action) = action {
            self.condition.worsen(action, now);
        }
        Ok(action)
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
        let answer: Answer = Box::new(move |committed: &LnResult<()>| {
            // A caller who stopped waiting needs no answer.
            let _waits_no_more = answer.send(committed.clone().map(|()| result));
        });
        answer
    });
    (request, reply)
}

fn locked() -> LnError {
    LnError::Unavailable("wallet locked, unlock it to enable full RPC access".into())
}

fn gone() -> LnError {
    LnError::Ambiguous("the sandbox stopped before it answered".into())
}

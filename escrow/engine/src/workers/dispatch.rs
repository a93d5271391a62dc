//! One tender for each living hold and payment, woken when there is reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::payout::PayoutId;
use tokio::sync::{Notify, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::workers::switchboard::Switchboard;
use crate::workers::{address, hold, payment};

/// Streams alone are never trusted: everything living is looked up this often.
const SWEEP: Duration = Duration::from_secs(60);

/// Something outside that wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// A hold.
    Hold(PaymentHash),
    /// A payment.
    Payment(PaymentHash),
    /// The address of a payout, which is asked for an invoice.
    Address(PayoutId),
}

/// A reason to look at something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nudge {
    /// It was decided a moment ago.
    Decided(Task),
    /// It was found in the ledger: an earlier process may have begun with it.
    Found(Task),
    /// A decision waits for how this hold stands; if it is not answered, the
    /// decision asks again.
    LookUp(PaymentHash),
}

/// A tender at work.
struct Tended {
    poke: Arc<Notify>,
    /// Poked for a reason since it started: should it just be ending, it has
    /// not seen that reason and must start anew.
    again: bool,
}

/// Starts and wakes tenders; ends only with its task.
pub(crate) async fn run(board: Switchboard, mut nudges: mpsc::Receiver<Nudge>) {
    let mut health = board.health.clone();
    let mut dispatcher = Dispatcher::new(board);
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut height = None;
    loop {
        tokio::select! {
            nudge = nudges.recv() => match nudge {
                Some(Nudge::Decided(task)) => dispatcher.wake(task, false),
                Some(Nudge::Found(task)) => dispatcher.wake(task, true),
                Some(Nudge::LookUp(hash)) => dispatcher.look_up(hash),
                None => return,
            },
            Some(ended) = dispatcher.tenders.join_next_with_id() => match ended {
                Ok((id, ())) => dispatcher.ended(id),
                Err(why) => dispatcher.failed(&why),
            },
            _ = sweep.tick() => dispatcher.poke_all(),
            Ok(()) = health.changed() => {
                let now = health.borrow_and_update().block_height();
                if now != height {
                    height = now;
                    dispatcher.poke_all();
                }
            }
        }
    }
}

struct Dispatcher {
    board: Switchboard,
    tended: HashMap<Task, Tended>,
    running: HashMap<Id, Task>,
    tenders: JoinSet<()>,
}

impl Dispatcher {
    fn new(board: Switchboard) -> Dispatcher {
        Dispatcher {
            board,
            tended: HashMap::new(),
            running: HashMap::new(),
            tenders: JoinSet::new(),
        }
    }

    fn wake(&mut self, task: Task, resumes: bool) {
        if let Some(tended) = self.tended.get_mut(&task) {
            tended.again = true;
            tended.poke.notify_one();
        } else {
            self.start(task, resumes);
        }
    }

    fn start(&mut self, task: Task, resumes: bool) {
        let poke = Arc::new(Notify::new());
        self.tended.insert(
            task,
            Tended {
                poke: poke.clone(),
                again: false,
            },
        );
        let board = self.board.clone();
        let tender = self.tenders.spawn(async move {
            match task {
                Task::Hold(hash) => hold::tend(board, hash, &poke).await,
                Task::Payment(hash) => payment::tend(board, hash, resumes, &poke).await,
                Task::Address(payout) => address::tend(board, payout, &poke).await,
            }
        });
        self.running.insert(tender.id(), task);
    }

    fn look_up(&mut self, hash: PaymentHash) {
        self.tenders.spawn(hold::look_up(self.board.clone(), hash));
    }

    fn ended(&mut self, id: Id) {
        let Some(task) = self.running.remove(&id) else {
            return;
        };
        if self.tended.remove(&task).is_some_and(|tended| tended.again) {
            self.start(task, false);
        }
    }

    /// A panic is a bug; what was tended is picked up again with its next wake.
    fn failed(&mut self, why: &JoinError) {
        tracing::error!(%why, "a tender failed");
        self.ended(why.id());
    }

    fn poke_all(&self) {
        for tended in self.tended.values() {
            tended.poke.notify_one();
        }
    }
}

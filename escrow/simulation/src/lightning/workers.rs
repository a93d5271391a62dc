//! The workers of one process: a tender for each living hold and payment.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use escrow_core::command::Command;
use escrow_core::decision::Effect;
use escrow_core::payout::{PayoutId, PayoutState};
use escrow_core::{PaymentHash, UnixTime};
use escrow_engine::preimages::Preimages;
use escrow_engine::reports;
use escrow_engine::submission::{PaymentHistory, Submission};
use escrow_lightning::sandbox::World;
use storage::ledger::View;

use super::address::AddressTender;
use super::health::Health;
use super::hold::HoldTender;
use super::line::Line;
use super::payment::PaymentTender;
use crate::dice::Dice;
use crate::tally::Tally;

/// Everything living is looked up this often.
const SWEEP_SECS: u64 = 60;

/// Payments that are asked for at once.
const PAGE: u32 = 500;

/// Longest wait between two tries of the same.
const LONGEST_PAUSE_SECS: u64 = 60;

/// Something that is tended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Hold(PaymentHash),
    Payment(PaymentHash),
    Address(PayoutId),
}

/// The workers of one process.
pub(crate) struct Workers {
    tenders: BTreeMap<Task, Tended>,
    /// Look-ups that decisions wait for.
    look_ups: Vec<PaymentHash>,
    sweeps_at: UnixTime,
    compares_at: UnixTime,
    unseen: Unseen,
    pub(crate) health: Health,
}

/// What this process has to ask Lightning before it may send anything (rule P15).
#[derive(Default)]
struct Unseen {
    payments: BTreeSet<PaymentHash>,
    has_history: bool,
}

impl Unseen {
    fn is_nothing(&self) -> bool {
        self.has_history && self.payments.is_empty()
    }
}

/// What the workers use to do their work.
pub(crate) struct Bench<'a> {
    pub(crate) line: &'a mut Line,
    pub(crate) view: &'a View,
    pub(crate) preimages: &'a Preimages,
    pub(crate) dice: &'a mut Dice,
    pub(crate) tally: &'a mut Tally,
    pub(crate) now: UnixTime,
}

/// A tender and its pace.
struct Tended {
    tender: Tender,
    pace: Pace,
}

enum Tender {
    Hold(HoldTender),
    Payment(PaymentTender),
    Address(Box<AddressTender>),
}

/// When a tender makes its next step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Hangs in a call until then.
    pub(super) busy_until: UnixTime,
    /// There is reason to look.
    pub(super) is_poked: bool,
    pauses_until: UnixTime,
    pause_secs: u64,
}

impl Workers {
    /// The workers with which a process starts.
    pub(crate) fn at_start(view: &View, line: &Line, now: UnixTime, tally: &mut Tally) -> Workers {
        let mut workers = Workers::new(now);
        workers.health.ask(line, now, tally);
        workers.wake_all(view, now);
        let sent = view.sent_attempts().unwrap();
        workers.unseen.payments = sent.iter().map(|attempt| attempt.hash).collect();
        workers
    }

    pub(crate) fn new(now: UnixTime) -> Workers {
        Workers {
            tenders: BTreeMap::new(),
            look_ups: Vec::new(),
            sweeps_at: now.plus(SWEEP_SECS),
            compares_at: now,
            unseen: Unseen::default(),
            health: Health::new(now),
        }
    }

    /// As after a start or a reopened ledger.
    pub(crate) fn wake_all(&mut self, view: &View, now: UnixTime) {
        for hold in view.living_holds().unwrap() {
            self.wake(Task::Hold(hold.hash), false, now);
        }
        for attempt in view.sent_attempts().unwrap() {
            self.wake(Task::Payment(attempt.hash), true, now);
        }
        for payout in view.living_payouts().unwrap() {
            if matches!(payout.state, PayoutState::Resolving { .. }) {
                self.wake(Task::Address(payout.id), false, now);
            }
        }
    }

    pub(crate) fn nudge(&mut self, effects: &[Effect], now: UnixTime) {
        for effect in effects {
            match effect {
                Effect::OpenHold(hash) | Effect::SettleHold(hash) | Effect::CancelHold(hash) => {
                    self.wake(Task::Hold(*hash), false, now);
                }
                Effect::Pay(hash) => self.wake(Task::Payment(*hash), false, now),
                Effect::Resolve(payout) => self.wake(Task::Address(*payout), false, now),
                Effect::LookUpHold(hash) => self.look_ups.push(*hash),
                Effect::PublishOrder(_)
                | Effect::PublishDispute(_)
                | Effect::PublishRating { .. }
                | Effect::PublishDevFee(_)
                | Effect::WakeAt(_)
                | Effect::Alarm(_) => {}
            }
        }
    }

    fn wake(&mut self, task: Task, resumes: bool, now: UnixTime) {
        let tended = self.tenders.entry(task).or_insert_with(|| Tended {
            tender: match task {
                Task::Hold(_) => Tender::Hold(HoldTender::new(now)),
                Task::Payment(_) => Tender::Payment(PaymentTender::new(resumes, now)),
                Task::Address(_) => Tender::Address(Box::default()),
            },
            pace: Pace::new(now),
        });
        tended.pace.is_poked = true;
    }

    pub(crate) fn tends(&self, task: Task) -> bool {
        self.tenders.contains_key(&task)
    }

    /// Each tender makes one step; what they report is returned.
    pub(crate) fn work(&mut self, bench: &mut Bench<'_>) -> Vec<Command> {
        let has_new_height = self.health.ask(bench.line, bench.now, bench.tally);
        if has_new_height || bench.now >= self.sweeps_at {
            self.sweep(bench.now);
        }
        let mut commands = self.look_up(bench);
        let health = &self.health;
        let is_stopped = bench.view.latch().unwrap().is_some();
        let unseen = &mut self.unseen;
        self.tenders.retain(|task, tended| {
            let is_idle = !bench.line.is_good && bench.dice.percent(20);
            if is_idle || tended.pace.busy_until > bench.now {
                return true;
            }
            let pace = &mut tended.pace;
            let may_ask = health.is_ready() && unseen.is_nothing();
            let (lives, command) = match (&mut tended.tender, *task) {
                (Tender::Hold(tender), Task::Hold(hash)) => tender.step(hash, pace, bench),
                (Tender::Payment(tender), Task::Payment(hash)) => {
                    let may_send = may_ask && !is_stopped;
                    let step = tender.step(hash, pace, (health, may_send), bench);
                    if tender.is_seen() || !step.0 {
                        unseen.payments.remove(&hash);
                    }
                    step
                }
                (Tender::Address(tender), Task::Address(payout)) => {
                    tender.step(payout, pace, may_ask, bench)
                }
                (Tender::Hold(_) | Tender::Payment(_) | Tender::Address(_), task) => {
                    panic!("a tender of something else than {task:?}")
                }
            };
            commands.extend(command);
            lives
        });
        commands
    }

    /// The ledger is compared with what Lightning has paid: at start before
    /// anything is sent, then each minute.
    pub(crate) fn compare(&mut self, bench: &mut Bench<'_>) -> Option<Submission> {
        if bench.now < self.compares_at {
            return None;
        }
        let compared = bench.view.payment_index().unwrap();
        let list = |world: &World| world.payments_since(compared.saturating_sub(1), PAGE);
        let Ok(records) = bench.line.look(list, bench.dice, bench.tally) else {
            self.compares_at = bench.now.plus(2);
            return None;
        };
        let history = reports::payment_history(compared, &records, PAGE);
        if history.is_cut_short {
            bench.tally.add("history cut short");
        }
        let pause_secs = if history.is_whole { SWEEP_SECS } else { 0 };
        self.compares_at = bench.now.plus(pause_secs);
        Some(Submission::Payments(history))
    }

    /// This much of Lightning's history is compared, and on disk.
    pub(crate) fn compared(&mut self, history: &PaymentHistory) {
        self.unseen.has_history |= history.is_whole;
    }

    fn sweep(&mut self, now: UnixTime) {
        self.sweeps_at = now.plus(SWEEP_SECS);
        for tended in self.tenders.values_mut() {
            tended.pace.is_poked = true;
        }
    }

    /// One that is not answered is asked for once more by its decision.
    fn look_up(&mut self, bench: &mut Bench<'_>) -> Vec<Command> {
        let mut commands = Vec::new();
        for hash in mem::take(&mut self.look_ups) {
            let (dice, tally) = (&mut *bench.dice, &mut *bench.tally);
            let Ok(seen) = bench.line.look(|world| world.hold(hash), dice, tally) else {
                continue;
            };
            let hold = bench.view.hold_by_hash(hash).unwrap();
            commands.extend(hold.and_then(|hold| reports::hold_looked_up(&hold, seen.as_ref())));
        }
        commands
    }
}

impl Pace {
    fn new(now: UnixTime) -> Pace {
        Pace {
            busy_until: now,
            is_poked: false,
            pauses_until: now,
            pause_secs: 1,
        }
    }

    /// Whether to try, after what did not move anything on.
    pub(super) fn tries(&mut self, now: UnixTime) -> bool {
        mem::take(&mut self.is_poked) || self.pauses_until <= now
    }

    /// Waits, and longer each time.
    pub(super) fn pauses(&mut self, now: UnixTime) {
        self.pauses_until = now.plus(self.pause_secs);
        self.pause_secs = (self.pause_secs * 2).min(LONGEST_PAUSE_SECS);
    }

    /// Something moved on.
    pub(super) fn goes_on(&mut self, now: UnixTime) {
        self.pauses_until = now;
        self.pause_secs = 1;
    }
}

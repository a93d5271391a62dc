//! One step of the node, and everything that must be true after it.

use escrow_core::UnixTime;
use escrow_core::command::Command;
use escrow_core::decision::Effect;
use escrow_engine::clock::Sight;
use escrow_engine::desk::Sealing;
use escrow_engine::submission::{Submission, TraderMessage};
use escrow_engine::writer::{Outcome, StepError};
use storage::ledger::OutboxSeq;

use super::{JUMP_SECS, Town};
use crate::lightning::{Bench, Workers};
use crate::mirrors::Brought;
use crate::witness::{Truth, Witness, inspects_horizon, inspects_process};

/// Steps between two audits.
const AUDIT_EVERY: u64 = 8;

/// Seconds between two heartbeats of the node.
const HEARTBEAT_SECS: u64 = 30;

/// What goes into one step.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What the node itself has learned, and its chores.
    pub(super) own: Vec<Submission>,
    pub(super) mail: Vec<TraderMessage>,
    pub(super) delivered: Vec<OutboxSeq>,
}

/// What the node does by the clock.
#[derive(Default)]
pub(super) struct Chores {
    beat_at: UnixTime,
}

impl Batch {
    pub(super) fn of(own: Vec<Submission>) -> Batch {
        Batch {
            own,
            ..Batch::default()
        }
    }

    fn is_empty(&self) -> bool {
        self.mail.is_empty() && self.delivered.is_empty() && self.own.is_empty()
    }

    /// Whether it asks for nothing but that time passes.
    pub(super) fn is_idle(&self) -> bool {
        let is_chore = |own: &Submission| {
            use Submission::{Heartbeat, Mirror, Payments, Tip};
            matches!(own, Heartbeat | Tip(_) | Mirror(_) | Payments(_))
        };
        self.mail.is_empty() && self.delivered.is_empty() && self.own.iter().all(is_chore)
    }
}

impl Town {
    /// The node takes a turn, if anything waits for one.
    pub(super) fn turn(&mut self, batch: &Batch) {
        let waits = !batch.is_empty() || self.is_timer_due() || self.timers_move_by.is_some();
        if waits {
            self.commit(batch);
        }
    }

    /// What waits for the node by now.
    pub(super) fn batch(&mut self) -> Batch {
        let mut own = self.chores();
        own.extend(self.operator());
        own.extend(self.compare());
        own.extend(self.work().into_iter().map(Submission::Report));
        let mut mail = self.arrivals();
        let brought = self.mirrors_bring();
        own.extend(brought.reports);
        mail.extend(brought.mail);
        Batch {
            own,
            mail,
            delivered: self.deliveries(),
        }
    }

    /// Heartbeat and tip, as often as in production; in a long quiet time once
    /// where production has them many times over.
    fn chores(&mut self) -> Vec<Submission> {
        let now = self.hours.now;
        let mut chores = Vec::new();
        if now.secs_since(self.chores.beat_at) >= HEARTBEAT_SECS {
            self.chores.beat_at = now;
            chores.push(Submission::Heartbeat);
        }
        chores.extend(self.workers.health.tip(now));
        chores
    }

    fn mirrors_bring(&mut self) -> Brought {
        let view = self.view();
        let (dice, tally) = (&mut self.dice, &mut self.tally);
        self.mirrors.bring(&view, self.hours.now, dice, tally)
    }

    pub(super) fn work(&mut self) -> Vec<Command> {
        self.at_the_bench(Workers::work)
    }

    pub(super) fn compare(&mut self) -> Option<Submission> {
        self.at_the_bench(Workers::compare)
    }

    fn at_the_bench<T>(&mut self, works: fn(&mut Workers, &mut Bench<'_>) -> T) -> T {
        let view = self.view();
        let mut bench = Bench {
            line: &mut self.line,
            view: &view,
            preimages: &self.preimages,
            dice: &mut self.dice,
            tally: &mut self.tally,
            now: self.hours.now,
        };
        works(&mut self.workers, &mut bench)
    }

    /// A step that goes well, and everything that must be true after it.
    pub(super) fn commit(&mut self, batch: &Batch) -> Vec<Effect> {
        let alone = batch.mail.len() == 1
            && !self.is_timer_due()
            && batch
                .own
                .iter()
                .all(|own| matches!(own, Submission::Heartbeat));
        let present = self.hours.seen().max(self.ledger_time);
        let expected: Vec<_> = batch.own.iter().map(|own| self.expects(own)).collect();
        let outcome = self.step(batch).expect("the disk is well");
        for (receipt, expected) in outcome.receipts.iter().zip(&expected) {
            self.hears_ruling(receipt, expected.as_ref());
        }
        let receipts = outcome.receipts.iter().skip(batch.own.len());
        assert_eq!(receipts.len(), batch.mail.len());
        let now = self.hours.seen();
        for (message, receipt) in batch.mail.iter().zip(receipts) {
            self.witness.receipt(message, receipt, now);
        }
        for seq in &batch.delivered {
            self.witness.waiting.remove(seq);
        }
        let view = self.view();
        self.mirrors.committed(&batch.own, &batch.mail, &view);
        self.absorb(&outcome, alone);
        let view = self.view();
        // A clock that is believed again may have made timers due.
        let is_steady = self.ledger_time <= present;
        if let ([message], true) = (&*batch.mail, alone && is_steady) {
            let truth = Truth {
                view: &view,
                living: &self.living(),
                now: self.ledger_time,
            };
            let tally = &mut self.tally;
            self.witness
                .judges_answer(message, &outcome.letters, &truth, tally);
        }
        for own in &batch.own {
            match own {
                Submission::Tip(Some(height)) => {
                    inspects_horizon(&view, *height, self.ledger_time);
                }
                Submission::Payments(history) => self.workers.compared(history),
                _ => {}
            }
        }
        outcome.effects
    }

    /// Whether the next step fires a timer.
    pub(super) fn is_timer_due(&self) -> bool {
        self.next_timer()
            .is_some_and(|at| at <= self.hours.seen().max(self.ledger_time))
    }

    pub(super) fn step(&mut self, batch: &Batch) -> Result<Outcome, StepError> {
        self.look_away();
        let now = self.look_at_the_clock();
        let messages = batch.mail.iter().cloned().map(Submission::Message);
        let all: Vec<_> = batch.own.iter().cloned().chain(messages).collect();
        self.trace.note("in", &(now, &all, &batch.delivered));
        let engine = self.engine.as_mut().unwrap();
        let health = &self.workers.health;
        health.tell(engine, self.hours.now, &mut self.tally);
        let moved = match self.timers_move_by {
            Some(secs) => engine.let_timers_go(now, secs)?.effects,
            None => Vec::new(),
        };
        // They have moved, although the step may yet fail.
        self.timers_move_by = None;
        let mut outcome = engine.step(now, &all, &batch.delivered)?;
        outcome.effects.extend(moved);
        Ok(outcome)
    }

    /// The time, and what it means for the timers (rule E14), as the node that
    /// runs in production has it.
    fn look_at_the_clock(&mut self) -> UnixTime {
        let sight = self.hours.look();
        if !matches!(sight, Sight::Steady(_)) {
            self.trace.note("clock", &sight);
        }
        match sight {
            Sight::Steady(_) | Sight::Doubtful(_) => {}
            Sight::Jumped { .. } => {
                self.tally.add("clock jump seen");
                self.engine.as_mut().unwrap().hold_timers();
                self.timers_move_by = None;
            }
            Sight::Settled { ahead_secs, .. } => {
                self.tally.add("clock believed again");
                self.timers_move_by = Some(ahead_secs);
                self.ledger_follows(sight.now());
            }
        }
        self.ledger_time = self.ledger_time.max(sight.now());
        sight.now()
    }

    /// A clock that is believed and was set back takes the time of the ledger
    /// with it.
    pub(super) fn ledger_follows(&mut self, now: UnixTime) {
        if self.ledger_time.secs_since(now) >= JUMP_SECS {
            self.tally.add("ledger followed a clock back");
            self.ledger_time = now;
        }
    }

    /// What a committed step has said and wants to be done. `alone` tells that
    /// one message caused all of it.
    pub(super) fn absorb(&mut self, outcome: &Outcome, alone: bool) {
        let Outcome {
            receipts,
            effects,
            letters,
            mirrored: _,
            maintenance: _,
        } = outcome;
        self.trace.note("out", &(receipts, letters, effects));
        self.workers.nudge(effects, self.hours.now);
        let view = self.view();
        let sealed = self.witness.reads_outbox(&view, &self.people);
        let heard = match self.sealing {
            Sealing::Full => sealed,
            Sealing::Off => Witness::unsealed(letters),
        };
        self.witness.hears(&heard, alone, &mut self.tally);
        self.inspect();
    }

    pub(super) fn inspect(&mut self) {
        let view = self.view();
        self.witness.inspects(&view, &self.living(), &self.line);
        self.mirrors.inspects(&view, &mut self.tally);
        self.steps += 1;
        if self.steps.is_multiple_of(AUDIT_EVERY) {
            self.witness.audits(&view, &self.line, &self.people);
            self.mirrors.audits(&view);
        }
        let node = self.keys.public_key();
        inspects_process(&view, &self.known, &self.workers, node);
    }
}

//! What the writer does for all orders at once: it moves their timers after a
//! downtime, finds those without one, and judges escrows that near their end.

use escrow_core::UnixTime;
use escrow_core::command::Command;
use escrow_core::decide::escrow_horizon::estimated_tip;
use escrow_core::decide::solvers;
use escrow_core::decision::{Alarm, Decision, Effect};
use escrow_core::due;
use escrow_core::order::{Order, OrderId};
use escrow_core::payout::Payee;
use escrow_core::terms::WARNING_BLOCKS;
use escrow_core::wire::health_event;
use storage::ledger::{JournalEntry, StorageError, Tip};

use crate::clock::TOLERANCE_SECS;
use crate::submission::Announcement;

use super::turn::Turn;
use super::{BATCH, Engine, Outcome, StepError};

/// How often all living orders are looked at (rule S9).
const ROUND_SECS: u64 = 3_600;

/// Living orders that one heartbeat looks at, so that no step is long: a
/// hundred thousand in an hour.
const ORDERS_PER_HEARTBEAT: usize = 1_024;

/// How far the present round along all living orders has come.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    began: UnixTime,
    /// The last order looked at; none when the round is over.
    after: Option<OrderId>,
    /// Something may be too old to matter.
    pub(super) is_untidy: bool,
}

/// What happens to all deadlines of traders at once, in seconds.
#[derive(Clone, Copy, Debug)]
enum Move {
    Later(u64),
    Nearer(u64),
}

impl Engine {
    /// Takes up the work where an earlier process left it: whatever the
    /// traders wait for moves by the time in which the node was down (rule
    /// E11), and every order has its timers (rule S9).
    ///
    /// One commit carries it all, and the heartbeat with it: cut off before,
    /// it is done again, cut off after, there is no downtime left to move by.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub fn take_up(&mut self, now: UnixTime) -> Result<Outcome, StepError> {
        let last_alive = self.views().view()?.heartbeat()?;
        if let Some(ahead_secs) = self.is_ahead_by(now) {
            return self.go_back(now, ahead_secs);
        }
        let now = self.not_before_latest(now);
        let downtime_secs = last_alive.map_or(0, |alive| now.secs_since(alive));
        if downtime_secs > 0 {
            tracing::info!(downtime_secs, "deadlines of traders move by the downtime");
        }
        self.move_all(now, Move::Later(downtime_secs))
    }

    /// No timer fires until [`Engine::let_timers_go`].
    pub fn hold_timers(&mut self) {
        self.timers_are_held = true;
    }

    /// Lets timers fire again, those of traders later by the `secs` that the
    /// clock went ahead (rule E14). If it was set back to before the time of
    /// the ledger, that goes back with it, and they fire earlier by as much.
    ///
    /// No commit has told a time after the jump, unless it is the one that
    /// moved the timers, or the ledger's time was ahead of the clock. So what
    /// the ledger's time has still to go is what they have to be moved by:
    /// done again after a commit of unknown outcome, it does not count twice.
    ///
    /// # Errors
    /// If the ledger cannot be read or written; the timers stay held.
    pub fn let_timers_go(&mut self, now: UnixTime, secs: u64) -> Result<Outcome, StepError> {
        let moved = if let Some(ahead_secs) = self.is_ahead_by(now) {
            self.go_back(now, ahead_secs)?
        } else {
            self.go_forth(now, secs)?
        };
        self.timers_are_held = false;
        Ok(moved)
    }

    fn go_forth(&mut self, now: UnixTime, secs: u64) -> Result<Outcome, StepError> {
        let now = self.not_before_latest(now);
        let told = self.views().view()?.heartbeat()?;
        let secs = secs.min(told.map_or(secs, |told| now.secs_since(told)));
        if secs > 0 {
            self.move_all(now, Move::Later(secs))
        } else {
            Ok(Outcome::default())
        }
    }

    /// By how much the time of the ledger is ahead of a clock that is believed,
    /// if that is more than drift.
    fn is_ahead_by(&self, now: UnixTime) -> Option<u64> {
        let ahead_secs = self.latest.secs_since(now);
        (ahead_secs > TOLERANCE_SECS).then_some(ahead_secs)
    }

    /// The time of the ledger follows a clock that was set back: it would stand
    /// still for as long otherwise, and with it every deadline.
    fn go_back(&mut self, now: UnixTime, secs: u64) -> Result<Outcome, StepError> {
        tracing::warn!(
            secs,
            "the clock was set back: the time of the ledger follows it"
        );
        // Should the commit fail, the ledger says when it is opened again whether
        // this has still to be done.
        self.latest = now;
        self.move_all(now, Move::Nearer(secs))
    }

    /// Fires what is due, until nothing of it is left.
    pub(crate) fn fire_due(&mut self, now: UnixTime) -> Result<Vec<Effect>, StepError> {
        let mut effects = Vec::new();
        loop {
            let due = self.views().view()?.due_timers(now, BATCH)?.len();
            effects.extend(self.step(now, &[], &[])?.effects);
            if due < BATCH {
                return Ok(effects);
            }
        }
    }

    fn move_all(&mut self, now: UnixTime, by: Move) -> Result<Outcome, StepError> {
        self.rounds = Rounds {
            began: now,
            ..Rounds::default()
        };
        let ((), outcome) = self.write((now, now), |turn| Ok(turn.move_all(by)?), StepError)?;
        Ok(outcome)
    }
}

impl Turn<'_, '_> {
    fn move_all(&mut self, by: Move) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let orders = self.page.living_orders_after(after, ORDERS_PER_HEARTBEAT)?;
            let Some(last) = orders.last() else {
                self.look_after_dev_fees()?;
                if let Some(tip) = self.page.tip()? {
                    let seen_at = tip.seen_at.min(self.now);
                    self.page.put_tip(Tip { seen_at, ..tip })?;
                }
                return self.page.put_heartbeat(self.now);
            };
            after = Some(last.id);
            for order in orders {
                let moved = match by {
                    Move::Later(0) => Decision::default(),
                    Move::Later(secs) => self.gather().shifted(&order, secs)?,
                    Move::Nearer(secs) => self.gather().brought_back(&order, secs)?,
                };
                self.apply(moved)?;
                self.look_after(&order)?;
            }
        }
    }

    /// Goes on with the round along all living orders, or begins the next.
    pub(super) fn go_round(&mut self) -> Result<(), StorageError> {
        if self.rounds.after.is_none() {
            if self.now.secs_since(self.rounds.began) < ROUND_SECS {
                return Ok(());
            }
            self.rounds.began = self.now;
            self.look_after_dev_fees()?;
        }
        let after = self.rounds.after;
        let orders = self.page.living_orders_after(after, ORDERS_PER_HEARTBEAT)?;
        self.rounds.after = orders.last().map(|order| order.id);
        orders.iter().try_for_each(|order| self.look_after(order))
    }

    /// Gives an order the timers that it lacks; should nothing move it all the
    /// same, the operator hears of it (rule S9).
    fn look_after(&mut self, order: &Order) -> Result<(), StorageError> {
        let Some(order) = self.page.order(order.id)? else {
            return Ok(());
        };
        for timer in self.timers_due(&order)? {
            if self.page.timer_of(order.id, timer.kind)?.is_none() {
                self.page.put_timer(timer)?;
            }
        }
        let (hold, payout) = self.gather().rows_of(&order)?;
        let ends = order.stage.is_terminal();
        if !ends && due::mover(&order, hold.as_ref(), payout.as_ref()).is_none() {
            let stuck = Effect::Alarm(Alarm::OrderStuck(order.id));
            self.draft.effects.push(stuck);
        }
        Ok(())
    }

    /// The same for development fees, whose orders have ended.
    fn look_after_dev_fees(&mut self) -> Result<(), StorageError> {
        for payout in self.page.living_payouts()? {
            let is_fee = payout.payee() == Payee::Development;
            let due = due::dev_fee_due(&payout).filter(|_| is_fee);
            if let Some(timer) = due
                && self.page.timer_of(timer.order, timer.kind)?.is_none()
            {
                self.page.put_timer(timer)?;
            }
        }
        Ok(())
    }

    /// Gives the node's health event its number.
    pub(super) fn announce_health(&mut self, event: Announcement) -> Result<(), StorageError> {
        let number = self.page.next_health_number()?;
        let event = Announcement {
            tags: health_event::numbered(event.tags, number),
            ..event
        };
        self.draft.announce(self.page, self.desk, event, self.now)
    }

    /// Takes no new trades while Lightning is away (rule X9).
    pub(super) fn rest(&mut self, lightning_is_away: bool) -> Result<(), StorageError> {
        let present = self.page.maintenance()?;
        let gather = self.gather();
        let decision = solvers::rest(lightning_is_away, present.as_ref(), gather.now());
        let Some(decision) = decision else {
            return Ok(());
        };
        self.apply(decision)?;
        self.page.push_journal(&JournalEntry {
            at: self.now,
            origin: "node".into(),
            order: None,
            command: "maintenance".into(),
            outcome: if lightning_is_away { "begun" } else { "ended" }.into(),
        })?;
        Ok(())
    }

    /// Keeps the height that Lightning shows, and judges every escrow that
    /// nears its end (rule X1). While Lightning shows none, or one that it had
    /// long passed, the height is estimated.
    pub(super) fn tip(&mut self, shown: Option<u32>) -> Result<(), StorageError> {
        if let Some(height) = shown {
            self.page.put_tip(Tip {
                height,
                seen_at: self.now,
            })?;
        }
        let Some(Tip { height, seen_at }) = self.page.tip()? else {
            return Ok(());
        };
        self.tip_height = Some(height);
        let height = if shown.is_some_and(|shown| shown >= height) {
            height
        } else {
            estimated_tip(height, seen_at, self.now)
        };
        let margin = self.desk.terms.escrow_deadline_margin_blocks;
        let in_sight = height.saturating_add(margin).saturating_add(WARNING_BLOCKS);
        for hold in self.page.holds_expiring_by(in_sight)? {
            self.report(&Command::HoldAged {
                hash: hold.hash,
                tip_height: height,
            })?;
        }
        Ok(())
    }
}

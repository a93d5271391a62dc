//! What happens to Lightning by itself, and how the node shows itself then.

use escrow_core::UnixTime;
use escrow_core::payout::AttemptState;
use escrow_lightning::backend::{FailReason, PaymentState};
use escrow_lightning::sandbox::{
    AnswerHeld, Behave, Behaviour, ChangeChannels, FailPayments, ForgetPayments, LosePayments,
    Mine, Peers,
};
use storage::ledger::View;

use super::line::Line;
use crate::dice::Dice;
use crate::tally::Tally;

/// So long after its start the node looks for its peers, at most.
const START_WINDOW_SECS: u64 = 60;

/// How the node is, each until its moment.
#[derive(Default)]
pub(super) struct Condition {
    pub(super) down_until: UnixTime,
    pub(super) locked_until: UnixTime,
    /// No `info` is answered.
    pub(super) silent_until: UnixTime,
    unsynced_until: UnixTime,
    /// Up, but behind the chain and without peers.
    starting_until: UnixTime,
    /// It shows this height.
    stale: Option<(UnixTime, u32)>,
}

impl Condition {
    pub(super) fn is_away(&self, now: UnixTime) -> bool {
        self.down_until > now || self.locked_until > now
    }

    pub(super) fn is_synced(&self, now: UnixTime) -> bool {
        self.unsynced_until <= now && self.starting_until <= now
    }

    pub(super) fn shown_height(&self, height: u32, now: UnixTime) -> u32 {
        match self.stale {
            Some((until, shown)) if until > now => shown,
            Some(_) | None => height,
        }
    }
}

impl Line {
    /// A moment's weather.
    pub(crate) fn weather(&mut self, view: &View, dice: &mut Dice, tally: &mut Tally) {
        match dice.below(100) {
            0..4 => {
                let count = u32::try_from(1 + dice.below(4)).unwrap();
                self.act(FailPayments { count });
            }
            4..6 => self.mine(1 + dice.below(20)),
            6 if dice.percent(60) => {
                tally.add("a day's blocks at once");
                self.mine(150);
            }
            7..9 => self.restart(dice, tally),
            9 => {
                tally.add("locked wallet");
                self.lock(1 + dice.below(120));
            }
            10 => {
                tally.add("info hung");
                self.condition.silent_until = self.now.plus(1 + dice.below(300));
            }
            11 => {
                tally.add("not synced");
                self.condition.unsynced_until = self.now.plus(1 + dice.below(200));
            }
            12 => {
                tally.add("stale height");
                let until = self.now.plus(1 + dice.below(4_000));
                self.condition.stale = Some((until, self.world.height()));
            }
            13 => self.prune(view, tally),
            14 => {
                let found = self.act(ChangeChannels);
                (0..found).for_each(|_| tally.add("lost attempt found out"));
            }
            15..19 => self.somebody_behaves(dice, tally),
            19..25 => self.somebody_answers(dice, tally),
            _ => {}
        }
    }

    /// All trouble is over, and nobody makes any more.
    pub(crate) fn heal(&mut self) {
        self.is_good = true;
        self.condition = Condition::default();
        self.act(FailPayments { count: 0 });
        self.act(LosePayments { count: 0 });
        self.act(Peers { are_online: true });
        let wallets: Vec<String> = self.world.wallets().keys().cloned().collect();
        for wallet in wallets {
            let behaviour = Behaviour::Pay;
            self.act(Behave { wallet, behaviour }).unwrap();
        }
        for hash in self.world.held_payments() {
            self.act(AnswerHeld { hash, takes: true }).unwrap();
        }
        self.act(ChangeChannels);
    }

    /// The node finds its peers some time after its start.
    pub(super) fn condition_passes(&mut self) {
        if self.condition.starting_until <= self.now && self.world.active_channels() == 0 {
            self.act(Peers { are_online: true });
        }
    }

    fn mine(&mut self, blocks: u64) {
        let blocks = u32::try_from(blocks).unwrap();
        self.act(Mine { blocks });
    }

    fn restart(&mut self, dice: &mut Dice, tally: &mut Tally) {
        tally.add("node restarted");
        let secs = 1 + dice.below(120);
        self.go_down(secs);
        if dice.percent(50) {
            tally.add("start window");
            let window = 1 + dice.below(START_WINDOW_SECS);
            self.condition.starting_until = self.now.plus(secs + window);
            self.act(Peers { are_online: false });
        }
    }

    /// The operator prunes what failed; what succeeded too, but only when the
    /// ledger knows of it: he is told not to do it otherwise.
    fn prune(&mut self, view: &View, tally: &mut Tally) {
        let payments = self.world.payments_since(0, u32::MAX);
        let succeeded = payments
            .into_iter()
            .filter(|payment| matches!(payment.state, PaymentState::Succeeded { .. }));
        let succeeded: Vec<_> = succeeded.collect();
        let is_known = |hash| {
            let attempt = view.attempt(hash).unwrap();
            attempt.is_some_and(|it| matches!(it.state, AttemptState::Succeeded { .. }))
        };
        let failed_only = !succeeded.iter().all(|payment| is_known(payment.hash));
        if !failed_only {
            self.forgotten.extend(succeeded);
        }
        if self.act(ForgetPayments { failed_only }) > 0 {
            self.has_forgotten = true;
            tally.add("payments forgotten");
        }
    }

    /// Whether the node has ever lost a payment out of its history.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }

    fn somebody_behaves(&mut self, dice: &mut Dice, tally: &mut Tally) {
        let wallets: Vec<String> = self.world.wallets().keys().cloned().collect();
        let wallet = dice.pick(&wallets).unwrap().clone();
        let reasons = [
            FailReason::WrongDetails,
            FailReason::NoRoute,
            FailReason::Timeout,
        ];
        let (behaviour, name) = match dice.below(8) {
            0 => (Behaviour::Hold, "payee holds"),
            1 => (
                Behaviour::Slow {
                    secs: 10 + dice.below(1_000),
                },
                "payee is slow",
            ),
            2 => (
                Behaviour::Fail {
                    reason: *dice.pick(&reasons).unwrap(),
                },
                "payee fails",
            ),
            3 => (Behaviour::Offline, "payee is offline"),
            _ => (Behaviour::Pay, "payee pays"),
        };
        tally.add(name);
        self.act(Behave { wallet, behaviour }).unwrap();
    }

    fn somebody_answers(&mut self, dice: &mut Dice, tally: &mut Tally) {
        if let Some(hash) = dice.pick(&self.world.held_payments()).copied() {
            tally.add("held payment answered");
            let takes = dice.percent(60);
            self.act(AnswerHeld { hash, takes }).unwrap();
        }
    }
}

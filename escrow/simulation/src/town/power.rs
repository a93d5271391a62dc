//! How the node loses its power, or its disk for a moment, and how it starts.

use escrow_core::decision::Effect;
use escrow_core::terms::Terms;
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::known_keys::KnownKeys;
use escrow_engine::reports::{self, PaymentStep, Tried};
use escrow_engine::submission::Submission;
use escrow_engine::writer::{Engine, StepError};
use storage::ledger::{Ledger, View};
use storage::testing::Trouble;

use super::step::{Batch, Chores};
use super::{Town, preimages};
use crate::lightning::{DEVELOPMENT, Workers, address_of};

impl Town {
    /// The process ends without a word and starts again.
    pub(super) fn crash(&mut self) {
        self.disk = self.disk.after_power_cut();
        self.start_after(0);
    }

    /// The power is off for minutes, hours or days, while the world goes on.
    pub(super) fn lose_power(&mut self) {
        let secs = match self.dice.below(10) {
            0..6 => 60 + self.dice.below(1_800),
            6..9 => 3_600 + self.dice.below(30_000),
            _ => {
                self.tally.add("power off for days");
                86_400 + self.dice.below(2 * 86_400)
            }
        };
        self.tally.add("power off");
        self.disk = self.disk.after_power_cut();
        self.start_after(secs);
    }

    /// A crash right after a commit, before anything of it is done.
    pub(super) fn commit_and_crash(&mut self, batch: Batch) {
        let effects = self.commit(&batch);
        if effects.iter().any(is_for_lightning) {
            self.tally.add("crash before Lightning");
        }
        self.tally.add("crash after commit");
        self.crash();
        self.send_again(batch.mail);
    }

    /// The power goes in the middle of a commit: before or after the sync that
    /// counts, with some of the other writes kept.
    pub(super) fn cut_power_in(&mut self, mut batch: Batch) {
        batch.own.push(Submission::Heartbeat);
        self.disk.cut_power_after(self.dice.below(2));
        match self.step(&batch) {
            // It went just in time.
            Ok(outcome) => self.absorb(&outcome, false),
            Err(why) => self.trace.note("power cut", &why),
        }
        self.tally.add("power cut in a commit");
        self.disk = self.disk.after_messy_power_cut(self.dice.number());
        self.doubts(&batch);
        self.send_again(batch.mail);
        self.start_after(0);
    }

    /// The disk refuses for a moment, and the ledger is opened again.
    pub(super) fn refuse_commit_of(&mut self, mut batch: Batch) {
        batch.own.push(Submission::Heartbeat);
        let trouble = if self.dice.percent(50) {
            Trouble::Refuses
        } else {
            Trouble::SyncsAndComplains
        };
        self.disk.set_trouble(trouble);
        let outcome = self.step(&batch);
        self.disk.set_trouble(Trouble::None);
        let why = outcome.expect_err("a heartbeat is written in any case");
        self.tally.add("commit failed");
        self.trace.note("commit failed", &why);
        self.engine.as_mut().unwrap().reopen().unwrap();
        self.doubts(&batch);
        self.send_again(batch.mail);
        let view = self.view();
        self.workers.wake_all(&view, self.hours.now);
        self.hears_the_outbox(&view);
        self.inspect();
    }

    /// Nobody knows what was committed, but the ledger does. What was said in
    /// such a commit is lost to the witness where letters are not sealed.
    fn doubts(&mut self, batch: &Batch) {
        self.witness
            .doubts(&batch.mail, self.sealing == Sealing::Off);
    }

    /// Starts, maybe not at the first try, after the node was away for so long.
    pub(super) fn start_after(&mut self, secs: u64) {
        self.no_power();
        self.pass_time(secs);
        while !self.line.is_good && self.dice.percent(10) {
            self.tally.add("power cut in a start");
            self.disk.cut_power_after(self.dice.below(8));
            // It may have come up just before the power went.
            if let Err(why) = self.start() {
                self.trace.note("power cut in a start", &why);
            }
            self.no_power();
            self.disk = self.disk.after_messy_power_cut(self.dice.number());
            self.doubts(&Batch::default());
            let secs = self.dice.below(100);
            self.pass_time(secs);
        }
        self.start().expect("the disk is well");
    }

    fn no_power(&mut self) {
        self.look_away();
        self.engine = None;
    }

    /// As the escrow starts: deadlines move by the downtime, what Lightning did
    /// meanwhile is decided, then what is due (rules E11, E13).
    fn start(&mut self) -> Result<(), StepError> {
        self.hours.restart();
        self.timers_move_by = None;
        self.chores = Chores::default();
        self.known = KnownKeys::default();
        let ledger = Ledger::with_backend(self.disk.clone())?;
        let desk = self.desk();
        let mut engine = Engine::new(ledger, desk, self.known.clone())?;
        let numbers = engine.set_mirrors(&self.mirrors.urls())?;
        self.mirrors.connect(&numbers);
        self.engine = Some(engine);
        let view = self.view();
        self.workers = Workers::at_start(&view, &self.line, self.hours.now, &mut self.tally);
        // What a commit of unknown outcome has left is seen here.
        self.hears_the_outbox(&view);
        let now = self.hours.look().now();
        self.ledger_time = view.heartbeat().unwrap().unwrap_or_default();
        self.ledger_follows(now);
        self.ledger_time = self.ledger_time.max(now);
        self.look_away();
        let engine = self.engine.as_mut().unwrap();
        let begun = engine.take_up(now)?;
        engine.hold_timers();
        self.absorb(&begun, false);
        // What Lightning has paid comes first, then what it did besides.
        let compared = Batch::of(self.compare().into_iter().collect());
        let outcome = self.step(&compared)?;
        self.absorb(&outcome, false);
        if let Some(Submission::Payments(history)) = compared.own.first() {
            self.workers.compared(history);
        }
        let news = Batch::of(self.reconcile(&self.view()));
        let outcome = self.step(&news)?;
        self.absorb(&outcome, false);
        self.look_away();
        let engine = self.engine.as_mut().unwrap();
        let gone = engine.let_timers_go(now, 0)?;
        self.absorb(&gone, false);
        let outcome = self.step(&Batch::default())?;
        self.absorb(&outcome, false);
        Ok(())
    }

    fn hears_the_outbox(&mut self, view: &View) {
        let sealed = self.witness.reads_outbox(view, &self.people);
        self.witness.hears(&sealed, false, &mut self.tally);
    }

    fn desk(&mut self) -> Desk {
        Desk {
            keys: self.keys.clone(),
            terms: Terms {
                dev_fee_destination: Some(address_of(DEVELOPMENT)),
                ..Terms::default()
            },
            stationery: Stationery {
                network: "regtest".into(),
                relays: vec!["wss://relay.example".into()],
                instance: None,
                closed_order_secs: 30 * 86_400,
                dispute_secs: 7_776_000,
                rating_secs: 7_776_000,
                dev_fee_secs: 365 * 86_400,
                letter_secs: 30 * 86_400,
            },
            preimages: preimages(self.secret),
            entropy: Entropy::seeded(self.dice.number()),
            prices: self.market.clone(),
            lightning_is_ready: false,
            sealing: self.sealing,
        }
    }

    /// Recovery asks Lightning for everything that has no end yet.
    fn reconcile(&self, view: &View) -> Vec<Submission> {
        if !self.line.is_up() {
            return Vec::new();
        }
        let world = &self.line.world;
        let holds = view.living_holds().unwrap();
        let of_holds = holds
            .iter()
            .filter_map(|hold| reports::hold_news(hold, &world.hold(hold.hash)?));
        let attempts = view.sent_attempts().unwrap();
        let of_payments = attempts.iter().filter_map(|attempt| {
            let seen = world.payment(attempt.hash);
            match reports::payment_step(attempt.hash, seen, Tried::Unknown) {
                PaymentStep::Report(command) => Some(command),
                PaymentStep::Start | PaymentStep::Wait | PaymentStep::LookAgain => None,
            }
        });
        of_holds
            .chain(of_payments)
            .map(Submission::Report)
            .collect()
    }
}

fn is_for_lightning(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::OpenHold(_)
            | Effect::SettleHold(_)
            | Effect::CancelHold(_)
            | Effect::LookUpHold(_)
            | Effect::Pay(_)
    )
}

//! One run: a node on a disk that loses power, traders, and Lightning.

mod rest;

use std::sync::Arc;

use escrow_core::UnixTime;
use escrow_core::command::Command;
use escrow_core::decision::Effect;
use escrow_core::terms::Terms;
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::known_keys::KnownKeys;
use escrow_engine::preimages::Preimages;
use escrow_engine::prices::NoPrices;
use escrow_engine::reports::{self, PaymentStep, Tried};
use escrow_engine::submission::{Submission, TraderMessage};
use escrow_engine::writer::{Engine, Outcome, StepError};
use escrow_lightning::InvoiceRules;
use escrow_lightning::backend::Network;
use escrow_lightning::sandbox::{FailPayments, Mine};
use nostr::key::Keys;
use secrecy::SecretBox;
use storage::ledger::{Ledger, OutboxSeq, View};
use storage::testing::{PowerCutDisk, Trouble};

use crate::dice::Dice;
use crate::lightning::{Bench, Line, Workers};
use crate::people::{People, Scene, envelope, fresh_keys};
use crate::tally::Tally;
use crate::trace::Trace;
use crate::witness::{Witness, inspects_process};

/// Rounds of trouble in a run.
const ROUNDS: usize = 50;

/// Steps between two audits.
const AUDIT_EVERY: u64 = 8;

/// A message on its way.
struct Mail {
    arrives: UnixTime,
    message: TraderMessage,
}

/// A node, its surroundings and who watches them.
pub(crate) struct Town {
    dice: Dice,
    now: UnixTime,
    keys: Keys,
    sealing: Sealing,
    secret: [u8; 32],
    disk: PowerCutDisk,
    engine: Option<Engine>,
    known: KnownKeys,
    preimages: Arc<Preimages>,
    workers: Workers,
    line: Line,
    people: People,
    post: Vec<Mail>,
    sent: Vec<TraderMessage>,
    witness: Witness,
    steps: u64,
    pub(crate) trace: Trace,
    pub(crate) tally: Tally,
}

impl Town {
    pub(crate) fn new(seed: u64, sealing: Sealing, show: Option<fn(&str)>) -> Town {
        let mut dice = Dice::new(seed);
        let now = UnixTime(1_750_000_000);
        let mut line = Line::new(dice.bytes(), now);
        let keys = fresh_keys(&mut dice);
        let rules = InvoiceRules {
            network: Network::Regtest,
            max_final_cltv_expiry_delta: 144,
            own_node_pubkey: line.world.node_key().to_string(),
        };
        let people = People::new(&mut line, &mut dice, rules);
        let secret = dice.bytes();
        let mut town = Town {
            witness: Witness::new(keys.public_key(), &line),
            now,
            keys,
            sealing,
            secret,
            disk: PowerCutDisk::new(),
            engine: None,
            known: KnownKeys::default(),
            preimages: preimages(secret),
            workers: Workers::default(),
            line,
            people,
            post: Vec::new(),
            sent: Vec::new(),
            steps: 0,
            trace: Trace::new(show),
            tally: Tally::default(),
            dice,
        };
        town.boot();
        town
    }

    /// The whole run.
    pub(crate) fn live(&mut self) {
        for _ in 0..ROUNDS {
            self.round();
        }
        self.come_to_rest();
    }

    fn round(&mut self) {
        let secs = match self.dice.below(100) {
            0..60 => self.dice.below(3),
            60..85 => 3 + self.dice.below(8),
            85..96 => 11 + self.dice.below(110),
            _ => 200 + self.dice.below(2_000),
        };
        self.pass_time(secs);
        self.weather();
        for _ in 0..=self.dice.below(3) {
            self.somebody_acts();
        }
        let mut reports = self.work();
        if self.dice.percent(2) {
            self.tally.add("crash before reports");
            self.crash();
            reports.clear();
        }
        let mut batch: Vec<Submission> = reports.into_iter().map(Submission::Report).collect();
        if self.dice.percent(5) {
            batch.push(Submission::Heartbeat);
        }
        let mail = self.arrivals();
        let delivered = self.deliveries();
        match self.dice.below(100) {
            0..3 => self.cut_power_in(batch, mail, &delivered),
            3..5 => self.refuse_commit_of(batch, mail, &delivered),
            5..9 => {
                let effects = self.commit(batch, &mail, &delivered);
                if effects.iter().any(is_for_lightning) {
                    self.tally.add("crash before Lightning");
                }
                self.tally.add("crash after commit");
                self.crash();
                self.send_again(mail);
            }
            _ => {
                self.commit(batch, &mail, &delivered);
            }
        }
    }

    fn pass_time(&mut self, secs: u64) {
        self.now = self.now.plus(secs);
        self.line.pass_time(self.now);
    }

    /// What happens to Lightning by itself.
    fn weather(&mut self) {
        match self.dice.below(100) {
            0..4 => {
                let count = u32::try_from(1 + self.dice.below(4)).unwrap();
                self.line.act(FailPayments { count });
            }
            4..6 => {
                let blocks = u32::try_from(1 + self.dice.below(20)).unwrap();
                self.line.act(Mine { blocks });
            }
            6 if self.dice.percent(20) => {
                self.line.act(Mine { blocks: 150 });
            }
            7..9 => self.line.go_down(1 + self.dice.below(120)),
            _ => {}
        }
    }

    fn somebody_acts(&mut self) {
        if self.dice.percent(10) && !self.sent.is_empty() {
            return self.repeat();
        }
        let view = self.view();
        let mut scene = Scene {
            view: &view,
            line: &mut self.line,
            dice: &mut self.dice,
            now: self.now,
        };
        let requests = self.people.idea(&self.witness.orders, &mut scene);
        for mut request in requests {
            match self.dice.below(100) {
                0..3 => request.signed_at = request.signed_at.plus(self.dice.below(400)),
                3..7 => {
                    let earlier = request.signed_at.0 - self.dice.below(1_000);
                    request.signed_at = UnixTime(earlier);
                }
                _ => {}
            }
            self.witness.asks(&request);
            let message = envelope(request, &mut self.dice);
            self.send(message);
        }
    }

    /// A message comes again, as it was or in another wrap.
    fn repeat(&mut self) {
        let mut message = self.dice.pick(&self.sent).unwrap().clone();
        let is_wrapped = message.event != message.inner;
        if is_wrapped && self.dice.percent(50) {
            message.event = self.dice.bytes();
        }
        self.tally.add("repeated message");
        self.send(message);
    }

    fn send(&mut self, message: TraderMessage) {
        let delay = match self.dice.below(10) {
            0..7 => 0,
            7..9 => self.dice.below(20),
            _ => self.dice.below(400),
        };
        self.sent.push(message.clone());
        self.post.push(Mail {
            arrives: self.now.plus(delay),
            message,
        });
    }

    /// Whoever got no receipt sends once more.
    fn send_again(&mut self, mail: Vec<TraderMessage>) {
        let arrives = self.now.plus(1 + self.dice.below(5));
        let again = mail.into_iter().map(|message| Mail { arrives, message });
        self.post.extend(again);
    }

    fn arrivals(&mut self) -> Vec<TraderMessage> {
        let now = self.now;
        let (here, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.post)
            .into_iter()
            .partition(|mail| mail.arrives <= now);
        self.post = later;
        let mut here: Vec<_> = here.into_iter().map(|mail| mail.message).collect();
        self.dice.shuffle(&mut here);
        here
    }

    /// Some of the rows that wait; not always in one go.
    fn deliveries(&mut self) -> Vec<OutboxSeq> {
        let share = if self.line.is_good { 100 } else { 70 };
        let is_delivered = |_: &OutboxSeq| self.dice.percent(share);
        self.witness
            .waiting
            .iter()
            .copied()
            .filter(is_delivered)
            .collect()
    }

    fn work(&mut self) -> Vec<Command> {
        let view = self.view();
        let mut bench = Bench {
            line: &mut self.line,
            view: &view,
            preimages: &self.preimages,
            dice: &mut self.dice,
            tally: &mut self.tally,
            now: self.now,
        };
        self.workers.work(&mut bench)
    }

    /// A step that goes well, and everything that must be true after it.
    fn commit(
        &mut self,
        batch: Vec<Submission>,
        mail: &[TraderMessage],
        delivered: &[OutboxSeq],
    ) -> Vec<Effect> {
        let own = batch.len();
        let timer = self.engine().next_timer().unwrap();
        let alone = own + mail.len() == 1 && timer.is_none_or(|at| at > self.now);
        let outcome = self.step(batch, mail, delivered).expect("the disk is well");
        let Outcome {
            receipts,
            effects,
            letters,
            mirrored: _,
            maintenance: _,
        } = outcome;
        assert_eq!(receipts.len(), own + mail.len());
        for (message, receipt) in mail.iter().zip(receipts.iter().skip(own)) {
            self.witness.receipt(message, receipt, self.now);
        }
        for seq in delivered {
            self.witness.waiting.remove(seq);
        }
        self.trace.note("out", &(receipts, &letters, &effects));
        self.workers.nudge(&effects, self.now);
        let view = self.view();
        let sealed = self.witness.reads_outbox(&view, &self.people);
        let heard = match self.sealing {
            Sealing::Full => sealed,
            Sealing::Off => Witness::unsealed(&letters),
        };
        self.witness.hears(&heard, alone, &mut self.tally);
        self.inspect();
        effects
    }

    fn step(
        &mut self,
        mut batch: Vec<Submission>,
        mail: &[TraderMessage],
        delivered: &[OutboxSeq],
    ) -> Result<Outcome, StepError> {
        batch.extend(mail.iter().cloned().map(Submission::Message));
        self.trace.note("in", &(self.now, &batch, delivered));
        let is_up = self.line.is_up();
        let now = self.now;
        let engine = self.engine.as_mut().unwrap();
        engine.set_lightning_ready(is_up);
        engine.step(now, &batch, delivered)
    }

    /// The power goes in the middle of a commit: before or after the sync that
    /// counts, with some of the other writes kept.
    fn cut_power_in(
        &mut self,
        batch: Vec<Submission>,
        mail: Vec<TraderMessage>,
        delivered: &[OutboxSeq],
    ) {
        self.disk.cut_power_after(self.dice.below(2));
        match self.step(batch, &mail, delivered) {
            // Nothing had to be written.
            Ok(outcome) => assert!(outcome.letters.is_empty() && outcome.effects.is_empty()),
            Err(why) => self.trace.note("power cut", &why),
        }
        self.tally.add("power cut in a commit");
        self.engine = None;
        self.disk = self.disk.after_messy_power_cut(self.dice.number());
        self.after_doubt(mail);
        self.boot();
    }

    /// The disk refuses for a moment, and the ledger is opened again.
    fn refuse_commit_of(
        &mut self,
        batch: Vec<Submission>,
        mail: Vec<TraderMessage>,
        delivered: &[OutboxSeq],
    ) {
        let trouble = if self.dice.percent(50) {
            Trouble::Refuses
        } else {
            Trouble::SyncsAndComplains
        };
        self.disk.set_trouble(trouble);
        let outcome = self.step(batch, &mail, delivered);
        self.disk.set_trouble(Trouble::None);
        if let Err(why) = outcome {
            self.tally.add("commit failed");
            self.trace.note("commit failed", &why);
            self.engine.as_mut().unwrap().reopen().unwrap();
            self.after_doubt(mail);
            let view = self.view();
            self.workers.wake_all(&view, self.now);
            self.inspect();
        }
    }

    /// Nobody knows what was committed, but the ledger does.
    fn after_doubt(&mut self, mail: Vec<TraderMessage>) {
        self.witness.doubts(&mail);
        self.send_again(mail);
    }

    /// The process ends without a word and starts again.
    fn crash(&mut self) {
        self.engine = None;
        self.disk = self.disk.after_power_cut();
        self.boot();
    }

    /// As the escrow starts: what Lightning did meanwhile is decided first.
    fn boot(&mut self) {
        let desk = Desk {
            keys: self.keys.clone(),
            terms: Terms::default(),
            stationery: Stationery {
                network: "regtest".into(),
                relays: vec!["wss://relay.example".into()],
                instance: None,
                closed_order_secs: 30 * 86_400,
                dispute_secs: 7_776_000,
                rating_secs: 7_776_000,
                letter_secs: 30 * 86_400,
            },
            preimages: preimages(self.secret),
            entropy: Entropy::seeded(self.dice.number()),
            prices: Arc::new(NoPrices),
            lightning_is_ready: self.line.is_up(),
            sealing: self.sealing,
        };
        let ledger = Ledger::with_backend(self.disk.clone()).unwrap();
        self.known = KnownKeys::default();
        self.engine = Some(Engine::new(ledger, desk, self.known.clone()).unwrap());
        let view = self.view();
        self.workers = Workers::at_start(&view, self.now);
        // What a commit of unknown outcome has left is seen here.
        let sealed = self.witness.reads_outbox(&view, &self.people);
        self.witness.hears(&sealed, false, &mut self.tally);
        let news = self.reconcile(&view);
        drop(view);
        self.commit(news, &[], &[]);
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

    fn inspect(&mut self) {
        let view = self.view();
        self.witness.inspects(&view, &self.line);
        self.steps += 1;
        if self.steps.is_multiple_of(AUDIT_EVERY) {
            self.witness.audits(&view, &self.line, &self.people);
        }
        inspects_process(&view, &self.known, &self.workers, &self.people);
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn view(&self) -> View {
        self.engine().views().view().unwrap()
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

fn preimages(secret: [u8; 32]) -> Arc<Preimages> {
    Arc::new(Preimages::new(SecretBox::new(Box::new(secret))))
}

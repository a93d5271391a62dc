//! The writer: decides what waits, writes it down in one commit, and only
//! then lets anybody know.
//!
//! [`Engine::step`] is synchronous and takes the time as an argument, so a
//! simulation drives the very code that serves traders.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use escrow_core::UnixTime;
use escrow_core::command::{Command, Request};
use escrow_core::decision::{Decision, Effect};
use escrow_core::due;
use escrow_core::freshness::{self, Stale, Subject};
use escrow_core::notice::Letter;
use escrow_core::order::OrderId;
use escrow_core::party::Identity;
use escrow_core::timer::Timer;
use storage::ledger::{
    JournalEntry, Ledger, MirrorNo, NodeIdentity, OutboxSeq, Page, SetAside, StorageError, Views,
};

use crate::desk::Desk;
use crate::draft::Draft;
use crate::escrow::EscrowError;
use crate::gather::Gather;
use crate::known_keys::KnownKeys;
use crate::recovery;
use crate::submission::{MirrorReport, Path, Receipt, Submission, TraderMessage};

/// Most submissions that one commit carries.
pub const BATCH: usize = 64;

/// How long a message is remembered (rule G2).
const SEEN_SECS: u64 = 72 * 3_600;

/// How long the last stamp of a letter is remembered; longer than any clock is off.
const LETTER_STAMP_SECS: u64 = 7 * 86_400;

/// How long a path through a mirror is remembered; longer than any trade is open.
const PATH_SECS: u64 = 60 * 86_400;

/// How long the journal is kept.
const JOURNAL_SECS: u64 = 400 * 86_400;

/// Rows of each kind that one heartbeat removes at most, so that no step is long.
const TIDY_ROWS: usize = 512;

/// The ledger and the only one who writes into it.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    desk: Desk,
    known: KnownKeys,
    /// The external relays that get a copy of what is published.
    mirrors: Vec<MirrorNo>,
    /// Time inside the ledger never runs backwards.
    latest: UnixTime,
}

/// What a committed step leaves to be done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One for each submission, in order.
    pub receipts: Vec<Receipt>,
    /// What the workers shall do.
    pub effects: Vec<Effect>,
    /// What was said, for those who watch a run; already in the outbox.
    pub letters: Vec<Letter>,
    /// Whether there is something new for the mirrors.
    pub mirrored: bool,
}

/// A step that could not be committed. Nothing of it may be believed: the
/// outcome of a failed commit is unknown until the ledger is opened again.
#[derive(Debug, thiserror::Error)]
#[error("the ledger cannot be written: {0}")]
pub struct StepError(#[from] pub StorageError);

impl Engine {
    /// Takes the ledger and what the desk needs.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn new(ledger: Ledger, desk: Desk, known: KnownKeys) -> Result<Engine, StorageError> {
        let engine = Engine {
            ledger,
            desk,
            known,
            mirrors: Vec::new(),
            latest: UnixTime(0),
        };
        engine.learn_known_keys()?;
        Ok(engine)
    }

    /// Opens the ledger again after a step that could not be committed, and
    /// takes what it holds for the truth.
    ///
    /// # Errors
    /// If it cannot be opened; it may be tried again.
    pub fn reopen(&mut self) -> Result<(), StorageError> {
        self.ledger.reopen()?;
        self.learn_known_keys()
    }

    fn learn_known_keys(&self) -> Result<(), StorageError> {
        let keys = self.views().view()?.living_trade_keys()?;
        self.known.replace(keys.into_iter().map(|key| key.0));
        Ok(())
    }

    /// Makes the ledger this node's own, unless it holds open orders of another.
    pub(crate) fn adopt(&mut self, node: &NodeIdentity) -> Result<(), EscrowError> {
        recovery::judge_ledger(&self.views().view()?, node)??;
        let mut page = self.ledger.page()?;
        page.put_node_identity(node)?;
        Ok(page.commit()?)
    }

    /// Makes these external relays the mirrors, and returns their numbers in
    /// the same order. What waited for any other is forgotten.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn set_mirrors(&mut self, urls: &[String]) -> Result<Vec<MirrorNo>, StorageError> {
        let mut page = self.ledger.page()?;
        let mirrors = page.set_mirrors(urls)?;
        page.commit()?;
        self.mirrors.clone_from(&mirrors);
        Ok(mirrors)
    }

    /// Read snapshots for everybody else.
    #[must_use]
    pub fn views(&self) -> Views {
        self.ledger.views()
    }

    /// Says whether Lightning can carry new escrows from the next step on.
    pub fn set_lightning_ready(&mut self, ready: bool) {
        self.desk.lightning_is_ready = ready;
    }

    /// Decides what is due and a batch, in order, and commits it as a whole.
    ///
    /// `delivered` are outbox rows that have reached their relay; they ride
    /// along. A submission that fails by storage or panic fails alone: nothing
    /// of the batch is committed, and each is then run by itself.
    ///
    /// # Errors
    /// If a commit fails.
    pub fn step(
        &mut self,
        now: UnixTime,
        batch: &[Submission],
        delivered: &[OutboxSeq],
    ) -> Result<Outcome, StepError> {
        let now = now.max(self.latest);
        self.latest = now;
        let due = self.views().view()?.due_timers(now, BATCH)?;
        let due: Vec<_> = due.into_iter().map(Submission::Due).collect();
        // What Lightning has done counts before the time that ran out meanwhile.
        let all: Vec<_> = batch.iter().chain(&due).collect();
        let mut outcome = match self.commit(now, &all, delivered) {
            Ok(outcome) => outcome,
            Err(Trouble::Commit(why)) => return Err(StepError(why)),
            Err(Trouble::Submission(_)) => self.one_by_one(now, &all, delivered)?,
        };
        // Nobody waits for the receipt of a timer.
        outcome.receipts.truncate(batch.len());
        Ok(outcome)
    }

    /// When the next timer is due.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn next_timer(&self) -> Result<Option<UnixTime>, StorageError> {
        self.views().view()?.next_timer()
    }

    fn one_by_one(
        &mut self,
        now: UnixTime,
        batch: &[&Submission],
        delivered: &[OutboxSeq],
    ) -> Result<Outcome, StepError> {
        let mut whole = Outcome::default();
        for submission in batch {
            match self.commit(now, &[submission], delivered) {
                Ok(outcome) => whole.append(outcome),
                Err(Trouble::Commit(why)) => return Err(StepError(why)),
                Err(Trouble::Submission(why)) => {
                    self.set_aside(now, submission, &why)?;
                    whole
                        .receipts
                        .push(Receipt::error("the node failed on this message"));
                }
            }
        }
        Ok(whole)
    }

    fn commit(
        &mut self,
        now: UnixTime,
        batch: &[&Submission],
        delivered: &[OutboxSeq],
    ) -> Result<Outcome, Trouble> {
        let mut page = self.ledger.page().map_err(Trouble::Commit)?;
        let mut draft = Draft::default();
        let mut receipts = Vec::with_capacity(batch.len());
        for submission in batch {
            let desk = &mut self.desk;
            let mut turn = Turn {
                page: &mut page,
                desk,
                draft: &mut draft,
                mirrors: &self.mirrors,
                now,
            };
            // A panic is a bug in one decision; the page is thrown away with all it wrote.
            let receipt = catch_unwind(AssertUnwindSafe(|| turn.take(submission)))
                .unwrap_or_else(|_| Err(Trouble::Submission("panic in a decision".into())))?;
            receipts.push(receipt);
        }
        page.done_outbox(delivered).map_err(Trouble::Commit)?;
        let mirrored = draft
            .post(&mut page, &self.desk, &self.mirrors)
            .map_err(Trouble::Commit)?;
        let known = draft.known_keys(&page).map_err(Trouble::Commit)?;
        page.commit().map_err(Trouble::Commit)?;
        self.known.apply(known);
        Ok(Outcome {
            receipts,
            effects: draft.effects,
            letters: draft.letters,
            mirrored,
        })
    }

    /// Keeps what could not be decided for the operator to look at.
    fn set_aside(
        &mut self,
        now: UnixTime,
        submission: &Submission,
        why: &str,
    ) -> Result<(), StepError> {
        tracing::error!(why, "a submission failed and was set aside");
        let mut page = self.ledger.page()?;
        let event = submission.name();
        page.push_set_aside(&SetAside {
            at: now,
            event,
            why: why.into(),
        })?;
        if let Submission::Due(timer) = submission {
            // Kept, it would fail again with every step.
            page.remove_timer(*timer)?;
        }
        Ok(page.commit()?)
    }
}

impl Outcome {
    fn append(&mut self, later: Outcome) {
        self.receipts.extend(later.receipts);
        self.effects.extend(later.effects);
        self.letters.extend(later.letters);
        self.mirrored |= later.mirrored;
    }
}

/// What ends a batch.
enum Trouble {
    /// The page could not be written; its outcome is unknown.
    Commit(StorageError),
    /// One submission failed.
    Submission(String),
}

impl From<StorageError> for Trouble {
    fn from(why: StorageError) -> Trouble {
        // A disk that fails is not the submission's fault.
        if why.is_temporary() {
            Trouble::Commit(why)
        } else {
            Trouble::Submission(why.to_string())
        }
    }
}

/// One submission's turn at the open page.
struct Turn<'a, 'p> {
    page: &'a mut Page<'p>,
    desk: &'a mut Desk,
    draft: &'a mut Draft,
    mirrors: &'a [MirrorNo],
    now: UnixTime,
}

impl Turn<'_, '_> {
    fn take(&mut self, submission: &Submission) -> Result<Receipt, Trouble> {
        match submission {
            Submission::Message(message) => return self.message(message),
            Submission::Report(command) => self.report(command)?,
            Submission::Due(timer) => self.due(*timer)?,
            Submission::Announce(event) => {
                self.draft
                    .announce(self.page, self.desk, event.clone(), self.now)?;
            }
            Submission::Mirror(report) => self.mirror(report)?,
            Submission::Heartbeat => self.heartbeat()?,
        }
        Ok(Receipt::Decided)
    }

    fn message(&mut self, message: &TraderMessage) -> Result<Receipt, Trouble> {
        if let Path::Mirror(mirror) = message.path {
            // Also for a copy: who asks in two places listens in both.
            let asker = message.request.sender.trade_key;
            self.page.put_path(asker, mirror, self.now)?;
        }
        for name in message.names() {
            if self.page.seen(name)?.is_some() {
                return Ok(Receipt::Duplicate);
            }
        }
        let request = &message.request;
        let decision = match (self.is_fresh(request)?, message.path) {
            (Ok(()), _) => self.gather().request(request)?,
            (Err(stale), Path::OwnRelay) => return Ok(Receipt::invalid(stale.to_string())),
            (Err(stale), Path::Mirror(_)) => match stale.answer(&request.ask) {
                Some(why) => Err(why),
                None => return Ok(Receipt::invalid(stale.to_string())),
            },
        };
        let outcome = match decision {
            Ok(decision) => {
                self.apply(decision)?;
                "done"
            }
            Err(why) => {
                let letter = Letter::refusal(&request.asker(), request.order, why);
                self.draft.letter(self.page, self.desk, letter, self.now)?;
                why.as_str()
            }
        };
        for name in message.names() {
            self.page.put_seen(name, self.now)?;
        }
        self.note(request, outcome)?;
        Ok(Receipt::Decided)
    }

    fn is_fresh(&self, request: &Request) -> Result<Result<(), Stale>, StorageError> {
        let order = match request.order {
            Some(id) => self.page.order(id)?,
            None => None,
        };
        let subject = Subject::of(&request.ask, order.map(|order| order.stage_since));
        Ok(freshness::check(request.signed_at, self.now, subject))
    }

    fn report(&mut self, command: &Command) -> Result<(), StorageError> {
        let decision = self.gather().report(command)?;
        self.apply(decision)
    }

    /// Whether the timer still means anything is decided from the rows.
    fn due(&mut self, timer: Timer) -> Result<(), StorageError> {
        self.page.remove_timer(timer)?;
        self.report(&Command::Elapsed(timer))
    }

    /// Says that the node lives, and forgets what is too old to matter.
    fn heartbeat(&mut self) -> Result<(), StorageError> {
        let before = |secs: u64| UnixTime(self.now.0.saturating_sub(secs));
        self.page.put_heartbeat(self.now)?;
        self.page.purge_seen(before(SEEN_SECS), TIDY_ROWS)?;
        self.page
            .purge_letter_stamps(before(LETTER_STAMP_SECS), TIDY_ROWS)?;
        self.page.prune_journal(before(JOURNAL_SECS), TIDY_ROWS)?;
        self.page.purge_paths(before(PATH_SECS), TIDY_ROWS)?;
        let stationery = &self.desk.stationery;
        let longest = stationery.letter_secs.max(stationery.closed_order_secs);
        for mirror in self.mirrors {
            // Relays refuse what has expired.
            self.page
                .purge_backlog(*mirror, before(longest), TIDY_ROWS)?;
        }
        Ok(())
    }

    fn mirror(&mut self, report: &MirrorReport) -> Result<(), StorageError> {
        let Some(mut mirror) = self.page.mirror(report.mirror)? else {
            return Ok(());
        };
        for rows in [&report.acknowledged, &report.given_up] {
            self.page.done_backlog(report.mirror, rows)?;
        }
        if !report.acknowledged.is_empty() {
            mirror.acknowledged_at = Some(self.now);
        }
        let given_up = u64::try_from(report.given_up.len()).unwrap_or(u64::MAX);
        mirror.given_up = mirror.given_up.saturating_add(given_up);
        mirror.read_until = mirror.read_until.max(report.read_until);
        self.page.put_mirror(report.mirror, &mirror)
    }

    fn gather(&mut self) -> Gather<'_, '_> {
        Gather {
            page: self.page,
            desk: self.desk,
            at: self.now,
        }
    }

    /// Writes a decision into the page.
    fn apply(&mut self, decision: Decision) -> Result<(), StorageError> {
        let moved = moved_orders(&decision);
        for order in decision.orders {
            if let Some(before) = self.page.order(order.id)? {
                self.draft.touch(&before);
            }
            self.draft.touch(&order);
            self.page.put_order(order)?;
        }
        for ended in &decision.ended_takes {
            self.page.put_ended_take(ended)?;
        }
        for dispute in &decision.disputes {
            self.page.put_dispute(dispute)?;
        }
        for hold in &decision.holds {
            self.page.put_hold(hold)?;
        }
        for payout in &decision.payouts {
            self.page.put_payout(payout)?;
        }
        for attempt in &decision.attempts {
            self.page.put_attempt(attempt)?;
        }
        for (identity, user) in &decision.users {
            self.page.put_user(*identity, user)?;
        }
        for letter in decision.answer.into_iter().chain(decision.pushes) {
            self.draft.letter(self.page, self.desk, letter, self.now)?;
        }
        let (wakes, effects): (Vec<_>, Vec<_>) = decision
            .effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::WakeAt(_)));
        for effect in effects {
            self.start(effect)?;
        }
        for order in moved {
            self.set_timers(order)?;
        }
        for wake in wakes {
            self.start(wake)?;
        }
        Ok(())
    }

    /// Sets the timers that follow from the rows of an order (rule S9).
    fn set_timers(&mut self, id: OrderId) -> Result<(), StorageError> {
        let Some(order) = self.page.order(id)? else {
            return Ok(());
        };
        let payout = match order.stage.payout() {
            Some(payout) => self.page.payout(payout)?,
            None => None,
        };
        let shown_at = if order.stage.is_on_offer() {
            self.page.stamp(&self.desk.address(id))?
        } else {
            None
        };
        let due = due::due(&order, payout.as_ref(), shown_at);
        self.page.set_timers(id, &due)
    }

    fn start(&mut self, effect: Effect) -> Result<(), StorageError> {
        match effect {
            Effect::PublishOrder(id) => match self.page.order(id)? {
                Some(order) => self.draft.order(self.page, self.desk, &order, self.now),
                None => Ok(()),
            },
            Effect::PublishDispute(id) => match self.page.dispute(id)? {
                Some(dispute) => self.draft.dispute(self.page, self.desk, &dispute, self.now),
                None => Ok(()),
            },
            Effect::WakeAt(timer) => self.page.put_timer(timer),
            Effect::OpenHold(_)
            | Effect::SettleHold(_)
            | Effect::CancelHold(_)
            | Effect::LookUpHold(_)
            | Effect::Pay(_)
            | Effect::Alarm(_) => {
                self.draft.effects.push(effect);
                Ok(())
            }
        }
    }

    fn note(&mut self, request: &Request, outcome: &str) -> Result<(), StorageError> {
        let origin = match request.sender.identity {
            Identity::Known(identity) => identity.0.to_hex(),
            Identity::FullPrivacy => request.sender.trade_key.0.to_hex(),
        };
        self.page.push_journal(&JournalEntry {
            at: self.now,
            origin,
            order: request.order,
            command: request.ask.name().into(),
            outcome: outcome.into(),
        })?;
        Ok(())
    }
}

/// The orders whose timers may be others after a decision.
fn moved_orders(decision: &Decision) -> BTreeSet<OrderId> {
    let shown = decision.effects.iter().filter_map(|effect| match effect {
        Effect::PublishOrder(order) => Some(*order),
        Effect::OpenHold(_)
        | Effect::SettleHold(_)
        | Effect::CancelHold(_)
        | Effect::LookUpHold(_)
        | Effect::Pay(_)
        | Effect::PublishDispute(_)
        | Effect::WakeAt(_)
        | Effect::Alarm(_) => None,
    });
    let written = decision.orders.iter().map(|order| order.id);
    let owed = decision.payouts.iter().map(|payout| payout.order);
    written.chain(owed).chain(shown).collect()
}

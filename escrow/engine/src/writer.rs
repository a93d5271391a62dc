//! The writer: decides what waits, writes it down in one commit, and only
//! then lets anybody know.
//!
//! [`Engine::step`] is synchronous and takes the time as an argument, so a
//! simulation drives the very code that serves traders.

mod books;
mod mirrors;
mod operator;
mod turn;
mod upkeep;

use std::panic::{AssertUnwindSafe, catch_unwind};

use escrow_core::decision::Effect;
use escrow_core::maintenance::Maintenance;
use escrow_core::notice::Letter;
use escrow_core::payout::{Payout, PayoutState};
use escrow_core::{Sats, UnixTime};
use storage::ledger::{Ledger, MirrorNo, NodeIdentity, OutboxSeq, SetAside, StorageError, Views};

use crate::desk::Desk;
use crate::draft::Draft;
use crate::escrow::EscrowError;
use crate::known_keys::KnownKeys;
use crate::letter_times::LetterTimes;
use crate::recovery;
use crate::submission::{Receipt, Submission};
use crate::treasury::Promises;

pub use self::turn::DEV_FEE_COMMANDS;

use self::turn::Turn;
use self::upkeep::Rounds;

/// Most submissions that one commit carries.
pub const BATCH: usize = 64;

/// How long a message is remembered (rule G2).
const SEEN_SECS: u64 = 72 * 3_600;

/// How long the last stamp of a letter is remembered; longer than any clock is off.
const LETTER_STAMP_SECS: u64 = 7 * 86_400;

/// How long the journal is kept.
const JOURNAL_SECS: u64 = 400 * 86_400;

/// Rows of each kind that one step removes at most, so that none is long.
const TIDY_ROWS: usize = 512;

/// The ledger and the only one who writes into it.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    desk: Desk,
    known: KnownKeys,
    letter_times: LetterTimes,
    /// The external relays that get a copy of what is published.
    mirrors: Vec<MirrorNo>,
    /// Time inside the ledger never runs backwards, unless a clock that was set
    /// back is believed.
    latest: UnixTime,
    timers_are_held: bool,
    /// What Lightning could send when it was last asked.
    outbound: Option<Sats>,
    promises: Promises,
    /// Height of the highest tip ever seen.
    tip_height: Option<u32>,
    rounds: Rounds,
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
    /// Why no new trades are taken, after this step.
    pub maintenance: Option<Maintenance>,
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
        let mut engine = Engine {
            ledger,
            desk,
            known,
            letter_times: LetterTimes::default(),
            mirrors: Vec::new(),
            latest: UnixTime(0),
            timers_are_held: false,
            outbound: None,
            promises: Promises::default(),
            tip_height: None,
            rounds: Rounds::default(),
        };
        engine.learn()?;
        Ok(engine)
    }

    /// Opens the ledger again after a step that could not be committed, and
    /// takes what it holds for the truth.
    ///
    /// # Errors
    /// If it cannot be opened; it may be tried again.
    pub fn reopen(&mut self) -> Result<(), StorageError> {
        self.ledger.reopen()?;
        self.learn()
    }

    /// Learns from the ledger what is kept in memory beside it.
    fn learn(&mut self) -> Result<(), StorageError> {
        let view = self.views().view()?;
        let keys = view.living_trade_keys()?;
        let solvers = view.solvers()?;
        let keys = keys.into_iter().map(|key| key.0);
        let solvers = solvers.into_iter().map(|(key, _)| key.0);
        let node = [self.desk.keys.public_key()];
        self.known.replace(keys.chain(solvers).chain(node));
        self.promises = Promises::count(&view, self.desk.terms.max_routing_fee)?;
        self.tip_height = view.tip()?.map(|tip| tip.height);
        self.latest = self.latest.max(view.heartbeat()?.unwrap_or_default());
        Ok(())
    }

    /// Makes the ledger this node's own, unless it holds open orders of another.
    pub(crate) fn adopt(&mut self, node: &NodeIdentity) -> Result<(), EscrowError> {
        let view = self.views().view()?;
        recovery::judge_ledger(&view, node)??;
        let network = view.node_identity()?.map(|before| before.network);
        let mut page = self.ledger.page()?;
        if network.is_some_and(|before| before != node.network) {
            // What the house owes to the development was earned over there: real
            // sats are not given for simulated ones (rule J1).
            for payout in view.living_payouts()? {
                let state = PayoutState::Parked;
                page.put_payout(&Payout { state, ..payout })?;
            }
        }
        page.put_node_identity(node)?;
        Ok(page.commit()?)
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

    /// Says what Lightning can send, from the next step on; without it,
    /// readiness alone decides whether an escrow is opened (rule T7).
    pub fn set_outbound(&mut self, outbound: Option<Sats>) {
        self.outbound = outbound;
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
        let wall = now;
        let now = self.not_before_latest(wall);
        let due = if self.timers_are_held {
            Vec::new()
        } else {
            self.views().view()?.due_timers(now, BATCH)?
        };
        let due: Vec<_> = due.into_iter().map(Submission::Due).collect();
        // What Lightning has done counts before the time that ran out meanwhile.
        let all: Vec<_> = batch.iter().chain(&due).collect();
        let mut outcome = match self.commit((now, wall), &all, delivered) {
            Ok(outcome) => outcome,
            Err(Trouble::Commit(why)) => return Err(StepError(why)),
            Err(Trouble::Submission(_)) => self.one_by_one((now, wall), &all, delivered)?,
        };
        // Nobody waits for the receipt of a timer.
        outcome.receipts.truncate(batch.len());
        Ok(outcome)
    }

    fn not_before_latest(&mut self, now: UnixTime) -> UnixTime {
        self.latest = now.max(self.latest);
        self.latest
    }

    /// The stamps of letters, for whoever writes some beside the writer.
    pub(crate) fn letter_times(&self) -> LetterTimes {
        self.letter_times.clone()
    }

    /// When the next timer fires.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn next_timer(&self) -> Result<Option<UnixTime>, StorageError> {
        if self.timers_are_held {
            return Ok(None);
        }
        self.views().view()?.next_timer()
    }

    fn one_by_one(
        &mut self,
        (now, wall): (UnixTime, UnixTime),
        batch: &[&Submission],
        delivered: &[OutboxSeq],
    ) -> Result<Outcome, StepError> {
        let mut whole = Outcome::default();
        for submission in batch {
            match self.commit((now, wall), &[submission], delivered) {
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
        (now, wall): (UnixTime, UnixTime),
        batch: &[&Submission],
        delivered: &[OutboxSeq],
    ) -> Result<Outcome, Trouble> {
        let decide = |turn: &mut Turn<'_, '_>| {
            let mut receipts = Vec::with_capacity(batch.len());
            for submission in batch {
                // A panic is a bug in one decision; the page is thrown away with all it wrote.
                let receipt = catch_unwind(AssertUnwindSafe(|| turn.take(submission)))
                    .unwrap_or_else(|_| Err(Trouble::Submission("panic in a decision".into())))?;
                receipts.push(receipt);
            }
            turn.page.done_outbox(delivered).map_err(Trouble::Commit)?;
            if turn.rounds.is_untidy {
                turn.tidy().map_err(Trouble::Commit)?;
            }
            Ok(receipts)
        };
        let (receipts, outcome) = self.write((now, wall), decide, Trouble::Commit)?;
        Ok(Outcome {
            receipts,
            ..outcome
        })
    }

    /// Writes what is decided at a turn, in one commit; `failed` is what is to
    /// be said of the ledger when it cannot.
    fn write<T, E>(
        &mut self,
        (now, wall): (UnixTime, UnixTime),
        decide: impl FnOnce(&mut Turn<'_, '_>) -> Result<T, E>,
        failed: fn(StorageError) -> E,
    ) -> Result<(T, Outcome), E> {
        let mut page = self.ledger.page().map_err(failed)?;
        let mut draft = Draft::new(self.letter_times.clone());
        let mut turn = Turn {
            page: &mut page,
            desk: &mut self.desk,
            draft: &mut draft,
            mirrors: &self.mirrors,
            rounds: &mut self.rounds,
            promises: self.promises,
            outbound: self.outbound,
            tip_height: self.tip_height,
            now,
            wall,
        };
        let decided = decide(&mut turn)?;
        let (promises, tip_height) = (turn.promises, turn.tip_height);
        let mirrored = draft
            .post(&mut page, &self.desk, &self.mirrors)
            .map_err(failed)?;
        if !page.is_blank() {
            // Whatever bears this time must not be met again before it.
            page.put_heartbeat(now).map_err(failed)?;
        }
        let known = draft.known_keys(&page).map_err(failed)?;
        let maintenance = page.maintenance().map_err(failed)?;
        page.commit().map_err(failed)?;
        self.known.apply(known);
        self.promises = promises;
        self.tip_height = tip_height;
        let outcome = Outcome {
            receipts: Vec::new(),
            effects: draft.effects,
            letters: draft.letters,
            mirrored,
            maintenance,
        };
        Ok((decided, outcome))
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
        page.put_heartbeat(now)?;
        Ok(page.commit()?)
    }
}

impl Outcome {
    fn append(&mut self, later: Outcome) {
        self.receipts.extend(later.receipts);
        self.effects.extend(later.effects);
        self.letters.extend(later.letters);
        self.mirrored |= later.mirrored;
        self.maintenance = later.maintenance;
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

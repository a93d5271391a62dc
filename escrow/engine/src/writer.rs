//! The writer: decides what waits, writes it down in one commit, and only
//! then lets anybody know.
//!
//! [`Engine::step`] is synchronous and takes the time as an argument, so a
//! simulation drives the very code that serves traders.

use std::panic::{AssertUnwindSafe, catch_unwind};

use escrow_core::UnixTime;
use escrow_core::command::{Command, Request};
use escrow_core::decision::{Decision, Effect};
use escrow_core::freshness;
use escrow_core::notice::Letter;
use escrow_core::terms::Terms;
use escrow_core::wire::CantDo;
use nostr::key::{Keys, PublicKey};
use storage::ledger::{Ledger, Page, StorageError, Views};

use crate::desk::Desk;
use crate::draft::Draft;
use crate::gather;
use crate::known_keys::KnownKeys;
use crate::submission::{Receipt, Submission, TraderMessage};

/// Most submissions that one commit carries.
pub const BATCH: usize = 64;

/// How long a message is remembered, in seconds (rule G2).
const SEEN_SECS: u64 = 72 * 3_600;

/// Rows of each kind that one tidying removes at most, so that no step is long.
const TIDY_ROWS: usize = 512;

/// The ledger and the only one who writes into it.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    desk: Desk,
    known: KnownKeys,
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
    /// Events that the outbox gained.
    pub sent: usize,
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
        let keys = ledger.views().view()?.living_trade_keys()?;
        known.replace(keys.into_iter().map(|key| key.0));
        Ok(Engine { ledger, desk, known, latest: UnixTime(0) })
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

    /// Decides a batch, in order, and commits it as a whole.
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
        delivered: &[u64],
    ) -> Result<Outcome, StepError> {
        let now = now.max(self.latest);
        self.latest = now;
        match self.commit(now, batch, delivered) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Commit(why)) => Err(StepError(why)),
            Err(Trouble::Submission(_)) => self.one_by_one(now, batch, delivered),
        }
    }

    fn one_by_one(
        &mut self,
        now: UnixTime,
        batch: &[Submission],
        delivered: &[u64],
    ) -> Result<Outcome, StepError> {
        let mut whole = Outcome::default();
        for submission in batch {
            match self.commit(now, std::slice::from_ref(submission), delivered) {
                Ok(outcome) => whole.append(outcome),
                Err(Trouble::Commit(why)) => return Err(StepError(why)),
                Err(Trouble::Submission(why)) => {
                    self.set_aside(now, submission, &why)?;
                    whole.receipts.push(Receipt::error("the node failed on this message"));
                }
            }
        }
        Ok(whole)
    }

    fn commit(
        &mut self,
        now: UnixTime,
        batch: &[Submission],
        delivered: &[u64],
    ) -> Result<Outcome, Trouble> {
        let mut page = self.ledger.page().map_err(Trouble::Commit)?;
        let mut draft = Draft::default();
        let mut receipts = Vec::with_capacity(batch.len());
        for submission in batch {
            let desk = &mut self.desk;
            let mut turn = Turn { page: &mut page, desk, draft: &mut draft, now };
            // A panic is a bug in one decision; the page is thrown away with all it wrote.
            let receipt = catch_unwind(AssertUnwindSafe(|| turn.take(submission)))
                .unwrap_or_else(|_| Err(Trouble::panicked()))?;
            receipts.push(receipt);
        }
        page.done_outbox(delivered).map_err(Trouble::Commit)?;
        let sent = draft.post(&mut page, &self.desk).map_err(Trouble::Commit)?;
        let known = draft.known_keys(&page).map_err(Trouble::Commit)?;
        page.commit().map_err(Trouble::Commit)?;
        self.known.apply(known);
        Ok(Outcome { receipts, effects: draft.effects, letters: draft.letters, sent })
    }

    fn set_aside(
        &mut self,
        now: UnixTime,
        submission: &Submission,
        why: &str,
    ) -> Result<(), StepError> {
        tracing::error!(why, "a submission failed and was set aside");
        let mut page = self.ledger.page()?;
        page.set_aside(now, &format!("{submission:?}"), why)?;
        page.commit()?;
        Ok(())
    }
}

impl Outcome {
    fn append(&mut self, later: Outcome) {
        self.receipts.extend(later.receipts);
        self.effects.extend(later.effects);
        self.letters.extend(later.letters);
        self.sent += later.sent;
    }
}

/// What ends a batch.
enum Trouble {
    /// The page could not be written; its outcome is unknown.
    Commit(StorageError),
    /// One submission failed.
    Submission(String),
}

impl Trouble {
    fn panicked() -> Trouble {
        Trouble::Submission("panic in a decision".into())
    }
}

impl From<StorageError> for Trouble {
    fn from(why: StorageError) -> Trouble {
        Trouble::Submission(why.to_string())
    }
}

/// One submission's turn at the open page.
struct Turn<'a, 'p> {
    page: &'a mut Page<'p>,
    desk: &'a mut Desk,
    draft: &'a mut Draft,
    now: UnixTime,
}

impl Turn<'_, '_> {
    fn take(&mut self, submission: &Submission) -> Result<Receipt, Trouble> {
        match submission {
            Submission::Message(message) => self.message(message),
            Submission::Report(command) => {
                self.report(command)?;
                Ok(Receipt::Decided)
            }
            Submission::Announce(announcement) => {
                self.draft.announce(self.page, self.desk, announcement, self.now)?;
                Ok(Receipt::Decided)
            }
            Submission::Heartbeat => {
                self.heartbeat()?;
                Ok(Receipt::Decided)
            }
        }
    }

    fn message(&mut self, message: &TraderMessage) -> Result<Receipt, Trouble> {
        if self.page.was_seen(&message.event)? || self.page.was_seen(&message.inner)? {
            return Ok(Receipt::Duplicate);
        }
        if let Err(stale) = self.is_fresh(&message.request)? {
            return Ok(Receipt::invalid(stale.to_string()));
        }
        let decided = gather::decide_request(self.page, self.desk, self.now, &message.request)?;
        let outcome = match decided {
            Ok(decision) => {
                self.apply(decision)?;
                "done"
            }
            Err(why) => {
                self.refuse(&message.request, why)?;
                why.as_str()
            }
        };
        self.page.mark_seen(&message.event, self.now)?;
        self.page.mark_seen(&message.inner, self.now)?;
        self.page.note(self.now, &message.request, outcome)?;
        Ok(Receipt::Decided)
    }
}

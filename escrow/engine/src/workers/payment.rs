//! Tends one payment until Lightning has said how it ended.

use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::Command;
use escrow_core::payout::{Attempt, AttemptState};
use escrow_lightning::backend::{LnError, LnResult, PaymentState, RejectReason, StartPayment};
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::reports::{self, PaymentStep, Tried};
use crate::workers::backoff::Backoff;
use crate::workers::switchboard::Switchboard;

/// Drives an attempt that the ledger calls `Sent` to its end.
///
/// Lightning is always asked before it is told: a payment that it knows is
/// never replaced, and one that it does not know is sent again with the same
/// bytes (`lightning.md` §1.10, row 6). When this process `resumes` what an
/// earlier one began, a call of that one may still be on its way.
pub(crate) async fn tend(board: Switchboard, hash: PaymentHash, resumes: bool, poke: &Notify) {
    let mut backoff = Backoff::starting_at(Duration::from_secs(1));
    // The try that this process is known to have started.
    let mut started = None;
    let mut present = Try::new(0);
    // The last call to start it that remained without an answer.
    let mut unanswered = resumes.then(Instant::now);
    while let Some(attempt) = read(&board, hash) {
        if present.number != attempt.tries {
            present = Try::new(attempt.tries);
        }
        let mut tender = Tender {
            board: &board,
            attempt: &attempt,
            present: &mut present,
        };
        let look = board.call(board.backend.lookup_payment(hash)).await;
        let is_started = started == Some(attempt.tries);
        let tried = Tried::of(is_started, unanswered.map(|at| at.elapsed()));
        match tender.step(look, tried, poke).await {
            Step::Started => {
                started = Some(attempt.tries);
                backoff.reset();
            }
            Step::Reported => {}
            Step::Unanswered => {
                unanswered = Some(Instant::now());
                backoff.wait(poke).await;
            }
            Step::NothingNew => backoff.wait(poke).await,
        }
    }
}

/// The attempt, while it is under way.
fn read(board: &Switchboard, hash: PaymentHash) -> Option<Attempt> {
    match board.views.view().and_then(|view| view.attempt(hash)) {
        Ok(attempt) => attempt.filter(|attempt| attempt.state == AttemptState::Sent),
        Err(why) => {
            tracing::error!(%hash, %why, "a payment cannot be read; it is tended after a restart");
            None
        }
    }
}

/// What one step of tending came to.
enum Step {
    Started,
    Reported,
    Unanswered,
    NothingNew,
}

/// One try of a payment, as far as this process has seen it.
struct Try {
    number: u32,
    since: Instant,
    /// Lightning left a question about it without an answer.
    is_shaken: bool,
}

impl Try {
    fn new(number: u32) -> Try {
        Try {
            number,
            since: Instant::now(),
            is_shaken: false,
        }
    }
}

struct Tender<'a> {
    board: &'a Switchboard,
    attempt: &'a Attempt,
    present: &'a mut Try,
}

impl Tender<'_> {
    async fn step(&mut self, look: LnResult<PaymentState>, tried: Tried, poke: &Notify) -> Step {
        match look {
            Ok(seen) => {
                self.board.unseen.seen(self.attempt.hash);
                match reports::payment_step(self.attempt.hash, seen, tried) {
                    PaymentStep::Report(command) => self.report(command).await,
                    PaymentStep::Start => self.start().await,
                    PaymentStep::Wait => self.wait(poke).await,
                    PaymentStep::LookAgain => Step::NothingNew,
                }
            }
            Err(why) => {
                tracing::warn!(hash = %self.attempt.hash, %why, "a payment cannot be looked up");
                self.present.is_shaken = true;
                Step::NothingNew
            }
        }
    }

    async fn start(&mut self) -> Step {
        self.board.lightning_is_ready().await;
        self.board.unseen.is_empty().await;
        if self.board.is_latched() {
            return Step::NothingNew;
        }
        let request = reports::pay_request(self.attempt);
        match self
            .board
            .call(self.board.backend.start_payment(&request))
            .await
        {
            Ok(StartPayment::Started | StartPayment::AlreadyKnown) => Step::Started,
            Ok(StartPayment::Rejected(reason)) => self.rejected(&reason).await,
            Err(why) => {
                tracing::warn!(hash = %self.attempt.hash, %why, "starting a payment is repeated");
                self.present.is_shaken = true;
                if matches!(why, LnError::Ambiguous(_)) {
                    Step::Unanswered
                } else {
                    Step::NothingNew
                }
            }
        }
    }

    async fn rejected(&self, reason: &RejectReason) -> Step {
        let hash = self.attempt.hash;
        let look = self
            .board
            .call(self.board.backend.lookup_payment(hash))
            .await;
        match look.map(|seen| reports::rejected(hash, reason, &seen)) {
            Ok(Some(command)) => self.report(command).await,
            Ok(None) | Err(_) => Step::NothingNew,
        }
    }

    /// Waits until the payment has ended, the stream is lost, or somebody pokes;
    /// the next look tells which, as a stream may fall silent without an end.
    /// With each poke it is looked for in the channels (rule P13).
    async fn wait(&mut self, poke: &Notify) -> Step {
        let mut updates = self.board.backend.watch_payment(self.attempt.hash);
        loop {
            let update = tokio::select! {
                update = updates.next() => update,
                () = poke.notified() => {
                    return match self.look_for_it().await {
                        Some(news) => self.report(news).await,
                        None => Step::Started,
                    };
                }
            };
            match update {
                Some(state) if state.is_final() => return Step::Started,
                Some(_) => {}
                None => {
                    self.present.is_shaken = true;
                    return Step::NothingNew;
                }
            }
        }
    }

    async fn look_for_it(&self) -> Option<Command> {
        let look = self.board.backend.lost_payment(self.attempt.hash);
        let lost = self.board.call(look).await.ok()?;
        reports::missing_news(self.attempt, lost)
    }

    /// A failure in which Lightning had trouble is not the buyer's (rule P7).
    async fn report(&self, mut command: Command) -> Step {
        if let Command::PaymentFailed { in_trouble, .. } = &mut command {
            let present = &self.present;
            *in_trouble = present.is_shaken || self.board.was_in_trouble(present.since);
        }
        if self.board.report(command).await {
            Step::Reported
        } else {
            Step::NothingNew
        }
    }
}

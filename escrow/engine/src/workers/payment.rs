//! Tends one payment until Lightning has said how it ended.

use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::Command;
use escrow_core::payout::{Attempt, AttemptState, PaymentFailure};
use escrow_lightning::backend::{
    FailReason, LnResult, PayRequest, PaymentState, RejectReason, StartPayment,
};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::workers::backoff::Backoff;
use crate::workers::switchboard::Switchboard;

/// How long Lightning looks for routes.
const SEARCH_LIMIT: Duration = Duration::from_secs(60);

/// Most parts of one payment.
const MAX_PARTS: u32 = 16;

/// Drives an attempt that the ledger calls `Sent` to its end.
///
/// Lightning is always asked before it is told: a payment that it knows is
/// never replaced, and one that it does not know is sent again with the same
/// bytes (`lightning.md` §1.10, row 6).
pub(crate) async fn tend(board: Switchboard, hash: PaymentHash, poke: &Notify) {
    let mut backoff = Backoff::starting_at(Duration::from_secs(1));
    // A failure that Lightning remembers may be that of an earlier try of the
    // same invoice; only one seen after this process started the try counts.
    // After a restart the try is made once more, which the hash keeps harmless.
    let mut started = None;
    while let Some(attempt) = read(&board, hash) {
        let tender = Tender {
            board: &board,
            attempt: &attempt,
        };
        let look = board.call(board.backend.lookup_payment(hash)).await;
        match tender.step(look, started == Some(attempt.tries)).await {
            Step::Started => {
                started = Some(attempt.tries);
                backoff.reset();
            }
            Step::Reported => {}
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
    NothingNew,
}

struct Tender<'a> {
    board: &'a Switchboard,
    attempt: &'a Attempt,
}

impl Tender<'_> {
    async fn step(&self, look: LnResult<PaymentState>, was_started: bool) -> Step {
        match look {
            Ok(PaymentState::Succeeded { preimage, fee }) => {
                self.report(Command::PaymentSucceeded {
                    hash: self.attempt.hash,
                    preimage: *preimage.expose(),
                    routing_fee: fee,
                })
                .await
            }
            Ok(PaymentState::Failed { reason }) if was_started => {
                self.failed(failure(reason)).await
            }
            Ok(PaymentState::NotFound | PaymentState::Failed { .. }) => self.start().await,
            Ok(PaymentState::InFlight { .. }) => self.wait().await,
            Err(why) => {
                tracing::warn!(hash = %self.attempt.hash, %why, "a payment cannot be looked up");
                Step::NothingNew
            }
        }
    }

    async fn start(&self) -> Step {
        self.board.lightning_is_ready().await;
        let request = self.request();
        match self
            .board
            .call(self.board.backend.start_payment(&request))
            .await
        {
            Ok(StartPayment::Started | StartPayment::AlreadyKnown) => Step::Started,
            Ok(StartPayment::Rejected(reason)) => self.rejected(&reason).await,
            Err(why) => {
                tracing::warn!(hash = %self.attempt.hash, %why, "starting a payment is repeated");
                Step::NothingNew
            }
        }
    }

    /// A refusal counts only if Lightning holds no payment of this hash: a
    /// paid invoice that has expired since is refused in the same words.
    async fn rejected(&self, reason: &RejectReason) -> Step {
        let look = self
            .board
            .call(self.board.backend.lookup_payment(self.attempt.hash))
            .await;
        match look {
            Ok(PaymentState::NotFound | PaymentState::Failed { .. }) => {
                self.failed(refusal(reason)).await
            }
            Ok(PaymentState::InFlight { .. } | PaymentState::Succeeded { .. }) | Err(_) => {
                Step::NothingNew
            }
        }
    }

    /// Waits until the payment has ended or the stream is lost; the next look
    /// tells which.
    async fn wait(&self) -> Step {
        let mut updates = self.board.backend.watch_payment(self.attempt.hash);
        while let Some(state) = updates.next().await {
            if state.is_final() {
                return Step::Started;
            }
        }
        Step::NothingNew
    }

    async fn failed(&self, reason: PaymentFailure) -> Step {
        self.report(Command::PaymentFailed {
            hash: self.attempt.hash,
            reason,
        })
        .await
    }

    async fn report(&self, command: Command) -> Step {
        if self.board.report(command).await {
            Step::Reported
        } else {
            Step::NothingNew
        }
    }

    fn request(&self) -> PayRequest {
        PayRequest {
            bolt11: self.attempt.bolt11.clone(),
            amount: self.attempt.amount,
            fee_limit: self.attempt.fee_limit,
            cltv_limit: self.attempt.cltv_limit_blocks,
            max_parts: MAX_PARTS,
            timeout: SEARCH_LIMIT,
        }
    }
}

fn failure(reason: FailReason) -> PaymentFailure {
    match reason {
        FailReason::NoRoute => PaymentFailure::NoRoute,
        FailReason::Timeout => PaymentFailure::Timeout,
        FailReason::WrongDetails => PaymentFailure::WrongDetails,
        FailReason::InsufficientBalance => PaymentFailure::InsufficientBalance,
        FailReason::Canceled => PaymentFailure::Canceled,
        FailReason::Error => PaymentFailure::Error,
    }
}

fn refusal(reason: &RejectReason) -> PaymentFailure {
    match reason {
        RejectReason::InvoiceExpired => PaymentFailure::InvoiceExpired,
        RejectReason::SelfPayment | RejectReason::BadInvoice(_) => PaymentFailure::InvoiceRefused,
        // Our own limits, so not the buyer's fault.
        RejectReason::CltvLimit | RejectReason::Policy(_) => PaymentFailure::Canceled,
    }
}

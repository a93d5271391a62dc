//! Tends one hold from its opening to its end.

use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::Command;
use escrow_core::hold::{Hold, HoldState};
use escrow_core::terms::OPENING_SECS;
use escrow_lightning::backend::{HoldSnapshot, LnError, SettleOutcome};
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::reports;
use crate::workers::backoff::Backoff;
use crate::workers::switchboard::{Switchboard, limited};

/// Longest look at a hold before it is canceled: whoever waits for his refund
/// still gets it as an answer (rule B8).
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Does what the hold's state asks for until the state is final.
///
/// After a step that changed nothing it waits, longer each time, until it is
/// poked: by a new block, a sweep, or a decision about this hold.
pub(crate) async fn tend(board: Switchboard, hash: PaymentHash, poke: &Notify) {
    let mut tender = Tender {
        board,
        poke,
        asked_at: Instant::now(),
        payment_is_told: false,
        missing_since: None,
    };
    let mut backoff = Backoff::starting_at(Duration::from_secs(1));
    let mut before = None;
    while let Some(hold) = tender.read(hash) {
        if before.as_ref() == Some(&hold.state) {
            backoff.wait(poke).await;
        } else {
            backoff.reset();
        }
        match &hold.state {
            HoldState::New => tender.open(&hold).await,
            HoldState::Open { .. } | HoldState::Accepted(_) => tender.watch(&hold).await,
            HoldState::Settling(_) => tender.settle(&hold).await,
            HoldState::Canceling => tender.cancel(&hold).await,
            HoldState::Settled(_) | HoldState::Canceled | HoldState::Lost => return,
        }
        before = Some(hold.state);
    }
}

/// Asks Lightning once how a hold stands and reports what it says.
pub(crate) async fn look_up(board: Switchboard, hash: PaymentHash) {
    let seen = match board.call(board.backend.lookup_hold(hash)).await {
        Ok(seen) => seen,
        Err(why) => {
            tracing::warn!(%hash, %why, "a hold whose time is up cannot be looked up");
            return;
        }
    };
    let row = board.views.view().and_then(|view| view.hold_by_hash(hash));
    match row.map(|hold| hold.and_then(|hold| reports::hold_looked_up(&hold, seen.as_ref()))) {
        Ok(Some(command)) => {
            board.report(command).await;
        }
        Ok(None) => {}
        Err(why) => tracing::error!(%hash, %why, "a hold cannot be read"),
    }
}

struct Tender<'a> {
    board: Switchboard,
    poke: &'a Notify,
    /// When Lightning may last have been asked to open the hold.
    asked_at: Instant,
    /// That a hold to be canceled was paid is told once, and not with each try.
    payment_is_told: bool,
    /// When Lightning said that it does not know the hold, and nothing else
    /// since.
    missing_since: Option<Instant>,
}

impl Tender<'_> {
    fn read(&self, hash: PaymentHash) -> Option<Hold> {
        match self
            .board
            .views
            .view()
            .and_then(|view| view.hold_by_hash(hash))
        {
            Ok(hold) => hold,
            Err(why) => {
                tracing::error!(%hash, %why, "a hold cannot be read; it is tended after a restart");
                None
            }
        }
    }

    async fn open(&mut self, hold: &Hold) {
        self.asked_at = Instant::now();
        let request = reports::hold_request(hold);
        let limit = Duration::from_secs(OPENING_SECS);
        let hash = hold.hash;
        let command = match limited(limit, self.board.backend.create_hold(&request)).await {
            Ok(snapshot) => Command::HoldOpened {
                hash,
                bolt11: snapshot.bolt11,
            },
            // It may be open: only a look-up tells.
            Err(LnError::Ambiguous(_)) => match self.look_up(hash).await {
                Some(snapshot) => Command::HoldOpened {
                    hash,
                    bolt11: snapshot.bolt11,
                },
                None => return,
            },
            Err(
                why @ (LnError::Unavailable(_)
                | LnError::Auth(_)
                | LnError::IdentityChanged
                | LnError::Contract(_)),
            ) => {
                tracing::warn!(%hash, %why, "a hold cannot be opened");
                Command::HoldFailed { hash }
            }
        };
        self.board.report(command).await;
    }

    /// Waits until Lightning or the ledger says something new of the hold.
    async fn watch(&mut self, hold: &Hold) {
        let mut updates = self.board.backend.watch_hold(hold.hash);
        loop {
            let (told, is_lost) = tokio::select! {
                update = updates.next() => match update {
                    Some(seen) => (self.hear(hold, &seen).await, false),
                    None => (self.look(hold).await, true),
                },
                () = self.poke.notified() => {
                    if self.has_moved_on(hold) {
                        return;
                    }
                    (self.look(hold).await, false)
                }
            };
            if told || is_lost || self.has_moved_on(hold) {
                return;
            }
        }
    }

    fn has_moved_on(&self, hold: &Hold) -> bool {
        self.read(hold.hash)
            .is_none_or(|row| row.state != hold.state)
    }

    /// Looks for what the ledger does not know yet; true if there was anything.
    async fn look(&mut self, hold: &Hold) -> bool {
        let call = self.board.backend.lookup_hold(hold.hash);
        match self.board.call(call).await {
            Ok(Some(seen)) => self.hear(hold, &seen).await,
            Ok(None) => self.miss(hold).await,
            Err(why) => {
                tracing::debug!(hash = %hold.hash, %why, "a hold cannot be looked up");
                false
            }
        }
    }

    /// Lightning does not know the hold; true if it was given up for that.
    async fn miss(&mut self, hold: &Hold) -> bool {
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        match reports::missing(hold, since.elapsed()) {
            Some(command) => {
                tracing::error!(hash = %hold.hash, "Lightning has forgotten a paid hold");
                self.board.report(command).await;
                true
            }
            None => false,
        }
    }

    /// Reports what the ledger does not know yet; true if there was anything.
    async fn hear(&mut self, hold: &Hold, seen: &HoldSnapshot) -> bool {
        self.missing_since = None;
        match reports::hold_news(hold, seen) {
            Some(command) => {
                self.board.report(command).await;
                true
            }
            None => false,
        }
    }

    async fn settle(&mut self, hold: &Hold) {
        let hash = hold.hash;
        let preimage = self.board.preimages.of(hold.id);
        let settling = self.board.backend.settle_hold(&preimage);
        let outcome = match self.board.call(settling).await {
            Ok(outcome) => outcome,
            Err(why) => {
                tracing::warn!(%hash, %why, "settling is repeated");
                return;
            }
        };
        if let Some(command) = reports::settled(hash, outcome) {
            self.board.report(command).await;
            return;
        }
        tracing::error!(%hash, ?outcome, "Lightning does not settle an accepted hold");
        if matches!(outcome, SettleOutcome::NoSuchHold) {
            self.miss(hold).await;
        } else {
            self.missing_since = None;
        }
    }

    async fn cancel(&mut self, hold: &Hold) {
        let hash = hold.hash;
        self.look_before_the_end(hold).await;
        let outcome = self.board.call(self.board.backend.cancel_hold(hash)).await;
        match outcome {
            Ok(outcome) => {
                if let Some(command) = reports::canceled(hash, outcome, self.asked_at.elapsed()) {
                    self.board.report(command).await;
                }
            }
            Err(why) => tracing::warn!(%hash, %why, "canceling is repeated"),
        }
    }

    /// Whoever paid what is about to be canceled hears that it goes back (rule
    /// H5); afterwards nobody can tell that he did. The money itself does not
    /// wait for it.
    async fn look_before_the_end(&mut self, hold: &Hold) {
        if self.payment_is_told {
            return;
        }
        let call = self.board.backend.lookup_hold(hold.hash);
        if let Ok(Some(seen)) = limited(LAST_LOOK, call).await
            && let Some(news @ Command::HoldAccepted { .. }) = reports::hold_news(hold, &seen)
        {
            self.payment_is_told = self.board.report(news).await;
        }
    }

    async fn look_up(&self, hash: PaymentHash) -> Option<HoldSnapshot> {
        match self.board.call(self.board.backend.lookup_hold(hash)).await {
            Ok(found) => found,
            Err(why) => {
                tracing::debug!(%hash, %why, "a hold cannot be looked up");
                None
            }
        }
    }
}

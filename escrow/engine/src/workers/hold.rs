//! Tends one hold from its opening to its end.

use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::Command;
use escrow_core::hold::{Hold, HoldState};
use escrow_core::terms::OPENING_SECS;
use escrow_lightning::backend::{
    CancelOutcome, HoldRequest, HoldSnapshot, HoldState as Seen, LnError, SettleOutcome,
};
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::workers::backoff::Backoff;
use crate::workers::switchboard::{Switchboard, limited};

/// A hold that Lightning does not know counts as canceled only this long
/// after it was asked to open it: a late request may still land.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Does what the hold's state asks for until the state is final.
///
/// After a step that changed nothing it waits, longer each time, until it is
/// poked: by a new block, a sweep, or a decision about this hold.
pub(crate) async fn tend(board: Switchboard, hash: PaymentHash, poke: &Notify) {
    let mut tender = Tender {
        board,
        poke,
        asked_at: Instant::now(),
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

struct Tender<'a> {
    board: Switchboard,
    poke: &'a Notify,
    /// When Lightning may last have been asked to open the hold.
    asked_at: Instant,
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
        let request = request(hold);
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
    async fn watch(&self, hold: &Hold) {
        let mut updates = self.board.backend.watch_hold(hold.hash);
        loop {
            let (snapshot, is_lost) = tokio::select! {
                update = updates.next() => match update {
                    update @ Some(_) => (update, false),
                    None => (self.look_up(hold.hash).await, true),
                },
                () = self.poke.notified() => (self.look_up(hold.hash).await, false),
            };
            let told = match &snapshot {
                Some(snapshot) => self.hear(hold, snapshot).await,
                None => false,
            };
            let moved_on = self
                .read(hold.hash)
                .is_none_or(|row| row.state != hold.state);
            if told || moved_on || is_lost {
                return;
            }
        }
    }

    /// Reports what the ledger does not know yet; true if there was anything.
    async fn hear(&self, hold: &Hold, seen: &HoldSnapshot) -> bool {
        match news(hold, seen) {
            Some(command) => {
                self.board.report(command).await;
                true
            }
            None => false,
        }
    }

    async fn settle(&self, hold: &Hold) {
        let hash = hold.hash;
        let preimage = self.board.preimages.of(hold.id);
        let outcome = self
            .board
            .call(self.board.backend.settle_hold(&preimage))
            .await;
        let command = match outcome {
            Ok(SettleOutcome::Settled) => Command::HoldSettled { hash },
            Ok(SettleOutcome::AlreadyCanceled) => Command::HoldCanceled { hash },
            Ok(outcome @ (SettleOutcome::NotAccepted | SettleOutcome::NoSuchHold)) => {
                tracing::error!(%hash, ?outcome, "Lightning does not settle an accepted hold");
                return;
            }
            Err(why) => {
                tracing::warn!(%hash, %why, "settling is repeated");
                return;
            }
        };
        self.board.report(command).await;
    }

    async fn cancel(&self, hold: &Hold) {
        let hash = hold.hash;
        let outcome = self.board.call(self.board.backend.cancel_hold(hash)).await;
        let command = match outcome {
            Ok(CancelOutcome::Canceled) => Command::HoldCanceled { hash },
            Ok(CancelOutcome::AlreadySettled) => Command::HoldSettled { hash },
            Ok(CancelOutcome::NoSuchHold) if self.asked_at.elapsed() >= FORGOTTEN => {
                Command::HoldCanceled { hash }
            }
            Ok(CancelOutcome::NoSuchHold) => return,
            Err(why) => {
                tracing::warn!(%hash, %why, "canceling is repeated");
                return;
            }
        };
        self.board.report(command).await;
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

/// What Lightning says of a hold that the ledger does not know yet.
pub(crate) fn news(hold: &Hold, seen: &HoldSnapshot) -> Option<Command> {
    let hash = hold.hash;
    match seen.state {
        Seen::Open { .. } if hold.state == HoldState::New => Some(Command::HoldOpened {
            hash,
            bolt11: seen.bolt11.clone(),
        }),
        Seen::Accepted(acceptance) if matches!(hold.state, HoldState::Open { .. }) => {
            Some(Command::HoldAccepted {
                hash,
                paid: acceptance.paid,
                expiry_height: Some(acceptance.min_expiry_height),
            })
        }
        Seen::Open { .. } | Seen::Accepted(_) => None,
        Seen::Settled { .. } => Some(Command::HoldSettled { hash }),
        Seen::Canceled => Some(Command::HoldCanceled { hash }),
    }
}

fn request(hold: &Hold) -> HoldRequest {
    HoldRequest {
        hash: hold.hash,
        amount: hold
            .value
            .to_msat()
            .expect("amounts are bounded by the limits at creation"),
        memo: format!("Escrow of order {}", hold.order.0),
        expires_at: hold.expires_at,
        cltv_delta: hold.cltv_delta_blocks,
        private_hints: false,
    }
}

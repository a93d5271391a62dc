//! What Lightning's answers mean for the ledger.
//!
//! Pure translations from rows to calls and from answers to commands. The
//! workers and the recovery use them, and so does a simulation that drives
//! [`Engine::step`](crate::writer::Engine::step) without a runtime.

use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::command::{Command, Found};
use escrow_core::hold::{Hold, HoldState};
use escrow_core::payout::{Attempt, PaymentFailure};
use escrow_lightning::backend::{
    CancelOutcome, FailReason, HoldRequest, HoldSnapshot, HoldState as Seen, LostPayment,
    PayRequest, PaymentRecord, PaymentState, RejectReason, SettleOutcome,
};

use crate::submission::{ListedPayment, PaymentHistory};

/// A call without an answer may still land this long after it was made. Before
/// that, a hold that Lightning does not know may yet open, and a payment that
/// failed may be started once more. A paid hold that Lightning does not know is
/// asked for as long, so that no hasty answer ends a trade.
pub const FORGOTTEN: Duration = Duration::from_secs(120);

/// How long Lightning looks for routes.
const SEARCH_LIMIT: Duration = Duration::from_secs(60);

/// Most parts of one payment.
const MAX_PARTS: u32 = 16;

/// What Lightning is asked for when a hold is to be opened.
///
/// # Panics
/// Never: amounts are bounded by the limits at creation.
#[must_use]
pub fn hold_request(hold: &Hold) -> HoldRequest {
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

/// What Lightning says of a hold that the ledger does not know yet.
#[must_use]
pub fn hold_news(hold: &Hold, seen: &HoldSnapshot) -> Option<Command> {
    let hash = hold.hash;
    match seen.state {
        Seen::Open { .. } if hold.state == HoldState::New => Some(Command::HoldOpened {
            hash,
            bolt11: seen.bolt11.clone(),
        }),
        Seen::Accepted(acceptance) if is_news_that_it_is_paid(hold) => {
            Some(Command::HoldAccepted {
                hash,
                paid: acceptance.paid,
                expiry_height: acceptance.min_expiry_height,
            })
        }
        Seen::Open { .. } | Seen::Accepted(_) => None,
        Seen::Settled { .. } => Some(Command::HoldSettled { hash }),
        Seen::Canceled => Some(Command::HoldCanceled { hash }),
    }
}

/// A payment is news also of a hold that is to be canceled: its payer hears
/// that it goes back (rule H5).
fn is_news_that_it_is_paid(hold: &Hold) -> bool {
    match hold.state {
        HoldState::Open { .. } => true,
        HoldState::Canceling => hold.late_payment.is_none(),
        HoldState::New
        | HoldState::Accepted(_)
        | HoldState::Settling(_)
        | HoldState::Settled(_)
        | HoldState::Canceled
        | HoldState::Lost => false,
    }
}

/// What a look-up that a decision asked for is told as: news, or that there
/// are none; nothing of a hold that no step waits for.
#[must_use]
pub fn hold_looked_up(hold: &Hold, seen: Option<&HoldSnapshot>) -> Option<Command> {
    let hash = hold.hash;
    let Some(seen) = seen else {
        let found = Found::Missing;
        return Some(Command::HoldFound { hash, found });
    };
    hold_news(hold, seen).or(match (&seen.state, &hold.state) {
        (Seen::Open { .. }, _) => Some(Command::HoldFound {
            hash,
            found: Found::Open,
        }),
        (Seen::Accepted(_), HoldState::Accepted(_)) => Some(Command::HoldFound {
            hash,
            found: Found::Accepted,
        }),
        (Seen::Accepted(_) | Seen::Settled { .. } | Seen::Canceled, _) => None,
    })
}

/// What it means that Lightning has not known a hold for so long. It forgets
/// what is over: one that was paid and not settled, it has given back (rules
/// X6, R6).
#[must_use]
pub fn missing(hold: &Hold, missing_for: Duration) -> Option<Command> {
    let is_paid = match hold.state {
        HoldState::Accepted(_) | HoldState::Settling(_) => true,
        HoldState::New
        | HoldState::Open { .. }
        | HoldState::Settled(_)
        | HoldState::Canceling
        | HoldState::Canceled
        | HoldState::Lost => false,
    };
    let hash = hold.hash;
    (is_paid && missing_for >= FORGOTTEN).then_some(Command::HoldCanceled { hash })
}

/// What settling a hold came to; nothing if Lightning contradicts the ledger,
/// which is asked again. One that it does not know may be [`missing`].
#[must_use]
pub fn settled(hash: PaymentHash, outcome: SettleOutcome) -> Option<Command> {
    match outcome {
        SettleOutcome::Settled => Some(Command::HoldSettled { hash }),
        SettleOutcome::AlreadyCanceled => Some(Command::HoldCanceled { hash }),
        SettleOutcome::NotAccepted | SettleOutcome::NoSuchHold => None,
    }
}

/// What canceling a hold came to, `asked_ago` after Lightning may last have
/// been asked to open it; nothing while a late request may still land.
#[must_use]
pub fn canceled(hash: PaymentHash, outcome: CancelOutcome, asked_ago: Duration) -> Option<Command> {
    match outcome {
        CancelOutcome::Canceled => Some(Command::HoldCanceled { hash }),
        CancelOutcome::AlreadySettled => Some(Command::HoldSettled { hash }),
        CancelOutcome::NoSuchHold => {
            (asked_ago >= FORGOTTEN).then_some(Command::HoldCanceled { hash })
        }
    }
}

/// What Lightning is asked for when an attempt is to be paid: the same bytes
/// every time.
#[must_use]
pub fn pay_request(attempt: &Attempt) -> PayRequest {
    PayRequest {
        bolt11: attempt.bolt11.clone(),
        amount: attempt.amount,
        fee_limit: attempt.fee_limit,
        cltv_limit: attempt.cltv_limit_blocks,
        max_parts: MAX_PARTS,
        timeout: SEARCH_LIMIT,
    }
}

/// What the process knows of the present try of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Perhaps it was never started.
    Unknown,
    /// It was started, but a call without an answer may still land.
    Doubtful,
    /// It was started, and nothing else is on its way to Lightning.
    Started,
}

impl Tried {
    /// Judges a try by whether it was seen started, and how long ago the last
    /// call to start it remained without an answer.
    #[must_use]
    pub fn of(is_started: bool, unanswered_ago: Option<Duration>) -> Tried {
        match (is_started, unanswered_ago) {
            (false, _) => Tried::Unknown,
            (true, Some(ago)) if ago < FORGOTTEN => Tried::Doubtful,
            (true, _) => Tried::Started,
        }
    }
}

/// What a look at a payment that is to be paid calls for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is matched at once and never stored"
)]
pub enum PaymentStep {
    /// It has ended: tell the writer.
    Report(Command),
    /// Hand it to Lightning, once more if need be.
    Start,
    /// It is on its way.
    Wait,
    /// It may not have ended yet: look again later.
    LookAgain,
}

/// The next step with a payment that Lightning shows as `seen`.
///
/// A failure that Lightning remembers may be that of an earlier try of the
/// same invoice, so it counts only if the present one was started; otherwise
/// the try is made once more, which the hash keeps harmless. It does not count
/// either while a call to start it may still land: that would pay an invoice
/// in whose place the buyer has given another.
#[must_use]
pub fn payment_step(hash: PaymentHash, seen: PaymentState, tried: Tried) -> PaymentStep {
    match (seen, tried) {
        (PaymentState::Succeeded { preimage, fee }, _) => {
            PaymentStep::Report(Command::PaymentSucceeded {
                hash,
                preimage: *preimage.expose(),
                routing_fee: fee,
            })
        }
        (PaymentState::Failed { reason }, Tried::Started) => {
            let reason = failure(reason);
            PaymentStep::Report(Command::PaymentFailed {
                hash,
                reason,
                in_trouble: false,
            })
        }
        (PaymentState::Failed { .. }, Tried::Doubtful) => PaymentStep::LookAgain,
        (PaymentState::Failed { .. }, Tried::Unknown) | (PaymentState::NotFound, _) => {
            PaymentStep::Start
        }
        (PaymentState::InFlight { .. }, _) => PaymentStep::Wait,
    }
}

/// What a look for a payment in flight has found, where that is news: it is
/// missing, or it is no more.
#[must_use]
pub fn missing_news(attempt: &Attempt, lost: Option<LostPayment>) -> Option<Command> {
    let hash = attempt.hash;
    match lost {
        Some(LostPayment { locked_until }) => Some(Command::PaymentMissing { hash, locked_until }),
        None => attempt.missing.map(|_| Command::PaymentTraced { hash }),
    }
}

/// What a refusal to start a payment means, once a look-up has shown it as
/// `seen`. A refusal counts only if Lightning holds no payment of this hash: a
/// paid invoice that has expired since is refused in the same words.
#[must_use]
pub fn rejected(hash: PaymentHash, reason: &RejectReason, seen: &PaymentState) -> Option<Command> {
    match seen {
        PaymentState::NotFound | PaymentState::Failed { .. } => Some(Command::PaymentFailed {
            hash,
            reason: refusal(reason),
            in_trouble: false,
        }),
        PaymentState::InFlight { .. } | PaymentState::Succeeded { .. } => None,
    }
}

/// What Lightning's list of payments says, of which `most` were asked for from
/// the last `compared` one on. That one is asked for too: if neither it nor a
/// later one is there, Lightning has forgotten.
#[must_use]
pub fn payment_history(compared: u64, records: &[PaymentRecord], most: u32) -> PaymentHistory {
    PaymentHistory {
        is_cut_short: compared > 0 && records.is_empty(),
        is_whole: records.len() < most as usize,
        payments: records.iter().map(listed_payment).collect(),
    }
}

fn listed_payment(record: &PaymentRecord) -> ListedPayment {
    ListedPayment {
        index: record.index,
        hash: record.hash,
        amount: record.amount,
        created_at: record.created_at,
        is_live: match record.state {
            PaymentState::InFlight { .. } | PaymentState::Succeeded { .. } => true,
            PaymentState::NotFound | PaymentState::Failed { .. } => false,
        },
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
        RejectReason::CltvLimit => PaymentFailure::CltvLimit,
        // Our own limits, so not the buyer's fault.
        RejectReason::Policy(_) => PaymentFailure::Canceled,
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::hold::{HoldId, HorizonWatch};
    use escrow_core::order::OrderId;
    use escrow_core::party::{Identity, Party, TradeIndex, TradeKey};
    use escrow_core::wire::Transport;
    use escrow_core::{Msat, Sats, UnixTime};
    use nostr::key::PublicKey;

    use super::*;

    const HASH: PaymentHash = PaymentHash([7; 32]);

    fn failed() -> PaymentState {
        PaymentState::Failed {
            reason: FailReason::NoRoute,
        }
    }

    #[test]
    fn p3_a_failure_counts_only_when_no_call_can_start_the_payment_any_more() {
        let just_now = Some(Duration::from_secs(1));
        let failure = PaymentStep::Report(Command::PaymentFailed {
            hash: HASH,
            reason: PaymentFailure::NoRoute,
            in_trouble: false,
        });
        let table = [
            ("of an earlier try", false, None, PaymentStep::Start),
            (
                "while a call is out",
                true,
                just_now,
                PaymentStep::LookAgain,
            ),
            ("when it has landed", true, Some(FORGOTTEN), failure.clone()),
            ("of a try without doubt", true, None, failure),
        ];
        for (case, is_started, unanswered_ago, step) in table {
            let tried = Tried::of(is_started, unanswered_ago);
            assert_eq!(payment_step(HASH, failed(), tried), step, "{case}");
        }
    }

    #[test]
    fn e9_a_look_up_is_answered_whatever_it_finds() {
        let hold = |state| Hold {
            id: HoldId(uuid::Uuid::from_u128(1)),
            order: OrderId(uuid::Uuid::from_u128(2)),
            seller: Party {
                trade_key: TradeKey(PublicKey::from_byte_array([1; 32])),
                identity: Identity::FullPrivacy,
                trade_index: TradeIndex(1),
                transport: Transport::Direct,
            },
            hash: HASH,
            value: Sats(7),
            cltv_delta_blocks: 144,
            expires_at: UnixTime(9),
            state,
            late_payment: None,
            horizon: HorizonWatch::default(),
        };
        let found = |found| Some(Command::HoldFound { hash: HASH, found });
        let open = HoldState::Open {
            bolt11: "lnbcrt1".into(),
        };
        let missing = hold_looked_up(&hold(open.clone()), None);
        assert_eq!(missing, found(Found::Missing));
        let seen = |state| HoldSnapshot {
            hash: HASH,
            bolt11: "lnbcrt1".into(),
            value: Msat(7_000),
            state,
        };
        let partial = Msat(0);
        let unpaid = hold_looked_up(&hold(open.clone()), Some(&seen(Seen::Open { partial })));
        assert_eq!(unpaid, found(Found::Open));
        let canceled = hold_looked_up(&hold(open), Some(&seen(Seen::Canceled)));
        assert_eq!(canceled, Some(Command::HoldCanceled { hash: HASH }));
    }

    #[test]
    fn a_hold_that_lightning_does_not_know_is_given_up_late() {
        let outcome = CancelOutcome::NoSuchHold;
        assert_eq!(canceled(HASH, outcome, Duration::from_secs(119)), None);
        let given_up = Some(Command::HoldCanceled { hash: HASH });
        assert_eq!(canceled(HASH, outcome, FORGOTTEN), given_up);
    }
}

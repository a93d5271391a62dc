//! What the buyer is owed, and the attempts to pay it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::amount::{Msat, Sats};
use crate::lightning::{Destination, PaymentHash, PayoutInvoice};
use crate::order::OrderId;
use crate::time::UnixTime;

/// Name of a payout in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PayoutId(pub Uuid);

impl PayoutId {
    /// The development fee of an order bears the name of the order itself, so
    /// there can be but one.
    #[must_use]
    pub fn of_dev_fee(order: OrderId) -> PayoutId {
        PayoutId(order.0)
    }

    fn payee(self, order: OrderId) -> Payee {
        if self == PayoutId::of_dev_fee(order) {
            Payee::Development
        } else {
            Payee::Buyer
        }
    }
}

/// Who is owed a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payee {
    /// The buyer of the trade.
    Buyer,
    /// Those who develop the software, by the house, out of its fees (rule J2).
    Development,
}

/// A debt to a buyer, born with the decision to settle (rule P1), or to the
/// development, born when the buyer is paid (rule J2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// Its name.
    pub id: PayoutId,
    /// The order it belongs to.
    pub order: OrderId,
    /// What is owed.
    pub amount: Sats,
    /// Where it goes.
    pub destination: Destination,
    /// The invoice that an address gave last.
    #[serde(default)]
    pub resolved: Option<PayoutInvoice>,
    /// Counted tries with this destination.
    pub tries: u32,
    /// Where it stands.
    pub state: PayoutState,
}

impl Payout {
    /// Who is owed it.
    #[must_use]
    pub fn payee(&self) -> Payee {
        self.id.payee(self.order)
    }

    /// The invoice it is paid to at present; none for an address that has
    /// given none yet.
    #[must_use]
    pub fn invoice(&self) -> Option<&PayoutInvoice> {
        self.destination.invoice().or(self.resolved.as_ref())
    }

    /// Another destination in the place of this one, with all tries ahead.
    #[must_use]
    pub fn redirected(&self, destination: Destination) -> Payout {
        Payout {
            destination,
            resolved: None,
            tries: 0,
            ..self.clone()
        }
    }
}

/// The states of a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayoutState {
    /// The hold is not settled yet.
    WaitFunds,
    /// To be paid when `not_before` has come.
    Ready {
        /// Earliest moment of the next try.
        not_before: UnixTime,
    },
    /// To be paid when fewer payments are on their way (rule P11).
    Queued {
        /// When it came to wait; who came first is paid first.
        since: UnixTime,
        /// When it is tried again, should no place have been free before.
        again_at: UnixTime,
    },
    /// Its address is being asked for an invoice; nothing is with Lightning.
    Resolving {
        /// Since when it waits for its turn, if it does (rule P11).
        queued_since: Option<UnixTime>,
    },
    /// One attempt is with Lightning.
    Paying,
    /// The buyer has to give another invoice.
    NeedInvoice {
        /// How often he was asked for it.
        asked: u32,
        /// When he is asked again (rule P10).
        again_at: UnixTime,
    },
    /// Paid.
    Paid,
    /// Stopped; only the operator moves it.
    Parked,
    /// The operator has closed it; the node never pays it.
    WrittenOff,
}

impl PayoutState {
    /// Whether nothing is owed any more.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, PayoutState::Paid | PayoutState::WrittenOff)
    }
}

/// One invoice that was handed to Lightning for a payout; a later try of the
/// same invoice uses the same row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Payment hash of the invoice; unique over all attempts and holds.
    pub hash: PaymentHash,
    /// The payout it is for.
    pub payout: PayoutId,
    /// The order it is for.
    pub order: OrderId,
    /// The invoice.
    pub bolt11: String,
    /// What is sent, without routing fee.
    pub amount: Msat,
    /// The most that routing may cost (rule F6).
    pub fee_limit: Msat,
    /// The highest total time lock, in blocks.
    pub cltv_limit_blocks: u32,
    /// How often it was handed to Lightning.
    pub tries: u32,
    /// First time it was.
    pub first_sent_at: UnixTime,
    /// Since when Lightning cannot find it, while it calls it in flight.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// The last failure without a reason of a try before the present one.
    #[serde(default)]
    pub unnamed: Option<UnnamedFailure>,
    /// Where it stands.
    pub state: AttemptState,
}

impl Attempt {
    /// Who is to be paid by it.
    #[must_use]
    pub fn payee(&self) -> Payee {
        self.payout.payee(self.order)
    }

    /// The last failure for which Lightning named no reason: whatever the tries
    /// after it came to, a part of that one might still be claimed (rule P6b).
    #[must_use]
    pub fn last_unnamed(&self) -> Option<UnnamedFailure> {
        match self.state {
            AttemptState::Failed {
                reason: PaymentFailure::Error,
                at,
                tip_height,
            } => Some(UnnamedFailure { at, tip_height }),
            AttemptState::Failed { .. }
            | AttemptState::Sent
            | AttemptState::Succeeded { .. }
            | AttemptState::Lost { .. } => self.unnamed,
        }
    }
}

/// A failure for which Lightning named no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnnamedFailure {
    /// When the node learned of it.
    pub at: UnixTime,
    /// Height of the chain then, if it was known.
    pub tip_height: Option<u32>,
}

/// A payment that Lightning has recorded as sent and no channel carries (rule
/// P13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When this was seen first.
    pub since: UnixTime,
    /// The height at which the last of its time locks ends.
    pub locked_until: u32,
    /// Whether the operator has heard of it.
    pub told: bool,
    /// Whether he answers for it that nobody can claim it.
    #[serde(default)]
    pub given_up: bool,
}

/// The states of an attempt; at most one of a payout is `Sent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptState {
    /// Decided; Lightning has it or is about to get it.
    Sent,
    /// Paid.
    Succeeded {
        /// What routing really cost.
        routing_fee: Msat,
    },
    /// Lightning had recorded it and never sent it, and its time locks have
    /// ended: nobody can claim it any more.
    Lost {
        /// When the node was sure of it.
        at: UnixTime,
    },
    /// Definitely not paid by this try.
    Failed {
        /// Why.
        reason: PaymentFailure,
        /// When the node learned of it.
        at: UnixTime,
        /// Height of the chain then, if it was known.
        #[serde(default)]
        tip_height: Option<u32>,
    },
}

/// Why a payment failed (rule P6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentFailure {
    /// No route within the limits.
    NoRoute,
    /// The search took too long.
    Timeout,
    /// Lightning's own word for trouble it cannot name.
    Error,
    /// The payee refused hash, amount or secret.
    WrongDetails,
    /// The invoice has expired.
    InvoiceExpired,
    /// Lightning refuses the invoice as it is.
    InvoiceRefused,
    /// Our node has not enough balance. Our fault.
    InsufficientBalance,
    /// Canceled on our side. Our fault.
    Canceled,
    /// No route within the highest total time lock. Our fault.
    CltvLimit,
}

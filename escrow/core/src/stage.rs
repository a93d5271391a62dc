//! Where a trade stands. Start reading here.

use serde::{Deserialize, Serialize};

use crate::hold::HoldId;
use crate::order::Take;
use crate::party::Asker;
use crate::payout::PayoutId;
use crate::time::UnixTime;

/// The stages of an order (rule S2), each with the data that exists in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// In the book, nobody has taken it.
    Pending,
    /// Taken; Lightning is asked for the hold invoice.
    OpeningHold {
        /// The take that needs it.
        take: Take,
        /// The hold being opened.
        hold: HoldId,
        /// Who waits for the answer; nobody when the node itself reopens it.
        asker: Asker,
        /// Where the order goes if it cannot be opened.
        back_to: BackTo,
        /// When the node stops waiting.
        until: UnixTime,
    },
    /// Taken by a buyer who owes his invoice; nobody has paid.
    WaitingInvoice {
        /// The take.
        take: Take,
        /// When the buyer's time is up.
        deadline: UnixTime,
    },
    /// The hold invoice is with the seller.
    WaitingPayment {
        /// The take.
        take: Take,
        /// The open hold.
        hold: HoldId,
        /// When the seller's time is up.
        deadline: UnixTime,
    },
    /// The seller has paid; the buyer owes his invoice.
    PaidWaitingInvoice {
        /// The take.
        take: Take,
        /// The accepted hold.
        hold: HoldId,
        /// When the buyer's time is up.
        deadline: UnixTime,
    },
    /// Escrow locked; the buyer may send the fiat.
    Active {
        /// The take, with the buyer's invoice.
        take: Take,
        /// The accepted hold.
        hold: HoldId,
    },
    /// The buyer says that he has sent the fiat.
    FiatSent {
        /// The take.
        take: Take,
        /// The accepted hold.
        hold: HoldId,
    },
    /// Release is decided; the hold is being settled.
    Releasing {
        /// The take.
        take: Take,
        /// The hold being settled.
        hold: HoldId,
        /// The payout that starts when it is.
        payout: PayoutId,
        /// Who released and waits for the answer.
        asker: Asker,
        /// Until when the answer still echoes the request id (rule B8).
        echo_until: UnixTime,
    },
    /// The hold is settled; the buyer is being paid.
    PayingBuyer {
        /// The take.
        take: Take,
        /// The settled hold.
        hold: HoldId,
        /// The payout.
        payout: PayoutId,
    },
    /// The buyer is paid.
    Success {
        /// The take.
        take: Take,
        /// The settled hold.
        hold: HoldId,
        /// The paid payout.
        payout: PayoutId,
    },
    /// Ended before its time.
    Canceled {
        /// Why.
        why: CancelReason,
        /// The take that ended with it.
        take: Option<Take>,
    },
}

/// The stage an opening returns to when it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackTo {
    /// The order was taken from the book.
    Pending,
    /// The buyer had been asked for his invoice and gave it.
    WaitingInvoice {
        /// The deadline, which ran on.
        deadline: UnixTime,
    },
}

/// Why an order was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelReason {
    /// Its maker withdrew it.
    ByMaker,
    /// The selling maker did not pay the hold invoice in time.
    NotPaid,
    /// Lightning gave the locked sats back to the seller.
    EscrowLost,
}

impl Stage {
    /// The take, in the stages that have one.
    #[must_use]
    pub fn take(&self) -> Option<&Take> {
        match self {
            Stage::Pending => None,
            Stage::OpeningHold { take, .. }
            | Stage::WaitingInvoice { take, .. }
            | Stage::WaitingPayment { take, .. }
            | Stage::PaidWaitingInvoice { take, .. }
            | Stage::Active { take, .. }
            | Stage::FiatSent { take, .. }
            | Stage::Releasing { take, .. }
            | Stage::PayingBuyer { take, .. }
            | Stage::Success { take, .. } => Some(take),
            Stage::Canceled { take, .. } => take.as_ref(),
        }
    }

    /// The hold that the stage speaks of.
    #[must_use]
    pub fn hold(&self) -> Option<HoldId> {
        match self {
            Stage::OpeningHold { hold, .. }
            | Stage::WaitingPayment { hold, .. }
            | Stage::PaidWaitingInvoice { hold, .. }
            | Stage::Active { hold, .. }
            | Stage::FiatSent { hold, .. }
            | Stage::Releasing { hold, .. }
            | Stage::PayingBuyer { hold, .. }
            | Stage::Success { hold, .. } => Some(*hold),
            Stage::Pending | Stage::WaitingInvoice { .. } | Stage::Canceled { .. } => None,
        }
    }

    /// The payout that the stage speaks of.
    #[must_use]
    pub fn payout(&self) -> Option<PayoutId> {
        match self {
            Stage::Releasing { payout, .. }
            | Stage::PayingBuyer { payout, .. }
            | Stage::Success { payout, .. } => Some(*payout),
            Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Canceled { .. } => None,
        }
    }

    /// Whether the order never moves again.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            Stage::Success { .. } | Stage::Canceled { .. } => true,
            Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. } => false,
        }
    }

    /// The deadline of a waiting step.
    #[must_use]
    pub fn deadline(&self) -> Option<UnixTime> {
        match self {
            Stage::OpeningHold { until, .. } => Some(*until),
            Stage::WaitingInvoice { deadline, .. }
            | Stage::WaitingPayment { deadline, .. }
            | Stage::PaidWaitingInvoice { deadline, .. } => Some(*deadline),
            Stage::Pending
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. } => None,
        }
    }
}

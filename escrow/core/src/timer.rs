//! Moments at which an order wants to be looked at again.

use serde::{Deserialize, Serialize};

use crate::order::OrderId;
use crate::time::UnixTime;

/// A row of the ledger that is due at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timer {
    /// When it is due.
    pub at: UnixTime,
    /// Whose.
    pub order: OrderId,
    /// What for.
    pub kind: TimerKind,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimerKind {
    /// The node gives up opening a hold.
    OpeningHold,
    /// A payout may be tried again.
    PayoutRetry,
    /// A waiting step is over.
    StepDeadline,
    /// A pending order leaves the book.
    OfferDeadline,
    /// A pending order is shown again.
    Refresh,
    /// A buyer is asked again for an invoice.
    Reprompt,
    /// An unpaid development fee may be tried again.
    DevFee,
}

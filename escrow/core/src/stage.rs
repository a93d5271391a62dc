//! Where a trade stands. Start reading here.

use serde::{Deserialize, Serialize};

use crate::hold::HoldId;
use crate::order::{Role, Take};
use crate::party::Asker;
use crate::payout::PayoutId;
use crate::time::UnixTime;
use crate::wire::Status;

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
        asker: Option<Asker>,
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
        /// Who wants to cancel and waits for the other side (rule C7).
        #[serde(default)]
        cancel_asked_by: Option<Role>,
    },
    /// The buyer says that he has sent the fiat.
    FiatSent {
        /// The take.
        take: Take,
        /// The accepted hold.
        hold: HoldId,
        /// Who wants to cancel and waits for the other side (rule C7).
        #[serde(default)]
        cancel_asked_by: Option<Role>,
    },
    /// The parties do not agree; [`Order::dispute`](crate::order::Order::dispute)
    /// names the dispute.
    Dispute {
        /// The take.
        take: Take,
        /// The accepted hold.
        hold: HoldId,
        /// Where the trade stood before.
        from: DisputedStage,
        /// Who wants to cancel and waits for the other side (rule C7).
        cancel_asked_by: Option<Role>,
    },
    /// Canceling is decided; the sats are on their way back to the seller.
    Canceling {
        /// The take that ends.
        take: Take,
        /// The hold being canceled.
        hold: HoldId,
        /// Where the order goes when the sats are back.
        then: Then,
        /// Who canceled and waits for the answer; nobody when time did it.
        asker: Option<Asker>,
        /// Until when the answer still echoes the request id (rule B8).
        echo_until: UnixTime,
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
        /// In what role he did.
        #[serde(default)]
        by: ReleasedBy,
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
    /// Nobody took it in time.
    Expired,
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
    /// The seller's invoice ended before his time, because the node was down;
    /// another is being opened for the same take (rule E12). Without it he is
    /// late.
    WaitingPayment {
        /// The deadline, which stays.
        deadline: UnixTime,
    },
}

/// Where a trade stood when a dispute was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisputedStage {
    /// The fiat was not said to be sent.
    Active,
    /// The fiat was said to be sent.
    FiatSent,
}

/// Who gives the sats to the buyer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleasedBy {
    /// The seller, who has his fiat.
    #[default]
    Seller,
    /// A solver, by his ruling.
    Solver,
}

/// Where an order goes when the sats are back with the seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The taker left or was late: the offer stands as it was.
    BackToBook,
    /// It ends.
    Canceled(CancelReason),
}

/// Why an order was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelReason {
    /// Its maker withdrew it.
    ByMaker,
    /// The selling maker did not pay the hold invoice in time.
    NotPaid,
    /// The buying maker did not give his invoice in time.
    NoInvoice,
    /// Both parties agreed to it.
    ByBoth,
    /// A solver ruled so, or the operator withdrew the order.
    ByAdmin,
    /// The escrow came too near to its end (rule X3).
    EscrowEnding,
    /// Lightning gave the locked sats back to the seller.
    EscrowLost,
}

impl Stage {
    /// The take, in the stages that have one.
    #[must_use]
    pub fn take(&self) -> Option<&Take> {
        match self {
            Stage::Pending | Stage::Expired => None,
            Stage::OpeningHold { take, .. }
            | Stage::WaitingInvoice { take, .. }
            | Stage::WaitingPayment { take, .. }
            | Stage::PaidWaitingInvoice { take, .. }
            | Stage::Active { take, .. }
            | Stage::FiatSent { take, .. }
            | Stage::Dispute { take, .. }
            | Stage::Canceling { take, .. }
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
            | Stage::Dispute { hold, .. }
            | Stage::Canceling { hold, .. }
            | Stage::Releasing { hold, .. }
            | Stage::PayingBuyer { hold, .. }
            | Stage::Success { hold, .. } => Some(*hold),
            Stage::Pending
            | Stage::WaitingInvoice { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => None,
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
            | Stage::Dispute { .. }
            | Stage::Canceling { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => None,
        }
    }

    /// Whether the order never moves again.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            Stage::Success { .. } | Stage::Canceled { .. } | Stage::Expired => true,
            Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Dispute { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. } => false,
        }
    }

    /// The deadline of a waiting step.
    #[must_use]
    pub fn deadline(&self) -> Option<UnixTime> {
        match self {
            Stage::WaitingInvoice { deadline, .. }
            | Stage::WaitingPayment { deadline, .. }
            | Stage::PaidWaitingInvoice { deadline, .. } => Some(*deadline),
            Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Dispute { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => None,
        }
    }

    /// Who wants to cancel a running trade and waits for the other (rule C7).
    #[must_use]
    pub fn cancel_asked_by(&self) -> Option<Role> {
        match self {
            Stage::Active {
                cancel_asked_by, ..
            }
            | Stage::FiatSent {
                cancel_asked_by, ..
            }
            | Stage::Dispute {
                cancel_asked_by, ..
            } => *cancel_asked_by,
            Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => None,
        }
    }

    /// Whether the book shows the order as one that can be taken.
    #[must_use]
    pub fn is_on_offer(&self) -> bool {
        self.status() == Status::Pending
    }

    /// The word that clients have for it (rule S2).
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Stage::Pending => Status::Pending,
            Stage::OpeningHold { back_to, .. } => back_to.status(),
            Stage::WaitingInvoice { .. } | Stage::PaidWaitingInvoice { .. } => {
                Status::WaitingBuyerInvoice
            }
            Stage::WaitingPayment { .. } => Status::WaitingPayment,
            Stage::Active { .. } => Status::Active,
            Stage::FiatSent { .. } => Status::FiatSent,
            Stage::Dispute { .. } => Status::Dispute,
            Stage::Releasing { .. } | Stage::PayingBuyer { .. } => Status::SettledHoldInvoice,
            Stage::Canceling { then, .. } => match then {
                Then::BackToBook => Status::WaitingBuyerInvoice,
                Then::Canceled(why) => why.status(),
            },
            Stage::Success { .. } => Status::Success,
            Stage::Canceled { why, .. } => why.status(),
            Stage::Expired => Status::Expired,
        }
    }
}

impl BackTo {
    fn status(&self) -> Status {
        match self {
            BackTo::Pending => Status::Pending,
            BackTo::WaitingInvoice { .. } => Status::WaitingBuyerInvoice,
            BackTo::WaitingPayment { .. } => Status::WaitingPayment,
        }
    }
}

impl CancelReason {
    fn status(self) -> Status {
        match self {
            CancelReason::ByMaker
            | CancelReason::NotPaid
            | CancelReason::NoInvoice
            | CancelReason::EscrowEnding
            | CancelReason::EscrowLost => Status::Canceled,
            CancelReason::ByBoth => Status::CooperativelyCanceled,
            CancelReason::ByAdmin => Status::CanceledByAdmin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;

    #[test]
    fn s2_each_stage_has_a_word_that_clients_know() {
        let deadline = deadline();
        let table = [
            ("pending", "pending"),
            ("opening-hold (pending)", "pending"),
            ("opening-hold (waiting-invoice)", "waiting-buyer-invoice"),
            ("waiting-invoice", "waiting-buyer-invoice"),
            ("waiting-payment", "waiting-payment"),
            ("paid-waiting-invoice", "waiting-buyer-invoice"),
            ("active", "active"),
            ("fiat-sent", "fiat-sent"),
            ("dispute", "dispute"),
            ("releasing", "settled-hold-invoice"),
            ("paying-buyer", "settled-hold-invoice"),
            ("paying-buyer (no invoice)", "settled-hold-invoice"),
            ("canceling", "cooperatively-canceled"),
            ("canceling (back to the book)", "waiting-buyer-invoice"),
            ("success", "success"),
            ("canceled", "canceled"),
            ("expired", "expired"),
        ];
        let scenes = scenes(Side::Sell);
        let words: Vec<_> = scenes
            .iter()
            .map(|scene| (scene.name, scene.order.stage.status().as_str()))
            .collect();
        assert_eq!(words, table);
        let reopening = opening(Side::Sell, BackTo::WaitingPayment { deadline });
        assert_eq!(reopening.order.stage.status(), Status::WaitingPayment);
    }
}

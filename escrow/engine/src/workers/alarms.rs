//! What the operator is told, with what to do.

use escrow_core::books::Breach;
use escrow_core::decision::Alarm;

/// An alarm in plain words.
pub(crate) fn words(alarm: Alarm) -> String {
    match alarm {
        Alarm::UnexpectedHold(hash) => format!(
            "Lightning reports something of hold {hash} that contradicts the ledger: look at it \
             there; nothing was changed here"
        ),
        Alarm::HoldLost(hash) => format!(
            "hold {hash} was to be settled, but Lightning had given it back to the seller: its \
             buyer is not paid; settle it with both of them, then close the debt with \
             `mostro-relay payouts write-off`"
        ),
        Alarm::EscrowLost(hash) => format!(
            "Lightning gave the escrow of hold {hash} back to the seller: tell the solver, and \
             see whether the buyer had paid"
        ),
        Alarm::Overpaid(hash) => format!(
            "hold {hash} was paid with more than it asked for: give the rest back to the seller"
        ),
        Alarm::UnexpectedPayment(hash) => format!(
            "payment {hash} contradicts the ledger: look at it in Lightning before anything else \
             is paid by hand"
        ),
        Alarm::OwnFault(hash) => format!(
            "payment {hash} failed for a reason of ours: see that Lightning is synced, has \
             active channels and enough to send; it is tried again"
        ),
        Alarm::LedgerBreach(breach) => format!(
            "no payment leaves any more, because {}: look at `mostro-relay ledger status`",
            contradiction(breach)
        ),
        Alarm::PaymentLost(hash) => format!(
            "payment {hash} is lost: Lightning calls it in flight, but no channel carries it and \
             its payee gets nothing; another invoice is asked for when its time lock has passed, \
             when you close the channel it was to take, or by `mostro-relay payouts give-up`"
        ),
        Alarm::TooManyInFlight(hash) => format!(
            "payment {hash} waits until others have ended: see why so many are on their way with \
             `mostro-relay payouts`, or raise lightning.max_inflight_payouts"
        ),
        Alarm::PayoutStuck(order) => format!(
            "the buyer of order {} has to send another invoice: he is asked again and again; \
             `mostro-relay payouts` shows why",
            order.0
        ),
        Alarm::OrderStuck(order) => format!(
            "nothing moves order {} on any more: look at its payout with `mostro-relay payouts`",
            order.0
        ),
        Alarm::EscrowEnding { hash, blocks_left } => format!(
            "the escrow of hold {hash} ends in {blocks_left} blocks: then Lightning gives the \
             sats back to the seller; see that the trade or its dispute is decided before"
        ),
    }
}

/// What the books contradict, in plain words.
#[must_use]
pub fn contradiction(breach: Breach) -> String {
    match breach {
        Breach::Overdrawn(order) => format!("more leaves for order {} than came in", order.0),
        Breach::PaidTwice(order) => format!("the buyer of order {} was paid twice", order.0),
        Breach::DevFeePaidTwice(order) => {
            format!("the development fee of order {} was paid twice", order.0)
        }
        Breach::Unbalanced => "the books do not balance: the ledger file is damaged".into(),
        Breach::UnknownPayment(hash) => format!(
            "Lightning has made payment {hash} over the amount of a trade, and the ledger knows \
             nothing of it: is it an old backup?"
        ),
        Breach::HistoryCutShort => "Lightning has forgotten payments that the ledger has seen: \
                                    is it an old backup?"
            .into(),
    }
}

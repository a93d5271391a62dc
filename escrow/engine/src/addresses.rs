//! Addresses that traders name are asked before anything is decided about them.

use escrow_core::command::{Ask, GivenInvoice};
use escrow_core::order::Side;
use escrow_lightning::Lnurl;

/// Asks the address in a message, if there is one (rules V5, G19). It takes
/// at most [`ANSWER_TIME`](escrow_lightning::lnurl::ANSWER_TIME), and nobody
/// waits for it but the message's sender.
pub(crate) async fn look_up(lnurl: &Lnurl, ask: &mut Ask) {
    let Some(given) = given_in(ask) else {
        return;
    };
    let GivenInvoice::Unasked(text) = &*given else {
        return;
    };
    match lnurl.sendable(text).await {
        Ok(sendable) => {
            let text = text.clone();
            *given = GivenInvoice::Address { text, sendable };
        }
        Err(why) if why.is_ours() => {
            tracing::warn!(%why, "an address that a trader named is not looked up");
        }
        Err(why) => {
            tracing::debug!(%why, "an address that a trader named is of no use");
            *given = GivenInvoice::Unusable;
        }
    }
}

/// What is read of it: a seller's is not (rule O13).
fn given_in(ask: &mut Ask) -> Option<&mut GivenInvoice> {
    match ask {
        Ask::NewOrder(new) if new.side == Some(Side::Buy) => new.payout.as_mut(),
        Ask::TakeSell { payout, .. } => payout.as_mut(),
        Ask::AddInvoice { payout } => Some(payout),
        Ask::NewOrder(_)
        | Ask::TakeBuy { .. }
        | Ask::FiatSent { .. }
        | Ask::Release { .. }
        | Ask::Cancel
        | Ask::Dispute
        | Ask::RateUser { .. }
        | Ask::TradePubkey
        | Ask::TakeDispute(_)
        | Ask::AdminSettle { .. }
        | Ask::AdminCancel { .. }
        | Ask::Govern(_)
        | Ask::Question(_)
        | Ask::Refused(_) => None,
    }
}

//! Letters in the words of the wire.

use crate::notice::{Letter, Notice, Reputation};
use crate::wire::{Action, Message, Payload, PaymentFailed, Peer, UserInfo, Wrapper};

/// The message that a letter becomes. The engine seals it for `letter.to` on
/// the letter's transport.
#[must_use]
pub fn message(letter: &Letter) -> Message {
    let (action, payload) = words(&letter.notice);
    Message {
        wrapper: wrapper(&letter.notice),
        version: letter.transport.version(),
        request_id: letter.request_id,
        trade_index: letter.trade_index.map(|index| i64::from(index.0)),
        id: letter.order.map(|order| order.0),
        action,
        payload,
    }
}

fn wrapper(notice: &Notice) -> Wrapper {
    if matches!(notice, Notice::Refused(_)) {
        Wrapper::CantDo
    } else {
        Wrapper::Order
    }
}

fn words(notice: &Notice) -> (Action, Option<Payload>) {
    match notice {
        Notice::OrderPublished(order) | Notice::BackInBook(order) => {
            (Action::NewOrder, Some(Payload::Order((**order).clone())))
        }
        Notice::InvoiceWanted(order) => {
            (Action::AddInvoice, Some(Payload::Order((**order).clone())))
        }
        Notice::WaitingBuyerInvoice => (Action::WaitingBuyerInvoice, None),
        Notice::PaymentWanted { order, bolt11 } => {
            let request = Payload::PaymentRequest(Some((**order).clone()), bolt11.clone(), None);
            (Action::PayInvoice, Some(request))
        }
        Notice::TakerReputation { to_seller, taker } => {
            let action = if *to_seller {
                Action::PayInvoice
            } else {
                Action::AddInvoice
            };
            (action, Some(nameless(*taker)))
        }
        Notice::WaitingSellerToPay => (Action::WaitingSellerToPay, None),
        Notice::EscrowLocked(order) => (
            Action::HoldInvoicePaymentAccepted,
            Some(Payload::Order((**order).clone())),
        ),
        Notice::BuyerTookOrder(order) => (
            Action::BuyerTookOrder,
            Some(Payload::Order((**order).clone())),
        ),
        Notice::FiatSent { peer } => {
            let peer = Peer {
                pubkey: peer.0.to_hex(),
                reputation: None,
            };
            (Action::FiatSentOk, Some(Payload::Peer(peer)))
        }
        Notice::Released => (Action::Released, None),
        Notice::EscrowSettled => (Action::HoldInvoicePaymentSettled, None),
        Notice::EscrowCanceled => (Action::HoldInvoicePaymentCanceled, None),
        Notice::PurchaseCompleted => (Action::PurchaseCompleted, None),
        Notice::PaymentFailed {
            attempts_left,
            retry_secs,
        } => {
            let failed = PaymentFailed {
                payment_attempts: *attempts_left,
                payment_retries_interval: u32::try_from(*retry_secs).unwrap_or(u32::MAX),
            };
            (Action::PaymentFailed, Some(Payload::PaymentFailed(failed)))
        }
        Notice::InvoiceUpdated => (Action::InvoiceUpdated, None),
        Notice::Rate => (Action::Rate, None),
        Notice::RateReceived { stars } => (Action::RateReceived, Some(Payload::RatingUser(*stars))),
        Notice::Canceled => (Action::Canceled, None),
        Notice::Refused(why) => (Action::CantDo, Some(Payload::CantDo(Some(*why)))),
    }
}

/// The figures of a taker whose key the maker does not learn yet.
fn nameless(taker: Reputation) -> Payload {
    Payload::Peer(Peer {
        pubkey: String::new(),
        reputation: Some(UserInfo {
            rating: taker.rating,
            reviews: i64::from(taker.reviews),
            operating_days: taker.operating_days,
            since: taker.since,
        }),
    })
}

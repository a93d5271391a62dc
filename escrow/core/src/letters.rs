//! Letters in the words of the wire.

use uuid::Uuid;

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
        id: subject(letter),
        action,
        payload,
    }
}

/// What the message is about: a dispute that a solver took, else an order.
fn subject(letter: &Letter) -> Option<Uuid> {
    if let Notice::DisputeTaken { id, .. } = &letter.notice {
        return Some(id.0);
    }
    letter.order.map(|order| order.0)
}

fn wrapper(notice: &Notice) -> Wrapper {
    if matches!(notice, Notice::Refused(_)) {
        Wrapper::CantDo
    } else if matches!(notice, Notice::Plain(_)) {
        Wrapper::Dm
    } else if is_about_sessions(notice) {
        Wrapper::Restore
    } else if matches!(notice, Notice::DisputeTaken { .. } | Notice::SolverAdded) {
        Wrapper::Dispute
    } else {
        Wrapper::Order
    }
}

fn is_about_sessions(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Restored(_) | Notice::LastTradeIndex | Notice::UserInfo(_)
    )
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
        Notice::CancelAskedByYou => (Action::CooperativeCancelInitiatedByYou, None),
        Notice::CancelAskedByPeer => (Action::CooperativeCancelInitiatedByPeer, None),
        Notice::CancelAgreed => (Action::CooperativeCancelAccepted, None),
        Notice::DisputeOpenedByYou(id) => (
            Action::DisputeInitiatedByYou,
            Some(Payload::Dispute(id.0, None)),
        ),
        Notice::DisputeOpenedByPeer(id) => (
            Action::DisputeInitiatedByPeer,
            Some(Payload::Dispute(id.0, None)),
        ),
        Notice::DisputeTaken { id, info } => (
            Action::AdminTookDispute,
            Some(Payload::Dispute(id.0, Some((**info).clone()))),
        ),
        Notice::SolverTook { solver } => {
            let peer = Peer {
                pubkey: solver.0.to_hex(),
                reputation: None,
            };
            (Action::AdminTookDispute, Some(Payload::Peer(peer)))
        }
        Notice::ReleasedInDispute(id) => (Action::Released, Some(Payload::Dispute(id.0, None))),
        Notice::CanceledInDispute(id) => (
            Action::CooperativeCancelAccepted,
            Some(Payload::Dispute(id.0, None)),
        ),
        Notice::AdminSettled => (Action::AdminSettled, None),
        Notice::AdminCanceled => (Action::AdminCanceled, None),
        Notice::SolverAdded => (Action::AdminAddSolver, None),
        Notice::KeyMoved => (Action::TradePubkey, None),
        Notice::Restored(data) => (
            Action::RestoreSession,
            Some(Payload::RestoreData((**data).clone())),
        ),
        Notice::LastTradeIndex => (Action::LastTradeIndex, None),
        Notice::Orders(orders) => (Action::Orders, Some(Payload::Orders(orders.clone()))),
        Notice::UserInfo(own) => (Action::UserInfo, Some(Payload::UserInfo(user_info(*own)))),
        Notice::Plain(text) => (Action::SendDm, Some(Payload::TextMessage(text.clone()))),
        Notice::Refused(why) => (Action::CantDo, Some(Payload::CantDo(Some(*why)))),
    }
}

/// The figures of a taker whose key the maker does not learn yet.
fn nameless(taker: Reputation) -> Payload {
    Payload::Peer(Peer {
        pubkey: String::new(),
        reputation: Some(user_info(taker)),
    })
}

pub(crate) fn user_info(of: Reputation) -> UserInfo {
    UserInfo {
        rating: of.rating,
        reviews: i64::from(of.reviews),
        operating_days: of.operating_days,
        since: of.since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::{Order, Role};
    use crate::party::TradeIndex;
    use crate::time::UnixTime;
    use crate::user::{Rating, User};
    use crate::view;
    use crate::wire::{CantDo, Transport};

    const ID: &str = "00000000-0000-0000-0000-000000000001";
    /// The terms as clients print them, without what differs between the views.
    const TERMS: &str = r#""fiat_code":"EUR","min_amount":null,"max_amount":null,"fiat_amount":10,"payment_method":"SEPA,Bizum","premium":0"#;
    const TIMES: &str = r#""created_at":1799996400,"expires_at":1800082800"#;

    fn keys() -> (String, String) {
        ("02".repeat(32), "01".repeat(32))
    }

    fn head(kind: &str, status: &str, amount: u32) -> String {
        format!(r#"{{"id":"{ID}","kind":"{kind}","status":"{status}","amount":{amount},{TERMS}"#)
    }

    /// The message of a push to the maker of `order`, or of an answer to him.
    fn pushed(notice: Notice) -> String {
        message(&push(&maker(), notice)).to_json()
    }

    fn body(action: &str, payload: &str) -> String {
        format!(
            r#"{{"order":{{"version":2,"request_id":null,"trade_index":null,"id":"{ID}","action":"{action}","payload":{payload}}}}}"#
        )
    }

    fn with_invoice(order: Order) -> Order {
        order.edit(|order| order.offer.payout = Some(to_invoice(50)))
    }

    #[test]
    fn w6_w8_an_answer_echoes_and_shows_the_index() {
        let letter = push(
            &maker(),
            Notice::OrderPublished(Box::new(view::ack(&sell_order()))),
        );
        let letter = Letter {
            request_id: Some(u64::MAX),
            ..letter
        }
        .with_index(TradeIndex(5));
        let order = head("sell", "pending", 10_000);
        let expected = format!(
            r#"{{"order":{{"version":2,"request_id":18446744073709551615,"trade_index":5,"id":"{ID}","action":"new-order","payload":{{"order":{order},{TIMES}}}}}}}}}"#
        );
        assert_eq!(message(&letter).to_json(), expected);
    }

    #[test]
    fn w7_a_refusal_has_a_wrapper_of_its_own() {
        let asker = crate::party::Asker {
            trade_key: trade_key(2),
            request_id: Some(2),
            transport: Transport::GiftWrap,
            trade_index: None,
        };
        let told =
            |order| message(&Letter::refusal(&asker, order, CantDo::InvalidOrderStatus)).to_json();
        let expected = format!(
            r#"{{"cant-do":{{"version":1,"request_id":2,"trade_index":null,"id":"{ID}","action":"cant-do","payload":{{"cant_do":"invalid_order_status"}}}}}}"#
        );
        assert_eq!(told(Some(order_id())), expected);
        assert_eq!(
            told(None),
            expected.replace(&format!(r#""id":"{ID}","#), "")
        );
    }

    #[test]
    fn w5_each_view_of_an_order_shows_what_its_reader_may_see() {
        let (b, s) = keys();
        let (sell, take) = (sell_order(), take_with_invoice());
        let both = format!(r#""buyer_trade_pubkey":"{b}","seller_trade_pubkey":"{s}""#);
        let own = r#""buyer_invoice":"lnbcrt-50""#;
        let no_deadline = r#""created_at":1799996400,"expires_at":null"#;
        let inv = head("sell", "waiting-buyer-invoice", 9_970);
        let act = |amount| head("sell", "active", amount);
        let retry = head("sell", "settled-hold-invoice", 9_970);
        let (ack, back) = (
            head("buy", "pending", 10_000),
            head("sell", "pending", 10_000),
        );
        let table = [
            (
                view::ack(&with_invoice(buy_order())),
                format!("{ack},{own},{TIMES}}}"),
            ),
            (
                view::inv_at_take(&sell, &take),
                format!("{inv},{no_deadline}}}"),
            ),
            (
                view::inv_when_paid(&sell, &take),
                format!("{inv},{TIMES}}}"),
            ),
            (
                view::pay(&sell, &take),
                format!("{},{TIMES}}}", head("sell", "waiting-payment", 10_030)),
            ),
            (
                view::act(&sell, &take, Role::Seller),
                format!("{},{both},{TIMES}}}", act(10_030)),
            ),
            (
                view::act(&sell, &take, Role::Buyer),
                format!("{},{both},{TIMES}}}", act(9_970)),
            ),
            (
                view::act_with_invoice(&sell, &take),
                format!("{},{both},{own},{TIMES}}}", act(9_970)),
            ),
            (
                view::retry(&sell, &take, "lnbcrt-50"),
                format!("{retry},{both},{own},{TIMES}}}"),
            ),
            (
                view::back(&sell),
                format!(r#"{back},"seller_trade_pubkey":"{s}",{TIMES}}}"#),
            ),
            (
                view::back(&with_invoice(buy_order())),
                format!(r#"{ack},"buyer_trade_pubkey":"{s}",{own},{TIMES}}}"#),
            ),
        ];
        for (order, expected) in table {
            let shown = pushed(Notice::InvoiceWanted(Box::new(order)));
            assert_eq!(
                shown,
                body("add-invoice", &format!(r#"{{"order":{expected}}}"#))
            );
        }
    }

    #[test]
    fn the_hold_invoice_comes_with_the_order() {
        let order = Box::new(view::pay(&sell_order(), &take()));
        let wanted = Notice::PaymentWanted {
            order,
            bolt11: "lnbcrt1".to_owned(),
        };
        let shown = format!("{},{TIMES}}}", head("sell", "waiting-payment", 10_030));
        let payload = format!(r#"{{"payment_request":[{shown},"lnbcrt1",null]}}"#);
        assert_eq!(pushed(wanted), body("pay-invoice", &payload));
    }

    #[test]
    fn k7_a_taker_is_shown_by_figures_only() {
        let user = User {
            first_seen: UnixTime(NOW.0 - 12 * 86_400),
            last_index: TradeIndex(1),
            rating: Rating {
                reviews: 3,
                total: 4.5,
                ..Rating::default()
            },
        };
        let known = Reputation::of(Some(&user), NOW);
        let shown = pushed(Notice::TakerReputation {
            to_seller: true,
            taker: known,
        });
        let payload = r#"{"peer":{"pubkey":"","reputation":{"rating":4.5,"reviews":3,"operating_days":12,"since":1798934400}}}"#;
        assert_eq!(shown, body("pay-invoice", payload));

        let unknown = Reputation::of(None, NOW);
        let shown = pushed(Notice::TakerReputation {
            to_seller: false,
            taker: unknown,
        });
        let payload =
            r#"{"peer":{"pubkey":"","reputation":{"rating":0.0,"reviews":0,"operating_days":0}}}"#;
        assert_eq!(shown, body("add-invoice", payload));
    }

    #[test]
    fn every_other_notice_has_its_word() {
        let (b, _) = keys();
        let order = || Box::new(view::back(&sell_order()));
        let shown = format!(
            r#"{{"order":{},"seller_trade_pubkey":"{}",{TIMES}}}}}"#,
            head("sell", "pending", 10_000),
            "01".repeat(32)
        );
        let peer = format!(r#"{{"peer":{{"pubkey":"{b}","reputation":null}}}}"#);
        let failed = Notice::PaymentFailed {
            attempts_left: 2,
            retry_secs: 60,
        };
        let tries = r#"{"payment_failed":{"payment_attempts":2,"payment_retries_interval":60}}"#;
        let dispute = r#"{"dispute":["00000000-0000-0000-0000-000000000004",null]}"#;
        let table = [
            (Notice::BackInBook(order()), "new-order", shown.as_str()),
            (
                Notice::EscrowLocked(order()),
                "hold-invoice-payment-accepted",
                &shown,
            ),
            (Notice::BuyerTookOrder(order()), "buyer-took-order", &shown),
            (Notice::WaitingBuyerInvoice, "waiting-buyer-invoice", "null"),
            (Notice::WaitingSellerToPay, "waiting-seller-to-pay", "null"),
            (
                Notice::FiatSent { peer: trade_key(2) },
                "fiat-sent-ok",
                &peer,
            ),
            (Notice::Released, "released", "null"),
            (
                Notice::EscrowSettled,
                "hold-invoice-payment-settled",
                "null",
            ),
            (
                Notice::EscrowCanceled,
                "hold-invoice-payment-canceled",
                "null",
            ),
            (Notice::PurchaseCompleted, "purchase-completed", "null"),
            (failed, "payment-failed", tries),
            (Notice::InvoiceUpdated, "invoice-updated", "null"),
            (Notice::Rate, "rate", "null"),
            (
                Notice::RateReceived { stars: 5 },
                "rate-received",
                r#"{"rating_user":5}"#,
            ),
            (Notice::Canceled, "canceled", "null"),
            (
                Notice::CancelAskedByYou,
                "cooperative-cancel-initiated-by-you",
                "null",
            ),
            (
                Notice::CancelAskedByPeer,
                "cooperative-cancel-initiated-by-peer",
                "null",
            ),
            (Notice::CancelAgreed, "cooperative-cancel-accepted", "null"),
            (
                Notice::DisputeOpenedByYou(dispute_id()),
                "dispute-initiated-by-you",
                dispute,
            ),
            (
                Notice::DisputeOpenedByPeer(dispute_id()),
                "dispute-initiated-by-peer",
                dispute,
            ),
        ];
        for (notice, action, payload) in table {
            let json = pushed(notice);
            assert_eq!(json, body(action, payload));
            assert_eq!(as_upstream(&json), json);
        }
    }

    /// What the library of most clients makes of a message.
    fn as_upstream(json: &str) -> String {
        let message = mostro_core::message::Message::from_json(json).unwrap();
        message.as_json().unwrap()
    }

    #[test]
    fn w9_plain_words_come_in_a_wrapper_of_their_own() {
        let json = pushed(Notice::Plain("Hurry up.".to_owned()));
        let expected = format!(
            r#"{{"dm":{{"version":2,"request_id":null,"trade_index":null,"id":"{ID}","action":"send-dm","payload":{{"text_message":"Hurry up."}}}}}}"#
        );
        assert_eq!(json, expected);
        assert_eq!(as_upstream(&json), json);
    }
}

//! The rule page as it is played.

use escrow_core::wire::{Action, OrderKind, Payload, Transport};
use mostro_relay::trader::Ask;

use crate::refusals::{BUYERS, SATS, payment_request, take_sell};
use crate::town::Town;

/// Who may say what in each stage of a sell, by the matrix of rules part 18.
#[tokio::test]
async fn the_matrix_of_a_sell() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let mut carol = town.person("carol", Transport::GiftWrap).await;
    let id = alice.offers(OrderKind::Sell, SATS).await;
    let order = Some(id);
    let fiat_sent = || Ask::about(Action::FiatSent, order);
    let release = || Ask::about(Action::Release, order);
    let cancel = || Ask::about(Action::Cancel, order);
    let rate = || Ask::about(Action::RateUser, order).with(Payload::RatingUser(5));
    let mut spare = 0;
    let mut invoice = || {
        spare += 1;
        Ask::about(Action::AddInvoice, order).with(payment_request(format!("lnbcrt{spare}")))
    };

    // Pending.
    carol
        .is_refused([
            ("pending", invoice(), "invalid_peer"),
            ("pending", fiat_sent(), "invalid_order_status"),
            ("pending", release(), "invalid_peer"),
            ("pending", cancel(), "is_not_your_order"),
            ("pending", rate(), "invalid_order_status"),
        ])
        .await;
    alice
        .is_refused([
            ("pending", invoice(), "invalid_peer"),
            ("pending", release(), "not_allowed_by_status"),
            ("pending", rate(), "invalid_order_status"),
        ])
        .await;

    // Waiting for the buyer's invoice.
    bob.takes(Action::TakeSell, id, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
    bob.is_refused([
        ("waiting-buyer-invoice", fiat_sent(), "invalid_order_status"),
        ("waiting-buyer-invoice", release(), "invalid_peer"),
        ("waiting-buyer-invoice", invoice(), "invalid_invoice"),
    ])
    .await;
    alice
        .is_refused([
            ("waiting-buyer-invoice", invoice(), "invalid_peer"),
            ("waiting-buyer-invoice", release(), "not_allowed_by_status"),
        ])
        .await;
    carol
        .is_refused([
            (
                "waiting-buyer-invoice",
                take_sell(order),
                "invalid_order_status",
            ),
            ("waiting-buyer-invoice", cancel(), "invalid_pubkey"),
        ])
        .await;

    // Waiting for the seller's payment.
    bob.adds_invoice(BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let request = alice
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await;
    bob.is_refused([
        ("waiting-payment", invoice(), "not_allowed_by_status"),
        ("waiting-payment", fiat_sent(), "invalid_order_status"),
    ])
    .await;
    alice
        .is_refused([("waiting-payment", release(), "not_allowed_by_status")])
        .await;
    carol
        .is_refused([("waiting-payment", cancel(), "invalid_pubkey")])
        .await;

    // Active.
    alice.pays(&request).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
    alice
        .is_refused([
            ("active", fiat_sent(), "invalid_pubkey"),
            ("active", release(), "not_allowed_by_status"),
            ("active", rate(), "invalid_order_status"),
        ])
        .await;
    bob.is_refused([
        ("active", invoice(), "not_allowed_by_status"),
        ("active", release(), "invalid_peer"),
    ])
    .await;
    carol
        .is_refused([
            ("active", fiat_sent(), "invalid_pubkey"),
            ("active", release(), "invalid_peer"),
            ("active", cancel(), "invalid_pubkey"),
        ])
        .await;

    // The fiat is sent.
    bob.says(
        Action::FiatSent,
        &format!("fiat-sent-ok{{peer {}}} E", alice.key()),
    )
    .await;
    alice
        .hears(&format!("fiat-sent-ok{{peer {}}}", bob.key()))
        .await;
    bob.is_refused([
        ("fiat-sent", fiat_sent(), "invalid_order_status"),
        ("fiat-sent", release(), "invalid_peer"),
        ("fiat-sent", rate(), "invalid_order_status"),
    ])
    .await;
    carol
        .is_refused([("fiat-sent", release(), "invalid_peer")])
        .await;

    // The end.
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    alice.hears("rate").await;
    bob.hears("released").await;
    bob.hears("purchase-completed").await;
    bob.hears("rate").await;
    let stars = |stars| Ask::about(Action::RateUser, order).with(Payload::RatingUser(stars));
    bob.is_refused([
        ("success", stars(0), "invalid_rating"),
        ("success", stars(6), "invalid_rating"),
        ("success", stars(255), "invalid_rating"),
        ("success", invoice(), "not_allowed_by_status"),
        ("success", fiat_sent(), "invalid_order_status"),
        ("success", cancel(), "not_allowed_by_status"),
    ])
    .await;
    bob.asks(rate(), "rate-received{5} E").await;
    bob.is_refused([("K2 a second vote", rate(), "invalid_rating")])
        .await;
    alice
        .is_refused([
            ("success", release(), "not_allowed_by_status"),
            ("success", cancel(), "not_allowed_by_status"),
        ])
        .await;
    carol
        .is_refused([
            ("success", rate(), "invalid_pubkey"),
            ("success", cancel(), "not_allowed_by_status"),
            ("success", take_sell(order), "invalid_order_status"),
        ])
        .await;
}

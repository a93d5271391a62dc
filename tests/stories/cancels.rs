//! Trades that end before their time, because somebody leaves or is late, as
//! their traders see it.

use std::time::Duration;

use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, Transport};
use mostro_relay::settings::Settings;
use mostro_relay::trader::Heard;
use nostr::types::Timestamp;

use crate::person::{Person, offer};
use crate::town::Town;

const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

/// A town in which every waiting step is over in two seconds.
async fn a_hasty_town() -> Town {
    Town::with(|settings: &mut Settings| {
        settings.mostro.expiration_seconds = Duration::from_secs(2);
    })
    .await
}

async fn crossed(town: &mut Town) -> (Person, Person) {
    let (mut alice, bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    alice.trader.watch_book().await.unwrap();
    (alice, bob)
}

/// Alice sells; Bob has taken her order and owes an invoice.
async fn an_invoice_is_owed(alice: &mut Person, bob: &mut Person) {
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
}

/// Alice sells; Bob has given his invoice, and the request to pay is with her.
async fn a_payment_is_owed(alice: &mut Person, bob: &mut Person) -> Heard {
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes_with_invoice(order, BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    alice
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await
}

/// Alice sells and has paid.
async fn a_trade_is_active(alice: &mut Person, bob: &mut Person) {
    let request = a_payment_is_owed(alice, bob).await;
    alice.pays(&request).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
}

async fn nobody_lost_a_sat(alice: &mut Person, bob: &mut Person) {
    assert_eq!(alice.gained_msat().await, 0);
    assert_eq!(bob.gained_msat().await, 0);
    alice.hears_no_more().await;
    bob.hears_no_more().await;
}

/// Waits until no hold locks a sat.
async fn nothing_is_held(town: &Town) {
    let patience = Duration::from_secs(20);
    let look = async {
        while town
            .sandbox()
            .look(|world| world.state().held_in)
            .await
            .unwrap()
            .0
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, look).await.unwrap();
}

#[tokio::test]
async fn c4_s7_up_r9_a_taker_who_leaves_puts_the_order_back_and_it_can_be_taken_again() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    an_invoice_is_owed(&mut alice, &mut bob).await;
    alice.sees(BookStatus::InProgress).await;
    bob.says(Action::Cancel, "canceled E").await;
    alice.hears("new-order{back 10000 expires}").await;
    alice.sees(BookStatus::Pending).await;
    let order = bob.order();
    bob.turns_the_page().await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
    town.book_is_the_ledger(&mut alice).await;
}

#[tokio::test]
async fn c4_a_maker_who_leaves_ends_the_order() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    an_invoice_is_owed(&mut alice, &mut bob).await;
    alice.says(Action::Cancel, "canceled E").await;
    bob.hears("canceled").await;
    alice.sees(BookStatus::Canceled).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn c5_a_cancel_while_the_payment_is_awaited_is_final() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let request = a_payment_is_owed(&mut alice, &mut bob).await;
    alice.says(Action::Cancel, "canceled E").await;
    bob.hears("canceled").await;
    alice.sees(BookStatus::Canceled).await;
    let Some(Payload::PaymentRequest(_, bolt11, _)) = &request.message.payload else {
        panic!("no payment request: {}", request.json);
    };
    // Refused, or held for the moment in which the hold is canceled.
    let _too_late = alice.wallet.pays(bolt11).await;
    nothing_is_held(&town).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn c6_a_buyer_who_gives_no_invoice_for_a_paid_escrow_and_leaves() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let order = alice.offers(OrderKind::Buy, SATS).await;
    let take = "pay-invoice{payment_request pay 10030 expires} E idx";
    let request = bob.takes(Action::TakeBuy, order, take).await;
    alice.hears("waiting-seller-to-pay idx").await;
    bob.pays(&request).await;
    bob.hears("waiting-buyer-invoice").await;
    alice.hears("add-invoice{inv 9970 expires}").await;
    alice.hears("add-invoice{peer 0 of 0}").await;
    alice.says(Action::Cancel, "canceled E").await;
    bob.hears("canceled").await;
    alice.sees(BookStatus::Canceled).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn c7_c8_a_trade_is_canceled_by_both_or_not_at_all() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    a_trade_is_active(&mut alice, &mut bob).await;
    bob.says(Action::Cancel, "cooperative-cancel-initiated-by-you E")
        .await;
    alice.hears("cooperative-cancel-initiated-by-peer").await;
    bob.says(Action::Cancel, "cant-do{invalid_pubkey} E").await;
    alice
        .says(Action::Cancel, "cooperative-cancel-accepted E")
        .await;
    bob.hears("cooperative-cancel-accepted").await;
    alice.sees(BookStatus::Canceled).await;
    alice
        .says(Action::Cancel, "cant-do{order_already_canceled} E")
        .await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn e2_a_buyer_who_is_late_loses_the_order() {
    let mut town = a_hasty_town().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    an_invoice_is_owed(&mut alice, &mut bob).await;
    bob.hears("canceled").await;
    alice.hears("new-order{back 10000 expires}").await;
    alice.sees(BookStatus::Pending).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn e4_a_seller_who_is_late_with_his_own_order_ends_it() {
    let mut town = a_hasty_town().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    a_payment_is_owed(&mut alice, &mut bob).await;
    alice.hears("canceled").await;
    bob.hears("canceled").await;
    alice.sees(BookStatus::Canceled).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn e1_up_s13_an_order_that_nobody_took_expires_and_its_maker_hears_it() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    let mut order = offer(OrderKind::Sell, SATS);
    let soon = Timestamp::now().as_secs() + 2;
    order.expires_at = Some(i64::try_from(soon).unwrap());
    alice
        .offers_so(order, "new-order{ack 10000 expires} E idx")
        .await;
    alice.hears("canceled").await;
    alice.sees(BookStatus::Canceled).await;
    alice.hears_no_more().await;
}

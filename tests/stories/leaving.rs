//! Who leaves, or is late, in the steps in which the roles are turned round or
//! Lightning is still at work.

use std::time::Duration;

use escrow_core::wire::{Action, BookStatus, OrderKind, Transport};
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use mostro_relay::settings::Settings;

use crate::person::Person;
use crate::town::Town;

const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

const HOLD: &str = "pay-invoice{payment_request pay 10030 expires} E idx";

/// A town in which every waiting step is over in two seconds.
async fn a_hasty_town() -> Town {
    Town::with(|settings: &mut Settings| {
        settings.mostro.expiration_seconds = Duration::from_secs(2);
    })
    .await
}

async fn crossed(town: &mut Town) -> (Person, Person) {
    let (mut alice, bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    (alice, bob)
}

async fn nobody_lost_a_sat(alice: &mut Person, bob: &mut Person) {
    alice.hears_no_more().await;
    bob.hears_no_more().await;
    assert_eq!(alice.gained_msat().await, 0);
    assert_eq!(bob.gained_msat().await, 0);
}

#[tokio::test]
async fn c3_a_maker_leaves_while_the_hold_is_being_opened() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let order = alice.offers(OrderKind::Buy, SATS).await;
    let hangs = Fault::on(Op::CreateHold, FaultAction::Hang);
    town.sandbox().add_fault(hangs);
    let mut take = bob.message(Action::TakeBuy, None);
    take.id = Some(order);
    bob.trade.order = Some(order);
    let event = bob.trader.wrap_json(&bob.trade, &take.to_json()).unwrap();
    assert!(bob.publishes(&event).await.taken);

    alice.says(Action::Cancel, "canceled E").await;
    bob.hears_an_answer("cant-do{not_allowed_by_status} E")
        .await;
    alice.sees(BookStatus::Canceled).await;
    town.sandbox().let_go().await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn c4_s7_a_seller_who_took_an_order_and_does_not_pay_puts_it_back() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let order = alice.offers(OrderKind::Buy, SATS).await;
    bob.takes(Action::TakeBuy, order, HOLD).await;
    alice.hears("waiting-seller-to-pay idx").await;
    bob.says(Action::Cancel, "canceled E").await;
    alice.hears("new-order{back 10000 expires}").await;
    alice.sees(BookStatus::Pending).await;

    bob.turns_the_page().await;
    bob.takes(Action::TakeBuy, order, HOLD).await;
    alice.hears("waiting-seller-to-pay idx").await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
    town.book_is_the_ledger(&mut alice).await;
}

#[tokio::test]
async fn c2_c4_c7_a_third_party_cancels_nothing() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let mut carol = town.person("carol", Transport::Direct).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    carol.trade.order = Some(order);
    carol
        .says(Action::Cancel, "cant-do{is_not_your_order} E")
        .await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
    carol
        .says(Action::Cancel, "cant-do{invalid_pubkey} E")
        .await;
    becomes_active(&mut alice, &mut bob).await;
    carol
        .says(Action::Cancel, "cant-do{invalid_pubkey} E")
        .await;
    alice.hears_no_more().await;
    bob.hears_no_more().await;
}

/// From Bob's invoice to the escrow.
async fn becomes_active(alice: &mut Person, bob: &mut Person) {
    bob.adds_invoice(BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let request = alice
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await;
    alice.pays(&request).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
}

/// Guarantee up-S11: who has paid the fiat is not held to what he said before.
#[tokio::test]
async fn c9_up_s11_a_consent_to_cancel_does_not_outlive_the_fiat() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
    becomes_active(&mut alice, &mut bob).await;
    bob.says(Action::Cancel, "cooperative-cancel-initiated-by-you E")
        .await;
    alice.hears("cooperative-cancel-initiated-by-peer").await;
    let sent = format!("fiat-sent-ok{{peer {}}} E", alice.key());
    bob.says(Action::FiatSent, &sent).await;
    let sent = format!("fiat-sent-ok{{peer {}}}", bob.key());
    alice.hears(&sent).await;

    alice
        .says(Action::Cancel, "cooperative-cancel-initiated-by-you E")
        .await;
    bob.hears("cooperative-cancel-initiated-by-peer").await;
    bob.says(Action::Cancel, "cooperative-cancel-accepted E")
        .await;
    alice.hears("cooperative-cancel-accepted").await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn e3_a_seller_who_took_an_order_and_is_late_puts_it_back() {
    let mut town = a_hasty_town().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let order = alice.offers(OrderKind::Buy, SATS).await;
    bob.takes(Action::TakeBuy, order, HOLD).await;
    alice.hears("waiting-seller-to-pay idx").await;
    bob.hears("canceled").await;
    alice.hears("new-order{back 10000 expires}").await;
    alice.sees(BookStatus::Pending).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn e5_a_buyer_who_gives_no_invoice_for_a_paid_escrow_in_time() {
    let mut town = a_hasty_town().await;
    let (mut alice, mut bob) = crossed(&mut town).await;
    let order = alice.offers(OrderKind::Buy, SATS).await;
    let request = bob.takes(Action::TakeBuy, order, HOLD).await;
    alice.hears("waiting-seller-to-pay idx").await;
    bob.pays(&request).await;
    bob.hears("waiting-buyer-invoice").await;
    alice.hears("add-invoice{inv 9970 expires}").await;
    alice.hears("add-invoice{peer 0 of 0}").await;
    alice.hears("canceled").await;
    bob.hears("canceled").await;
    alice.sees(BookStatus::Canceled).await;
    nobody_lost_a_sat(&mut alice, &mut bob).await;
}

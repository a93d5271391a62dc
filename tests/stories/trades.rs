//! Whole trades, each message in its place and each amount exact.

use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, Transport};

use crate::person::Person;
use crate::town::Town;

/// A trade of 10,000 sats costs each side 30 (rule F1).
const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

/// When the node is stopped and started again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nights {
    None,
    /// After every step of the trade.
    AfterEachStep,
}

impl Nights {
    async fn fall(self, town: &mut Town, a: &mut Person, b: &mut Person) {
        if self == Nights::AfterEachStep {
            town.restarts(&mut [a, b]).await;
        }
    }
}

/// The seller made the order, the buyer takes it without an invoice.
async fn sell(town: &mut Town, a: &mut Person, b: &mut Person, nights: Nights) {
    watch_the_book(a, b).await;
    let order = a.offers(OrderKind::Sell, SATS).await;
    nights.fall(town, a, b).await;
    b.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    a.hears("waiting-buyer-invoice idx").await;
    a.sees(BookStatus::InProgress).await;
    nights.fall(town, a, b).await;
    b.adds_invoice(BUYERS, "waiting-seller-to-pay E idx").await;
    a.hears("pay-invoice{peer 0 of 0}").await;
    let request = a
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await;
    nights.fall(town, a, b).await;
    a.pays(&request).await;
    a.hears("buyer-took-order{act 10030 expires}").await;
    b.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
    nights.fall(town, a, b).await;
    the_money_moves(town, a, b, nights).await;
}

/// The buyer made the order without an invoice, the seller takes it.
async fn buy(town: &mut Town, a: &mut Person, b: &mut Person, nights: Nights) {
    watch_the_book(a, b).await;
    let order = a.offers(OrderKind::Buy, SATS).await;
    nights.fall(town, a, b).await;
    let request = b
        .takes(
            Action::TakeBuy,
            order,
            "pay-invoice{payment_request pay 10030 expires} E idx",
        )
        .await;
    a.hears("waiting-seller-to-pay idx").await;
    a.sees(BookStatus::InProgress).await;
    nights.fall(town, a, b).await;
    b.pays(&request).await;
    a.hears("add-invoice{inv 9970 expires}").await;
    a.hears("add-invoice{peer 0 of 0}").await;
    b.hears("waiting-buyer-invoice").await;
    nights.fall(town, a, b).await;
    a.adds_invoice(
        BUYERS,
        "hold-invoice-payment-accepted{act 9970 invoice expires} E",
    )
    .await;
    b.hears("buyer-took-order{act 10030 expires}").await;
    nights.fall(town, a, b).await;
    the_money_moves(town, b, a, nights).await;
}

/// From the active trade to its end, which is the same whoever made the order.
async fn the_money_moves(town: &mut Town, seller: &mut Person, buyer: &mut Person, nights: Nights) {
    let peer_is = |of: &Person| format!("fiat-sent-ok{{peer {}}}", of.key());
    buyer
        .says(Action::FiatSent, &format!("{} E", peer_is(seller)))
        .await;
    seller.hears(&peer_is(buyer)).await;
    nights.fall(town, seller, buyer).await;
    seller
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    seller.hears("rate").await;
    buyer.hears("released").await;
    buyer.hears("purchase-completed").await;
    buyer.hears("rate").await;
    nights.fall(town, seller, buyer).await;
    for (rater, stars) in [(&mut *seller, 5), (&mut *buyer, 4)] {
        let told = format!("rate-received{{{stars}}} E");
        rater
            .says_with(Action::RateUser, Payload::RatingUser(stars), &told)
            .await;
        rater.sees(BookStatus::Success).await;
        rater.hears_no_more().await;
    }
    assert_eq!(seller.gained_msat().await, -10_030_000);
    assert_eq!(buyer.gained_msat().await, 9_970_000);
}

async fn watch_the_book(a: &mut Person, b: &mut Person) {
    for person in [a, b] {
        person.trader.watch_book().await.unwrap();
    }
}

#[tokio::test]
async fn a_sell_trade_over_kind_14() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let mut bob = town.person("bob", Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn a_buy_trade_over_gift_wraps() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::GiftWrap).await;
    let mut bob = town.person("bob", Transport::GiftWrap).await;
    buy(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn up_r1_a_sell_trade_with_a_restart_after_each_step() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::GiftWrap).await;
    let mut bob = town.person("bob", Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::AfterEachStep).await;
}

#[tokio::test]
async fn up_r1_a_buy_trade_with_a_restart_after_each_step() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let mut bob = town.person("bob", Transport::GiftWrap).await;
    buy(&mut town, &mut alice, &mut bob, Nights::AfterEachStep).await;
}

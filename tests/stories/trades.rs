//! Whole trades, each message in its place and each amount exact.

use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, SmallOrder, Transport};

use mostro_relay::trader::Heard;

use crate::person::{Person, offer};
use crate::town::Town;

/// A trade of 10,000 sats costs each side 30 (rule F1).
const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

/// When the node is stopped and started again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nights {
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
pub(crate) async fn sell(town: &mut Town, a: &mut Person, b: &mut Person, nights: Nights) {
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
pub(crate) async fn buy(town: &mut Town, a: &mut Person, b: &mut Person, nights: Nights) {
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

/// Both sides know from the start where the buyer is paid.
async fn both_are_ready(seller: &mut Person, buyer: &mut Person, request: &Heard) {
    seller.pays(request).await;
    seller.hears("buyer-took-order{act 10030 expires}").await;
    buyer
        .hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
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
async fn a_sell_over_kind_14() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
    town.book_is_the_ledger(&mut alice).await;
}

#[tokio::test]
async fn a_sell_over_gift_wraps() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::GiftWrap).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn a_sell_from_gift_wrap_to_kind_14() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn a_sell_from_kind_14_to_gift_wrap() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn a_buy_over_kind_14() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    buy(&mut town, &mut alice, &mut bob, Nights::None).await;
    town.book_is_the_ledger(&mut alice).await;
}

#[tokio::test]
async fn a_buy_over_gift_wraps() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::GiftWrap).await;
    buy(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn a_buy_from_gift_wrap_to_kind_14() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    buy(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn a_buy_from_kind_14_to_gift_wrap() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    buy(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn b5_a_sell_taken_with_an_invoice() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    watch_the_book(&mut alice, &mut bob).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes_with_invoice(order, BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let request = alice
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await;
    both_are_ready(&mut alice, &mut bob, &request).await;
    the_money_moves(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn h2_a_buy_with_the_makers_invoice() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    watch_the_book(&mut alice, &mut bob).await;
    let with_invoice = SmallOrder {
        buyer_invoice: Some(alice.invoice(BUYERS).await),
        ..offer(OrderKind::Buy, SATS)
    };
    alice
        .offers_so(with_invoice, "new-order{ack 10000 invoice expires} E idx")
        .await;
    let request = bob
        .takes(
            Action::TakeBuy,
            alice.order(),
            "pay-invoice{payment_request pay 10030 expires} E idx",
        )
        .await;
    alice.hears("waiting-seller-to-pay idx").await;
    both_are_ready(&mut bob, &mut alice, &request).await;
    the_money_moves(&mut town, &mut bob, &mut alice, Nights::None).await;
}

#[tokio::test]
async fn w3_two_traders_in_full_privacy() {
    let mut town = Town::new().await;
    let mut alice = town.hidden("alice", Transport::Direct).await;
    let mut bob = town.hidden("bob", Transport::GiftWrap).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
}

#[tokio::test]
async fn up_r1_a_sell_with_a_restart_after_each_step() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::AfterEachStep).await;
    town.book_is_the_ledger(&mut alice).await;
}

#[tokio::test]
async fn up_r1_a_buy_with_a_restart_after_each_step() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    buy(&mut town, &mut alice, &mut bob, Nights::AfterEachStep).await;
    town.book_is_the_ledger(&mut alice).await;
}

/// Nobody is there when the node speaks; everybody reads it later.
#[tokio::test]
async fn up_r3_what_was_said_to_the_absent_is_found_later() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    town.closes(&mut [&mut alice, &mut bob]).await;
    town.opens().await;
    bob.comes_back(&town).await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    bob.adds_invoice(BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.comes_back(&town).await;
    let found = alice.finds_in_the_mail(3).await;
    assert_eq!(
        found,
        [
            "waiting-buyer-invoice idx",
            "pay-invoice{peer 0 of 0}",
            "pay-invoice{payment_request pay 10030 expires} idx"
        ]
    );
}

/// Rule K3, seen in the book: the maker's next order shows what he is worth.
#[tokio::test]
async fn k3_a_rating_stands_in_the_makers_next_order() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
    for person in [&mut alice, &mut bob] {
        person.turns_the_page().await;
    }
    let order = alice.offers(OrderKind::Sell, SATS).await;
    alice.sees(BookStatus::Pending).await;
    let shown = alice.trader.book().revisions(order)[0].clone();
    let rating = shown.tags.iter().find(|tag| tag.kind() == "rating");
    let rating = rating.unwrap().as_slice()[1].clone();
    // The first vote counts half (rule K5).
    assert!(
        rating.contains(r#""total_rating":2.0,"total_reviews":1"#),
        "{rating}"
    );
    bob.takes_with_invoice(order, BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 2.5 of 1}").await;
}

//! Votes as everybody reads them, and what is not read of whoever shows no
//! identity (rules K1–K7).

use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, Transport};

use crate::person::Person;
use crate::town::Town;
use crate::trades::{Nights, sell};

const SATS: u64 = 10_000;

/// Alice sells to Bob, of whom she hears this before she pays; then she rates
/// him.
async fn sells_and_rates(alice: &mut Person, bob: &mut Person, worth: &str, stars: u8) {
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes_with_invoice(order, 9_970, "waiting-seller-to-pay E idx")
        .await;
    alice.hears(&format!("pay-invoice{{peer {worth}}}")).await;
    let request = "pay-invoice{payment_request pay 10030 expires} idx";
    let request = alice.hears(request).await;
    alice.pays(&request).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
    let sent = format!("fiat-sent-ok{{peer {}}} E", alice.key());
    bob.says(Action::FiatSent, &sent).await;
    alice
        .hears(&format!("fiat-sent-ok{{peer {}}}", bob.key()))
        .await;
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    alice.hears("rate").await;
    for news in ["released", "purchase-completed", "rate"] {
        bob.hears(news).await;
    }
    let told = format!("rate-received{{{stars}}} E");
    let vote = Payload::RatingUser(stars);
    alice.says_with(Action::RateUser, vote, &told).await;
}

#[tokio::test]
async fn k3_k5_up_r11_three_votes_and_a_restart_between_them() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    alice.trader.watch_notices().await.unwrap();
    let votes = [
        ("0 of 0", 5, ["1", "2.5", "5", "5", "5"]),
        ("2.5 of 1", 4, ["2", "3.25", "4", "5", "4"]),
        ("3.25 of 2", 1, ["3", "2.5", "1", "5", "1"]),
    ];
    for (worth, stars, [reviews, total, last, max, min]) in votes {
        sells_and_rates(&mut alice, &mut bob, worth, stars).await;
        let says = [
            ("total_reviews", reviews),
            ("total_rating", total),
            ("last_rating", last),
            ("max_rate", max),
            ("min_rate", min),
            ("days", "0"),
        ];
        let key = bob.key();
        alice.trader.reads_notice(&key, &says).await.unwrap();
        town.restarts(&mut [&mut alice, &mut bob]).await;
        alice.turns_the_page().await;
        bob.turns_the_page().await;
    }
}

/// Of two, one shows no identity; each rates the other. His vote counts, and
/// hers for him does not (rule K4).
async fn one_is_hidden(seller_hides: bool) {
    let mut town = Town::new().await;
    let (alices, bobs) = (Transport::Direct, Transport::GiftWrap);
    let (mut alice, mut bob) = if seller_hides {
        let alice = town.hidden("alice", alices).await;
        (alice, town.person("bob", bobs).await)
    } else {
        let alice = town.person("alice", alices).await;
        (alice, town.hidden("bob", bobs).await)
    };
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
    let (shown, total, hidden) = if seller_hides {
        (bob.key(), "2.5", alice.key())
    } else {
        (alice.key(), "2", bob.key())
    };
    // What follows the votes is published after them.
    alice.turns_the_page().await;
    alice.offers(OrderKind::Sell, SATS).await;
    alice.sees(BookStatus::Pending).await;
    alice.trader.watch_notices().await.unwrap();
    let says = [("total_reviews", "1"), ("total_rating", total)];
    alice.trader.reads_notice(&shown, &says).await.unwrap();
    let notices = alice.trader.notices();
    let tells_of = |key: &str| {
        let named = |event: &&nostr::event::Event| event.as_json().contains(key);
        notices.iter().filter(named).count()
    };
    assert_eq!((tells_of(&shown), tells_of(&hidden)), (1, 0));
}

#[tokio::test]
async fn k4_a_hidden_seller_is_not_rated_and_her_vote_counts() {
    one_is_hidden(true).await;
}

#[tokio::test]
async fn k4_a_hidden_buyer_is_not_rated_and_his_vote_counts() {
    one_is_hidden(false).await;
}

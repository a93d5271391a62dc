//! Ranges: what is taken of them, what is left, and what comes back whole
//! (rules T8, N1–N8, S7).

use std::time::Duration;

use escrow_core::amount::Fiat;
use escrow_core::wire::{Action, BookStatus, OrderKind, Transport};
use mostro_relay::trader::{Ask, Asking, Heard, Offer};
use uuid::Uuid;

use crate::person::Person;
use crate::refusals::take_sell;
use crate::town::Town;

/// At 50,000 USD per bitcoin, a dollar is 2,000 sats, and costs each side 6.
fn buyers(dollars: u64) -> u64 {
    dollars * 1_994
}

fn sellers(dollars: u64) -> u64 {
    dollars * 2_006
}

const ACK: &str = "new-order{ack 0 expires} E idx";

pub(crate) async fn offers_a_range(maker: &mut Person, kind: OrderKind) -> Uuid {
    let offer = Offer {
        kind,
        price: Asking::Range {
            min: Fiat(10),
            max: Fiat(50),
            premium: 0,
        },
        fiat_code: "USD".into(),
        payment_method: "cash".into(),
    };
    maker.offers_so(offer.small_order(), ACK).await;
    maker.order()
}

/// The fiat amounts in the newest revision of an order.
fn amounts(reader: &Person, order: Uuid) -> Vec<String> {
    let revisions = reader.trader.book().revisions(order).iter();
    let newest = revisions.max_by_key(|event| event.created_at).unwrap();
    let tag = newest.tags.iter().find(|tag| tag.kind() == "fa").unwrap();
    tag.as_slice()[1..].to_vec()
}

async fn takes(taker: &mut Person, action: Action, order: Uuid, part: u64, answer: &str) -> Heard {
    taker.trade.order = Some(order);
    let ask = Ask::about(action, Some(order)).with_index();
    taker.asks(ask.of_range(Some(Fiat(part))), answer).await
}

/// Bob takes a part of what Alice sells, and has said that the fiat is sent.
async fn sells(alice: &mut Person, bob: &mut Person, part: u64) {
    let (pays, gets) = (sellers(part), buyers(part));
    let asked = format!("add-invoice{{inv {gets}}} E idx");
    takes(bob, Action::TakeSell, alice.order(), part, &asked).await;
    alice.hears("waiting-buyer-invoice idx").await;
    bob.adds_invoice(gets, "waiting-seller-to-pay E idx").await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let request = format!("pay-invoice{{payment_request pay {pays} expires}} idx");
    let request = alice.hears(&request).await;
    alice.pays(&request).await;
    let active = format!("buyer-took-order{{act {pays} expires}}");
    alice.hears(&active).await;
    let active = format!("hold-invoice-payment-accepted{{act {gets} expires}}");
    bob.hears(&active).await;
    let told = format!("fiat-sent-ok{{peer {}}} E", alice.key());
    bob.says(Action::FiatSent, &told).await;
    let told = format!("fiat-sent-ok{{peer {}}}", bob.key());
    alice.hears(&told).await;
}

/// Bob takes a part of what Alice buys; she names the key for the rest when
/// she says that the fiat is sent (rule N5).
pub(crate) async fn buys(alice: &mut Person, bob: &mut Person, part: u64, next: Ask) {
    let (pays, gets) = (sellers(part), buyers(part));
    let asked = format!("pay-invoice{{payment_request pay {pays} expires}} E idx");
    let request = takes(bob, Action::TakeBuy, alice.order(), part, &asked).await;
    alice.hears("waiting-seller-to-pay idx").await;
    bob.pays(&request).await;
    alice
        .hears(&format!("add-invoice{{inv {gets} expires}}"))
        .await;
    alice.hears("add-invoice{peer 0 of 0}").await;
    bob.hears("waiting-buyer-invoice").await;
    let active = format!("hold-invoice-payment-accepted{{act {gets} invoice expires}} E");
    alice.adds_invoice(gets, &active).await;
    bob.hears(&format!("buyer-took-order{{act {pays} expires}}"))
        .await;
    let told = format!("fiat-sent-ok{{peer {}}} E", bob.key());
    alice.asks(next, &told).await;
    let told = format!("fiat-sent-ok{{peer {}}}", alice.key());
    bob.hears(&told).await;
}

async fn is_paid(buyer: &mut Person) {
    for news in ["released", "purchase-completed", "rate"] {
        buyer.hears(news).await;
    }
}

const SETTLED: &str = "hold-invoice-payment-settled E";

/// 10 to 50 are sold as 20, 20 and 10; the last is an offer of 10 alone.
const PARTS: [(u64, &[&str]); 3] = [(20, &["10", "30"]), (20, &["10"]), (10, &[])];

async fn a_range_is_sold_out(alices: Transport, bobs: Transport) {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(alices, bobs).await;
    alice.trader.watch_book().await.unwrap();
    offers_a_range(&mut alice, OrderKind::Sell).await;
    for (part, rest) in PARTS {
        sells(&mut alice, &mut bob, part).await;
        let next = alice.trader.new_trade().await.unwrap();
        let release = Ask::about(Action::Release, alice.trade.order).naming(Some(&next));
        alice.asks(release, SETTLED).await;
        alice.hears("rate").await;
        is_paid(&mut bob).await;
        alice.hears_no_more().await;
        alice.turns_to(next);
        bob.turns_the_page().await;
        if !rest.is_empty() {
            alice.inherits(ACK).await;
            alice.sees(BookStatus::Pending).await;
            assert_eq!(amounts(&alice, alice.order()), rest);
        }
    }
    alice.hears_no_more().await;
    assert_eq!(alice.gained_msat().await, -i128::from(sellers(50)) * 1_000);
    assert_eq!(bob.gained_msat().await, i128::from(buyers(50)) * 1_000);
    town.book_is_the_ledger(&mut alice).await;
}

#[tokio::test]
async fn n2_n8_a_range_is_sold_until_nothing_is_left() {
    a_range_is_sold_out(Transport::Direct, Transport::GiftWrap).await;
}

#[tokio::test]
async fn n2_n8_the_same_from_gift_wrap_to_kind_14() {
    a_range_is_sold_out(Transport::GiftWrap, Transport::Direct).await;
}

/// The buyer who made the offer did not release, so his child's message echoes
/// nothing (rule N8).
#[tokio::test]
async fn n5_n8_a_range_is_bought_until_nothing_is_left() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    offers_a_range(&mut alice, OrderKind::Buy).await;
    for (part, rest) in PARTS {
        let next = alice.trader.new_trade().await.unwrap();
        let sent = Ask::about(Action::FiatSent, alice.trade.order).naming(Some(&next));
        buys(&mut alice, &mut bob, part, sent).await;
        bob.says(Action::Release, SETTLED).await;
        bob.hears("rate").await;
        is_paid(&mut alice).await;
        bob.turns_the_page().await;
        alice.turns_to(next);
        if !rest.is_empty() {
            alice.inherits("new-order{ack 0 expires} idx").await;
            alice.sees(BookStatus::Pending).await;
            assert_eq!(amounts(&alice, alice.order()), rest);
        }
    }
    assert_eq!(alice.gained_msat().await, i128::from(buyers(50)) * 1_000);
    assert_eq!(bob.gained_msat().await, -i128::from(sellers(50)) * 1_000);
}

#[tokio::test]
async fn n7_u31_up_s8_who_names_no_key_hears_that_the_rest_is_gone() {
    let mut town = Town::new().await;
    let mut alice = town.person_of_the_house("alice", Transport::Direct).await;
    let mut bob = town.person("bob", Transport::GiftWrap).await;
    let order = offers_a_range(&mut alice, OrderKind::Sell).await;
    sells(&mut alice, &mut bob, 30).await;
    alice.says(Action::Release, SETTLED).await;
    alice.hears("rate").await;
    is_paid(&mut bob).await;
    let gone = alice.trader.next_letter(&alice.trade).await.unwrap();
    let message = &gone.message;
    assert_eq!(message.action, Action::SendDm);
    assert_eq!((message.id, message.request_id), (Some(order), None));
    assert!(gone.json.contains("10 to 20 USD"), "{}", gone.json);
}

#[tokio::test]
async fn t8_a_part_must_be_named_and_within_the_range() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let order = offers_a_range(&mut alice, OrderKind::Sell).await;
    let take = || take_sell(Some(order));
    let of = |dollars| take().of_range(Some(Fiat(dollars)));
    let reason = "out_of_range_sats_amount";
    bob.trade.order = Some(order);
    bob.is_refused([
        ("no amount", take(), reason),
        ("nothing", of(0), reason),
        ("one less", of(9), reason),
        ("one more", of(51), reason),
        ("all there is", of(u64::MAX), reason),
    ])
    .await;
    let answer = format!("add-invoice{{inv {}}} E idx", buyers(50));
    bob.asks(of(50), &answer).await;
}

/// A take that ends, by whoever or whatever, takes nothing from the range.
#[tokio::test]
async fn s7_up_s6_a_range_comes_back_whole() {
    let hasty = |settings: &mut mostro_relay::settings::Settings| {
        settings.mostro.expiration_seconds = Duration::from_secs(2);
    };
    let mut town = Town::with(hasty).await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    let order = offers_a_range(&mut alice, OrderKind::Sell).await;
    let asked = format!("add-invoice{{inv {}}} E idx", buyers(20));
    for leaves in [true, false] {
        takes(&mut bob, Action::TakeSell, order, 20, &asked).await;
        alice.hears("waiting-buyer-invoice idx").await;
        alice.sees(BookStatus::InProgress).await;
        assert_eq!(amounts(&alice, order), ["20"]);
        if leaves {
            bob.says(Action::Cancel, "canceled E").await;
        } else {
            bob.hears("canceled").await;
        }
        alice.hears("new-order{back 0 expires}").await;
        alice.sees(BookStatus::Pending).await;
        assert_eq!(amounts(&alice, order), ["10", "50"]);
        bob.turns_the_page().await;
    }
}

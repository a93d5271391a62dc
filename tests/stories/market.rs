//! Prices that are the market's: what they come to on the wire, and why some
//! come to nothing (rules F4, O9, T9).

use escrow_core::amount::Fiat;
use escrow_core::wire::{Action, BookStatus, OrderKind, SmallOrder, Transport};
use mostro_relay::settings::Settings;
use mostro_relay::trader::{Ask, Asking, Offer};
use uuid::Uuid;

use crate::person::Person;
use crate::refusals::take_sell;
use crate::town::Town;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

fn market(kind: OrderKind, fiat: u64, fiat_code: &str, premium: i64) -> SmallOrder {
    let offer = Offer {
        kind,
        price: Asking::Market {
            fiat: Fiat(fiat),
            premium,
        },
        fiat_code: fiat_code.into(),
        payment_method: "cash".into(),
    };
    offer.small_order()
}

/// The first value of a tag in the newest revision of an order.
fn shown(reader: &Person, order: Uuid, name: &str) -> String {
    let revisions = reader.trader.book().revisions(order).iter();
    let newest = revisions.max_by_key(|event| event.created_at).unwrap();
    let tag = newest.tags.iter().find(|tag| tag.kind() == name).unwrap();
    tag.as_slice()[1].clone()
}

/// Currency, fiat, premium, the sats that they come to, and a side's fee.
const WORKED: [(&str, u64, i64, u64, u64); 5] = [
    ("USD", 100, 0, 200_000, 600),
    ("USD", 100, 5, 190_000, 570),
    ("USD", 100, -3, 206_000, 618),
    ("EUR", 10, 0, 22_222, 67),
    ("EUR", 7, 0, 15_556, 47),
];

async fn sats_on_the_wire(alices: Transport, bobs: Transport) {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(alices, bobs).await;
    alice.trader.watch_book().await.unwrap();
    for (code, fiat, premium, sats, fee) in WORKED {
        let offer = market(OrderKind::Sell, fiat, code, premium);
        alice
            .offers_so(offer, "new-order{ack 0 expires} E idx")
            .await;
        let order = alice.order();
        alice.sees(BookStatus::Pending).await;
        assert_eq!(shown(&alice, order, "amt"), "0");
        let answer = format!("add-invoice{{inv {}}} E idx", sats - fee);
        bob.takes(Action::TakeSell, order, &answer).await;
        alice.hears("waiting-buyer-invoice idx").await;
        alice.sees(BookStatus::InProgress).await;
        assert_eq!(shown(&alice, order, "amt"), sats.to_string());
        bob.says(Action::Cancel, "canceled E").await;
        alice.hears("new-order{back 0 expires}").await;
        alice.sees(BookStatus::Pending).await;
        assert_eq!(shown(&alice, order, "amt"), "0");
        for person in [&mut alice, &mut bob] {
            person.turns_the_page().await;
        }
    }
}

#[tokio::test]
async fn f4_f3_the_sats_of_a_take_are_rounded_and_forgotten_when_it_ends() {
    sats_on_the_wire(Transport::Direct, Transport::GiftWrap).await;
}

#[tokio::test]
async fn f4_the_same_from_gift_wrap_to_kind_14() {
    sats_on_the_wire(Transport::GiftWrap, Transport::Direct).await;
}

#[tokio::test]
async fn o9_f7_offers_that_the_market_does_not_carry() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let sell = |fiat, code, premium| market(OrderKind::Sell, fiat, code, premium);
    let range = |min, max| SmallOrder {
        min_amount: Some(min),
        max_amount: Some(max),
        ..sell(0, "USD", 0)
    };
    let most = u64::try_from(i64::MAX).unwrap();
    let (currency, sats) = ("invalid_fiat_currency", "out_of_range_sats_amount");
    alice
        .cannot_offer([
            ("nobody quotes it", sell(10, "XYZ", 0), currency),
            ("a metal", sell(10, "XAU", 0), currency),
            ("nobody asked for it", sell(10, "GBP", 0), currency),
            ("one dollar too much", sell(501, "USD", 0), sats),
            ("all the money there is", sell(most, "USD", 0), sats),
            ("the same, given away", sell(most, "USD", 99), sats),
            ("nothing is left of it", sell(1, "USD", 100), sats),
            ("too little is left of it", sell(1, "USD", 96), sats),
            ("the premium makes it too much", sell(260, "USD", -99), sats),
            ("the upper end is too much", range(10, 501), sats),
            ("the lower end is nothing", range(0, 10), sats),
            ("all that can be written", range(0, i64::MAX), sats),
        ])
        .await;
    let most = sell(500, "USD", 0);
    alice
        .offers_so(most, "new-order{ack 0 expires} E idx")
        .await;
}

/// The price decides when somebody takes, and it may have left since.
#[tokio::test]
async fn t9_u11_up_s5_takes_that_the_market_does_not_carry_any_more() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let offer = market(OrderKind::Sell, 10, "USD", 0);
    let ack = "new-order{ack 0 expires} E idx";
    alice.offers_so(offer, ack).await;
    let take = take_sell(Some(alice.order()));
    bob.trade.order = take.order;

    let dear = |settings: &mut Settings| {
        settings.price.providers.fixed.rates = [("USD".to_owned(), 5.0)].into();
    };
    reopens(&mut town, dear, [&mut alice, &mut bob]).await;
    bob.is_refused([(
        "F7 a dollar is a fortune",
        take.clone(),
        "out_of_range_sats_amount",
    )])
    .await;

    let silent = |settings: &mut Settings| {
        settings.price.providers.fixed.enabled = false;
        settings.price.providers.yadio.enabled = true;
        settings.price.providers.yadio.url = Some(NOWHERE.to_owned());
    };
    reopens(&mut town, silent, [&mut alice, &mut bob]).await;
    bob.is_refused([("no price is known", take.clone(), "price_too_stale")])
        .await;
    alice.turns_the_page().await;
    let offer = market(OrderKind::Sell, 10, "USD", 0);
    alice
        .cannot_offer([("O9 no price is known", offer, "price_too_stale")])
        .await;
    let unknown = market(OrderKind::Sell, 10, "XYZ", 0);
    alice
        .cannot_offer([("Q12 nor will there be", unknown, "invalid_fiat_currency")])
        .await;

    let usual = |settings: &mut Settings| settings.price = Settings::default().price;
    reopens(&mut town, usual, [&mut alice, &mut bob]).await;
    bob.asks(take, "add-invoice{inv 19940} E idx").await;
}

async fn reopens(town: &mut Town, differ: impl FnOnce(&mut Settings), people: [&mut Person; 2]) {
    let [alice, bob] = people;
    town.closes(&mut [&mut *alice, &mut *bob]).await;
    town.changes(differ);
    town.opens().await;
    alice.comes_back(town).await;
    bob.comes_back(town).await;
}

/// A take that is refused uses no index (rule G18), and an amount on an offer
/// that is no range is not read (rule T8).
#[tokio::test]
async fn t8_an_amount_that_nobody_asked_for_is_ignored() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let offer = market(OrderKind::Buy, 20, "USD", 0);
    alice
        .offers_so(offer, "new-order{ack 0 expires} E idx")
        .await;
    let take = Ask::about(Action::TakeBuy, alice.trade.order).with_index();
    bob.trade.order = take.order;
    let answer = "pay-invoice{payment_request pay 40120 expires} E idx";
    bob.asks(take.of_range(Some(Fiat(7))), answer).await;
}

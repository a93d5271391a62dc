//! Buyers who are paid at a Lightning address. In the sandbox every wallet has
//! one: its name at any host.

use escrow_core::wire::{Action, OrderKind, Payload, SmallOrder, Transport};
use mostro_relay::trader::{Ask, Heard, Trade};

use crate::person::{Person, offer};
use crate::town::Town;

const SATS: u64 = 10_000;

fn to(address: &str) -> Payload {
    Payload::PaymentRequest(None, address.to_owned(), None)
}

/// From the seller's payment to the end; the buyer may name the key under
/// which the rest of his range goes on.
async fn the_trade_ends(
    (seller, buyer): (&mut Person, &mut Person),
    (pays, gets): (u64, u64),
    request: &Heard,
    next: Option<&Trade>,
) {
    seller.pays(request).await;
    let took = format!("buyer-took-order{{act {pays} expires}}");
    seller.hears(&took).await;
    let locked = format!("hold-invoice-payment-accepted{{act {gets} expires}}");
    buyer.hears(&locked).await;
    let peer_is = |of: &Person| format!("fiat-sent-ok{{peer {}}}", of.key());
    let sent = Ask::about(Action::FiatSent, Some(buyer.order()));
    let sent = match next {
        Some(next) => sent.with(Payload::NextTrade(
            next.keys.public_key().to_hex(),
            next.index,
        )),
        None => sent,
    };
    buyer.asks(sent, &format!("{} E", peer_is(seller))).await;
    seller.hears(&peer_is(buyer)).await;
    seller
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    seller.hears("rate").await;
    for news in ["released", "purchase-completed", "rate"] {
        buyer.hears(news).await;
    }
}

#[tokio::test]
async fn v2_v5_p2_the_buyer_of_a_sell_order_is_paid_at_his_address() {
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let mut town = Town::new().await;
        let (mut alice, mut bob) = town.pair(transport, transport).await;
        let order = alice.offers(OrderKind::Sell, SATS).await;
        bob.trade.order = Some(order);
        let take = Ask::about(Action::TakeSell, Some(order)).with_index();
        let take = take.with(to("bob@wallet.example"));
        bob.asks(take, "waiting-seller-to-pay E idx").await;
        alice.hears("pay-invoice{peer 0 of 0}").await;
        let request = alice
            .hears("pay-invoice{payment_request pay 10030 expires} idx")
            .await;
        let both = (&mut alice, &mut bob);
        the_trade_ends(both, (10_030, 9_970), &request, None).await;
        assert_eq!(alice.gained_msat().await, -10_030_000);
        assert_eq!(bob.gained_msat().await, 9_970_000);
        alice.hears_no_more().await;
        bob.hears_no_more().await;
    }
}

#[tokio::test]
async fn v2_v5_up_m14_a_useless_address_is_refused_when_it_is_given() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    for address in [
        "nobody@wallet.example",
        "bob@127.0.0.1",
        "bob@wallet.example:22",
        "bob@hidden.onion",
        "bob@@wallet.example",
        "lnurl1qqqqqq",
    ] {
        bob.says_with(
            Action::AddInvoice,
            to(address),
            "cant-do{invalid_invoice} E",
        )
        .await;
    }
    bob.says_with(
        Action::AddInvoice,
        to("BOB@wallet.example"),
        "waiting-seller-to-pay E idx",
    )
    .await;
}

/// A range of 10 to 50 EUR at 50,000 EUR for a bitcoin.
fn range(address: &str) -> SmallOrder {
    SmallOrder {
        amount: 0,
        fiat_code: "EUR".into(),
        fiat_amount: 0,
        min_amount: Some(10),
        max_amount: Some(50),
        buyer_invoice: Some(address.to_owned()),
        ..offer(OrderKind::Buy, 0)
    }
}

#[tokio::test]
async fn o11_s7_n4_the_maker_of_a_range_is_paid_at_his_address_each_time() {
    let mut town = Town::with(|settings| {
        settings.price.providers.fixed.enabled = true;
        settings.price.providers.fixed.rates = vec![("EUR".into(), 50_000.0)];
    })
    .await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let wrong = range("nobody@wallet.example");
    alice.offers_so(wrong, "cant-do{invalid_invoice} E").await;
    let ack = "new-order{ack 0 invoice expires} E idx";
    alice.offers_so(range("alice@wallet.example"), ack).await;

    // 20 EUR are 40,000 sats, and each side pays 120.
    let next = alice.trader.new_trade().await.unwrap();
    let request = bob_takes(&mut bob, &mut alice, 20, "40120").await;
    let both = (&mut bob, &mut alice);
    the_trade_ends(both, (40_120, 39_880), &request, Some(&next)).await;
    assert_eq!(alice.gained_msat().await, 39_880_000);

    let child = alice.goes_on_as(next).await;
    let told = alice.told(&child, false);
    assert_eq!(told, "new-order{ack 0 invoice expires} idx");
    bob.turns_the_page().await;
    let request = bob_takes(&mut bob, &mut alice, 30, "60180").await;
    let both = (&mut bob, &mut alice);
    the_trade_ends(both, (60_180, 59_820), &request, None).await;
    assert_eq!(alice.gained_msat().await, 39_880_000 + 59_820_000);
}

/// Bob sells for so much fiat; the request to pay is with him.
async fn bob_takes(bob: &mut Person, alice: &mut Person, fiat: i64, pays: &str) -> Heard {
    let order = alice.order();
    bob.trade.order = Some(order);
    let take = Ask::about(Action::TakeBuy, Some(order)).with_index();
    let answer = format!("pay-invoice{{payment_request pay {pays} expires}} E idx");
    let request = bob.asks(take.with(Payload::Amount(fiat)), &answer).await;
    alice.hears("waiting-seller-to-pay idx").await;
    request
}

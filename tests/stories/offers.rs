//! Offers that are refused, and what is left out of those that are not
//! (rules O1–O15).

use escrow_core::wire::{OrderKind, Payload, SmallOrder, Transport};

use crate::person::offer;
use crate::refusals::{BUYERS, NOWHERE, SATS};
use crate::town::Town;

#[tokio::test]
async fn o1_to_o9_offers_that_make_no_sense() {
    let mut town = Town::with(|settings| {
        settings.mostro.fiat_currencies_accepted = vec!["USD".into(), "EUR".into()];
    })
    .await;
    let mut alice = town.person_of_the_house("alice", Transport::Direct).await;
    let sell = || offer(OrderKind::Sell, SATS);
    let with = |spoil: fn(&mut SmallOrder)| {
        let mut order = sell();
        spoil(&mut order);
        order
    };
    let just_now = i64::try_from(nostr::types::Timestamp::now().as_secs()).unwrap();
    alice
        .cannot_offer([
            ("O1 no kind", with(|o| o.kind = None), "invalid_order_kind"),
            (
                "O2 unknown here",
                with(|o| o.fiat_code = "GBP".into()),
                "invalid_fiat_currency",
            ),
            (
                "O2 small letters",
                with(|o| o.fiat_code = "usd".into()),
                "invalid_fiat_currency",
            ),
            (
                "O2 empty",
                with(|o| o.fiat_code = String::new()),
                "invalid_fiat_currency",
            ),
            (
                "O3 only a minimum",
                with(|o| o.min_amount = Some(1)),
                "invalid_amount",
            ),
            (
                "O3 only a maximum",
                with(|o| o.max_amount = Some(9)),
                "invalid_amount",
            ),
            ("O4 no fiat", with(|o| o.fiat_amount = 0), "invalid_amount"),
            (
                "O4 negative fiat",
                with(|o| o.fiat_amount = i64::MIN),
                "invalid_amount",
            ),
            (
                "O4 negative sats",
                with(|o| o.amount = -1),
                "invalid_amount",
            ),
            (
                "O4 least sats",
                with(|o| o.amount = i64::MIN),
                "invalid_amount",
            ),
            ("O4 range upside down", range(50, 10), "invalid_amount"),
            ("O4 range of one", range(10, 10), "invalid_amount"),
            ("O4 negative range", range(-10, 10), "invalid_amount"),
            (
                "O4 range with sats",
                SmallOrder {
                    amount: 5,
                    ..range(10, 50)
                },
                "invalid_amount",
            ),
            (
                "O5 premium on fixed sats",
                with(|o| o.premium = 1),
                "invalid_parameters",
            ),
            (
                "O5 premium too low",
                SmallOrder {
                    premium: -100,
                    ..range(10, 50)
                },
                "invalid_parameters",
            ),
            (
                "O5 premium too high",
                SmallOrder {
                    premium: 101,
                    ..range(10, 50)
                },
                "invalid_parameters",
            ),
            (
                "O5 extreme premium",
                with(|o| o.premium = i64::MIN),
                "invalid_parameters",
            ),
            (
                "O6 no method",
                with(|o| o.payment_method = String::new()),
                "invalid_parameters",
            ),
            (
                "O6 only commas",
                with(|o| o.payment_method = " , ,".into()),
                "invalid_parameters",
            ),
            (
                "O6 two lines",
                with(|o| o.payment_method = "a\nb".into()),
                "invalid_parameters",
            ),
            (
                "O6 hidden signs",
                with(|o| o.payment_method = "a\u{202e}b".into()),
                "invalid_parameters",
            ),
            (
                "O6 too long",
                with(|o| o.payment_method = "x".repeat(501)),
                "invalid_parameters",
            ),
            (
                "O7 at zero",
                with(|o| o.expires_at = Some(0)),
                "invalid_parameters",
            ),
            (
                "O7 long ago",
                with(|o| o.expires_at = Some(i64::MIN)),
                "invalid_parameters",
            ),
            (
                "O7 just now",
                SmallOrder {
                    expires_at: Some(just_now),
                    ..sell()
                },
                "invalid_parameters",
            ),
            (
                "O8 a mint",
                with(|o| o.cashu_mint_url = Some("https://m".into())),
                "invalid_mint_url",
            ),
            (
                "O9 too much at the market's price",
                with(|o| (o.amount, o.fiat_amount) = (0, 501)),
                "out_of_range_sats_amount",
            ),
            ("O9 a range", range(10, 501), "out_of_range_sats_amount"),
            (
                "F7 too little",
                with(|o| o.amount = 99),
                "out_of_range_sats_amount",
            ),
            (
                "F7 too much",
                with(|o| o.amount = 1_000_001),
                "out_of_range_sats_amount",
            ),
            (
                "F7 most sats",
                with(|o| o.amount = i64::MAX),
                "out_of_range_sats_amount",
            ),
        ])
        .await;
    // None of them has used the index or made a user (rule G18).
    alice.offers(OrderKind::Sell, SATS).await;
    town.book_is_the_ledger(&mut alice).await;
    assert_eq!(alice.trader.book().orders().count(), 1);
}

#[tokio::test]
async fn o7_a_distant_deadline_is_cut_and_the_clients_own_words_are_ignored() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let boastful = SmallOrder {
        id: NOWHERE,
        created_at: Some(1),
        expires_at: Some(i64::MAX),
        buyer_invoice: Some("anything".into()),
        ..offer(OrderKind::Sell, SATS)
    };
    let ack = alice
        .offers_so(boastful, "new-order{ack 10000 expires} E idx")
        .await;
    let Some(Payload::Order(ack)) = ack.message.payload else {
        panic!("an order was acknowledged");
    };
    let (from, to) = (ack.created_at.unwrap(), ack.expires_at.unwrap());
    assert_eq!(to - from, 15 * 24 * 3_600);
    assert_ne!(ack.id, NOWHERE);
}

#[tokio::test]
async fn o10_one_person_cannot_fill_the_book() {
    let mut town = Town::with(|settings| {
        settings.limits.pending_orders_per_identity = 2;
        settings.limits.pending_orders_without_identity = 1;
    })
    .await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let mut nobody = town.hidden("nobody", Transport::Direct).await;
    let one_more = || [("O10", offer(OrderKind::Sell, SATS), "too_many_requests")];
    for _ in 0..2 {
        alice.offers(OrderKind::Sell, SATS).await;
        alice.turns_the_page().await;
    }
    alice.cannot_offer(one_more()).await;
    nobody.offers(OrderKind::Sell, SATS).await;
    nobody.turns_the_page().await;
    nobody.cannot_offer(one_more()).await;
}

#[tokio::test]
async fn o11_buy_orders_with_an_invoice_that_cannot_be_paid() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let buy = |invoice: String| SmallOrder {
        buyer_invoice: Some(invoice),
        ..offer(OrderKind::Buy, SATS)
    };
    let (bare, less) = (alice.invoice(SATS).await, alice.invoice(BUYERS - 1).await);
    let good = alice.invoice(BUYERS).await;
    alice
        .cannot_offer([
            (
                "no invoice at all",
                buy("lnbcrt1nonsense".into()),
                "invalid_invoice",
            ),
            ("without the fee taken off", buy(bare), "invalid_invoice"),
            ("a sat too little", buy(less), "invalid_invoice"),
            (
                "too long to be true",
                buy("l".repeat(2_049)),
                "invalid_invoice",
            ),
        ])
        .await;
    let with_invoice = "new-order{ack 10000 invoice expires} E idx";
    alice.offers_so(buy(good.clone()), with_invoice).await;
    alice.turns_the_page().await;
    let again = [("V4 a known hash", buy(good), "invalid_invoice")];
    alice.cannot_offer(again).await;
}

/// A range of fiat at the market's price.
fn range(min: i64, max: i64) -> SmallOrder {
    SmallOrder {
        amount: 0,
        fiat_amount: 0,
        min_amount: Some(min),
        max_amount: Some(max),
        ..offer(OrderKind::Sell, 0)
    }
}

//! Every refusal that a trader can provoke: the exact reason, with his request
//! id and the order's id, and nothing else happens (rules part 4, W7).

use escrow_core::wire::{Action, Message, OrderKind, Payload, SmallOrder, Transport, UserInfo};
use mostro_relay::trader::Ask;
use uuid::Uuid;

use crate::person::{Person, offer};
use crate::town::Town;

const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

/// What a request without an order or a payload asks.
const NOWHERE: Option<Uuid> = Some(Uuid::from_u128(0xdead));

impl Person {
    /// Asks and is refused, time after time.
    async fn is_refused(&mut self, table: impl IntoIterator<Item = (&str, Ask, &str)>) {
        for (case, ask, reason) in table {
            let heard = self.asks_anything(ask).await;
            let told = heard.refusal().map(|reason| reason.as_str());
            assert_eq!(told, Some(reason), "{case}: {}", heard.json);
            assert_eq!(heard.message.trade_index, None, "{case}");
        }
    }

    async fn cannot_use_a_bad_index(&mut self, message: &Message) {
        let too_far = i64::from(u32::MAX) + 1;
        let bad = [0, -1, i64::MIN, i64::MAX, too_far].map(Some);
        for trade_index in bad.into_iter().chain([None]) {
            let message = Message {
                trade_index,
                ..message.clone()
            };
            self.sends(&message, "cant-do{invalid_trade_index} E").await;
        }
    }

    async fn cannot_offer(&mut self, table: impl IntoIterator<Item = (&str, SmallOrder, &str)>) {
        let table = table.into_iter().map(|(case, order, reason)| {
            let ask = Ask::about(Action::NewOrder, None)
                .with_index()
                .with(Payload::Order(order));
            (case, ask, reason)
        });
        self.is_refused(table).await;
    }
}

fn payment_request(invoice: impl Into<String>) -> Payload {
    Payload::PaymentRequest(None, invoice.into(), None)
}

fn take_sell(order: Option<Uuid>) -> Ask {
    Ask::about(Action::TakeSell, order).with_index()
}

fn take_buy(order: Option<Uuid>) -> Ask {
    Ask::about(Action::TakeBuy, order).with_index()
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
            ("O9 market", with(|o| o.amount = 0), "price_too_stale"),
            ("O9 a range", range(10, 50), "price_too_stale"),
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

#[tokio::test]
async fn g12_an_index_must_be_above_all_before() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    alice.turns_the_page().await;
    bob.turns_the_page().await;
    let payload = Payload::Order(offer(OrderKind::Sell, SATS));
    let mut new_order = alice.message(Action::NewOrder, Some(payload));
    new_order.id = None;
    alice.cannot_use_a_bad_index(&new_order).await;
    let used = Message {
        trade_index: Some(1),
        ..new_order.clone()
    };
    alice.sends(&used, "cant-do{invalid_trade_index} E").await;
    for action in [Action::TakeSell, Action::TakeBuy] {
        let mut take = bob.message(action, None);
        take.id = Some(order);
        bob.cannot_use_a_bad_index(&take).await;
    }
    // The highest index there is serves once.
    let last = Message {
        trade_index: Some(i64::from(u32::MAX)),
        ..new_order
    };
    let event = alice.trader.wrap_json(&alice.trade, &last.to_json());
    alice
        .sends_event(
            &event.unwrap(),
            "new-order{ack 10000 expires} E index 4294967295",
        )
        .await;
}

#[tokio::test]
async fn g13_g14_requests_without_order_or_with_a_foreign_payload() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let order = Some(alice.offers(OrderKind::Sell, SATS).await);
    bob.is_refused([
        ("no order", take_sell(None), "not_found"),
        ("no order", take_buy(None), "not_found"),
        (
            "G12 comes first",
            Ask::about(Action::TakeBuy, None),
            "invalid_trade_index",
        ),
        (
            "no order",
            Ask::about(Action::AddInvoice, None).with(payment_request("x")),
            "not_found",
        ),
        ("no order", Ask::about(Action::FiatSent, None), "not_found"),
        ("no order", Ask::about(Action::Release, None), "not_found"),
        ("no order", Ask::about(Action::Cancel, None), "not_found"),
        (
            "no order",
            Ask::about(Action::RateUser, None).with(Payload::RatingUser(5)),
            "not_found",
        ),
        ("unknown", take_sell(NOWHERE), "not_found"),
        ("unknown", take_buy(NOWHERE), "not_found"),
        (
            "unknown",
            Ask::about(Action::AddInvoice, NOWHERE).with(payment_request("x")),
            "not_found",
        ),
        (
            "unknown",
            Ask::about(Action::FiatSent, NOWHERE),
            "not_found",
        ),
        ("unknown", Ask::about(Action::Release, NOWHERE), "not_found"),
        ("unknown", Ask::about(Action::Cancel, NOWHERE), "not_found"),
        (
            "unknown",
            Ask::about(Action::RateUser, NOWHERE).with(Payload::RatingUser(5)),
            "not_found",
        ),
        (
            "no offer",
            Ask::about(Action::NewOrder, None).with_index(),
            "invalid_parameters",
        ),
        (
            "no invoice",
            Ask::about(Action::AddInvoice, order),
            "invalid_parameters",
        ),
        (
            "no stars",
            Ask::about(Action::RateUser, order),
            "invalid_parameters",
        ),
        (
            "U16",
            Ask::about(Action::FiatSent, order).with(Payload::Amount(1)),
            "invalid_parameters",
        ),
        (
            "U16",
            Ask::about(Action::Release, order).with(Payload::Amount(1)),
            "invalid_parameters",
        ),
        // The id is asked for before the payload is looked at.
        (
            "order",
            Ask::about(Action::FiatSent, None).with(Payload::Amount(1)),
            "not_found",
        ),
        ("order", Ask::about(Action::AddInvoice, None), "not_found"),
        ("order", Ask::about(Action::RateUser, None), "not_found"),
    ])
    .await;
    // What an action does not read does no harm, save the words of other features.
    let nothing = UserInfo::default();
    let cancel = Ask::about(Action::Cancel, order);
    let mut carol = town.person_of_the_house("carol", Transport::Direct).await;
    carol
        .is_refused([(
            "user-info",
            cancel.clone().with(Payload::UserInfo(nothing)),
            "invalid_parameters",
        )])
        .await;
    alice
        .asks(cancel.with(Payload::RatingUser(3)), "canceled E")
        .await;
}

#[tokio::test]
async fn t1_to_t10_takes_that_come_to_nothing() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let mut carol = town.person("carol", Transport::Direct).await;
    let sold = alice.offers(OrderKind::Sell, SATS).await;
    alice.turns_the_page().await;
    let bought = alice.offers(OrderKind::Buy, SATS).await;
    alice.turns_the_page().await;
    alice
        .is_refused([
            ("T6 his own", take_sell(Some(sold)), "invalid_pubkey"),
            ("T6 his own", take_buy(Some(bought)), "invalid_pubkey"),
        ])
        .await;
    let (bare, more) = (bob.invoice(SATS).await, bob.invoice(BUYERS + 1).await);
    bob.is_refused([
        (
            "T3 a buy order",
            take_sell(Some(bought)),
            "invalid_order_kind",
        ),
        (
            "T3 a sell order",
            take_buy(Some(sold)),
            "invalid_order_kind",
        ),
        (
            "T10 the bare sum",
            take_sell(Some(sold)).with(payment_request(bare)),
            "invalid_invoice",
        ),
        (
            "T10 a sat too much",
            take_sell(Some(sold)).with(payment_request(more)),
            "invalid_invoice",
        ),
        (
            "T10 nonsense",
            take_sell(Some(sold)).with(payment_request("lnbc1")),
            "invalid_invoice",
        ),
    ])
    .await;
    bob.takes(Action::TakeSell, sold, "add-invoice{inv 9970} E idx")
        .await;
    carol
        .is_refused([("T4 taken", take_sell(Some(sold)), "invalid_order_status")])
        .await;
    // Bob owes an invoice, and may meanwhile sell but not buy.
    alice.offers(OrderKind::Sell, SATS).await;
    bob.turns_the_page().await;
    bob.is_refused([("T2", take_sell(alice.trade.order), "pending_order_exists")])
        .await;
    bob.takes(
        Action::TakeBuy,
        bought,
        "pay-invoice{payment_request pay 10030 expires} E idx",
    )
    .await;
    alice.turns_the_page().await;
    let another = alice.offers(OrderKind::Buy, SATS).await;
    bob.turns_the_page().await;
    bob.is_refused([("T2", take_buy(Some(another)), "pending_order_exists")])
        .await;
}

#[tokio::test]
async fn t5_an_order_whose_time_is_over_is_not_taken() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    town.closes(&mut [&mut alice, &mut bob]).await;
    town.rewrites_the_past(|order| order.offer.expires_at = order.offer.created_at);
    town.opens().await;
    bob.comes_back(&town).await;
    bob.is_refused([("T5", take_sell(Some(order)), "invalid_order_status")])
        .await;
}

/// Who may say what in each stage of a sell, by the matrix of rules part 18.
#[tokio::test]
async fn the_matrix_of_a_sell() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let mut carol = town.person("carol", Transport::GiftWrap).await;
    let order = Some(alice.offers(OrderKind::Sell, SATS).await);
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
    bob.takes(
        Action::TakeSell,
        order.unwrap(),
        "add-invoice{inv 9970} E idx",
    )
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

#[tokio::test]
async fn c1_c2_only_the_maker_cancels_and_only_once() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    alice.trader.watch_book().await.unwrap();
    let order = Some(alice.offers(OrderKind::Buy, SATS).await);
    let cancel = || Ask::about(Action::Cancel, order);
    bob.is_refused([("C2", cancel(), "is_not_your_order")])
        .await;
    alice.asks(cancel(), "canceled E").await;
    alice.sees(escrow_core::wire::BookStatus::Canceled).await;
    alice
        .is_refused([("C1", cancel(), "order_already_canceled")])
        .await;
    bob.is_refused([
        ("C1", cancel(), "order_already_canceled"),
        ("T4", take_buy(order), "invalid_order_status"),
    ])
    .await;
    alice.hears_no_more().await;
    town.book_is_the_ledger(&mut alice).await;
}

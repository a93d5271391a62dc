//! Every refusal that a trader can provoke: the exact reason, with his request
//! id and the order's id, and nothing else happens (rules part 4, W7).

use escrow_core::wire::{
    Action, CantDo, Message, OrderKind, Payload, SmallOrder, Transport, UserInfo,
};
use mostro_relay::trader::Ask;
use uuid::Uuid;

use crate::person::{Person, offer};
use crate::town::Town;

pub(crate) const SATS: u64 = 10_000;
pub(crate) const BUYERS: u64 = 9_970;

/// What a request without an order or a payload asks.
pub(crate) const NOWHERE: Option<Uuid> = Some(Uuid::from_u128(0xdead));

impl Person {
    /// Asks and is refused, time after time.
    pub(crate) async fn is_refused(&mut self, table: impl IntoIterator<Item = (&str, Ask, &str)>) {
        for (case, ask, reason) in table {
            let heard = self.asks_anything(ask).await;
            let told = heard.refusal().map(CantDo::as_str);
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

    pub(crate) async fn cannot_offer(
        &mut self,
        table: impl IntoIterator<Item = (&str, SmallOrder, &str)>,
    ) {
        let table = table.into_iter().map(|(case, order, reason)| {
            let ask = Ask::about(Action::NewOrder, None)
                .with_index()
                .with(Payload::Order(order));
            (case, ask, reason)
        });
        self.is_refused(table).await;
    }
}

pub(crate) fn payment_request(invoice: impl Into<String>) -> Payload {
    Payload::PaymentRequest(None, invoice.into(), None)
}

pub(crate) fn take_sell(order: Option<Uuid>) -> Ask {
    Ask::about(Action::TakeSell, order).with_index()
}

fn take_buy(order: Option<Uuid>) -> Ask {
    Ask::about(Action::TakeBuy, order).with_index()
}

#[tokio::test]
async fn g12_u6_an_index_must_be_above_all_before() {
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
async fn g13_g14_u7_u8_u16_requests_without_order_or_with_a_foreign_payload() {
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

//! Who comes first, and who is told what when Lightning does not answer.

use std::time::Duration;

use escrow_core::order::OrderId;
use escrow_core::wire::{Action, BookStatus, OrderKind, Transport};
use escrow_lightning::LightningBackend;
use escrow_lightning::backend::HoldState;
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use futures_util::StreamExt;
use futures_util::future::join_all;
use mostro_relay::trader::Ask;
use tokio::time::{Instant, timeout};

use crate::person::Person;
use crate::town::Town;

const SATS: u64 = 10_000;
const TAKERS: usize = 6;

/// Rule T12: all take at once, one wins, all are told.
async fn all_take_at_once(kind: OrderKind, take: Action, won: &str, heard: &str) {
    let mut town = Town::new().await;
    let mut maker = town.person("maker", Transport::Direct).await;
    let order = maker.offers(kind, SATS).await;
    let mut takers = Vec::new();
    for n in 0..TAKERS {
        let transport = [Transport::Direct, Transport::GiftWrap][n % 2];
        let mut taker = town.person(&format!("taker-{n}"), transport).await;
        taker.trade.order = Some(order);
        takers.push(taker);
    }
    let ask = Ask::about(take, Some(order)).with_index();
    let told = takers
        .iter_mut()
        .map(|taker| taker.is_told_after(ask.clone()));
    let mut told = join_all(told).await;
    told.sort();
    let lost = "cant-do{invalid_order_status} E".to_owned();
    let mut expected = vec![lost; TAKERS - 1];
    expected.push(won.to_owned());
    expected.sort();
    assert_eq!(told, expected);
    maker.hears(heard).await;
    town.book_is_the_ledger(&mut maker).await;
    maker.hears_no_more().await;
}

impl Person {
    async fn is_told_after(&mut self, ask: Ask) -> String {
        let heard = self.asks_anything(ask).await;
        self.told(&heard, true)
    }
}

#[tokio::test]
async fn t12_one_of_many_buyers_wins() {
    let won = "add-invoice{inv 9970} E idx";
    all_take_at_once(
        OrderKind::Sell,
        Action::TakeSell,
        won,
        "waiting-buyer-invoice idx",
    )
    .await;
}

#[tokio::test]
async fn t12_one_of_many_sellers_wins() {
    let won = "pay-invoice{payment_request pay 10030 expires} E idx";
    all_take_at_once(
        OrderKind::Buy,
        Action::TakeBuy,
        won,
        "waiting-seller-to-pay idx",
    )
    .await;
}

/// Lightning takes the call and never answers (rules B1, B3, B6, G16).
#[tokio::test]
async fn b6_up_m11_lightning_hangs_and_nobody_waits_longer_than_he_must() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let mut carol = town.person("carol", Transport::GiftWrap).await;
    alice.trader.watch_book().await.unwrap();
    let order = alice.offers(OrderKind::Buy, SATS).await;
    town.sandbox()
        .add_fault(Fault::on(Op::CreateHold, FaultAction::Hang));

    let mut take = bob.message(Action::TakeBuy, None);
    take.id = Some(order);
    let event = bob.trader.wrap_json(&bob.trade, &take.to_json()).unwrap();
    let began = Instant::now();
    assert!(bob.publishes(&event).await.taken);
    let ask = Ask::about(Action::TakeBuy, Some(order)).with_index();
    carol
        .asks(ask.clone(), "cant-do{invalid_order_status} E")
        .await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "OK and refusals do not wait"
    );
    bob.hears_an_answer("cant-do{too_many_requests} E").await;
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");

    // The hold that opens late is canceled, as if it had never been wanted.
    let view = town.node().escrow().unwrap().views().view().unwrap();
    let [late] = &view.holds_of(OrderId(order)).unwrap()[..] else {
        panic!("one hold was wanted");
    };
    town.sandbox().let_go().await;
    let mut states = town.sandbox().watch_hold(late.hash);
    let canceled = async {
        while let Some(seen) = states.next().await {
            if matches!(seen.state, HoldState::Canceled) {
                return;
            }
        }
        panic!("the hold is watched to its end");
    };
    timeout(Duration::from_secs(30), canceled).await.unwrap();

    // The book has not moved, the index is unburnt, and the next take succeeds.
    alice.sees(BookStatus::Pending).await;
    bob.trade.order = Some(order);
    bob.asks(ask, "pay-invoice{payment_request pay 10030 expires} E idx")
        .await;
    alice.hears("waiting-seller-to-pay idx").await;
    alice.sees(BookStatus::InProgress).await;
    assert_eq!(alice.trader.book().revisions(order).len(), 2);
}

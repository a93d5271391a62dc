//! Trades in which nothing breaks.

use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_core::wire::{Action, OrderKind};

use crate::deal::{Deal, HELD, NOTHING, PAID, TRADED, is_paid_for_good, locks};
use crate::town::Town;

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_sell_order_over_each_transport() {
    for transports in [(Direct, Direct), (GiftWrap, GiftWrap), (Direct, GiftWrap)] {
        let town = Town::new().await;
        let invoice = town.network.buyer().invoice(PAID).await.unwrap();
        let pair = town.pair(transports.0, transports.1).await;
        let mut deal = Deal::of(&town.network, pair, &invoice.bolt11).await;
        assert_eq!(locked(&town).await, HELD * 1_000);
        deal.fiat_is_sent().await;
        deal.succeeds().await;
        is_paid_for_good(&town, &deal).await;
        town.adds_up(TRADED).await;
    }
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_buy_order_over_each_transport() {
    for transports in [(Direct, Direct), (GiftWrap, GiftWrap), (GiftWrap, Direct)] {
        let town = Town::new().await;
        let (mut alice, mut bob) = town.pair(transports.0, transports.1).await;
        let order = bob.offers(OrderKind::Buy).await;
        let take = alice.take(Action::TakeBuy, order);
        let request = alice.asks(take).await;
        let hold = locks(&town.network, &request).await;
        bob.hears(Action::AddInvoice).await;
        let invoice = town.network.buyer().invoice(PAID).await.unwrap();
        let added = bob.asks(bob.is_paid_at(&invoice.bolt11)).await;
        assert_eq!(added.message.action, Action::HoldInvoicePaymentAccepted);
        alice.hears(Action::BuyerTookOrder).await;
        let mut deal = Deal { alice, bob, hold };
        deal.fiat_is_sent().await;
        deal.succeeds().await;
        town.adds_up(TRADED).await;
    }
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_deal_that_both_call_off_gives_the_sats_back() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    deal.is_called_off().await;
    deal.everybody_hears_of_the_cancel().await;
    let operator = town.network.operator();
    operator.invoice_is(&deal.hold, "CANCELED").await.unwrap();
    town.adds_up(NOTHING).await;
}

/// What others have locked towards the operator, in millisats.
async fn locked(town: &Town) -> u64 {
    town.network
        .operator()
        .balance()
        .await
        .unwrap()
        .held_in_msat
}

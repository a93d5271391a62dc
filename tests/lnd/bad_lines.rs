//! The line between the box and the operator's node is slow, deaf or cut; the
//! box lives on.

use std::time::Duration;

use escrow_core::wire::Action;
use escrow_regtest::{Line, Payment};

use crate::deal::{Deal, PAID, TRADED};
use crate::node_troubles::{Pending, only_the_payout_is_left, payout_is_on_its_way};
use crate::town::Town;

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_trade_over_a_slow_line() {
    let town = Town::new().await;
    town.line.becomes(Line::Slow(Duration::from_millis(300)));
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_answer_to_a_settle_is_lost() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    town.line.becomes(Line::Slow(Duration::from_secs(1)));
    deal.alice.sends(Action::Release).await;
    let operator = town.network.operator();
    operator.invoice_is(&deal.hold, "SETTLED").await.unwrap();
    // The answer is on its way and does not arrive.
    town.line.becomes(Line::Cut);
    town.line.becomes(Line::Good);
    deal.is_settled().await;
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_answer_to_a_payment_is_lost() {
    let town = Town::new().await;
    let mut deal = only_the_payout_is_left(&town).await;
    let (pending, buyer) = (Pending::new(), town.network.buyer());
    let invoice = buyer.hold_invoice(&pending.hash, PAID).await.unwrap();
    town.line.becomes(Line::Slow(Duration::from_millis(700)));
    let there = deal.bob.is_paid_at(&invoice.bolt11);
    deal.bob.sends_ask(&there).await;
    buyer.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
    // What the node says from here on does not arrive, the end included.
    town.line.becomes(Line::Cut);
    buyer.settles(&pending.preimage).await.unwrap();
    let operator = town.network.operator();
    let end = operator.payment_ends(&pending.hash).await.unwrap();
    assert!(matches!(end, Payment::Succeeded { .. }), "{end:?}");
    town.line.becomes(Line::Good);
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_line_is_cut_again_and_again_during_a_trade() {
    let town = Town::new().await;
    let pending = Pending::new();
    let mut deal = payout_is_on_its_way(&town, &pending).await;
    for _ in 0..5 {
        town.line.drops_all();
    }
    town.line.becomes(Line::Cut);
    town.network
        .buyer()
        .settles(&pending.preimage)
        .await
        .unwrap();
    town.line.becomes(Line::Good);
    deal.is_paid().await;
    town.adds_up(TRADED).await;
    town.box_is_ready().await;
}

//! What the node says of its terms, and whether it keeps to it.

use std::time::Duration;

use escrow_core::order::OrderId;
use escrow_core::wire::info_event::INFO;
use escrow_core::wire::{Action, OrderKind, Transport};
use serde_json::json;

use crate::listener::Listener;
use crate::town::Town;

#[tokio::test]
async fn up_r12_the_windows_that_are_announced_are_those_that_traders_have() {
    let mut town = Town::with(|settings| {
        let step = Duration::from_secs(600);
        settings.mostro.expiration_seconds = step;
        settings.lightning.hold_invoice_expiration_window = step;
        settings.lightning.invoice_expiration_window = Duration::from_secs(1_200);
        settings.lightning.hold_invoice_cltv_delta = 200;
        settings.lightning.escrow_deadline_margin_blocks = 40;
    })
    .await;
    let announced = json!({ "kinds": [INFO], "authors": [town.key()] });
    let mut ear = Listener::at(town.url()).await;
    let terms = ear.hears_event(&announced, |_| true).await;
    for (name, value) in [
        ("expiration_seconds", "600"),
        ("hold_invoice_expiration_window", "600"),
        ("invoice_expiration_window", "1200"),
        ("hold_invoice_cltv_delta", "200"),
        ("escrow_deadline_margin_blocks", "40"),
    ] {
        let tag = terms.tags.iter().find(|tag| tag.kind() == name).unwrap();
        assert_eq!(tag.as_slice()[1], value, "{name}");
    }

    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let id = OrderId(alice.offers(OrderKind::Buy, 10_000).await);
    let request = "pay-invoice{payment_request pay 10030 expires} E idx";
    bob.takes(Action::TakeBuy, id.0, request).await;
    let view = town.node().escrow().unwrap().views().view().unwrap();
    let order = view.order(id).unwrap().unwrap();
    let step_ends = order.stage.deadline().unwrap();
    assert_eq!(step_ends.secs_since(order.stage_since), 600);
    let hold = view.holds_of(id).unwrap().remove(0);
    assert_eq!(hold.cltv_delta_blocks, 200);
}

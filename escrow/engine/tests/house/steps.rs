//! The steps of a trade up to where a story begins: a seller offers, a buyer takes.

use std::time::Duration;

use escrow_core::order::OrderId;
use escrow_core::wire::{Action, CantDo, Message, OrderKind, Payload, Transport};
use escrow_engine::submission::{OperatorWord, Receipt};
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use tokio::time::sleep;

use super::{FEE, House, SATS, Trader};

pub(crate) fn alice() -> Trader {
    Trader::new(1, "alice", Transport::Direct)
}

pub(crate) fn bob() -> Trader {
    Trader::new(2, "bob", Transport::GiftWrap)
}

pub(crate) fn carol() -> Trader {
    Trader::new(3, "carol", Transport::Direct)
}

/// Why a request was refused.
pub(crate) fn refused(message: &Message) -> CantDo {
    match &message.payload {
        Some(Payload::CantDo(Some(reason))) => *reason,
        other => panic!("{other:?} is no refusal"),
    }
}

/// He takes her order with his invoice; what she is asked to pay.
pub(crate) async fn takes(
    house: &House,
    order: OrderId,
    (seller, buyer): (&mut Trader, &mut Trader),
    invoice: Payload,
) -> Message {
    let take = Action::TakeSell;
    buyer.says(house, take, Some(order), Some(invoice)).await;
    buyer.hears(house, Action::WaitingSellerToPay).await;
    seller.hears(house, Action::PayInvoice).await;
    seller.hears(house, Action::PayInvoice).await
}

/// She pays, and both hear that the trade has begun.
pub(crate) async fn locks(
    house: &House,
    wanted: &Message,
    seller: &mut Trader,
    buyer: &mut Trader,
) {
    seller.pays(house, wanted).await;
    buyer.hears(house, Action::HoldInvoicePaymentAccepted).await;
    seller.hears(house, Action::BuyerTookOrder).await;
}

pub(crate) async fn sends_fiat(
    house: &House,
    order: OrderId,
    seller: &mut Trader,
    buyer: &mut Trader,
) {
    buyer.says(house, Action::FiatSent, Some(order), None).await;
    buyer.hears(house, Action::FiatSentOk).await;
    seller.hears(house, Action::FiatSentOk).await;
}

/// From the offer until the fiat is sent.
pub(crate) async fn trade_until_fiat_sent(
    house: &House,
    seller: &mut Trader,
    buyer: &mut Trader,
) -> OrderId {
    let order = seller.offers(house, OrderKind::Sell).await;
    let invoice = buyer.invoice(house).await;
    let wanted = takes(house, order, (&mut *seller, &mut *buyer), invoice).await;
    locks(house, &wanted, seller, buyer).await;
    sends_fiat(house, order, seller, buyer).await;
    order
}

/// From the offer until the buyer is asked for his invoice.
pub(crate) async fn trade_until_taken(
    house: &House,
    seller: &mut Trader,
    buyer: &mut Trader,
) -> OrderId {
    let order = seller.offers(house, OrderKind::Sell).await;
    buyer.says(house, Action::TakeSell, Some(order), None).await;
    buyer.hears(house, Action::AddInvoice).await;
    seller.hears(house, Action::WaitingBuyerInvoice).await;
    order
}

/// Bob has taken Alice's order and is asked for his invoice.
pub(crate) async fn bob_owes_an_invoice(house: &House) -> (OrderId, Trader, Trader) {
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_taken(house, &mut alice, &mut bob).await;
    (order, alice, bob)
}

/// Bob has given his invoice, and Alice is asked to pay this.
pub(crate) async fn alice_owes_a_payment(house: &House) -> (OrderId, Trader, Trader, Message) {
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(house, OrderKind::Sell).await;
    let invoice = bob.invoice(house).await;
    let wanted = takes(house, order, (&mut alice, &mut bob), invoice).await;
    (order, alice, bob, wanted)
}

pub(crate) async fn active(house: &House) -> (OrderId, Trader, Trader) {
    let (order, mut alice, mut bob, wanted) = alice_owes_a_payment(house).await;
    locks(house, &wanted, &mut alice, &mut bob).await;
    (order, alice, bob)
}

pub(crate) async fn fiat_sent(house: &House) -> (OrderId, Trader, Trader) {
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(house, &mut alice, &mut bob).await;
    (order, alice, bob)
}

pub(crate) async fn bob_is_paid_once(house: &House) {
    let paid = SATS - FEE;
    assert_eq!(house.balance("bob").await.0, (1_000_000 + paid) * 1_000);
    let spent = SATS + FEE;
    assert_eq!(house.balance("alice").await.0, (1_000_000 - spent) * 1_000);
}

/// The operator says it with his own tools.
pub(crate) async fn operator_says(house: &House, word: OperatorWord) -> Receipt {
    let said = house.handle().operate(word).await;
    said.expect("the escrow listens")
}

pub(crate) async fn secs(secs: u64) {
    sleep(Duration::from_secs(secs)).await;
}

pub(crate) async fn lightning_is_away_for(house: &House, time: Duration) {
    let restart = FaultAction::restart(time);
    house.sandbox.add_fault(Fault::on(Op::Info, restart));
    secs(16).await;
}

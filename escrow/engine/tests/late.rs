//! Stories of what comes late, although nobody is to blame for it: a start that
//! takes long.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use std::time::Duration;

use escrow_core::order::OrderId;
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, Message, OrderKind, Transport};
use escrow_engine::clock::Clock;
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use tokio::time::sleep;

use house::{House, Trader};

/// Longer than a hold has to open.
const LONG: Duration = Duration::from_secs(20);

async fn secs(secs: u64) {
    sleep(Duration::from_secs(secs)).await;
}

/// Alice sells, Bob has given his invoice, Alice is asked to pay.
async fn alice_owes_a_payment(house: &House) -> (OrderId, Trader, Trader, Message) {
    let mut alice = Trader::new(1, "alice", Transport::Direct);
    let mut bob = Trader::new(2, "bob", Transport::GiftWrap);
    let order = alice.offers(house, OrderKind::Sell).await;
    let invoice = bob.invoice(house).await;
    bob.says(house, Action::TakeSell, Some(order), Some(invoice))
        .await;
    bob.hears(house, Action::WaitingSellerToPay).await;
    alice.hears(house, Action::PayInvoice).await;
    let wanted = alice.hears(house, Action::PayInvoice).await;
    (order, alice, bob, wanted)
}

/// Alice gets another invoice, pays it, and the trade begins.
async fn alice_pays_another(house: &House, order: OrderId, alice: &mut Trader, bob: &mut Trader) {
    let wanted = alice.hears(house, Action::PayInvoice).await;
    alice.pays(house, &wanted).await;
    bob.hears(house, Action::HoldInvoicePaymentAccepted).await;
    alice.hears(house, Action::BuyerTookOrder).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Active { .. }), "{stage:?}");
}

#[tokio::test(start_paused = true)]
async fn e12_e13_a_start_in_which_lightning_hangs_blames_nobody() {
    for op in [Op::ListPayments, Op::LookupHold] {
        let mut house = House::open().await;
        let (order, mut alice, mut bob, _) = alice_owes_a_payment(&house).await;
        house.lose_power();
        secs(7_200).await;
        house.sandbox.add_fault(Fault::on(op, FaultAction::Hang));
        let began = house.clock.now();
        house.start().await.unwrap();
        let took = house.clock.now().secs_since(began);
        assert!(took >= 15, "{op:?} did not hang: {took} s");
        alice_pays_another(&house, order, &mut alice, &mut bob).await;
    }
}

#[tokio::test(start_paused = true)]
async fn e12_e13_a_long_way_to_the_relay_blames_nobody() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob, _) = alice_owes_a_payment(&house).await;
    house.lose_power();
    secs(7_200).await;
    house.recorder.takes = LONG;
    let began = house.clock.now();
    house.start().await.unwrap();
    let took = house.clock.now().secs_since(began);
    assert!(took >= LONG.as_secs(), "the outbox was empty: {took} s");
    alice_pays_another(&house, order, &mut alice, &mut bob).await;
}

#[tokio::test(start_paused = true)]
async fn e11_what_a_start_takes_is_nobodys_time() {
    let mut house = House::open().await;
    let (order, ..) = alice_owes_a_payment(&house).await;
    secs(890).await;
    house.lose_power();
    let hangs = Fault::on(Op::ListPayments, FaultAction::Hang);
    house.sandbox.add_fault(hangs);
    house.start().await.unwrap();
    let deadline = house.order(order).stage.deadline().unwrap();
    assert_eq!(deadline.secs_since(house.clock.now()), 300);
}

#[tokio::test(start_paused = true)]
async fn e12_up_a5_a_power_cut_while_a_hold_is_reopened_blames_nobody() {
    for away_secs in [1, 7_200] {
        let mut house = House::open().await;
        let (order, mut alice, mut bob, _) = alice_owes_a_payment(&house).await;
        house.lose_power();
        secs(7_200).await;
        let hangs = Fault::on(Op::CreateHold, FaultAction::Hang);
        house.sandbox.add_fault(hangs);
        house.start().await.unwrap();
        secs(7).await;
        let stage = house.order(order).stage;
        assert!(matches!(stage, Stage::OpeningHold { .. }), "{stage:?}");
        house.lose_power();
        secs(away_secs).await;
        house.start().await.unwrap();
        alice_pays_another(&house, order, &mut alice, &mut bob).await;
    }
}

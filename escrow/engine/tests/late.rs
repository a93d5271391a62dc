//! Stories of what comes late, although nobody is to blame for it: a start that
//! takes long, a payment that a cancel has overtaken, a hold that is forgotten.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use std::time::Duration;

use escrow_core::hold::HoldState;
use escrow_core::order::OrderId;
use escrow_core::stage::Stage;
use escrow_core::wire::Action;
use escrow_engine::clock::Clock;
use escrow_lightning::backend::HoldState as Seen;
use escrow_lightning::sandbox::{Fault, FaultAction, Op};

use house::steps::{alice_owes_a_payment, locks, secs};
use house::{House, SATS, Trader};

/// Longer than a hold has to open.
const LONG: Duration = Duration::from_secs(20);

/// Alice gets another invoice, pays it, and the trade begins.
async fn alice_pays_another(house: &House, order: OrderId, alice: &mut Trader, bob: &mut Trader) {
    let wanted = alice.hears(house, Action::PayInvoice).await;
    locks(house, &wanted, alice, bob).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Active { .. }), "{stage:?}");
}

/// How Lightning shows the only hold of an order.
async fn seen(house: &House, order: OrderId) -> Seen {
    let hash = house.view().holds_of(order).unwrap()[0].hash;
    let hold = house.sandbox.look(move |world| world.hold(hash)).await;
    hold.unwrap().unwrap().state
}

#[tokio::test(start_paused = true)]
async fn e12_an_invoice_that_ended_while_the_node_was_down_is_replaced() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob, _) = alice_owes_a_payment(&house).await;
    house.lose_power();
    secs(7_200).await;
    house.start().await.unwrap();
    alice_pays_another(&house, order, &mut alice, &mut bob).await;
    assert_eq!(house.view().holds_of(order).unwrap().len(), 2);
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

#[tokio::test(start_paused = true)]
async fn h5_c5_up_m6_a_payment_that_lands_while_a_cancel_waits_goes_back_and_is_told_once() {
    let house = House::open().await;
    let (order, mut alice, mut bob, wanted) = alice_owes_a_payment(&house).await;
    for _ in 0..2 {
        let fails = Fault::on(Op::CancelHold, FaultAction::FailBefore);
        house.sandbox.add_fault(fails);
    }
    bob.says(&house, Action::Cancel, Some(order), None).await;
    bob.hears(&house, Action::Canceled).await;
    alice.pays(&house, &wanted).await;
    assert!(matches!(seen(&house, order).await, Seen::Accepted(_)));
    alice.hears(&house, Action::NewOrder).await;
    alice
        .hears(&house, Action::HoldInvoicePaymentCanceled)
        .await;
    secs(300).await;
    assert_eq!(seen(&house, order).await, Seen::Canceled);
    let hold = house.view().holds_of(order).unwrap().remove(0);
    assert_eq!(hold.state, HoldState::Canceled);
    let late = hold.late_payment.unwrap();
    assert_eq!(late.paid.0, (SATS + house::FEE) * 1_000);
    assert_eq!(alice.mail(&house).len(), 5, "and nothing more");
}

#[tokio::test(start_paused = true)]
async fn h5_h1_a_payment_that_lands_while_the_node_is_down_goes_back_and_is_told_once() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob, wanted) = alice_owes_a_payment(&house).await;
    let fails = Fault::on(Op::CancelHold, FaultAction::FailBefore);
    house.sandbox.add_fault(fails);
    bob.says(&house, Action::Cancel, Some(order), None).await;
    bob.hears(&house, Action::Canceled).await;
    house.lose_power();
    alice.pays(&house, &wanted).await;
    house.start().await.unwrap();
    alice.hears(&house, Action::NewOrder).await;
    alice
        .hears(&house, Action::HoldInvoicePaymentCanceled)
        .await;
    secs(300).await;
    assert_eq!(seen(&house, order).await, Seen::Canceled);
    assert_eq!(alice.mail(&house).len(), 5, "and nothing more");
}

#[tokio::test(start_paused = true)]
async fn c5_a_look_up_that_hangs_does_not_keep_the_money() {
    let house = House::open().await;
    let (order, _, mut bob, _) = alice_owes_a_payment(&house).await;
    let hangs = Fault::on(Op::LookupHold, FaultAction::Hang);
    house.sandbox.add_fault(hangs);
    bob.says(&house, Action::Cancel, Some(order), None).await;
    bob.hears(&house, Action::Canceled).await;
    secs(7).await;
    assert_eq!(seen(&house, order).await, Seen::Canceled);
}

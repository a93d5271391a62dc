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

use std::sync::Arc;
use std::time::Duration;

use escrow_core::hold::HoldState;
use escrow_core::order::OrderId;
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, Message, OrderKind, Transport};
use escrow_engine::clock::Clock;
use escrow_lightning::Sandbox;
use escrow_lightning::backend::HoldState as Seen;
use escrow_lightning::sandbox::{Fault, FaultAction, Op, Setup};
use tokio::time::sleep;

use house::{House, SATS, Trader};

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

/// How Lightning shows the only hold of an order.
async fn seen(house: &House, order: OrderId) -> Seen {
    let hash = house.view().holds_of(order).unwrap()[0].hash;
    let hold = house.sandbox.look(move |world| world.hold(hash)).await;
    hold.unwrap().unwrap().state
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

/// Bob has sent the fiat.
async fn fiat_sent(house: &House) -> (OrderId, Trader, Trader) {
    let (order, mut alice, mut bob, wanted) = alice_owes_a_payment(house).await;
    alice.pays(house, &wanted).await;
    bob.hears(house, Action::HoldInvoicePaymentAccepted).await;
    alice.hears(house, Action::BuyerTookOrder).await;
    bob.says(house, Action::FiatSent, Some(order), None).await;
    bob.hears(house, Action::FiatSentOk).await;
    alice.hears(house, Action::FiatSentOk).await;
    (order, alice, bob)
}

/// The node comes back beside a Lightning that knows of no hold.
async fn starts_beside_a_forgetful_one(house: &mut House) {
    house.lose_power();
    let clock = house.clock.clone();
    let clock = Arc::new(move || clock.now());
    let forgetful = Sandbox::in_memory(&Setup::from_seed([3; 32]), clock);
    house.start_with(Arc::new(forgetful)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn x6_u32_an_escrow_that_lightning_has_forgotten_ends_the_trade_after_two_minutes() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob) = fiat_sent(&house).await;
    starts_beside_a_forgetful_one(&mut house).await;
    secs(115).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::FiatSent { .. }), "{stage:?}");
    alice
        .hears(&house, Action::HoldInvoicePaymentCanceled)
        .await;
    bob.hears(&house, Action::HoldInvoicePaymentCanceled).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Canceled { .. }), "{stage:?}");
}

#[tokio::test(start_paused = true)]
async fn r6_a_release_of_an_escrow_that_lightning_has_forgotten_is_answered() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob) = fiat_sent(&house).await;
    let fails = Fault::on(Op::SettleHold, FaultAction::FailBefore);
    house.sandbox.add_fault(fails);
    alice.says(&house, Action::Release, Some(order), None).await;
    starts_beside_a_forgetful_one(&mut house).await;
    secs(115).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Releasing { .. }), "{stage:?}");
    alice
        .hears(&house, Action::HoldInvoicePaymentCanceled)
        .await;
    bob.hears(&house, Action::HoldInvoicePaymentCanceled).await;
    let hold = house.view().holds_of(order).unwrap().remove(0);
    assert_eq!(hold.state, HoldState::Lost);
}

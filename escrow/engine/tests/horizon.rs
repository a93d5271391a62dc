//! Stories of an escrow that ends, be it by its height or because Lightning has
//! forgotten it.
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
use escrow_core::stage::{CancelReason, Stage};
use escrow_core::wire::Action;
use escrow_engine::clock::Clock;
use escrow_engine::submission::{OperatorWord, Receipt};
use escrow_lightning::Sandbox;
use escrow_lightning::sandbox::{Fault, FaultAction, Mine, Op, Setup, World};

use house::House;
use house::steps::{active, fiat_sent, lightning_is_away_for, operator_says, secs};

/// How many blocks the escrow of an order has left.
async fn blocks_left(house: &House, order: OrderId) -> u32 {
    let hold = house.view().holds_of(order).unwrap().remove(0);
    let HoldState::Accepted(acceptance) = hold.state else {
        panic!("{hold:?} locks nothing");
    };
    let height = house.sandbox.look(World::height).await.unwrap();
    acceptance.expiry_height - height
}

/// Blocks are found until so many are left to the escrow of an order.
async fn blocks_until(house: &House, order: OrderId, left: u32) {
    let blocks = blocks_left(house, order).await - left;
    house.sandbox.apply(Mine { blocks }).await.unwrap();
    // The node asks for the height this often.
    secs(16).await;
}

#[tokio::test(start_paused = true)]
async fn x2_x3_an_escrow_that_ends_before_the_fiat_goes_back_in_time() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = active(&house).await;
    blocks_until(&house, order, 61).await;
    assert_eq!(alice.mail(&house).len(), 4, "nothing is said too early");
    blocks_until(&house, order, 60).await;
    for trader in [&mut alice, &mut bob] {
        trader.hears(&house, Action::SendDm).await;
    }
    blocks_until(&house, order, 36).await;
    for trader in [&mut alice, &mut bob] {
        trader.hears(&house, Action::Canceled).await;
    }
    let stage = house.order(order).stage;
    let why = CancelReason::EscrowEnding;
    assert!(
        matches!(stage, Stage::Canceled { why: because, .. } if because == why),
        "{stage:?}"
    );
    assert_eq!(house.balance("alice").await.0, 1_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn x4_an_escrow_that_ends_after_the_fiat_becomes_a_dispute() {
    let house = House::open().await;
    let (order, ..) = fiat_sent(&house).await;
    blocks_until(&house, order, 37).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::FiatSent { .. }), "{stage:?}");
    blocks_until(&house, order, 36).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Dispute { .. }), "{stage:?}");
}

/// The node never takes custody: what nobody has ruled in time goes back.
#[tokio::test(start_paused = true)]
async fn x5_x6_a_dispute_that_nobody_rules_is_left_to_lightning_which_refunds() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = fiat_sent(&house).await;
    bob.says(&house, Action::Dispute, Some(order), None).await;
    bob.hears(&house, Action::DisputeInitiatedByYou).await;
    alice.hears(&house, Action::DisputeInitiatedByPeer).await;
    for left in [36, 30, 19] {
        blocks_until(&house, order, left).await;
        let stage = house.order(order).stage;
        assert!(matches!(stage, Stage::Dispute { .. }), "{left}: {stage:?}");
    }
    for trader in [&mut alice, &mut bob] {
        trader.hears(&house, Action::SendDm).await;
        assert_eq!(trader.mail(&house).last().unwrap().action, Action::SendDm);
    }
    house.sandbox.apply(Mine { blocks: 1 }).await.unwrap();
    for trader in [&mut alice, &mut bob] {
        trader
            .hears(&house, Action::HoldInvoicePaymentCanceled)
            .await;
    }
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Canceled { .. }), "{stage:?}");
    assert_eq!(house.balance("alice").await.0, 1_000_000_000);
    assert!(house.view().open_disputes().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn x1_the_end_of_an_escrow_comes_though_lightning_is_away() {
    let house = House::open().await;
    let (order, ..) = fiat_sent(&house).await;
    let half_a_day = Duration::from_secs(12 * 3_600);
    lightning_is_away_for(&house, half_a_day).await;
    let blocks = u64::from(blocks_left(&house, order).await - 36);
    // Lightning was last seen somewhat earlier than it went away.
    secs(blocks * 360 - 360).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::FiatSent { .. }), "{stage:?}");
    secs(420).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Dispute { .. }), "{stage:?}");
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
async fn r6_p14_a_release_of_an_escrow_that_lightning_has_forgotten_is_answered_and_its_debt_written_off()
 {
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
    let write_off = OperatorWord::WriteOff {
        order,
        reason: "paid to him by hand".into(),
    };
    assert_eq!(house.view().living_payouts().unwrap().len(), 1);
    let written_off = operator_says(&house, write_off.clone()).await;
    assert_eq!(written_off, Receipt::Decided);
    assert_eq!(house.view().living_payouts().unwrap(), []);
    let again = operator_says(&house, write_off).await;
    assert!(matches!(again, Receipt::Refused(_)), "{again:?}");
}

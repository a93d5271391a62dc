//! Stories of a whole escrow: what traders see when Lightning or the disk fail.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use std::time::Duration;

use escrow_core::party::TradeIndex;
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, CantDo, OrderKind, Payload};
use escrow_engine::Readiness;
use escrow_engine::clock::Clock;
use escrow_engine::submission::{Receipt, Refusal};
use escrow_lightning::backend::HoldState;
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use futures_util::future::join_all;
use storage::testing::Trouble;

use house::steps::{alice, bob, bob_is_paid_once, carol, fiat_sent, refused, secs};
use house::{House, SOURCE};

#[tokio::test(start_paused = true)]
async fn b6_lightning_hangs_and_the_taker_is_told_within_ten_seconds() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(&house, OrderKind::Buy).await;
    house
        .sandbox
        .add_fault(Fault::on(Op::CreateHold, FaultAction::Hang));
    let asked_at = house.clock.now();
    let receipt = bob.says(&house, Action::TakeBuy, Some(order), None).await;
    assert_eq!(receipt, Receipt::Decided);
    let refusal = bob.hears(&house, Action::CantDo).await;
    assert_eq!(refused(&refusal), CantDo::TooManyRequests);
    assert_eq!(refusal.request_id, Some(1));
    let waited = house.clock.now().secs_since(asked_at);
    assert!(waited <= 10, "{waited} s");
    assert_eq!(house.order(order).stage, Stage::Pending);
    assert_eq!(house.book_says(order), "pending");
    assert_eq!(
        house.view().user(bob.identity()).unwrap(),
        None,
        "index and person are unused"
    );

    // The hold opens after all, and is canceled.
    let hash = house.view().holds_of(order).unwrap()[0].hash;
    house.sandbox.let_go().await;
    let opened = house
        .sandbox
        .look(move |world| world.hold(hash))
        .await
        .unwrap();
    assert!(opened.is_some());
    secs(60).await;
    let closed = house
        .sandbox
        .look(move |world| world.hold(hash))
        .await
        .unwrap();
    assert_eq!(closed.unwrap().state, HoldState::Canceled);

    // The same index still works.
    bob.says(&house, Action::TakeBuy, Some(order), None).await;
    bob.hears(&house, Action::PayInvoice).await;
    let user = house.view().user(bob.identity()).unwrap().unwrap();
    assert_eq!(user.last_index, TradeIndex(1));
    assert_eq!(house.book_says(order), "in-progress");
}

#[tokio::test(start_paused = true)]
async fn g15_up_s18_a_commit_fails_and_the_same_message_is_taken_later() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    bob.offers(&house, OrderKind::Buy).await;
    let payload = Payload::Order(house::offer(OrderKind::Sell));
    let letter = alice.letter(&house, Action::NewOrder, None, Some(payload));
    let mut readiness = house.handle().readiness();
    house.disk.set_trouble(Trouble::Refuses);
    let receipt = house.handle().submit(SOURCE, letter.clone()).await;
    assert!(
        matches!(receipt, Receipt::Refused(Refusal::Error(_))),
        "{receipt:?}"
    );
    readiness
        .wait_for(|readiness| matches!(readiness, Readiness::NotReady(_)))
        .await
        .unwrap();
    house.disk.set_trouble(Trouble::None);
    readiness
        .wait_for(|readiness| *readiness == Readiness::Ready)
        .await
        .unwrap();
    assert_eq!(house.view().living_order_count().unwrap(), 1);
    assert_eq!(alice.mail(&house), [], "nobody hears what is not on disk");
    assert_eq!(
        house.handle().submit(SOURCE, letter.clone()).await,
        Receipt::Decided
    );
    assert_eq!(
        house.handle().submit(SOURCE, letter).await,
        Receipt::Duplicate
    );
    alice.hears(&house, Action::NewOrder).await;
    assert_eq!(house.view().living_order_count().unwrap(), 2);
    assert_eq!(alice.mail(&house).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn g15_a_commit_that_happened_although_it_failed_is_not_done_twice() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    bob.offers(&house, OrderKind::Buy).await;
    let payload = Payload::Order(house::offer(OrderKind::Sell));
    let letter = alice.letter(&house, Action::NewOrder, None, Some(payload));
    let mut readiness = house.handle().readiness();
    house.disk.set_trouble(Trouble::SyncsAndComplains);
    let receipt = house.handle().submit(SOURCE, letter.clone()).await;
    assert!(
        matches!(receipt, Receipt::Refused(Refusal::Error(_))),
        "{receipt:?}"
    );
    house.disk.set_trouble(Trouble::None);
    readiness
        .wait_for(|readiness| *readiness == Readiness::Ready)
        .await
        .unwrap();
    let receipt = house.handle().submit(SOURCE, letter).await;
    assert!(
        matches!(receipt, Receipt::Decided | Receipt::Duplicate),
        "{receipt:?}"
    );
    alice.hears(&house, Action::NewOrder).await;
    assert_eq!(house.view().living_order_count().unwrap(), 2);
    assert_eq!(alice.mail(&house).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn g15_a_disk_that_stays_broken_ends_the_escrow_and_leaves_nobody_waiting() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    bob.offers(&house, OrderKind::Buy).await;
    alice.offers(&house, OrderKind::Buy).await;
    house.disk.set_trouble(Trouble::Refuses);
    let first = alice.says(&house, Action::Cancel, None, None).await;
    assert!(
        matches!(first, Receipt::Refused(Refusal::Error(_))),
        "{first:?}"
    );
    // It waits while the ledger is opened again and again.
    let second = bob.says(&house, Action::Cancel, None, None).await;
    assert!(
        matches!(second, Receipt::Refused(Refusal::Error(_))),
        "{second:?}"
    );
    assert!(house.ends().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn r5_u18_lightning_restarts_while_the_escrow_is_being_released() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = fiat_sent(&house).await;
    let restart = FaultAction::restart(Duration::from_secs(30));
    house.sandbox.add_fault(Fault::on(Op::SettleHold, restart));
    house
        .sandbox
        .add_fault(Fault::on(Op::StartPayment, restart));
    alice.says(&house, Action::Release, Some(order), None).await;
    let settled = alice.hears(&house, Action::HoldInvoicePaymentSettled).await;
    assert_eq!(
        settled.request_id, None,
        "an answer that late has no id (B8)"
    );
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    assert_eq!(house.book_says(order), "success");
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn t12_up_s1_of_two_takers_in_one_batch_one_wins_and_one_is_told() {
    let house = House::open().await;
    let (mut alice, mut bob, mut carol) = (alice(), bob(), carol());
    let order = alice.offers(&house, OrderKind::Buy).await;
    let (first, second) = tokio::join!(
        bob.says(&house, Action::TakeBuy, Some(order), None),
        carol.says(&house, Action::TakeBuy, Some(order), None),
    );
    assert_eq!((first, second), (Receipt::Decided, Receipt::Decided));
    bob.hears(&house, Action::PayInvoice).await;
    let refusal = carol.hears(&house, Action::CantDo).await;
    assert_eq!(refused(&refusal), CantDo::InvalidOrderStatus);
    assert_eq!(house.view().holds_of(order).unwrap().len(), 1);
}

/// A message that was refused for the crowd is not on disk, and may be sent again as it is.
#[tokio::test(start_paused = true)]
async fn g15_who_was_told_to_wait_is_decided_later() {
    let house = House::open().await;
    let bob = bob();
    let letters: Vec<_> = (0..200)
        .map(|_| bob.letter(&house, Action::Cancel, None, None))
        .collect();
    let handle = house.handle();
    let submitting = letters
        .iter()
        .map(|letter| handle.submit(SOURCE, letter.clone()));
    let receipts = join_all(submitting).await;
    let told = receipts
        .iter()
        .position(|receipt| matches!(receipt, Receipt::Refused(Refusal::Busy(_))));
    let told = told.expect("one connection has not that many places");
    let again = handle.submit(SOURCE, letters[told].clone()).await;
    assert_eq!(again, Receipt::Decided);
}

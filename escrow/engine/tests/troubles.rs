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

use escrow_core::books::{Account, Breach};
use escrow_core::order::OrderId;
use escrow_core::party::TradeIndex;
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, CantDo, Message, OrderKind, Payload, Transport};
use escrow_engine::Readiness;
use escrow_engine::clock::Clock;
use escrow_engine::submission::{OperatorWord, Receipt, Refusal};
use escrow_lightning::backend::HoldState;
use escrow_lightning::sandbox::{
    Behave, Behaviour, FailPayments, Fault, FaultAction, LosePayments, Mine, Op,
};
use futures_util::future::join_all;
use storage::testing::Trouble;

use house::{House, SOURCE, Trader};

fn alice() -> Trader {
    Trader::new(1, "alice", Transport::Direct)
}

fn bob() -> Trader {
    Trader::new(2, "bob", Transport::GiftWrap)
}

fn carol() -> Trader {
    Trader::new(3, "carol", Transport::Direct)
}

fn reason(message: &Message) -> CantDo {
    match &message.payload {
        Some(Payload::CantDo(Some(reason))) => *reason,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Alice sells, Bob buys; ends when he has said that the fiat is sent.
async fn trade_until_fiat_sent(house: &House, alice: &mut Trader, bob: &mut Trader) -> OrderId {
    let order = alice.offers(house, OrderKind::Sell).await;
    let invoice = bob.invoice(house).await;
    bob.says(house, Action::TakeSell, Some(order), Some(invoice))
        .await;
    bob.hears(house, Action::WaitingSellerToPay).await;
    alice.hears(house, Action::PayInvoice).await;
    let wanted = alice.hears(house, Action::PayInvoice).await;
    alice.pays(house, &wanted).await;
    bob.hears(house, Action::HoldInvoicePaymentAccepted).await;
    alice.hears(house, Action::BuyerTookOrder).await;
    bob.says(house, Action::FiatSent, Some(order), None).await;
    bob.hears(house, Action::FiatSentOk).await;
    alice.hears(house, Action::FiatSentOk).await;
    order
}

async fn bob_is_paid_once(house: &House) {
    let paid = house::SATS - house::FEE;
    assert_eq!(house.balance("bob").await.0, (1_000_000 + paid) * 1_000);
    let spent = house::SATS + house::FEE;
    assert_eq!(house.balance("alice").await.0, (1_000_000 - spent) * 1_000);
}

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
    assert_eq!(reason(&refusal), CantDo::TooManyRequests);
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
    tokio::time::sleep(Duration::from_secs(60)).await;
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
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
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
    assert_eq!(reason(&refusal), CantDo::InvalidOrderStatus);
    assert_eq!(house.view().holds_of(order).unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p4_a_vote_does_not_stop_a_payout_that_waits_for_its_next_try() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    house
        .sandbox
        .apply(FailPayments { count: 1 })
        .await
        .unwrap();
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PaymentFailed).await;
    let stars = Payload::RatingUser(5);
    alice
        .says(&house, Action::RateUser, Some(order), Some(stars))
        .await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn p3_a_call_that_lands_late_does_not_pay_a_buyer_twice() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    house
        .sandbox
        .add_fault(Fault::on(Op::StartPayment, FaultAction::Hang));
    house
        .sandbox
        .apply(FailPayments { count: 1 })
        .await
        .unwrap();
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    // The first call hangs, the second fails; while the first may still land
    // no failure is told and no other invoice is taken.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let invoice = bob.invoice(&house).await;
    bob.says(&house, Action::AddInvoice, Some(order), Some(invoice))
        .await;
    let refusal = bob.hears(&house, Action::CantDo).await;
    assert_eq!(reason(&refusal), CantDo::NotAllowedByStatus);
    house.sandbox.let_go().await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn p12_a_success_is_found_although_the_watch_has_fallen_silent() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    let slow = Behave {
        wallet: "bob".into(),
        behaviour: Behaviour::Slow { secs: 20 },
    };
    house.sandbox.apply(slow).await.unwrap().unwrap();
    house
        .sandbox
        .add_fault(Fault::on(Op::WatchPayment, FaultAction::SilentStream));
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
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

/// His answer and the question could come in any order otherwise.
#[tokio::test(start_paused = true)]
async fn p10_a_buyer_is_not_asked_again_within_a_minute_of_a_request_of_his() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    house
        .sandbox
        .apply(FailPayments { count: 2 })
        .await
        .unwrap();
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PaymentFailed).await;
    bob.hears(&house, Action::AddInvoice).await;
    let asked_at = house.clock.now();

    tokio::time::sleep(Duration::from_secs(3_600 - 20)).await;
    bob.says(&house, Action::Cancel, Some(order), None).await;
    let answered_at = house.clock.now();
    bob.hears(&house, Action::CantDo).await;
    house.lose_power();
    house.start().await.unwrap();

    bob.hears(&house, Action::AddInvoice).await;
    let again_at = house.clock.now();
    assert!(again_at.secs_since(asked_at) >= 3_600, "{again_at:?}");
    let quiet_secs = again_at.secs_since(answered_at);
    assert!((60..90).contains(&quiet_secs), "{quiet_secs} s");

    // The answer to a question is in no commit, and counts all the same.
    tokio::time::sleep(Duration::from_secs(6 * 3_600 - 20)).await;
    bob.asks(&house, Action::LastTradeIndex, None).await;
    let answered_at = house.clock.now();
    bob.hears(&house, Action::LastTradeIndex).await;
    bob.hears(&house, Action::AddInvoice).await;
    let quiet_secs = house.clock.now().secs_since(answered_at);
    assert!((60..90).contains(&quiet_secs), "{quiet_secs} s");
}

#[tokio::test(start_paused = true)]
async fn p11_at_the_cap_a_payout_waits_uncounted_and_goes_on_when_another_has_ended() {
    let mut house = House::build().await;
    house.terms.max_inflight_payouts = 1;
    house.start().await.unwrap();
    let (mut alice, mut bob) = (alice(), bob());
    let mut carol = carol();
    let mut dave = Trader::new(4, "alice", Transport::Direct);
    let first = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    let second = trade_until_fiat_sent(&house, &mut dave, &mut carol).await;
    let hang = FaultAction::Hang;
    house.sandbox.add_fault(Fault::on(Op::StartPayment, hang));
    alice.says(&house, Action::Release, Some(first), None).await;
    bob.hears(&house, Action::Released).await;
    dave.says(&house, Action::Release, Some(second), None).await;
    carol.hears(&house, Action::Released).await;
    let waiting = house.view().payouts_of(second).unwrap().remove(0);
    assert!(
        matches!(waiting.state, PayoutState::Queued { .. }),
        "{waiting:?}"
    );

    let freed_at = house.clock.now();
    house.sandbox.let_go().await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    carol.hears(&house, Action::PurchaseCompleted).await;
    let waited_secs = house.clock.now().secs_since(freed_at);
    let before_its_own_timer = house.terms.payment_retry_secs;
    assert!(waited_secs < before_its_own_timer, "{waited_secs} s");
    let paid = house.view().payouts_of(second).unwrap().remove(0);
    assert_eq!((paid.state, paid.tries), (PayoutState::Paid, 0));
}

#[tokio::test(start_paused = true)]
async fn p13_a_lost_payment_is_given_up_after_its_time_lock_and_not_before() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    house
        .sandbox
        .apply(LosePayments { count: 1 })
        .await
        .unwrap();
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    let attempt = house.view().sent_attempts().unwrap().remove(0);
    let missing = attempt.missing.expect("nobody carries it");
    assert!(missing.told, "after ten minutes it is certain");
    let invoice = bob.invoice(&house).await;
    bob.says(&house, Action::AddInvoice, Some(order), Some(invoice))
        .await;
    let refusal = bob.hears(&house, Action::CantDo).await;
    assert_eq!(reason(&refusal), CantDo::NotAllowedByStatus);

    house.sandbox.apply(Mine { blocks: 60 }).await.unwrap();
    bob.hears(&house, Action::AddInvoice).await;
    let invoice = bob.invoice(&house).await;
    bob.says(&house, Action::AddInvoice, Some(order), Some(invoice))
        .await;
    bob.hears(&house, Action::InvoiceUpdated).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn p15_at_start_nothing_is_sent_before_every_payment_under_way_was_looked_up() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let mut carol = carol();
    let mut dave = Trader::new(4, "alice", Transport::Direct);
    let first = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    let second = trade_until_fiat_sent(&house, &mut dave, &mut carol).await;
    let hang = FaultAction::Hang;
    house.sandbox.add_fault(Fault::on(Op::StartPayment, hang));
    alice.says(&house, Action::Release, Some(first), None).await;
    bob.hears(&house, Action::Released).await;
    house.sandbox.add_fault(Fault::on(Op::SettleHold, hang));
    dave.says(&house, Action::Release, Some(second), None).await;
    house.lose_power();

    // The start looks in vain for what became of Bob's payment, and so does
    // its tender at first.
    for _ in 0..2 {
        house.sandbox.add_fault(Fault::on(Op::LookupPayment, hang));
    }
    house.start().await.unwrap();
    let started_at = house.clock.now();
    carol.hears(&house, Action::Released).await;
    carol.hears(&house, Action::PurchaseCompleted).await;
    let waited_secs = house.clock.now().secs_since(started_at);
    assert!(waited_secs >= 15, "{waited_secs} s");
    bob.hears(&house, Action::PurchaseCompleted).await;
}

/// The ledger is set back to before the release; Lightning is not. Without a
/// comparison the buyer's next invoice would be paid beside the first.
#[tokio::test(start_paused = true)]
async fn p14_x13_a_restored_ledger_pays_nobody_twice_and_the_operator_maps_the_payment() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    house
        .sandbox
        .apply(FailPayments { count: 2 })
        .await
        .unwrap();
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PaymentFailed).await;
    bob.hears(&house, Action::AddInvoice).await;
    let backup = house.disk.after_power_cut();
    let invoice = bob.invoice(&house).await;
    bob.says(&house, Action::AddInvoice, Some(order), Some(invoice))
        .await;
    bob.hears(&house, Action::InvoiceUpdated).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;

    house.lose_power();
    house.disk = backup;
    house.start().await.unwrap();
    let latch = house.view().latch().unwrap().expect("it is latched");
    let Breach::UnknownPayment(hash) = latch.breach else {
        panic!("{latch:?}");
    };
    let another = bob.invoice(&house).await;
    bob.says(&house, Action::AddInvoice, Some(order), Some(another))
        .await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    bob_is_paid_once(&house).await;

    let says = |word| {
        let handle = house.handle();
        async move { handle.operate(word).await.unwrap() }
    };
    let reason = "restored from last night".to_owned();
    let clear = OperatorWord::ClearLatch { reason };
    let too_early = says(clear.clone()).await;
    assert!(matches!(too_early, Receipt::Refused(_)), "{too_early:?}");
    let adopted = says(OperatorWord::Adopt { hash, order }).await;
    assert_eq!(adopted, Receipt::Decided);
    let paid = house.until(|| {
        let stage = house.order(order).stage;
        matches!(stage, Stage::Success { .. }).then_some(())
    });
    paid.await;
    assert_eq!(says(clear).await, Receipt::Decided);
    assert_eq!(house.view().latch().unwrap(), None);
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn f8_p12_up_m18_a_trade_is_booked_to_the_millisat_with_the_routing_it_really_cost() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    let view = house.view();
    let turnovers = view.turnovers().unwrap();
    let balance = |account| {
        let (_, turnover) = turnovers.iter().find(|(one, _)| *one == account).unwrap();
        i128::from(turnover.got.0) - i128::from(turnover.gave.0)
    };
    let routing = house.sandbox.look(|world| world.state().routing_fees).await;
    let routing = i128::from(routing.unwrap().0);
    assert!(routing > 0);
    assert_eq!(balance(Account::Sellers), -10_030_000);
    assert_eq!(balance(Account::Escrow), 0);
    assert_eq!(balance(Account::Buyers), 9_970_000);
    assert_eq!(balance(Account::Routers), routing);
    assert_eq!(balance(Account::House), 60_000 - routing);
    assert_eq!(view.latch().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn x13_a_latch_outlives_a_restart_stops_payments_and_refuses_takers_until_it_is_cleared() {
    let mut house = House::open().await;
    let (mut alice, mut bob, mut carol) = (alice(), bob(), carol());
    let order = trade_until_fiat_sent(&house, &mut alice, &mut bob).await;
    let dave = Trader::new(4, "alice", Transport::Direct);
    let other = carol.offers(&house, OrderKind::Buy).await;
    house.lose_power();
    // Somebody has paid the same amount by hand with the same Lightning node.
    let Payload::PaymentRequest(_, text, _) = carol.invoice(&house).await else {
        panic!("an invoice is a payment request");
    };
    house.pays_by_hand(&text).await;
    house.start().await.unwrap();
    house.lose_power();
    house.start().await.unwrap();
    let latch = house.view().latch().unwrap().expect("it is latched");
    let Breach::UnknownPayment(hash) = latch.breach else {
        panic!("{latch:?}");
    };

    dave.says(&house, Action::TakeBuy, Some(other), None).await;
    let mut dave = dave;
    let refusal = dave.hears(&house, Action::CantDo).await;
    assert_eq!(reason(&refusal), CantDo::MaintenanceMode);
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let waiting = house.view().payouts_of(order).unwrap().remove(0);
    assert!(
        matches!(waiting.state, PayoutState::Queued { .. }),
        "{waiting:?}"
    );

    let disown = OperatorWord::Disown { hash };
    let done = house.handle().operate(disown).await.unwrap();
    assert_eq!(done, Receipt::Decided);
    let silent = OperatorWord::ClearLatch { reason: " ".into() };
    let refused = house.handle().operate(silent).await.unwrap();
    assert!(matches!(refused, Receipt::Refused(_)), "{refused:?}");
    let reason = "my own payment".to_owned();
    let clear = OperatorWord::ClearLatch { reason };
    let done = house.handle().operate(clear).await.unwrap();
    assert_eq!(done, Receipt::Decided);
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

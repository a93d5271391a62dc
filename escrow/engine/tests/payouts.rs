//! Stories of payouts: however Lightning fails, a buyer is paid once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use escrow_core::books::{Account, Breach};
use escrow_core::order::OrderId;
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, CantDo, OrderKind, Payload, Transport};
use escrow_engine::clock::Clock;
use escrow_engine::submission::{OperatorWord, Receipt};
use escrow_lightning::sandbox::{
    Behave, Behaviour, FailPayments, Fault, FaultAction, LosePayments, Mine, Op,
};

use house::steps::{
    alice, bob, bob_is_paid_once, carol, fiat_sent, operator_says, refused, secs,
    trade_until_fiat_sent,
};
use house::{House, Trader};

/// The next payment is written down and never sent.
async fn a_payment_is_lost(house: &House) {
    let lose = LosePayments { count: 1 };
    house.sandbox.apply(lose).await.unwrap();
}

async fn bob_gives_an_invoice(house: &House, order: OrderId, bob: &Trader) {
    let invoice = bob.invoice(house).await;
    bob.says(house, Action::AddInvoice, Some(order), Some(invoice))
        .await;
}

async fn payments_fail(house: &House, count: u32) {
    house.sandbox.apply(FailPayments { count }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p7_up_m16_a_failure_while_lightning_had_trouble_is_not_the_buyers() {
    let house = House::open().await;
    let (order, alice, mut bob) = fiat_sent(&house).await;
    payments_fail(&house, 1).await;
    let lost = Fault::on(Op::StartPayment, FaultAction::FailAfter);
    house.sandbox.add_fault(lost);
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn p4_a_vote_does_not_stop_a_payout_that_waits_for_its_next_try() {
    let house = House::open().await;
    let (order, alice, mut bob) = fiat_sent(&house).await;
    payments_fail(&house, 1).await;
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
    let (order, alice, mut bob) = fiat_sent(&house).await;
    house
        .sandbox
        .add_fault(Fault::on(Op::StartPayment, FaultAction::Hang));
    payments_fail(&house, 1).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    // The first call hangs, the second fails; while the first may still land
    // no failure is told and no other invoice is taken.
    secs(60).await;
    bob_gives_an_invoice(&house, order, &bob).await;
    let refusal = bob.hears(&house, Action::CantDo).await;
    assert_eq!(refused(&refusal), CantDo::NotAllowedByStatus);
    house.sandbox.let_go().await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn p12_a_success_is_found_although_the_watch_has_fallen_silent() {
    let house = House::open().await;
    let (order, alice, mut bob) = fiat_sent(&house).await;
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

/// His answer and the question could come in any order otherwise.
#[tokio::test(start_paused = true)]
async fn p10_a_buyer_is_not_asked_again_within_a_minute_of_a_request_of_his() {
    let mut house = House::open().await;
    let (order, alice, mut bob) = fiat_sent(&house).await;
    payments_fail(&house, 2).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PaymentFailed).await;
    bob.hears(&house, Action::AddInvoice).await;
    let asked_at = house.clock.now();

    secs(3_600 - 20).await;
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
    secs(6 * 3_600 - 20).await;
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
    let (mut alice, mut bob, mut carol) = (alice(), bob(), carol());
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
    let (order, alice, mut bob) = fiat_sent(&house).await;
    a_payment_is_lost(&house).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    secs(900).await;
    let attempt = house.view().sent_attempts().unwrap().remove(0);
    let missing = attempt.missing.expect("nobody carries it");
    assert!(missing.told, "after ten minutes it is certain");
    bob_gives_an_invoice(&house, order, &bob).await;
    let refusal = bob.hears(&house, Action::CantDo).await;
    assert_eq!(refused(&refusal), CantDo::NotAllowedByStatus);

    house.sandbox.apply(Mine { blocks: 60 }).await.unwrap();
    bob.hears(&house, Action::AddInvoice).await;
    bob_gives_an_invoice(&house, order, &bob).await;
    bob.hears(&house, Action::InvoiceUpdated).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn p13_the_operator_gives_up_a_lost_payment_before_its_time_lock_ends() {
    let house = House::open().await;
    let (order, alice, mut bob) = fiat_sent(&house).await;
    a_payment_is_lost(&house).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    let hash = house.view().sent_attempts().unwrap()[0].hash;
    let give_up = |reason: &str| OperatorWord::GiveUp {
        hash,
        reason: reason.into(),
    };
    let sure = "I have closed that channel";
    let too_early = operator_says(&house, give_up(sure)).await;
    assert!(matches!(too_early, Receipt::Refused(_)), "{too_early:?}");
    secs(900).await;
    let silent = operator_says(&house, give_up(" ")).await;
    assert!(matches!(silent, Receipt::Refused(_)), "{silent:?}");
    assert_eq!(operator_says(&house, give_up(sure)).await, Receipt::Decided);
    let said_at = house.clock.now();
    bob.hears(&house, Action::AddInvoice).await;
    let waited_secs = house.clock.now().secs_since(said_at);
    assert!(waited_secs <= 60, "{waited_secs} s");
    bob_gives_an_invoice(&house, order, &bob).await;
    bob.hears(&house, Action::InvoiceUpdated).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
    let journal = house.view().journal_of(order).unwrap();
    let noted = journal.iter().any(|(_, entry)| {
        entry.command == "payout-give-up" && entry.outcome == format!("{hash}: {sure}")
    });
    assert!(noted, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn p15_at_start_nothing_is_sent_before_every_payment_under_way_was_looked_up() {
    let mut house = House::open().await;
    let (mut alice, mut bob, mut carol) = (alice(), bob(), carol());
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
    let (order, alice, mut bob) = fiat_sent(&house).await;
    payments_fail(&house, 2).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PaymentFailed).await;
    bob.hears(&house, Action::AddInvoice).await;
    let backup = house.disk.after_power_cut();
    bob_gives_an_invoice(&house, order, &bob).await;
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
    bob_gives_an_invoice(&house, order, &bob).await;
    secs(600).await;
    bob_is_paid_once(&house).await;

    let reason = "restored from last night".to_owned();
    let clear = OperatorWord::ClearLatch { reason };
    let too_early = operator_says(&house, clear.clone()).await;
    assert!(matches!(too_early, Receipt::Refused(_)), "{too_early:?}");
    let adopted = operator_says(&house, OperatorWord::Adopt { hash, order }).await;
    assert_eq!(adopted, Receipt::Decided);
    let paid = house.until(|| {
        let stage = house.order(order).stage;
        matches!(stage, Stage::Success { .. }).then_some(())
    });
    paid.await;
    assert_eq!(operator_says(&house, clear).await, Receipt::Decided);
    assert_eq!(house.view().latch().unwrap(), None);
    bob_is_paid_once(&house).await;
}

#[tokio::test(start_paused = true)]
async fn f8_p12_up_m18_a_trade_is_booked_to_the_millisat_with_the_routing_it_really_cost() {
    let house = House::open().await;
    let (order, alice, mut bob) = fiat_sent(&house).await;
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
    assert_eq!(refused(&refusal), CantDo::MaintenanceMode);
    alice.says(&house, Action::Release, Some(order), None).await;
    bob.hears(&house, Action::Released).await;
    secs(600).await;
    let waiting = house.view().payouts_of(order).unwrap().remove(0);
    assert!(
        matches!(waiting.state, PayoutState::Queued { .. }),
        "{waiting:?}"
    );

    let disown = OperatorWord::Disown { hash };
    let done = operator_says(&house, disown).await;
    assert_eq!(done, Receipt::Decided);
    let silent = OperatorWord::ClearLatch { reason: " ".into() };
    let refused = operator_says(&house, silent).await;
    assert!(matches!(refused, Receipt::Refused(_)), "{refused:?}");
    let reason = "my own payment".to_owned();
    let clear = OperatorWord::ClearLatch { reason };
    let done = operator_says(&house, clear).await;
    assert_eq!(done, Receipt::Decided);
    bob.hears(&house, Action::PurchaseCompleted).await;
    bob_is_paid_once(&house).await;
}

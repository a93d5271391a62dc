//! Stories of an escrow whose power, clock or Lightning was away, or whose
//! traders were: nobody pays for what was not his, and nothing hangs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use std::time::Duration;

use escrow_core::command::{Ask, Govern};
use escrow_core::order::OrderId;
use escrow_core::stage::Stage;
use escrow_core::timer::TimerKind;
use escrow_core::wire::{Action, CantDo, OrderKind, Payload, Transport};
use escrow_core::{Sats, UnixTime};
use escrow_engine::clock::Clock;
use escrow_engine::submission::{OperatorWord, Receipt};
use escrow_lightning::sandbox::{Fault, FaultAction, Op, WalletPays};
use storage::ledger::Ledger;

use house::steps::{
    alice, alice_owes_a_payment, bob, bob_owes_an_invoice, carol, fiat_sent, lightning_is_away_for,
    operator_says, secs, trade_until_taken,
};
use house::{House, Trader};

/// A waiting step, in seconds.
const STEP: u64 = 900;

/// Longer than the time between two heartbeats.
const A_BEAT: u64 = 31;

fn deadline(house: &House, order: OrderId) -> UnixTime {
    house.order(order).stage.deadline().unwrap()
}

#[tokio::test(start_paused = true)]
async fn e2_e8_up_s12_a_buyer_who_is_late_loses_the_order_and_it_is_on_offer_again() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = bob_owes_an_invoice(&house).await;
    assert_eq!(
        deadline(&house, order).secs_since(house.clock.now()),
        STEP,
        "the whole window"
    );
    secs(STEP - 5).await;
    assert_ne!(house.order(order).stage, Stage::Pending, "not before");
    alice.hears(&house, Action::NewOrder).await;
    bob.hears(&house, Action::Canceled).await;
    assert_eq!(house.order(order).stage, Stage::Pending);
    assert_eq!(house.book_says(order), "pending");
}

#[tokio::test(start_paused = true)]
async fn e11_up_r1_the_time_in_which_the_node_was_down_is_nobodys() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob) = bob_owes_an_invoice(&house).await;
    secs(100).await;
    let before = deadline(&house, order);
    house.lose_power();
    secs(7_200).await;
    house.start().await.unwrap();
    let moved_by = deadline(&house, order).secs_since(before);
    assert!((7_200..7_200 + A_BEAT).contains(&moved_by), "{moved_by}");
    alice.hears(&house, Action::NewOrder).await;
    bob.hears(&house, Action::Canceled).await;
    let late_by = house.clock.now().secs_since(before);
    assert!((7_200..7_200 + A_BEAT + 5).contains(&late_by), "{late_by}");
}

#[tokio::test(start_paused = true)]
async fn e11_after_a_downtime_everybody_has_five_minutes() {
    let mut house = House::open().await;
    let (order, ..) = bob_owes_an_invoice(&house).await;
    secs(STEP - 10).await;
    house.lose_power();
    house.start().await.unwrap();
    let left = deadline(&house, order).secs_since(house.clock.now());
    assert_eq!(left, 300);
}

/// Wherever the power goes in a start, deadlines move once.
#[tokio::test(start_paused = true)]
async fn e11_a_power_cut_in_the_start_does_not_move_deadlines_twice() {
    for syncs in 0..8 {
        let mut house = House::open().await;
        let (order, ..) = bob_owes_an_invoice(&house).await;
        let before = deadline(&house, order);
        house.lose_power();
        secs(3_600).await;
        house.disk.cut_power_after(syncs);
        // It may fail, or start and be cut off at once.
        let _cut_off = house.start().await;
        house.lose_power();
        house.start().await.unwrap();
        let moved_by = deadline(&house, order).secs_since(before);
        assert!(
            (3_600..3_600 + A_BEAT).contains(&moved_by),
            "{syncs}: {moved_by}"
        );
    }
}

/// What Lightning said when a long start began is not believed at its end.
#[tokio::test(start_paused = true)]
async fn t7_after_a_start_that_took_minutes_orders_are_accepted_at_once() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    alice.offers(&house, OrderKind::Sell).await;
    house.lose_power();
    house.recorder.takes = Duration::from_secs(180);
    let began = house.clock.now();
    house.start().await.unwrap();
    let took = house.clock.now().secs_since(began);
    assert!(took >= 180, "the outbox was empty: {took} s");
    bob.offers(&house, OrderKind::Sell).await;
}

#[tokio::test(start_paused = true)]
async fn e10_a_seller_is_not_late_while_lightning_cannot_say_so() {
    let house = House::open().await;
    let (order, mut alice, mut bob, _) = alice_owes_a_payment(&house).await;
    secs(STEP - 60).await;
    lightning_is_away_for(&house, Duration::from_secs(600)).await;
    secs(500).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::WaitingPayment { .. }), "{stage:?}");
    alice.hears(&house, Action::Canceled).await;
    bob.hears(&house, Action::Canceled).await;
    assert_eq!(house.book_says(order), "canceled");
}

#[tokio::test(start_paused = true)]
async fn e14_a_clock_that_jumps_ahead_costs_nobody_his_time() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = bob_owes_an_invoice(&house).await;
    secs(100).await;
    let before = deadline(&house, order);
    house.clock.is_set_by(3_600);
    secs(80).await;
    let stage = house.order(order).stage;
    assert_eq!(stage.deadline(), Some(before), "{stage:?}: timers stand");
    secs(60).await;
    assert_eq!(deadline(&house, order), before.plus(3_600));
    alice.hears(&house, Action::NewOrder).await;
    bob.hears(&house, Action::Canceled).await;
    let lasted = house.clock.now().secs_since(before);
    assert!((3_600..3_610).contains(&lasted), "{lasted}");
}

#[tokio::test(start_paused = true)]
async fn e14_a_clock_that_is_set_back_lets_traders_go_on() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = bob_owes_an_invoice(&house).await;
    house.clock.is_set_by(-600);
    secs(130).await;
    let invoice = bob.invoice(&house).await;
    bob.says(&house, Action::AddInvoice, Some(order), Some(invoice))
        .await;
    bob.hears(&house, Action::WaitingSellerToPay).await;
    alice.hears(&house, Action::PayInvoice).await;
}

/// No deadline waits until the clock is where it was.
#[tokio::test(start_paused = true)]
async fn e14_after_a_clock_was_set_back_by_a_day_deadlines_go_on() {
    let house = House::open().await;
    let (order, mut alice, mut bob) = bob_owes_an_invoice(&house).await;
    house.clock.is_set_by(-86_400);
    secs(1_200).await;
    alice.hears(&house, Action::NewOrder).await;
    bob.hears(&house, Action::Canceled).await;
    assert_eq!(house.order(order).stage, Stage::Pending);
}

#[tokio::test(start_paused = true)]
async fn s9_a_ledger_without_timers_gets_them_at_the_start() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob) = bob_owes_an_invoice(&house).await;
    house.lose_power();
    {
        let mut ledger = Ledger::with_backend(house.disk.clone()).unwrap();
        let mut page = ledger.page().unwrap();
        let kind = TimerKind::StepDeadline;
        let timer = page.timer_of(order, kind).unwrap().unwrap();
        page.remove_timer(timer).unwrap();
        page.commit().unwrap();
    }
    house.start().await.unwrap();
    alice.hears(&house, Action::NewOrder).await;
    bob.hears(&house, Action::Canceled).await;
}

#[tokio::test(start_paused = true)]
async fn x8_takes_wait_when_lightning_was_away_for_a_minute() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(&house, OrderKind::Buy).await;
    lightning_is_away_for(&house, Duration::from_secs(300)).await;
    secs(60).await;
    bob.says(&house, Action::TakeBuy, Some(order), None).await;
    let refusal = bob.hears(&house, Action::CantDo).await;
    let reason = Payload::CantDo(Some(CantDo::TooManyRequests));
    assert_eq!(refusal.payload, Some(reason));
    assert_eq!(house.view().holds_of(order).unwrap(), [], "none was tried");
    secs(300).await;
    bob.says(&house, Action::TakeBuy, Some(order), None).await;
    bob.hears(&house, Action::PayInvoice).await;
}

/// A trade that was under way is brought to its end, and a new one is made, as soon
/// as Lightning has come.
#[tokio::test(start_paused = true)]
async fn x8_up_a10_a_node_that_starts_without_lightning_works_once_it_is_back() {
    let mut house = House::open().await;
    let (order, mut alice, mut bob) = fiat_sent(&house).await;
    let mut carol = carol();
    let offered = carol.offers(&house, OrderKind::Buy).await;
    house.lose_power();
    let away = FaultAction::restart(Duration::from_secs(600));
    house.sandbox.add_fault(Fault::on(Op::Info, away));
    house.start().await.unwrap();
    let mut dave = Trader::new(4, "alice", Transport::GiftWrap);
    let take = Action::TakeBuy;
    dave.says(&house, take, Some(offered), None).await;
    let refusal = dave.hears(&house, Action::CantDo).await;
    let reason = Payload::CantDo(Some(CantDo::TooManyRequests));
    assert_eq!(refusal.payload, Some(reason), "at once, not after a minute");
    alice.says(&house, Action::Release, Some(order), None).await;
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::Releasing { .. }), "{stage:?}");

    secs(620).await;
    alice.hears(&house, Action::HoldInvoicePaymentSettled).await;
    bob.hears(&house, Action::Released).await;
    bob.hears(&house, Action::PurchaseCompleted).await;
    dave.says(&house, take, Some(offered), None).await;
    dave.hears(&house, Action::PayInvoice).await;
}

/// The fee and the limits of an order are those of its making; the next has the new
/// ones.
#[tokio::test(start_paused = true)]
async fn z3_f3_a_change_of_the_terms_touches_new_orders_and_steps_alone() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(&house, OrderKind::Sell).await;
    let mut dave = Trader::new(21, "alice", Transport::Direct);
    let mut erin = Trader::new(22, "carol", Transport::GiftWrap);
    let taken = trade_until_taken(&house, &mut dave, &mut erin).await;
    let before = deadline(&house, taken);
    house.lose_power();
    house.terms.fee = 0.1;
    house.terms.min_amount = Sats(house::SATS + 1);
    house.terms.step_secs = 1_800;
    house.terms.pending_per_identity = 1;
    house.start().await.unwrap();

    let kept = deadline(&house, taken).secs_since(before);
    assert!(kept < A_BEAT, "a step that runs keeps its window: {kept}");
    let invoice = bob.invoice(&house).await;
    bob.says(&house, Action::TakeSell, Some(order), Some(invoice))
        .await;
    bob.hears(&house, Action::WaitingSellerToPay).await;
    let stage = house.order(order).stage;
    let fee = stage.take().unwrap().amounts.fee;
    assert_eq!(fee, Sats(house::FEE), "as it was offered");
    let window = deadline(&house, order).secs_since(house.clock.now());
    assert_eq!(window, 1_800, "a new step has the new window");

    let mut carol = carol();
    let payload = Some(Payload::Order(house::offer(OrderKind::Sell)));
    carol.says(&house, Action::NewOrder, None, payload).await;
    let refusal = carol.hears(&house, Action::CantDo).await;
    let reason = Payload::CantDo(Some(CantDo::OutOfRangeSatsAmount));
    assert_eq!(
        refusal.payload,
        Some(reason),
        "a new order has the new limits"
    );
}

#[tokio::test(start_paused = true)]
async fn t7_what_cannot_be_paid_out_is_not_taken() {
    // Enough for one trade and what routing may cost, not for two.
    let house = House::with_outbound(Sats(house::SATS + 2_000)).await;
    let mut carol = carol();
    let mut dave = Trader::new(4, "alice", Transport::Direct);
    let second = dave.offers(&house, OrderKind::Buy).await;
    let (order, ..) = alice_owes_a_payment(&house).await;
    carol
        .says(&house, Action::TakeBuy, Some(second), None)
        .await;
    let refusal = carol.hears(&house, Action::CantDo).await;
    let reason = Payload::CantDo(Some(CantDo::TooManyRequests));
    assert_eq!(refusal.payload, Some(reason));

    // The first ends unpaid, and there is room again.
    secs(STEP + 60).await;
    assert_eq!(house.book_says(order), "canceled");
    carol
        .says(&house, Action::TakeBuy, Some(second), None)
        .await;
    carol.hears(&house, Action::PayInvoice).await;
}

/// The hold has opened and its time is up in the same second: who decides the
/// timer first loses the trade.
#[tokio::test(start_paused = true)]
async fn e13_at_start_what_lightning_did_is_decided_before_what_is_due() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(&house, OrderKind::Buy).await;
    let lost = Fault::on(Op::CreateHold, FaultAction::FailAfter);
    house.sandbox.add_fault(lost);
    let unseen = Fault::on(Op::LookupHold, FaultAction::Hang);
    house.sandbox.add_fault(unseen);
    bob.says(&house, Action::TakeBuy, Some(order), None).await;
    secs(1).await;
    let Stage::OpeningHold { until, .. } = house.order(order).stage else {
        panic!("the answer is lost");
    };
    house.lose_power();
    secs(until.secs_since(house.clock.now())).await;
    assert_eq!(house.clock.now(), until);
    house.start().await.unwrap();
    let stage = house.order(order).stage;
    assert!(matches!(stage, Stage::WaitingPayment { .. }), "{stage:?}");
    bob.hears(&house, Action::PayInvoice).await;
}

/// While Lightning is away nobody cancels the invoice, so that only its own end
/// is left.
#[tokio::test(start_paused = true)]
async fn b2_up_m9_an_invoice_cannot_be_paid_after_its_step() {
    for (late_secs, can_be_paid) in [(0, true), (31, false)] {
        let house = House::open().await;
        let (order, alice, _, wanted) = alice_owes_a_payment(&house).await;
        let Some(Payload::PaymentRequest(_, bolt11, _)) = &wanted.payload else {
            panic!("{wanted:?} asks for no payment");
        };
        let ends = deadline(&house, order);
        secs(STEP - 60).await;
        lightning_is_away_for(&house, Duration::from_secs(600)).await;
        secs(ends.secs_since(house.clock.now()) + late_secs).await;
        let stage = house.order(order).stage;
        assert!(matches!(stage, Stage::WaitingPayment { .. }), "{stage:?}");
        let payment = WalletPays::exactly(alice.wallet, bolt11);
        let paid = house.sandbox.apply(payment).await.unwrap();
        assert_eq!(paid.is_ok(), can_be_paid, "{late_secs} s: {paid:?}");
    }
}

/// Registers a judge, who takes the dispute that Alice opens.
async fn judged(house: &House, order: OrderId, alice: &mut Trader, bob: &mut Trader) -> Trader {
    let mut judge = Trader::new(7, "carol", Transport::Direct).under_his_identity();
    let text = Some(judge.keys.public_key().to_hex());
    let ask = Box::new(Ask::Govern(Govern::AddSolver { text }));
    let word = OperatorWord::Asks { ask, order: None };
    assert_eq!(operator_says(house, word).await, Receipt::Ruled(Ok(())));
    alice.says(house, Action::Dispute, Some(order), None).await;
    let opened = alice.hears(house, Action::DisputeInitiatedByYou).await;
    bob.hears(house, Action::DisputeInitiatedByPeer).await;
    let Some(Payload::Dispute(dispute, None)) = opened.payload else {
        panic!("no dispute");
    };
    let take = Action::AdminTakeDispute;
    judge.says(house, take, Some(OrderId(dispute)), None).await;
    for reader in [alice, bob, &mut judge] {
        reader.hears(house, Action::AdminTookDispute).await;
    }
    judge
}

/// Who gives the sats back, or lets them go, hears of it when it is done.
#[tokio::test(start_paused = true)]
async fn b8_u18_what_lightning_cannot_do_at_once_is_done_and_answered_later() {
    let half_a_minute = FaultAction::restart(Duration::from_secs(30));
    for (ruling, hangs, done) in [
        (
            Action::Cancel,
            Op::CancelHold,
            Action::CooperativeCancelAccepted,
        ),
        (Action::AdminCancel, Op::CancelHold, Action::AdminCanceled),
        (Action::AdminSettle, Op::SettleHold, Action::AdminSettled),
    ] {
        let house = House::open().await;
        let (order, mut alice, mut bob) = fiat_sent(&house).await;
        let mut decider = if ruling == Action::Cancel {
            bob.says(&house, ruling, Some(order), None).await;
            let you = Action::CooperativeCancelInitiatedByYou;
            bob.hears(&house, you).await;
            let peer = Action::CooperativeCancelInitiatedByPeer;
            alice.hears(&house, peer).await;
            alice
        } else {
            judged(&house, order, &mut alice, &mut bob).await
        };
        house.sandbox.add_fault(Fault::on(hangs, half_a_minute));
        let asked_at = house.clock.now();
        decider.says(&house, ruling, Some(order), None).await;
        let answer = decider.hears(&house, done).await;
        assert_eq!(answer.request_id, None, "{ruling:?}: too late for an echo");
        assert!(house.clock.now().secs_since(asked_at) >= 30, "{ruling:?}");
        bob.hears(&house, done).await;
    }
}

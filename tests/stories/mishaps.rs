//! What goes wrong between the node and Lightning, and what traders see of it.

use std::time::Duration;

use escrow_core::amount::{Msat, Sats};
use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, Transport};
use escrow_lightning::sandbox::{FailPayments, Fault, FaultAction, Op, WalletPays};
use mostro_relay::books::{self, BooksStatus};
use mostro_relay::operator_door;
use mostro_relay::payouts::{self, UnpaidPayout};
use mostro_relay::trader::Heard;

use crate::person::Person;
use crate::town::Town;

const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

/// Alice sells, Bob has given his invoice; the request to pay is with Alice.
async fn a_request_to_pay(alice: &mut Person, bob: &mut Person) -> Heard {
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes_with_invoice(order, BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    alice
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await
}

async fn both_hear_of_the_payment(alice: &mut Person, bob: &mut Person) {
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
}

/// Bob has said that the fiat is sent.
pub(crate) async fn a_trade_before_its_release(alice: &mut Person, bob: &mut Person) {
    let request = a_request_to_pay(alice, bob).await;
    alice.pays(&request).await;
    both_hear_of_the_payment(alice, bob).await;
    bob_sends_the_fiat(alice, bob).await;
}

async fn bob_sends_the_fiat(alice: &mut Person, bob: &mut Person) {
    let peer = format!("fiat-sent-ok{{peer {}}} E", alice.key());
    bob.says(Action::FiatSent, &peer).await;
    alice
        .hears(&format!("fiat-sent-ok{{peer {}}}", bob.key()))
        .await;
}

async fn the_balances_are_right(alice: &mut Person, bob: &mut Person) {
    assert_eq!(alice.gained_msat().await, -10_030_000);
    assert_eq!(bob.gained_msat().await, 9_970_000);
    alice.hears_no_more().await;
    bob.hears_no_more().await;
}

fn lost_answer(op: Op) -> Fault {
    Fault::on(op, FaultAction::FailAfter)
}

/// The answers of Lightning get lost; the money moves once (up-M1, up-M7).
#[tokio::test]
async fn up_m1_lost_answers_of_lightning_move_no_sat_twice() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    for op in [Op::CreateHold, Op::SettleHold, Op::StartPayment] {
        town.sandbox().add_fault(lost_answer(op));
    }
    a_trade_before_its_release(&mut alice, &mut bob).await;
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    alice.hears("rate").await;
    for push in ["released", "purchase-completed", "rate"] {
        bob.hears(push).await;
    }
    the_balances_are_right(&mut alice, &mut bob).await;
}

/// The node is stopped while Lightning thinks about a hold invoice.
#[tokio::test]
async fn b1_a_restart_while_the_hold_is_being_opened() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let order = alice.offers(OrderKind::Buy, SATS).await;
    town.sandbox()
        .add_fault(Fault::on(Op::CreateHold, FaultAction::Hang));
    let mut take = bob.message(Action::TakeBuy, None);
    take.id = Some(order);
    let event = bob.trader.wrap_json(&bob.trade, &take.to_json()).unwrap();
    assert!(bob.publishes(&event).await.taken);
    bob.trade.order = Some(order);
    town.restarts(&mut [&mut alice, &mut bob]).await;
    let request = bob
        .hears_an_answer("pay-invoice{payment_request pay 10030 expires} E idx")
        .await;
    alice.hears("waiting-seller-to-pay idx").await;
    bob.pays(&request).await;
    bob.hears("waiting-buyer-invoice").await;
}

/// Guarantee up-M5: the release is decided, the hold not yet settled.
#[tokio::test]
async fn up_m5_a_restart_between_release_and_settle() {
    a_restart_after_release(Op::SettleHold).await;
}

/// Guarantee up-M3: the hold is settled, the buyer not yet paid.
#[tokio::test]
async fn up_m3_a_restart_between_settle_and_payout() {
    a_restart_after_release(Op::StartPayment).await;
}

async fn a_restart_after_release(hangs: Op) {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    a_trade_before_its_release(&mut alice, &mut bob).await;
    town.sandbox()
        .add_fault(Fault::on(hangs, FaultAction::Hang));
    let release = alice.message(Action::Release, None);
    let event = alice.trader.wrap_json(&alice.trade, &release.to_json());
    assert!(alice.publishes(&event.unwrap()).await.taken);
    if hangs == Op::StartPayment {
        bob.hears("released").await;
    }
    town.restarts(&mut [&mut alice, &mut bob]).await;
    let told = alice.finds_in_the_mail(2).await;
    assert_eq!(told[1], "rate");
    assert!(
        told[0].starts_with("hold-invoice-payment-settled"),
        "{told:?}"
    );
    let pushes = ["released", "purchase-completed", "rate"];
    let unread = usize::from(hangs == Op::StartPayment);
    assert_eq!(bob.finds_in_the_mail(3 - unread).await, pushes[unread..]);
    the_balances_are_right(&mut alice, &mut bob).await;
}

/// Rules P5, P6a: a failed payment is told and tried again.
#[tokio::test]
async fn p5_a_payout_that_fails_once_is_tried_again() {
    let mut town = Town::with(|settings| {
        settings.lightning.payment_retries_interval = Duration::from_secs(1);
    })
    .await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    a_trade_before_its_release(&mut alice, &mut bob).await;
    town.sandbox()
        .apply(FailPayments { count: 1 })
        .await
        .unwrap();
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    alice.hears("rate").await;
    for push in [
        "released",
        "payment-failed{2 left, 1 s}",
        "purchase-completed",
        "rate",
    ] {
        bob.hears(push).await;
    }
    the_balances_are_right(&mut alice, &mut bob).await;
}

/// Rules P5, P8, P10: when no try is left the buyer is asked for another
/// invoice, the operator sees him wait, and the new invoice is paid at once.
#[tokio::test]
async fn p5_p8_p10_a_buyer_whose_invoice_cannot_be_paid_gives_another() {
    let mut town = Town::with(|settings| {
        settings.lightning.payment_retries_interval = Duration::from_secs(1);
        settings.lightning.payment_attempts = 2;
    })
    .await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    a_trade_before_its_release(&mut alice, &mut bob).await;
    let failing = FailPayments { count: 2 };
    town.sandbox().apply(failing).await.unwrap();
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    alice.hears("rate").await;
    bob.hears("released").await;
    bob.hears("payment-failed{1 left, 1 s}").await;
    bob.hears("add-invoice{settled 9970 invoice expires}").await;

    let list: Option<Vec<UnpaidPayout>> = operator_door::ask(town.data_dir(), payouts::PATH)
        .await
        .unwrap();
    let waiting = list.unwrap().remove(0);
    assert_eq!(waiting.order.0, bob.order());
    assert_eq!(waiting.amount_sats, Sats(BUYERS));
    assert_eq!(
        (
            waiting.state.as_str(),
            waiting.tries,
            waiting.reason.as_deref()
        ),
        ("need-invoice", 2, Some("NoRoute"))
    );

    bob.adds_invoice(BUYERS, "invoice-updated E").await;
    for push in ["purchase-completed", "rate"] {
        bob.hears(push).await;
    }
    the_balances_are_right(&mut alice, &mut bob).await;
    let list: Option<Vec<UnpaidPayout>> = operator_door::ask(town.data_dir(), payouts::PATH)
        .await
        .unwrap();
    assert_eq!(list, Some(Vec::new()));
}

/// Rule H6: who pays too much has traded what was agreed, and the operator
/// reads what is his.
#[tokio::test]
async fn h6_an_overpaid_hold_trades_the_agreed_amount() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    let request = a_request_to_pay(&mut alice, &mut bob).await;
    let Some(Payload::PaymentRequest(_, bolt11, _)) = &request.message.payload else {
        panic!("no payment request");
    };
    let generous = WalletPays {
        total: Sats(10_040).to_msat(),
        ..WalletPays::exactly("alice", bolt11)
    };
    town.sandbox().apply(generous).await.unwrap().unwrap();
    both_hear_of_the_payment(&mut alice, &mut bob).await;
    assert_eq!(alice.gained_msat().await, -10_040_000);
    bob_sends_the_fiat(&mut alice, &mut bob).await;
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    for push in ["released", "purchase-completed", "rate"] {
        bob.hears(push).await;
    }
    assert_eq!(bob.gained_msat().await, 9_970_000);
    let status: Option<BooksStatus> = operator_door::ask(town.data_dir(), books::PATH)
        .await
        .unwrap();
    let overpaid = status.unwrap().overpaid.remove(0);
    assert_eq!(overpaid.order.0, bob.order());
    assert_eq!(overpaid.surplus_msat, Msat(10_000));
}

/// A seller pays while the node is down; it finds out when it is back (up-M10).
#[tokio::test]
async fn up_m10_a_payment_made_while_the_node_was_down_is_found() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    let request = a_request_to_pay(&mut alice, &mut bob).await;
    town.closes(&mut [&mut alice, &mut bob]).await;
    // The wallet belongs to the sandbox, which outlives the node here.
    alice.pays(&request).await;
    town.opens().await;
    for person in [&mut alice, &mut bob] {
        person.comes_back(&town).await;
    }
    both_hear_of_the_payment(&mut alice, &mut bob).await;
    alice.sees(BookStatus::InProgress).await;
}

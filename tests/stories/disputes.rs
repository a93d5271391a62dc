//! Disputes over real sockets: who may take them, who may rule, and rulings
//! that a restart does not undo (rules D1–D6, A1–A13).

use escrow_core::wire::{Action, BondResolution, BookStatus, OrderKind, Payload, Transport};
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use mostro_relay::trader::Ask;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use uuid::Uuid;

use crate::mishaps::a_trade_before_its_release;
use crate::person::Person;
use crate::ranges::{buys, offers_a_range};
use crate::refusals::NOWHERE;
use crate::town::Town;

/// Alice sells; Bob says that the fiat is sent and opens a dispute.
pub(crate) async fn disputed(alice: &mut Person, bob: &mut Person) -> Uuid {
    a_trade_before_its_release(alice, bob).await;
    let opened = bob
        .says(Action::Dispute, "dispute-initiated-by-you{dispute} E")
        .await;
    alice.hears("dispute-initiated-by-peer{dispute}").await;
    opened.dispute().unwrap()
}

async fn operator(town: &mut Town, transport: Transport) -> Person {
    let keys = (town.keys.clone(), Uuid::nil());
    town.official("operator", keys, transport).await
}

/// Registers a solver in the operator's name, who writes with the node's key.
async fn registers(town: &mut Town, solver: &Keys, permission: &str) {
    let mut operator = operator(town, Transport::Direct).await;
    let npub = solver.public_key().to_bech32().unwrap();
    let ask = Ask::add_solver(&format!("{npub}{permission}"));
    operator.asks(ask, "admin-add-solver E").await;
}

async fn a_judge(
    town: &mut Town,
    name: &str,
    transport: Transport,
    permission: &str,
    order: Uuid,
) -> Person {
    let keys = Keys::generate();
    registers(town, &keys, permission).await;
    town.official(name, (keys, order), transport).await
}

fn take(dispute: Uuid) -> Ask {
    Ask::about(Action::AdminTakeDispute, Some(dispute))
}

pub(crate) const TOOK: &str = "admin-took-dispute{info} E";

pub(crate) fn taken_by(judge: &Person) -> String {
    format!("admin-took-dispute{{peer {}}}", judge.key())
}

pub(crate) async fn both_hear(alice: &mut Person, bob: &mut Person, told: &str) {
    alice.hears(told).await;
    bob.hears(told).await;
}

/// The ruling is decided; Lightning hangs, and the node is stopped and started
/// again before anything is done about it.
async fn a_ruling_outlives_a_restart(ruling: Action, hangs: Op) {
    for judges in [Transport::Direct, Transport::GiftWrap] {
        outlives_a_restart(ruling, hangs, judges).await;
    }
}

async fn outlives_a_restart(ruling: Action, hangs: Op, judges: Transport) {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    let dispute = disputed(&mut alice, &mut bob).await;
    let order = alice.order();
    let mut judge = a_judge(&mut town, "judge", judges, "", order).await;
    judge.asks(take(dispute), TOOK).await;
    both_hear(&mut alice, &mut bob, &taken_by(&judge)).await;

    town.sandbox()
        .add_fault(Fault::on(hangs, FaultAction::Hang));
    let message = judge.message(ruling, None);
    let event = judge.trader.wrap_json(&judge.trade, &message.to_json());
    assert!(judge.publishes(&event.unwrap()).await.taken);
    let is_told = hangs == Op::StartPayment;
    if is_told {
        judge.hears_an_answer("admin-settled E idx").await;
        both_hear(&mut alice, &mut bob, "admin-settled").await;
    }
    town.restarts(&mut [&mut alice, &mut bob, &mut judge]).await;
    let (word, bobs): (_, &[&str]) = match ruling {
        Action::AdminSettle => (
            "admin-settled",
            &["admin-settled", "purchase-completed", "rate"],
        ),
        _ => ("admin-canceled", &["admin-canceled"]),
    };
    let read = usize::from(is_told);
    if !is_told {
        let told = judge.finds_in_the_mail(1).await;
        assert!(told[0].starts_with(word), "{told:?}");
        assert_eq!(alice.finds_in_the_mail(1).await, [word]);
    }
    let found = bob.finds_in_the_mail(bobs.len() - read).await;
    assert_eq!(found, bobs[read..]);
    let (alices, bobs, shown) = match ruling {
        Action::AdminSettle => (-10_030_000, 9_970_000, BookStatus::Success),
        _ => (0, 0, BookStatus::Canceled),
    };
    assert_eq!(alice.gained_msat().await, alices);
    assert_eq!(bob.gained_msat().await, bobs);
    bob.trader.watch_book().await.unwrap();
    bob.sees(shown).await;
    let end = match ruling {
        Action::AdminSettle => "settled",
        _ => "seller-refunded",
    };
    bob.trader.watch_notices().await.unwrap();
    let name = dispute.to_string();
    let says = [("s", end), ("initiator", "buyer")];
    bob.trader.reads_notice(&name, &says).await.unwrap();
}

#[tokio::test]
async fn a10_a_restart_between_a_settle_and_lightning() {
    a_ruling_outlives_a_restart(Action::AdminSettle, Op::SettleHold).await;
}

#[tokio::test]
async fn a10_p1_a_restart_between_a_settle_and_the_payout() {
    a_ruling_outlives_a_restart(Action::AdminSettle, Op::StartPayment).await;
}

#[tokio::test]
async fn a11_a_restart_between_a_cancel_and_the_refund() {
    a_ruling_outlives_a_restart(Action::AdminCancel, Op::CancelHold).await;
}

/// Rule L1: the trade is told as a dispute, with the solver to write to.
async fn restored_in_dispute(party: &mut Person, dispute: Uuid, solver: &str) {
    let ask = Ask::about(Action::RestoreSession, None);
    let heard = party.asks_anything(ask).await;
    let Some(Payload::RestoreData(found)) = &heard.message.payload else {
        panic!("nothing is restored: {}", heard.json);
    };
    assert!(found.orders.is_empty(), "{}", heard.json);
    assert_eq!(found.disputes[0].dispute_id, dispute);
    let told = found.disputes[0].solver_pubkey.as_deref();
    assert_eq!(told, Some(solver));
}

/// From a reader to a writer to the operator, who rules; at each step nobody
/// else can.
#[tokio::test]
async fn a1_to_a9_a_dispute_goes_from_hand_to_hand() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let dispute = disputed(&mut alice, &mut bob).await;
    let order = alice.order();
    let rule = |action| Ask::about(action, Some(order));
    let (settle, cancel) = (Action::AdminSettle, Action::AdminCancel);
    let (gift, direct) = (Transport::GiftWrap, Transport::Direct);
    let mut reader = a_judge(&mut town, "reader", gift, ":read", order).await;
    let mut writer = a_judge(&mut town, "writer", direct, ":read-write", order).await;
    let mut stranger = town.hidden("stranger", direct).await;
    let nothing = Ask::about(Action::AdminTakeDispute, None);
    let (nowhere, his) = (Some(Uuid::from_u128(7)), "is_not_your_dispute");
    writer
        .is_refused([
            ("A2 unknown", take(Uuid::from_u128(7)), "not_found"),
            ("A2 no id", nothing, "not_found"),
            ("A3 unknown", Ask::about(settle, nowhere), "not_found"),
            ("A3 unknown", Ask::about(cancel, NOWHERE), "not_found"),
            ("A5 not taken", rule(settle), his),
            ("A5 not taken", rule(cancel), his),
        ])
        .await;
    stranger
        .is_refused([
            ("A1", take(dispute), "invalid_pubkey"),
            ("A5", rule(settle), his),
            ("A13", Ask::add_solver(&stranger.key()), "not_authorized"),
        ])
        .await;

    reader.asks(take(dispute), TOOK).await;
    both_hear(&mut alice, &mut bob, &taken_by(&reader)).await;
    let reads = "not_authorized";
    reader
        .is_refused([("A6", rule(settle), reads), ("A6", rule(cancel), reads)])
        .await;
    reader.asks(take(dispute), TOOK).await;
    writer.asks(take(dispute), TOOK).await;
    both_hear(&mut alice, &mut bob, &taken_by(&writer)).await;
    reader.hears(&taken_by(&writer)).await;
    restored_in_dispute(&mut alice, dispute, &writer.key()).await;
    let again = Ask::about(Action::Dispute, Some(order));
    bob.is_refused([("D1 one is open", again, "not_allowed_by_status")])
        .await;
    reader
        .is_refused([
            ("A1 lost", take(dispute), "invalid_pubkey"),
            ("A5 lost", rule(settle), his),
        ])
        .await;

    let mut operator = operator(&mut town, gift).await;
    operator
        .is_refused([("A10 no override", rule(settle), his)])
        .await;
    operator.asks(take(dispute), TOOK).await;
    both_hear(&mut alice, &mut bob, &taken_by(&operator)).await;
    writer.hears(&taken_by(&operator)).await;
    writer
        .is_refused([("A5", rule(cancel), "dispute_taken_by_admin")])
        .await;
    let slash = Payload::BondResolution(BondResolution {
        slash_seller: true,
        slash_buyer: false,
    });
    operator
        .is_refused([("A9", rule(cancel).with(slash), "invalid_payload")])
        .await;
    operator.asks(rule(cancel), "admin-canceled E").await;
    both_hear(&mut alice, &mut bob, "admin-canceled").await;
    operator
        .is_refused([
            ("A8 twice", rule(cancel), "not_allowed_by_status"),
            ("A8 twice", rule(settle), "invalid_order_status"),
            ("A1 closed", take(dispute), "invalid_pubkey"),
        ])
        .await;
    assert_eq!(alice.gained_msat().await, 0);
    for person in [&mut alice, &mut bob, &mut reader, &mut writer] {
        person.hears_no_more().await;
    }
}

/// The buyer has named a key for the rest before the dispute, so a ruling for
/// him does not end his range.
#[tokio::test]
async fn n3_up_s9_a_settled_range_goes_on() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    let order = offers_a_range(&mut alice, OrderKind::Buy).await;
    let next = alice.trader.new_trade().await.unwrap();
    let sent = Ask::about(Action::FiatSent, Some(order)).naming(Some(&next));
    buys(&mut alice, &mut bob, 20, sent).await;
    let opened = bob
        .says(Action::Dispute, "dispute-initiated-by-you{dispute} E")
        .await;
    alice.hears("dispute-initiated-by-peer{dispute}").await;
    let mut judge = a_judge(&mut town, "judge", Transport::Direct, "", order).await;
    judge.asks(take(opened.dispute().unwrap()), TOOK).await;
    both_hear(&mut alice, &mut bob, &taken_by(&judge)).await;
    let settle = Ask::about(Action::AdminSettle, Some(order));
    judge.asks(settle, "admin-settled E").await;
    bob.hears("admin-settled").await;
    for news in ["admin-settled", "purchase-completed", "rate"] {
        alice.hears(news).await;
    }
    alice.turns_to(next);
    alice.inherits("new-order{ack 0 expires} idx").await;
    assert_ne!(alice.order(), order);
}

/// The solver hears how the parties have ended it without him.
#[tokio::test]
async fn d6_up_a6_the_parties_agree_in_the_end() {
    let mut town = Town::new().await;
    for agree in [true, false] {
        let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
        let dispute = disputed(&mut alice, &mut bob).await;
        let order = alice.order();
        let mut judge = a_judge(&mut town, "judge", Transport::Direct, "", order).await;
        judge.asks(take(dispute), TOOK).await;
        both_hear(&mut alice, &mut bob, &taken_by(&judge)).await;
        if agree {
            alice
                .says(Action::Release, "hold-invoice-payment-settled E")
                .await;
            bob.hears("released").await;
            bob.hears("purchase-completed").await;
            judge.hears("released{dispute}").await;
        } else {
            bob.says(Action::Cancel, "cooperative-cancel-initiated-by-you E")
                .await;
            alice.hears("cooperative-cancel-initiated-by-peer").await;
            alice
                .says(Action::Cancel, "cooperative-cancel-accepted E")
                .await;
            bob.hears("cooperative-cancel-accepted").await;
            judge.hears("cooperative-cancel-accepted{dispute}").await;
            let rule = Ask::about(Action::AdminCancel, Some(order));
            judge.asks(rule, "cooperative-cancel-accepted E").await;
        }
    }
}

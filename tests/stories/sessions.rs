//! What a client asks to find its way back, and how an offer moves to another
//! key (rules L1–L7).

use std::sync::Arc;

use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, RestoreData, Status, Transport};
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use mostro_relay::trader::{Ask, HouseEnvelope, Persona, Trade};
use uuid::Uuid;

use crate::person::Person;
use crate::refusals::NOWHERE;
use crate::town::Town;

/// Whoever reads with upstream's older library loses the words that it does
/// not know, so these read with the house's.
fn who(town: &mut Town, name: &str, transport: Transport) -> Persona {
    Persona {
        envelope: Arc::new(HouseEnvelope),
        ..town.persona(name, transport)
    }
}

async fn restored(person: &mut Person) -> RestoreData {
    let ask = Ask::about(Action::RestoreSession, None);
    let heard = person.asks_anything(ask).await;
    let message = &heard.message;
    assert_eq!((message.id, message.request_id), (None, None));
    match heard.message.payload {
        Some(Payload::RestoreData(data)) => data,
        other => panic!("nothing is restored: {other:?}"),
    }
}

/// The only order that is restored: which, at which index, how it stands, and
/// with whom.
async fn must_find(person: &mut Person, status: Status, peer: &str) -> Uuid {
    let data = restored(person).await;
    assert!(data.disputes.is_empty());
    let [order] = &data.orders[..] else {
        panic!("one order: {data:?}");
    };
    assert_eq!((order.trade_index, order.status), (1, status));
    assert_eq!(order.counterparty_trade_pubkey.as_deref(), Some(peer));
    person.trade.order = Some(order.order_id);
    order.order_id
}

/// Both lose their phones in mid-trade, and go on with what they are told.
async fn both_begin_anew(alices: Transport, bobs: Transport) {
    let mut town = Town::new().await;
    let seller = who(&mut town, "alice", alices);
    let buyer = who(&mut town, "bob", bobs);
    let mut alice = town.invites(seller.clone()).await;
    let mut bob = town.invites(buyer.clone()).await;
    let order = alice.offers(OrderKind::Sell, 10_000).await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    let (alices, bobs) = (alice.key(), bob.key());
    for mut lost in [alice, bob] {
        lost.trader.hang_up().await;
    }

    let mut alice = town.invites(seller).await;
    let mut bob = town.invites(buyer).await;
    let waiting = Status::WaitingBuyerInvoice;
    assert_eq!(must_find(&mut alice, waiting, &bobs).await, order);
    assert_eq!(must_find(&mut bob, waiting, &alices).await, order);
    bob.adds_invoice(9_970, "waiting-seller-to-pay E idx").await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let request = "pay-invoice{payment_request pay 10030 expires} idx";
    let request = alice.hears(request).await;
    must_find(&mut alice, Status::WaitingPayment, &bobs).await;
    alice.pays(&request).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
    must_find(&mut bob, Status::Active, &alices).await;
    let sent = format!("fiat-sent-ok{{peer {alices}}} E");
    bob.says(Action::FiatSent, &sent).await;
    alice.hears(&format!("fiat-sent-ok{{peer {bobs}}}")).await;
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    alice.hears("rate").await;
    for news in ["released", "purchase-completed", "rate"] {
        bob.hears(news).await;
    }
    for person in [&mut alice, &mut bob] {
        assert_eq!(restored(person).await, RestoreData::default());
    }
}

#[tokio::test]
async fn l1_l2_up_r7_both_sides_restore_in_mid_trade() {
    both_begin_anew(Transport::Direct, Transport::GiftWrap).await;
}

#[tokio::test]
async fn l1_l2_the_same_from_gift_wrap_to_kind_14() {
    both_begin_anew(Transport::GiftWrap, Transport::Direct).await;
}

#[tokio::test]
async fn l3_l4_l5_questions_that_have_no_answer() {
    let mut town = Town::new().await;
    let persona = who(&mut town, "alice", Transport::Direct);
    let mut alice = town.invites(persona).await;
    let persona = who(&mut town, "bob", Transport::GiftWrap);
    let mut bob = town.invites(persona).await;
    let mut nobody = who(&mut town, "nobody", Transport::Direct);
    nobody.full_privacy = true;
    let mut nobody = town.invites(nobody).await;
    let order = alice.offers(OrderKind::Sell, 10_000).await;

    let ask = |action| Ask::about(action, None);
    let about = |action| Ask::about(action, Some(order));
    let stars = Payload::RatingUser(5);
    bob.is_refused([
        ("L3 a stranger", ask(Action::LastTradeIndex), "not_found"),
        ("L4 none named", Ask::for_orders(&[]), "invalid_parameters"),
        ("L4 no payload", ask(Action::Orders), "invalid_parameters"),
        (
            "L4 too many",
            Ask::for_orders(&[order; 11]),
            "too_many_requests",
        ),
        ("L4 another's", Ask::for_orders(&[order]), "not_found"),
        (
            "L4 unknown",
            Ask::for_orders(&[NOWHERE.unwrap()]),
            "not_found",
        ),
        (
            "L5 with an id",
            about(Action::UserInfo),
            "invalid_parameters",
        ),
        (
            "L5 with a payload",
            ask(Action::UserInfo).with(stars),
            "invalid_parameters",
        ),
    ])
    .await;
    let figures = ask(Action::UserInfo);
    nobody
        .is_refused([("L5 nobody", figures, "reputation_identity_required")])
        .await;
    assert_eq!(restored(&mut bob).await, RestoreData::default());
    let index = alice.asks_anything(ask(Action::LastTradeIndex)).await;
    assert_eq!(index.message.trade_index, Some(1));
    let mixed = Ask::for_orders(&[NOWHERE.unwrap(), order]);
    let heard = alice.asks_anything(mixed).await;
    let Some(Payload::Orders(shown)) = &heard.message.payload else {
        panic!("no orders: {}", heard.json);
    };
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].id, Some(order));
}

#[tokio::test]
async fn g2_a_copy_of_a_question_is_not_answered_again() {
    let mut town = Town::new().await;
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let mut alice = town.person("alice", transport).await;
        let ask = Ask::about(Action::RestoreSession, None);
        let event = alice.trader.wrap(&alice.trade, &ask, None).unwrap();
        assert!(alice.publishes(&event).await.taken);
        alice.trader.next_letter(&alice.trade).await.unwrap();
        let again = alice.publishes(&event).await;
        assert!(again.taken && again.text.starts_with("duplicate:"));
        assert_eq!(alice.trader.unread(&alice.trade).count(), 0);
    }
}

/// The trade's next key, for the order of this one.
async fn next_key(person: &mut Person) -> Trade {
    let next = person.trader.new_trade().await.unwrap();
    Trade {
        order: person.trade.order,
        ..next
    }
}

#[tokio::test]
async fn l6_l7_up_s10_an_offer_moves_between_two_takes_and_never_during_one() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let mut carol = town.person("carol", Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    let order = alice.offers(OrderKind::Sell, 10_000).await;
    let moves = || Ask::about(Action::TradePubkey, Some(order));
    carol
        .is_refused([("L6 not hers", moves(), "invalid_pubkey")])
        .await;
    let unknown = Ask::about(Action::TradePubkey, NOWHERE);
    carol
        .is_refused([("L6 unknown", unknown, "not_found")])
        .await;

    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
    let (first, second) = (alice.trade.clone(), next_key(&mut alice).await);
    alice
        .is_refused([("L6 its own key", moves(), "invalid_order_status")])
        .await;
    alice.turns_to(second.clone());
    alice
        .is_refused([("L6 taken", moves(), "invalid_order_status")])
        .await;
    bob.says(Action::Cancel, "canceled E").await;
    alice.sees(BookStatus::InProgress).await;
    alice.sees(BookStatus::Pending).await;
    let revisions = alice.trader.book().revisions(order).len();
    alice.asks(moves(), "trade-pubkey E").await;
    alice
        .asks(Ask::about(Action::Cancel, NOWHERE), "cant-do{not_found} E")
        .await;
    let after = alice.trader.book().revisions(order).len();
    assert_eq!(revisions, after, "L7 no event tells of it");

    // The index stays the one that the order was made with.
    bob.turns_the_page().await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice index 1").await;
    let heard: Vec<_> = alice.trader.unread(&first).collect();
    let actions: Vec<_> = heard.iter().map(|heard| heard.message.action).collect();
    assert_eq!(actions, [Action::NewOrder], "when Bob had left");
}

/// A take whose hold invoice is being opened, as long as Lightning thinks.
#[tokio::test]
async fn l6_an_offer_does_not_move_while_a_hold_is_opened() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let order = alice.offers(OrderKind::Buy, 10_000).await;
    town.sandbox()
        .add_fault(Fault::on(Op::CreateHold, FaultAction::Hang));
    let take = Ask::about(Action::TakeBuy, Some(order)).with_index();
    let event = bob.trader.wrap(&bob.trade, &take, Some(1)).unwrap();
    assert!(bob.publishes(&event).await.taken);
    let moves = || Ask::about(Action::TradePubkey, Some(order));
    let fresh = next_key(&mut alice).await;
    alice.turns_to(fresh);
    alice
        .is_refused([("L6 opening", moves(), "not_allowed_by_status")])
        .await;
    bob.turns_the_page().await;
    bob.is_refused([("L6 not his", moves(), "invalid_pubkey")])
        .await;
}

//! Messages that come late, early or twice (rules G2, G6, G7).

use escrow_core::time::UnixTime;
use escrow_core::wire::{Action, Message, OrderKind, Payload, Transport};
use nostr::event::Event;

use crate::envelopes::{gift_wrap, now, opened, signed_at};
use crate::person::{Person, offer};
use crate::town::Town;

const TRANSPORTS: [Transport; 2] = [Transport::Direct, Transport::GiftWrap];

const LATE: &str = "invalid: signed more than 120 s ago";
const OVERTAKEN: &str =
    "invalid: signed more than 120 s ago and before the order's last change of stage";
const TOO_OLD: &str = "invalid: signed more than 48 h ago";
const AHEAD: &str = "invalid: signed more than 120 s ahead of the node's clock";

impl Person {
    fn new_order(&self) -> Message {
        let payload = Payload::Order(offer(OrderKind::Sell, 10_000));
        let mut message = self.message(Action::NewOrder, Some(payload));
        message.id = None;
        message
    }

    async fn is_told(&mut self, event: &Event, taken: bool, text: &str) {
        let verdict = self.publishes(event).await;
        assert_eq!((verdict.taken, verdict.text.as_str()), (taken, text));
    }
}

#[tokio::test]
async fn g6_u4_what_is_too_old_or_ahead_is_not_decided() {
    let mut town = Town::new().await;
    let node = town.key();
    for transport in TRANSPORTS {
        let mut alice = town.hidden("alice", transport).await;
        let new_order = alice.new_order();
        for (at, text) in [
            (now() - 130, LATE),
            (now() - 49 * 3_600, TOO_OLD),
            (0, TOO_OLD),
            (now() + 200, AHEAD),
        ] {
            let event = signed_at(&alice, &new_order, transport, node, at);
            alice.is_told(&event, false, text).await;
        }
        let order = alice.offers(OrderKind::Sell, 10_000).await;
        let mut take = alice.message(Action::TakeSell, None);
        take.id = Some(order);
        let cancel = alice.message(Action::Cancel, None);
        for (message, text) in [(&take, LATE), (&cancel, OVERTAKEN)] {
            let event = signed_at(&alice, message, transport, node, now() - 130);
            alice.is_told(&event, false, text).await;
        }
        alice.hears_no_more().await;
    }
}

#[tokio::test]
async fn g6_clocks_may_differ_a_little() {
    let mut town = Town::new().await;
    let node = town.key();
    for (transport, at) in [
        (Transport::Direct, now() - 100),
        (Transport::GiftWrap, now() - 100),
        (Transport::Direct, now() + 100),
        (Transport::GiftWrap, now() + 100),
    ] {
        let mut alice = town.hidden("alice", transport).await;
        let event = signed_at(&alice, &alice.new_order(), transport, node, at);
        alice
            .sends_event(&event, "new-order{ack 10000 expires} E idx")
            .await;
    }
}

/// What waited for us counts, if its sender had seen the order as it is.
#[tokio::test]
async fn g7_u4_up_r1_a_late_command_on_an_order_that_has_not_moved_is_honoured() {
    let mut town = Town::new().await;
    let node = town.key();
    let mut makers = Vec::new();
    for transport in TRANSPORTS {
        let mut maker = town.hidden("maker", transport).await;
        maker.offers(OrderKind::Sell, 10_000).await;
        makers.push((transport, maker));
    }
    let mut people: Vec<_> = makers.iter_mut().map(|(_, maker)| maker).collect();
    town.closes(&mut people).await;
    town.rewrites_the_past(|order| order.stage_since = UnixTime(now() - 3_600));
    town.opens().await;
    for (transport, maker) in &mut makers {
        maker.comes_back(&town).await;
        let cancel = maker.message(Action::Cancel, None);
        let overtaken = signed_at(maker, &cancel, *transport, node, now() - 3_700);
        maker.is_told(&overtaken, false, OVERTAKEN).await;
        let late = signed_at(maker, &cancel, *transport, node, now() - 600);
        maker.sends_event(&late, "canceled E").await;
    }
}

#[tokio::test]
async fn g2_u3_up_r6_the_same_event_again_is_a_duplicate_for_days() {
    const DUPLICATE: &str = "duplicate: this message is decided already";
    let mut town = Town::new().await;
    let node = town.key();
    for transport in TRANSPORTS {
        let mut alice = town.hidden("alice", transport).await;
        let event = signed_at(&alice, &alice.new_order(), transport, node, now());
        alice
            .sends_event(&event, "new-order{ack 10000 expires} E idx")
            .await;
        alice.is_told(&event, true, DUPLICATE).await;
        if transport == Transport::GiftWrap {
            let again = gift_wrap(node, &opened(&town.keys, &event));
            assert_ne!(again.id, event.id);
            alice.is_told(&again, true, DUPLICATE).await;
        }
        town.restarts(&mut [&mut alice]).await;
        alice.is_told(&event, true, DUPLICATE).await;
        alice.hears_no_more().await;
    }
}

/// A refusal is a decision too, and is not decided twice.
#[tokio::test]
async fn g15_a_refused_message_is_decided() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let mut cancel = alice.message(Action::Cancel, None);
    cancel.id = Some(uuid::Uuid::from_u128(9));
    let event = alice
        .trader
        .wrap_json(&alice.trade, &cancel.to_json())
        .unwrap();
    alice.sends_event(&event, "cant-do{not_found} E").await;
    alice
        .is_told(&event, true, "duplicate: this message is decided already")
        .await;
    alice.hears_no_more().await;
}

/// Two copies on two connections: one decides, the other waits for it.
#[tokio::test]
async fn g2_two_copies_at_once_are_decided_once() {
    let mut town = Town::new().await;
    let node = town.key();
    let mut alice = town.hidden("alice", Transport::Direct).await;
    let mut twin = town.hidden("twin", Transport::Direct).await;
    let event = signed_at(&alice, &alice.new_order(), Transport::Direct, node, now());
    let (one, other) = tokio::join!(alice.publishes(&event), twin.trader.publish(&event));
    let mut told = [one.text, other.unwrap().text];
    told.sort();
    assert_eq!(told, ["", "duplicate: this message is decided already"]);
    let heard = alice.trader.next_letter(&alice.trade).await.unwrap();
    assert_eq!(heard.message.action, Action::NewOrder);
    twin.trader.watch_book().await.unwrap();
    let order = heard.message.id.unwrap();
    twin.trader
        .sees(order, escrow_core::wire::BookStatus::Pending)
        .await
        .unwrap();
    assert_eq!(twin.trader.book().orders().count(), 1);
}

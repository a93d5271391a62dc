//! What becomes of an event.

use nostr::event::Event;
use nostr::key::Keys;
use relay_policy::Receipt;
use serde_json::{Value, json};

use crate::harbour::{Client, Harbour, NOW, draft};

const STORED: (bool, &str) = (true, "");

async fn publishes(client: &mut Client, event: &Event, expected: (bool, &str)) {
    let (accepted, message) = client.publish(event).await;
    assert_eq!(accepted, expected.0, "{message}");
    assert!(message.starts_with(expected.1), "{message}");
    assert_eq!(message.is_empty(), expected.1.is_empty(), "{message}");
}

fn hex(event: &Event) -> String {
    event.id.to_hex()
}

fn everything() -> Value {
    json!({})
}

#[tokio::test]
async fn an_accepted_event_is_stored_and_shown() {
    let harbour = Harbour::open().await;
    let (mut alice, mut bob) = (harbour.client().await, harbour.client().await);
    assert!(bob.req("notes", &[json!({"kinds": [1]})]).await.is_empty());
    let note = draft(1).text("gm").by(&Keys::generate());
    publishes(&mut alice, &note, STORED).await;
    assert_eq!(bob.live("notes").await, hex(&note));
    assert_eq!(alice.req("all", &[everything()]).await, [hex(&note)]);
    publishes(&mut alice, &note, (true, "duplicate: ")).await;
    bob.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn the_newest_version_is_kept_whatever_comes_first() {
    let harbour = Harbour::open().await;
    let mut alice = harbour.client().await;
    let keys = Keys::generate();
    let profile = |at: u64| draft(0).at(NOW + at).text(at.to_string()).by(&keys);
    let order = |at: u64, name: &str| draft(38_383).at(NOW + at).tag("d", name).by(&keys);
    let nameless = |at: u64| draft(30_000).at(NOW + at).by(&keys);
    publishes(&mut alice, &profile(1), STORED).await;
    publishes(&mut alice, &profile(3), STORED).await;
    publishes(&mut alice, &profile(2), (true, "duplicate: ")).await;
    publishes(&mut alice, &order(5, "a"), STORED).await;
    publishes(&mut alice, &order(4, "b"), STORED).await;
    publishes(&mut alice, &order(4, "a"), (true, "duplicate: ")).await;
    publishes(&mut alice, &nameless(6), STORED).await;
    publishes(&mut alice, &nameless(7), STORED).await;
    publishes(&mut alice, &nameless(5), (true, "duplicate: ")).await;
    let expected = [nameless(7), order(5, "a"), order(4, "b"), profile(3)].map(|it| hex(&it));
    assert_eq!(alice.req("all", &[everything()]).await, expected);
    harbour.stop().await;
}

#[tokio::test]
async fn an_ephemeral_event_is_shown_and_forgotten() {
    let harbour = Harbour::open().await;
    let (mut alice, mut bob) = (harbour.client().await, harbour.client().await);
    bob.req("typing", &[json!({"kinds": [20_001]})]).await;
    let event = draft(20_001).by(&Keys::generate());
    publishes(&mut alice, &event, STORED).await;
    assert_eq!(bob.live("typing").await, hex(&event));
    assert!(alice.req("all", &[everything()]).await.is_empty());
    harbour.stop().await;
}

#[tokio::test]
async fn a_deletion_removes_and_keeps_away() {
    let harbour = Harbour::open().await;
    let mut alice = harbour.client().await;
    let (author, stranger) = (Keys::generate(), Keys::generate());
    let note = draft(1).by(&author);
    let late = draft(1).text("late").by(&author);
    let order = draft(38_383).tag("d", "a").by(&author);
    let address = format!("38383:{}:a", author.public_key().to_hex());
    let theft = draft(5).tag("e", hex(&note)).by(&stranger);
    let deletion = draft(5)
        .at(NOW + 1)
        .tag("e", hex(&note))
        .tag("e", hex(&late))
        .tag("a", &address)
        .by(&author);
    publishes(&mut alice, &note, STORED).await;
    publishes(&mut alice, &order, STORED).await;
    publishes(&mut alice, &theft, STORED).await;
    assert!(
        alice
            .req("notes", &[json!({"kinds": [1]})])
            .await
            .contains(&hex(&note))
    );
    publishes(&mut alice, &deletion, STORED).await;
    let left = alice.req("all", &[everything()]).await;
    assert_eq!(left, [hex(&deletion), hex(&theft)]);
    for gone in [&note, &late, &order] {
        publishes(&mut alice, gone, (false, "blocked: ")).await;
    }
    let again = draft(38_383).at(NOW + 2).tag("d", "a").by(&author);
    publishes(&mut alice, &again, STORED).await;
    harbour.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_a_reason() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let good = draft(1).text("good").by(&keys);
    let mut forged_id = good.clone();
    forged_id.content = "changed".to_owned();
    let mut forged_signature = good.clone();
    forged_signature.sig = draft(1).by(&keys).sig;
    let other = Keys::generate();
    let table = [
        ("a wrong id", forged_id, "invalid: "),
        ("a wrong signature", forged_signature, "invalid: "),
        (
            "expired",
            draft(1).tag("expiration", NOW - 1).by(&keys),
            "invalid: ",
        ),
        ("far future", draft(1).at(NOW + 901).by(&keys), "invalid: "),
        (
            "too large",
            draft(1).text("x".repeat(33_000)).by(&keys),
            "invalid: ",
        ),
        (
            "a long d",
            draft(30_000).tag("d", "x".repeat(183)).by(&keys),
            "invalid: ",
        ),
        (
            "two d",
            draft(30_000).tag("d", "a").tag("d", "b").by(&keys),
            "invalid: ",
        ),
        (
            "the node's name",
            draft(38_383).tag("d", "a").by(&harbour.node),
            "blocked: ",
        ),
        (
            "to us and others",
            draft(14).to(&harbour.node).to(&other).by(&keys),
            "invalid: ",
        ),
    ];
    for (case, event, prefix) in table {
        let (accepted, message) = client.publish(&event).await;
        assert!(
            !accepted && message.starts_with(prefix),
            "{case}: {accepted} {message}"
        );
    }
    publishes(&mut client, &good, STORED).await;
    assert_eq!(client.req("all", &[everything()]).await, [hex(&good)]);
    harbour.stop().await;
}

#[tokio::test]
async fn a_stranger_may_keep_so_many_orders() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let order = |name: u8| {
        draft(38_383)
            .tag("d", name)
            .tag("expiration", NOW + 60)
            .by(&keys)
    };
    for name in 0..3 {
        publishes(&mut client, &order(name), STORED).await;
    }
    publishes(&mut client, &order(3), (false, "rate-limited: ")).await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_message_to_the_node_is_taken_and_nobody_else_sees_it() {
    let harbour = Harbour::open().await;
    let (mut trader, mut spy) = (harbour.client().await, harbour.client().await);
    let recipient = json!({"#p": [harbour.node.public_key().to_hex()]});
    spy.req("messages", &[recipient.clone(), everything()])
        .await;
    for (kind, accepted) in [(14, true), (1059, false)] {
        let message = draft(kind).to(&harbour.node).by(&Keys::generate());
        trader.offer(&message).await;
        let delivery = harbour.delivery().await;
        assert_eq!(delivery.event, message);
        let receipt = Receipt {
            accepted,
            message: "as decided".to_owned(),
        };
        delivery.receipt.send(receipt).unwrap();
        assert_eq!(
            trader.ok(&message).await,
            (accepted, "as decided".to_owned())
        );
    }
    spy.hears_nothing_else().await;
    assert!(spy.req("again", &[recipient]).await.is_empty());
    harbour.stop().await;
}

#[tokio::test]
async fn a_message_that_waits_for_its_receipt_stops_nothing() {
    let harbour = Harbour::open().await;
    let mut trader = harbour.client().await;
    let keys = Keys::generate();
    let message = draft(14).to(&harbour.node).by(&keys);
    trader.offer(&message).await;
    let delivery = harbour.delivery().await;
    let note = draft(1).by(&keys);
    publishes(&mut trader, &note, STORED).await;
    assert_eq!(
        trader.req("notes", &[json!({"kinds": [1]})]).await,
        [hex(&note)]
    );
    delivery
        .receipt
        .send(Receipt {
            accepted: true,
            message: String::new(),
        })
        .unwrap();
    assert_eq!(trader.ok(&message).await, (true, String::new()));
    harbour.stop().await;
}

#[tokio::test]
async fn chat_between_strangers_is_carried() {
    let harbour = Harbour::open().await;
    let (mut alice, mut bob) = (harbour.client().await, harbour.client().await);
    let (from, to) = (Keys::generate(), Keys::generate());
    let chat = draft(14).to(&to).by(&from);
    let wrap = draft(1059).at(NOW - 172_800).to(&to).by(&Keys::generate());
    bob.req("chat", &[json!({"#p": [to.public_key().to_hex()]})])
        .await;
    publishes(&mut alice, &chat, STORED).await;
    publishes(&mut alice, &wrap, STORED).await;
    assert_eq!(bob.live("chat").await, hex(&chat));
    assert_eq!(bob.live("chat").await, hex(&wrap));
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_connection_are_shown_in_the_order_they_came() {
    let harbour = Harbour::open().await;
    let (mut alice, mut bob) = (harbour.client().await, harbour.client().await);
    let keys = Keys::generate();
    bob.req("all", &[everything()]).await;
    let events: Vec<Event> = (0..300_u64)
        .map(|number| {
            // Every third one needs no disk and could run ahead of the others.
            let kind = if number % 3 == 0 { 20_001 } else { 1 };
            draft(kind)
                .at(NOW - number)
                .text(number.to_string())
                .by(&keys)
        })
        .collect();
    for event in &events {
        alice.offer(event).await;
    }
    for event in &events {
        assert_eq!(bob.live("all").await, hex(event));
    }
    for event in &events {
        assert_eq!(alice.ok(event).await, (true, String::new()));
    }
    harbour.stop().await;
}

#[tokio::test]
async fn the_nodes_own_events_go_past_the_gate_in_their_order() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    client
        .req(
            "node",
            &[json!({"authors": [harbour.node.public_key().to_hex()]})],
        )
        .await;
    let order = |at: u64| draft(38_383).at(NOW + at).tag("d", "a").by(&harbour.node);
    let info = draft(38_385).tag("d", "info").by(&harbour.node);
    harbour
        .relay
        .publish(vec![info.clone(), order(1)])
        .await
        .unwrap();
    assert_eq!(client.live("node").await, hex(&info));
    assert_eq!(client.live("node").await, hex(&order(1)));
    let repeated = vec![info.clone(), order(2), order(1)];
    harbour.relay.publish(repeated).await.unwrap();
    assert_eq!(client.live("node").await, hex(&order(2)));
    client.hears_nothing_else().await;
    let unkeepable = draft(30_000).tag("d", "x".repeat(183)).by(&harbour.node);
    let note = draft(1).by(&harbour.node);
    let error = harbour
        .relay
        .publish(vec![unkeepable.clone(), note.clone()])
        .await
        .unwrap_err();
    assert_eq!(
        error.failures.iter().map(|it| it.0).collect::<Vec<_>>(),
        [unkeepable.id]
    );
    assert_eq!(
        client.live("node").await,
        hex(&note),
        "the others are stored and shown"
    );
    harbour.stop().await;
}

#[tokio::test]
async fn an_event_is_stored_although_its_sender_has_left() {
    let harbour = Harbour::open().await;
    let mut bob = harbour.client().await;
    bob.req("notes", &[json!({"kinds": [1]})]).await;
    let note = draft(1).by(&Keys::generate());
    let mut alice = harbour.client().await;
    alice.offer(&note).await;
    drop(alice);
    assert_eq!(bob.live("notes").await, hex(&note));
    harbour.stop().await;
}

//! Who is shown what, and when.

use std::slice;

use nostr::event::Event;
use nostr::key::Keys;
use serde_json::json;

use crate::harbour::{Harbour, NOW, draft};

fn hex(event: &Event) -> String {
    event.id.to_hex()
}

fn key(keys: &Keys) -> String {
    keys.public_key().to_hex()
}

#[tokio::test]
async fn stored_events_come_newest_first_and_each_once() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let notes: Vec<Event> = (0..6)
        .map(|number| draft(1).at(NOW - number).tag("t", number).by(&keys))
        .collect();
    let twins = [draft(7).text("a").by(&keys), draft(7).text("b").by(&keys)];
    for event in notes.iter().chain(&twins) {
        client.publish(event).await;
    }
    let ids = |range: std::ops::Range<usize>| notes[range].iter().map(hex).collect::<Vec<_>>();
    let limited = client.req("a", &[json!({"kinds": [1], "limit": 2})]).await;
    assert_eq!(limited, ids(0..2));
    let window = json!({"kinds": [1], "since": NOW - 4, "until": NOW - 2});
    assert_eq!(client.req("b", &[window]).await, ids(2..5));
    let overlapping = [
        json!({"kinds": [1], "limit": 3}),
        json!({"#t": ["2", "4"]}),
        json!({"kinds": [65_000]}),
    ];
    let merged = client.req("c", &overlapping).await;
    assert_eq!(merged, [ids(0..3), ids(4..5)].concat());
    let mut lowest_first = twins.map(|twin| hex(&twin));
    lowest_first.sort();
    assert_eq!(
        client.req("d", &[json!({"kinds": [7]})]).await,
        lowest_first
    );
    assert_eq!(
        client.req("e", &[json!({"kinds": [7], "limit": 1})]).await,
        lowest_first[..1]
    );
    assert!(client.req("f", &[json!({"kinds": []})]).await.is_empty());
    harbour.stop().await;
}

#[tokio::test]
async fn limit_zero_answers_at_once_and_stays_live() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    client.publish(&draft(1).text("old").by(&keys)).await;
    assert!(
        client
            .req("live", &[json!({"kinds": [1], "limit": 0})])
            .await
            .is_empty()
    );
    let fresh = draft(1).text("fresh").by(&keys);
    client.offer(&fresh).await;
    assert_eq!(client.live("live").await, hex(&fresh));
    harbour.stop().await;
}

#[tokio::test]
async fn subscriptions_are_apart_until_closed_or_replaced() {
    let harbour = Harbour::open().await;
    let (mut client, mut author) = (harbour.client().await, harbour.client().await);
    let keys = Keys::generate();
    client.req("ones", &[json!({"kinds": [1]})]).await;
    client
        .req("both", &[json!({"kinds": [1]}), json!({"kinds": [7]})])
        .await;
    let (one, seven) = (draft(1).by(&keys), draft(7).by(&keys));
    author.publish(&one).await;
    author.publish(&seven).await;
    assert_eq!(client.live("ones").await, hex(&one));
    assert_eq!(client.live("both").await, hex(&one));
    assert_eq!(client.live("both").await, hex(&seven));
    client.say(&json!(["CLOSE", "ones"])).await;
    client.say(&json!(["CLOSE", "never opened"])).await;
    assert_eq!(
        client.req("both", &[json!({"kinds": [7]})]).await,
        [hex(&seven)]
    );
    author.publish(&draft(1).text("unseen").by(&keys)).await;
    let last = draft(7).text("last").by(&keys);
    author.publish(&last).await;
    assert_eq!(client.live("both").await, hex(&last));
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn private_messages_are_shown_only_to_who_names_a_key() {
    let harbour = Harbour::open().await;
    let mut spy = harbour.client().await;
    let (mut friend, mut reader) = (harbour.client().await, harbour.client().await);
    let (trader, chatter) = (Keys::generate(), Keys::generate());
    let answer = draft(14).to(&trader).by(&harbour.node);
    let chat = draft(14).to(&trader).by(&chatter);
    let wrap = draft(1059).to(&trader).by(&Keys::generate());
    let all = [&answer, &chat, &wrap];

    let ids = json!({"ids": all.map(hex)});
    let node = json!({"authors": [key(&harbour.node)]});
    spy.req("spy", &[json!({}), ids.clone(), node.clone()])
        .await;
    let mine = json!({"kinds": [14, 1059], "#p": [key(&trader)]});
    friend.req("mine", slice::from_ref(&mine)).await;
    let by_author = json!({"kinds": [14], "authors": [key(&chatter), key(&harbour.node)]});
    reader.req("chat", slice::from_ref(&by_author)).await;

    harbour.relay.publish(vec![answer.clone()]).await.unwrap();
    spy.publish(&chat).await;
    spy.publish(&wrap).await;
    for event in all {
        assert_eq!(friend.live("mine").await, hex(event));
    }
    assert_eq!(reader.live("chat").await, hex(&chat));
    reader.hears_nothing_else().await;
    spy.hears_nothing_else().await;
    assert!(spy.req("stored", &[json!({}), ids, node]).await.is_empty());
    assert_eq!(reader.req("stored", &[by_author]).await, [hex(&chat)]);
    assert_eq!(friend.req("stored", &[mine]).await.len(), 3);
    for (name, hopeless) in [
        ("wraps", json!({"kinds": [1059], "since": NOW})),
        (
            "admin",
            json!({"kinds": [14], "authors": [key(&harbour.node)]}),
        ),
    ] {
        spy.subscribe(name, &[hopeless]).await;
        assert!(spy.closed(name).await.starts_with("restricted: "));
    }
    harbour.stop().await;
}

#[tokio::test]
async fn hidden_messages_do_not_use_up_the_limit() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let note = draft(1).at(NOW - 100).by(&keys);
    client.publish(&note).await;
    for number in 0..10 {
        client
            .publish(&draft(14).at(NOW - number).to(&keys).by(&keys))
            .await;
    }
    assert_eq!(
        client.req("newest", &[json!({"limit": 1})]).await,
        [hex(&note)]
    );
    harbour.stop().await;
}

#[tokio::test]
async fn an_expired_event_is_gone_to_the_second() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let offer = draft(1).tag("expiration", NOW + 10).by(&Keys::generate());
    client.publish(&offer).await;
    harbour.set_clock(NOW + 9);
    assert_eq!(client.req("a", &[json!({})]).await, [hex(&offer)]);
    harbour.set_clock(NOW + 10);
    assert!(client.req("b", &[json!({})]).await.is_empty());
    let (accepted, message) = client.publish(&offer).await;
    assert!(!accepted && message.starts_with("invalid: "), "{message}");
    client.req("live", &[json!({"kinds": [1]})]).await;
    harbour
        .relay
        .publish(vec![draft(1).tag("expiration", NOW).by(&harbour.node)])
        .await
        .unwrap();
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_req_amid_a_stream_of_events_misses_none_and_repeats_none() {
    const EVENTS: usize = 400;
    let harbour = Harbour::open().await;
    let mut author = harbour.client().await;
    let keys = Keys::generate();
    let events: Vec<Event> = (0..EVENTS)
        .map(|number| draft(1).text(number.to_string()).by(&keys))
        .collect();
    let mut readers = Vec::new();
    for burst in events.chunks(20) {
        for event in burst {
            author.offer(event).await;
        }
        // One of the burst is stored; where the others are is up to the machine.
        assert!(author.ok(&burst[0]).await.0);
        let mut reader = harbour.client().await;
        reader.subscribe("all", &[json!({"kinds": [1]})]).await;
        readers.push(reader);
    }
    let mut expected: Vec<String> = events.iter().map(hex).collect();
    expected.sort();
    for mut reader in readers {
        let mut seen = reader.stored("all").await;
        assert!(!seen.is_empty());
        while seen.len() < EVENTS {
            seen.push(reader.live("all").await);
        }
        reader.hears_nothing_else().await;
        seen.sort();
        assert_eq!(seen, expected);
    }
    harbour.stop().await;
}

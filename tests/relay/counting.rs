//! How many there are (NIP-45).

use mostro_relay::relay::RelayLimits;
use nostr::event::Event;
use nostr::key::Keys;
use serde_json::{Value, json};

use crate::harbour::{Harbour, NOW, draft, limits};

fn key(keys: &Keys) -> String {
    keys.public_key().to_hex()
}

#[tokio::test]
async fn nip45_a_count_is_what_a_req_would_show_each_event_once() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let (alice, bob) = (Keys::generate(), Keys::generate());
    for number in 0..7 {
        let author = if number < 5 { &alice } else { &bob };
        let note = draft(1).at(NOW - number).tag("t", number % 2).by(author);
        assert!(client.publish(&note).await.0);
    }
    for at in [1, 3, 2] {
        client.publish(&draft(0).at(NOW + at).by(&alice)).await;
    }
    let fleeting = draft(7).tag("expiration", NOW + 10).by(&alice);
    client.publish(&fleeting).await;
    client.publish(&draft(20_001).by(&alice)).await;

    let table: [(&str, Vec<Value>, u64); 9] = [
        ("everything", vec![json!({})], 9),
        ("notes", vec![json!({"kinds": [1]})], 7),
        ("versions replaced", vec![json!({"kinds": [0]})], 1),
        ("fleeting", vec![json!({"kinds": [7]})], 1),
        ("nothing", vec![json!({"kinds": [65_000]})], 0),
        ("an empty list", vec![json!({"kinds": []})], 0),
        (
            "by author, tag and time",
            vec![json!({"authors": [key(&alice)], "#t": ["0"], "since": NOW - 2, "kinds": [1]})],
            2,
        ),
        (
            "overlapping filters",
            vec![
                json!({"authors": [key(&alice)], "kinds": [1]}),
                json!({"#t": ["1"]}),
            ],
            6,
        ),
        (
            "the limit is of sending",
            vec![json!({"kinds": [1], "limit": 2})],
            7,
        ),
    ];
    for (case, filters, expected) in table {
        assert_eq!(client.count(case, &filters).await, expected, "{case}");
    }
    harbour.set_clock(NOW + 10);
    assert_eq!(client.count("expired", &[json!({"kinds": [7]})]).await, 0);
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn nip45_what_may_not_be_seen_is_not_counted() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let (trader, chatter) = (Keys::generate(), Keys::generate());
    let answer = draft(14).to(&trader).by(&harbour.node);
    harbour.relay.publish(vec![answer.clone()]).await.unwrap();
    let chat = draft(14).to(&trader).by(&chatter);
    let wrap = draft(1059).to(&trader).by(&Keys::generate());
    let old = draft(4).to(&trader).by(&chatter);
    for event in [&chat, &wrap, &old] {
        assert!(client.publish(event).await.0);
    }
    let ids: Vec<String> = [&answer, &chat, &wrap, &old]
        .map(|event: &Event| event.id.to_hex())
        .to_vec();
    let table = [
        ("everything", json!({}), 0),
        ("by id", json!({"ids": ids}), 0),
        ("by time", json!({"since": NOW, "until": NOW}), 0),
        ("the node", json!({"authors": [key(&harbour.node)]}), 0),
        ("chat by author", json!({"authors": [key(&chatter)]}), 2),
        ("by recipient", json!({"#p": [key(&trader)]}), 4),
    ];
    for (case, filter, expected) in table {
        assert_eq!(client.count(case, &[filter]).await, expected, "{case}");
    }
    for hopeless in [
        json!({"kinds": [1059]}),
        json!({"kinds": [14], "authors": [key(&harbour.node)]}),
    ] {
        client.ask_count("hopeless", &[hopeless]).await;
        assert!(client.closed("hopeless").await.starts_with("restricted: "));
    }
    harbour.stop().await;
}

#[tokio::test]
async fn nip45_a_refused_count_is_closed_and_leaves_subscriptions_alone() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    client.req("a", &[json!({"kinds": [1]})]).await;
    let ids: Vec<String> = (0..1_001).map(|number| format!("{number:064x}")).collect();
    let table = [
        ("no filter", vec![]),
        ("not a filter", vec![json!(7)]),
        (
            "a bad second filter",
            vec![json!({}), json!({"kinds": ["one"]})],
        ),
        ("too many filters", vec![json!({}); 21]),
        ("too many values", vec![json!({"ids": ids})]),
        ("search", vec![json!({"search": "gold"})]),
    ];
    for (case, filters) in table {
        client.ask_count("a", &filters).await;
        let why = client.closed("a").await;
        assert!(why.starts_with("invalid: "), "{case}: {why}");
    }
    client.ask_count(&"x".repeat(65), &[json!({})]).await;
    assert!(client.notice().await.starts_with("invalid: "));
    assert_eq!(client.count("a", &[json!({})]).await, 0);
    let note = draft(1).by(&Keys::generate());
    client.offer(&note).await;
    assert_eq!(client.live("a").await, note.id.to_hex());
    harbour.stop().await;
}

#[tokio::test]
async fn nip45_questions_that_do_not_fit_beside_each_other_wait_for_room() {
    let harbour = Harbour::with(RelayLimits {
        open_values: 3,
        ..limits()
    })
    .await;
    let mut client = harbour.client().await;
    let two = [json!({"kinds": [1, 2]})];
    let nine = [json!({"kinds": [1, 2, 3, 4, 5, 6, 7, 8, 9]})];
    for number in 0..30 {
        client.ask_count(&number.to_string(), &two).await;
        client.subscribe("replaced", &two).await;
    }
    assert_eq!(client.count("more than there is room", &nine).await, 0);
    for number in 0..30 {
        let name = number.to_string();
        assert_eq!(client.counted(&name).await, 0, "{name}");
    }
    assert!(client.stored("replaced").await.is_empty());
    harbour.stop().await;
}

#[tokio::test]
async fn nip45_questions_are_are_answered_in_the_order_they_were_asked() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    client.subscribe("first", &[json!({"kinds": [1]})]).await;
    client.ask_count("second", &[json!({})]).await;
    client.subscribe("third", &[json!({"kinds": [1]})]).await;
    for expected in [
        json!(["EOSE", "first"]),
        json!(["COUNT", "second", {"count": 0}]),
        json!(["EOSE", "third"]),
    ] {
        assert_eq!(client.next().await, expected);
    }
    harbour.stop().await;
}

//! Nothing a client sends is met with silence, and little ends the conversation.

use mostro_relay::relay::RelayLimits;
use nostr::key::Keys;
use relay_policy::Rate;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harbour::{Harbour, draft, limits};

#[tokio::test]
async fn nonsense_is_answered_and_the_connection_lives() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let nested = format!(
        "[\"REQ\",\"a\",{}{}]",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let table = [
        String::new(),
        "hello".to_owned(),
        "[\"EVENT\",{\"id\":".to_owned(),
        "{\"a\":1}".to_owned(),
        "[\"EVENT\",{\"kind\":\"one\"}]".to_owned(),
        "[\"SING\"]".to_owned(),
        "[\"REQ\"]".to_owned(),
        "[\"AUTH\",{}]".to_owned(),
        "[1e400]".to_owned(),
        nested,
        "x".repeat(300_000),
    ];
    for frame in table {
        client.say_raw(frame).await;
        assert!(client.notice().await.starts_with("invalid: "));
    }
    client
        .send(Message::binary(vec![0_u8, 159, 146, 150]))
        .await;
    assert!(client.notice().await.starts_with("invalid: "));
    let note = draft(1).by(&Keys::generate());
    assert!(client.publish(&note).await.0);
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_half_readable_event_is_refused_by_its_id() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let note = draft(1).by(&Keys::generate());
    let changes = [
        ("kind", json!(65_536)),
        ("kind", json!(-1)),
        ("created_at", json!(1.5)),
        ("created_at", json!("now")),
        ("tags", json!([["t", 1]])),
        ("tags", json!([[]])),
        ("sig", json!("00")),
        ("pubkey", json!("npub1xyz")),
        ("content", Value::Null),
    ];
    for (field, value) in changes {
        let mut event = json!(note);
        event[field] = value.clone();
        client.say(&json!(["EVENT", event])).await;
        let (accepted, message) = client.ok(&note).await;
        assert!(
            !accepted && message.starts_with("invalid: "),
            "{field} {value}: {message}"
        );
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_req_out_of_bounds_is_closed_with_a_reason() {
    let limits = RelayLimits {
        subscriptions: 3,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let mut client = harbour.client().await;
    let ids: Vec<String> = (0..1_001).map(|number| format!("{number:064x}")).collect();
    let table = [
        ("too many filters", vec![json!({}); 21], "invalid: "),
        ("too many values", vec![json!({"ids": ids})], "invalid: "),
        ("search", vec![json!({"search": "gold"})], "invalid: "),
        ("no filter", vec![], "invalid: "),
        ("not a filter", vec![json!(7)], "invalid: "),
        ("bad kind", vec![json!({"kinds": [70_000]})], "invalid: "),
        ("bad author", vec![json!({"authors": ["me"]})], "invalid: "),
        ("bad since", vec![json!({"since": -1})], "invalid: "),
    ];
    for (name, filters, prefix) in table {
        client.subscribe(name, &filters).await;
        let why = client.closed(name).await;
        assert!(why.starts_with(prefix), "{name}: {why}");
    }
    client.subscribe(&"x".repeat(65), &[json!({})]).await;
    assert!(client.notice().await.starts_with("invalid: "));
    for name in ["a", "b", "c", "a"] {
        client.req(name, &[json!({})]).await;
    }
    client.subscribe("d", &[json!({})]).await;
    assert!(client.closed("d").await.starts_with("rate-limited: "));
    client.say(&json!(["CLOSE", "a"])).await;
    client.req("d", &[json!({})]).await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_refused_req_closes_the_one_it_would_replace() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    client.req("a", &[json!({"kinds": [1]})]).await;
    client.subscribe("a", &[json!({"search": "gold"})]).await;
    client.closed("a").await;
    client.publish(&draft(1).by(&Keys::generate())).await;
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn an_endless_message_ends_the_connection_with_a_reason() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    client.say_raw("x".repeat(2_000_000)).await;
    let ended = client.reads_to_the_end().await;
    assert_eq!(ended.frame.map(|frame| frame.code), Some(CloseCode::Size));
    assert!(
        ended.notices[0].contains("bytes is over"),
        "{:?}",
        ended.notices
    );
    harbour.stop().await;
}

#[tokio::test]
async fn too_many_frames_are_refused_and_the_connection_lives() {
    let frames = Some(Rate {
        per_second: 1,
        burst: 4,
    });
    let harbour = Harbour::with(RelayLimits { frames, ..limits() }).await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let notes: Vec<_> = (0..20_u8)
        .map(|number| draft(1).text(number.to_string()).by(&keys))
        .collect();
    for note in &notes {
        client.offer(note).await;
    }
    client.subscribe("late", &[json!({})]).await;
    let mut refused = 0;
    for note in &notes {
        let (accepted, message) = client.ok(note).await;
        refused += usize::from(!accepted);
        assert!(
            accepted || message.starts_with("rate-limited: "),
            "{message}"
        );
    }
    assert!((1..=16).contains(&refused), "{refused} refused");
    harbour.stop().await;
}

#[tokio::test]
async fn binary_frames_use_up_the_allowance_too() {
    let frames = Some(Rate {
        per_second: 0,
        burst: 4,
    });
    let harbour = Harbour::with(RelayLimits { frames, ..limits() }).await;
    let mut client = harbour.client().await;
    for _ in 0..20 {
        client.send(Message::binary(vec![7_u8])).await;
    }
    let mut notices = Vec::new();
    for _ in 0..20 {
        notices.push(client.notice().await);
    }
    for (number, notice) in notices.iter().enumerate() {
        let expected = if number < 4 {
            "invalid: "
        } else {
            "rate-limited: "
        };
        assert!(notice.starts_with(expected), "{number}: {notice}");
    }
    let (accepted, _) = client.publish(&draft(1).by(&Keys::generate())).await;
    assert!(!accepted, "the allowance is one for all frames");
    harbour.stop().await;
}

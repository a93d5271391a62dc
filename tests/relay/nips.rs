//! What the NIPs ask of a relay, one by one: events (1), deletion (9), information (11)
//! and expiration (40).

use mostro_relay::relay::RelayLimits;
use nostr::event::Event;
use nostr::key::Keys;
use serde_json::{Value, json};

use crate::harbour::{Client, Harbour, NOW, draft, limits};
use crate::http::request;

fn hex(event: &Event) -> String {
    event.id.to_hex()
}

async fn keeps(client: &mut Client, event: &Event) {
    assert_eq!(client.publish(event).await, (true, String::new()));
}

async fn refuses(client: &mut Client, event: &Event, prefix: &str) {
    let (accepted, why) = client.publish(event).await;
    assert!(!accepted && why.starts_with(prefix), "{why}");
}

async fn all(client: &mut Client) -> Vec<String> {
    client.req("all", &[json!({})]).await
}

fn sorted(events: &[&Event]) -> Vec<String> {
    let mut ids: Vec<String> = events.iter().map(|event| hex(event)).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn nip01_of_versions_in_one_second_the_lowest_id_stays() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    for kind in [0, 10_002, 30_000, 38_383] {
        for lowest_first in [true, false] {
            let keys = Keys::generate();
            let version = |text: &str| draft(kind).text(text).by(&keys);
            let mut versions = [version("a"), version("b")];
            versions.sort_by_key(hex);
            if !lowest_first {
                versions.reverse();
            }
            keeps(&mut client, &versions[0]).await;
            let (accepted, why) = client.publish(&versions[1]).await;
            assert!(accepted, "kind {kind}: {why}");
            assert_eq!(why.starts_with("duplicate: "), lowest_first, "kind {kind}");
            let lowest = versions.iter().map(hex).min().unwrap();
            let mine = json!({"authors": [keys.public_key().to_hex()]});
            assert_eq!(client.req("mine", &[mine]).await, [lowest], "kind {kind}");
        }
    }
    harbour.stop().await;
}

#[tokio::test]
async fn nip01_a_kind_tells_what_is_kept() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let kept_of_two = [
        (1, 2),
        (3, 1),
        (9_999, 2),
        (10_000, 1),
        (19_999, 1),
        (20_000, 0),
        (29_999, 0),
        (30_000, 1),
        (39_999, 1),
        (40_000, 2),
        (65_535, 2),
    ];
    for (kind, kept) in kept_of_two {
        for at in [1, 2] {
            keeps(&mut client, &draft(kind).at(NOW + at).by(&keys)).await;
        }
        let found = client.count("kept", &[json!({"kinds": [kind]})]).await;
        assert_eq!(found, kept, "kind {kind}");
    }
    harbour.stop().await;
}

#[tokio::test]
async fn nip01_a_subscription_has_any_name_of_1_to_64_characters() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let (longest, too_long) = ("\u{1f511}".repeat(64), "\u{1f511}".repeat(65));
    for name in ["a", " ", "say \"hi\"\n", "\u{0}", &longest] {
        assert!(client.req(name, &[json!({})]).await.is_empty(), "{name:?}");
        assert_eq!(client.count(name, &[json!({})]).await, 0, "{name:?}");
    }
    for name in ["", &too_long] {
        client.subscribe(name, &[json!({})]).await;
        assert!(client.notice().await.starts_with("invalid: "), "{name:?}");
    }
    harbour.stop().await;
}

#[tokio::test]
async fn nip09_a_deletion_cannot_be_deleted() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let note = draft(1).by(&keys);
    let deletion = draft(5).tag("e", hex(&note)).by(&keys);
    let address = format!("5:{}:", keys.public_key().to_hex());
    let regret = draft(5)
        .at(NOW + 1)
        .tag("e", hex(&deletion))
        .tag("a", address)
        .by(&keys);
    keeps(&mut client, &note).await;
    keeps(&mut client, &deletion).await;
    keeps(&mut client, &regret).await;
    assert_eq!(all(&mut client).await, [hex(&regret), hex(&deletion)]);
    refuses(&mut client, &note, "blocked: ").await;
    harbour.stop().await;
}

#[tokio::test]
async fn nip09_a_deletion_may_come_before_its_event_and_from_its_author_only() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let (author, other) = (Keys::generate(), Keys::generate());
    let note = draft(1).by(&author);
    let order = draft(38_383).tag("d", "a").by(&author);
    let address = format!("38383:{}:a", author.public_key().to_hex());
    let both = |keys: &Keys| {
        let deletion = draft(5).tag("e", hex(&note)).tag("a", &address);
        deletion.at(NOW + 1).by(keys)
    };
    let (theft, deletion) = (both(&other), both(&author));
    keeps(&mut client, &theft).await;
    keeps(&mut client, &note).await;
    keeps(&mut client, &order).await;
    assert_eq!(
        client.count("all", &[json!({})]).await,
        3,
        "not his to delete"
    );
    let early = draft(1).text("early").by(&author);
    keeps(&mut client, &draft(5).tag("e", hex(&early)).by(&author)).await;
    refuses(&mut client, &early, "blocked: ").await;
    keeps(&mut client, &deletion).await;
    let left = client.req("all", &[json!({"kinds": [1, 38_383]})]).await;
    assert!(left.is_empty(), "{left:?}");
    harbour.stop().await;
}

#[tokio::test]
async fn nip09_an_address_is_cleared_up_to_the_second_of_the_deletion() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let order = |at: u64| draft(38_383).at(NOW + at).tag("d", "a").by(&keys);
    let other = draft(38_383).tag("d", "b").by(&keys);
    let profile = draft(0).by(&keys);
    let author = keys.public_key().to_hex();
    let delete = |at: u64| {
        let deletion = draft(5).tag("a", format!("38383:{author}:a"));
        deletion.tag("a", format!("0:{author}:")).at(NOW + at)
    };
    for event in [&order(1), &other, &profile] {
        keeps(&mut client, event).await;
    }
    keeps(&mut client, &delete(5).by(&keys)).await;
    keeps(&mut client, &delete(3).text("late and older").by(&keys)).await;
    for gone in [&order(1), &order(4), &order(5), &profile] {
        refuses(&mut client, gone, "blocked: ").await;
    }
    let fresh = order(6);
    keeps(&mut client, &fresh).await;
    keeps(&mut client, &delete(5).text("again").by(&keys)).await;
    let mut left = client.req("all", &[json!({"kinds": [0, 38_383]})]).await;
    left.sort();
    assert_eq!(left, sorted(&[&fresh, &other]));
    harbour.stop().await;
}

#[tokio::test]
async fn nip09_what_a_deletion_says_besides_makes_no_difference() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let note = draft(1).text("mine").by(&keys);
    let deletion = draft(5)
        .text("posted by accident")
        .at(NOW - 100)
        .tag("k", 7)
        .tag("e", "not an id")
        .tag("a", "not an address")
        .tag("e", hex(&note))
        .by(&keys);
    keeps(&mut client, &note).await;
    keeps(&mut client, &deletion).await;
    assert_eq!(all(&mut client).await, [hex(&deletion)]);
    keeps(&mut client, &draft(5).text("nothing named").by(&keys)).await;
    harbour.stop().await;
}

#[tokio::test]
async fn nip40_an_event_is_over_in_the_second_it_expires() {
    let harbour = Harbour::open().await;
    let (mut client, mut listener) = (harbour.client().await, harbour.client().await);
    let keys = Keys::generate();
    let until = |kind: u16, second: u64| draft(kind).tag("expiration", second).by(&keys);
    let endless = draft(1).tag("expiration", "never").by(&keys);
    listener.req("live", &[json!({})]).await;
    refuses(&mut client, &until(1, NOW), "invalid: ").await;
    refuses(&mut client, &until(20_001, NOW), "invalid: ").await;
    let fleeting = [
        until(1, NOW + 5),
        until(38_383, NOW + 5),
        until(20_001, NOW + 5),
    ];
    for event in fleeting.iter().chain([&endless]) {
        keeps(&mut client, event).await;
        assert_eq!(listener.live("live").await, hex(event));
    }
    harbour.set_clock(NOW + 4);
    let stored = sorted(&[&fleeting[0], &fleeting[1], &endless]);
    let mut found = all(&mut client).await;
    found.sort();
    assert_eq!(found, stored);
    assert_eq!(client.count("all", &[json!({})]).await, 3);
    harbour.set_clock(NOW + 5);
    assert_eq!(all(&mut client).await, [hex(&endless)]);
    assert_eq!(client.count("all", &[json!({})]).await, 1);
    let by_id = json!({"ids": [hex(&fleeting[0])]});
    assert!(client.req("by id", &[by_id]).await.is_empty());
    harbour.stop().await;
}

/// The limits of the document, and what the relay does at each of them and one beyond.
#[tokio::test]
async fn nip11_every_limit_that_is_told_holds_to_the_unit() {
    let harbour = Harbour::with(RelayLimits {
        message_bytes: 2_000,
        frame_bytes: 4_000,
        filters_per_req: 3,
        subscriptions: 2,
        subscription_id_chars: 20,
        max_limit: 4,
        future_secs: 60,
        ..limits()
    })
    .await;
    let asking = "GET / HTTP/1.1\r\nAccept: application/nostr+json";
    let (_, document) = request(&harbour, asking).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut told = document["limitation"].as_object().unwrap().clone();
    let mut number = |name: &str| told.remove(name).unwrap().as_u64().unwrap();
    let mut client = harbour.client().await;
    let keys = Keys::generate();

    let seconds = number("created_at_upper_limit");
    let dated = |ahead: u64| draft(1).at(NOW + ahead).by(&keys);
    keeps(&mut client, &dated(seconds)).await;
    refuses(&mut client, &dated(seconds + 1), "invalid: ").await;
    let longer = "x".repeat(usize::try_from(number("max_content_length")).unwrap() + 1);
    let message = draft(14).to(&keys).text(longer).by(&keys);
    refuses(&mut client, &message, "invalid: ").await;

    for text in 0..6 {
        keeps(&mut client, &draft(1).text(text.to_string()).by(&keys)).await;
    }
    let most = usize::try_from(number("max_limit")).unwrap();
    let default = usize::try_from(number("default_limit")).unwrap();
    assert_eq!(client.req("a", &[json!({"limit": 100})]).await.len(), most);
    assert_eq!(client.req("a", &[json!({})]).await.len(), default);

    let filters = usize::try_from(number("max_filters")).unwrap();
    client.req("a", &vec![json!({}); filters]).await;
    client.subscribe("a", &vec![json!({}); filters + 1]).await;
    assert!(client.closed("a").await.starts_with("invalid: "));

    let chars = usize::try_from(number("max_subid_length")).unwrap();
    let (longest, too_long) = ("x".repeat(chars), "x".repeat(chars + 1));
    client.req(&longest, &[json!({})]).await;
    client.subscribe(&too_long, &[json!({})]).await;
    assert!(client.closed(&too_long).await.starts_with("invalid: "));

    // One is open already.
    for open in 1..number("max_subscriptions") {
        client.req(&open.to_string(), &[json!({})]).await;
    }
    client.subscribe("more", &[json!({})]).await;
    assert!(client.closed("more").await.starts_with("rate-limited: "));

    let bytes = usize::try_from(number("max_message_length")).unwrap();
    let padded = |bytes: usize| format!("{:<bytes$}", r#"["CLOSE","nothing"]"#);
    client.say_raw(padded(bytes)).await;
    client.say_raw(padded(bytes + 1)).await;
    assert!(client.notice().await.starts_with("invalid: "));
    client.say(&json!(["CLOSE", longest])).await;
    client.hears_nothing_else().await;

    let words = json!({
        "auth_required": false,
        "payment_required": false,
        "restricted_writes": true,
    });
    assert_eq!(
        Value::Object(told),
        words,
        "nothing is told that is not tried here"
    );
    harbour.stop().await;
}

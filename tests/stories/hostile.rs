//! Hostile envelopes: refused in plain words, and the connection stays.

use escrow_core::wire::{Action, OrderKind, Payload, Transport};
use nostr::event::{Event, Tag};
use nostr::key::Keys;
use nostr::types::Timestamp;

use crate::envelopes::{direct, event, gift_wrap, opened, sealed, signed_at, tagged};
use crate::person::{Person, offer};
use crate::town::Town;

impl Person {
    /// Sends events that must be refused, each with a reason of the standard
    /// prefix; then he trades on over the same connection.
    async fn is_turned_away(&mut self, table: impl IntoIterator<Item = (&str, Event)>) {
        for (case, event) in table {
            let verdict = self.publishes(&event).await;
            assert!(!verdict.taken, "{case}");
            assert!(
                verdict.text.starts_with("invalid: "),
                "{case}: {}",
                verdict.text
            );
        }
        self.offers(OrderKind::Sell, 10_000).await;
        self.hears_no_more().await;
    }

    async fn is_answered(&mut self, case: &str, event: &Event, answer: &str) {
        let verdict = self.publishes(event).await;
        assert!(verdict.taken, "{case}: {}", verdict.text);
        let heard = self.hears_an_answer(answer).await;
        let echo = heard.message.request_id;
        assert!(echo.is_none_or(|id| id == 5), "{case}: {}", heard.json);
    }

    fn wrapped_cancel(&self, town: &Town, transport: Transport) -> Event {
        let message = self.message(Action::Cancel, None);
        let now = crate::envelopes::now();
        signed_at(self, &message, transport, town.key(), now)
    }
}

/// The event with the signature of another.
fn forged(event: &Event) -> Event {
    let other = tagged(&Keys::generate(), 1, [], "");
    spoiled(event, &event.sig.to_string(), &other.sig.to_string())
}

fn spoiled(event: &Event, from: &str, to: &str) -> Event {
    let json = event.as_json();
    let spoiled = json.replacen(from, to, 1);
    assert_ne!(json, spoiled);
    Event::from_json(spoiled).unwrap()
}

#[tokio::test]
async fn g1_g4_u2_kind_14_that_cannot_be_opened() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let (keys, node) = (alice.trade.keys.clone(), town.key());
    let good = alice.wrapped_cancel(&town, Transport::Direct);
    let sealed_well = sealed(&keys, node, "[]");
    let other = Keys::generate().public_key();
    let content = |content: &str| event(&keys, 14, node, content);
    let message = r#"{"order":{"version":2,"action":"cancel","payload":null}}"#;
    let deep = "[".repeat(30_000);
    let tags = |extra: Tag| tagged(&keys, 14, [Tag::public_key(node), extra], &*sealed_well);
    let past = Timestamp::from_secs(crate::envelopes::now() - 1);
    alice
        .is_turned_away([
            ("nothing", content("")),
            ("no base64", content("!!!!")),
            ("too short", content("AgAA")),
            ("cut off", content(&sealed_well[..sealed_well.len() - 8])),
            (
                "a MAC changed",
                content(&format!("{}AAAA", &sealed_well[..sealed_well.len() - 4])),
            ),
            ("a future version", content(&format!("#{sealed_well}"))),
            ("for somebody else", content(&sealed(&keys, other, "[]"))),
            ("no JSON", direct(&keys, node, "hello")),
            ("an empty tuple", direct(&keys, node, "[]")),
            ("a bare message", direct(&keys, node, message)),
            ("a pair", direct(&keys, node, &format!("[{message},null]"))),
            (
                "four parts",
                direct(&keys, node, &format!("[{message},null,null,null]")),
            ),
            (
                "something after it",
                direct(&keys, node, &format!("[{message},null,null] 1")),
            ),
            (
                "a number as signature",
                direct(&keys, node, &format!("[{message},1,null]")),
            ),
            (
                "an odd proof",
                direct(&keys, node, &format!(r#"[{message},null,["a"]]"#)),
            ),
            ("very deep", direct(&keys, node, &deep)),
            ("two recipients", tags(Tag::public_key(other))),
            ("the node twice", tags(Tag::public_key(node))),
            ("expired", tags(Tag::expiration(past))),
            ("a wrong id", spoiled(&good, "\"kind\":14", "\"kind\":1059")),
            ("a wrong signature", forged(&good)),
        ])
        .await;
}

#[tokio::test]
async fn g4_u2_gift_wraps_that_prove_nobody() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::GiftWrap).await;
    let (keys, node, town_keys) = (alice.trade.keys.clone(), town.key(), town.keys.clone());
    let good = alice.wrapped_cancel(&town, Transport::GiftWrap);
    let seal = opened(&town_keys, &good);
    let seal_event = Event::from_json(&seal).unwrap();
    let rumor = opened(&town_keys, &seal_event);
    let by_another = event(&Keys::generate(), 13, node, &*seal_event.content);
    let sealed_as = |kind, text: &str| {
        let seal = event(&keys, kind, node, sealed(&keys, node, text));
        gift_wrap(node, &seal.as_json())
    };
    alice
        .is_turned_away([
            ("no seal", gift_wrap(node, "hello")),
            ("an empty object", gift_wrap(node, "{}")),
            (
                "a seal with a wrong id",
                gift_wrap(node, &seal.replacen("\"kind\":13", "\"kind\":14", 1)),
            ),
            ("a seal by another", gift_wrap(node, &by_another.as_json())),
            ("a seal of another kind", sealed_as(14, &rumor)),
            ("no rumor", sealed_as(13, "hello")),
            (
                "a rumor of another kind",
                sealed_as(13, &rumor.replacen("\"kind\":1,", "\"kind\":7,", 1)),
            ),
            (
                "a rumor without a time",
                sealed_as(13, &rumor.replacen("created_at", "createt_at", 1)),
            ),
            (
                "a message changed after it was signed",
                sealed_as(13, &rumor.replacen("cancel", "release", 1)),
            ),
            ("a wrap in a wrap", gift_wrap(node, &good.as_json())),
            ("very deep", gift_wrap(node, &"{\"a\":".repeat(12_000))),
        ])
        .await;
}

/// The author of a kind 14 is proven, so he is told (rules G5, G9, U5, U9).
#[tokio::test]
async fn g5_g9_u5_u9_messages_of_a_proven_author_are_answered() {
    let mut town = Town::new().await;
    let mut alice = town.hidden("alice", Transport::Direct).await;
    let (keys, node) = (alice.trade.keys.clone(), town.key());
    let identity = Keys::generate().public_key().to_hex();
    let zeros = "0".repeat(128);
    let cancel = r#"{"order":{"version":2,"request_id":5,"action":"cancel","payload":null}}"#;
    let with_proof = format!(r#"[{cancel},null,["{identity}","{zeros}"]]"#);
    let table = [
        (format!(r#"[{cancel},"{zeros}",null]"#), "invalid_signature"),
        (format!(r#"[{cancel},"no hex",null]"#), "invalid_signature"),
        (with_proof, "invalid_signature"),
    ];
    for (tuple, reason) in table {
        let told = format!("cant-do{{{reason}}} E");
        alice.sends_event(&direct(&keys, node, &tuple), &told).await;
    }
    for (case, body, echo) in UNREADABLE {
        let tuple = format!(r#"[{{"order":{{{body}}}}},null,null]"#);
        let event = direct(&keys, node, &tuple);
        let told = format!("cant-do{{invalid_parameters}}{echo}");
        alice.is_answered(case, &event, &told).await;
    }
    for (case, json) in MISSHAPEN {
        let event = direct(&keys, node, &format!("[{json},null,null]"));
        alice
            .is_answered(case, &event, "cant-do{invalid_parameters}")
            .await;
    }
    let deep = format!(
        r#"{{"order":{{"version":2,"request_id":5,"action":"cancel","payload":{}1{}}}}}"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    let event = direct(&keys, node, &format!("[{deep},null,null]"));
    alice
        .sends_event(&event, "cant-do{invalid_parameters}")
        .await;
    alice.offers(OrderKind::Sell, 10_000).await;
    alice.hears_no_more().await;
}

/// What stands in the message, and whether its request id can be read.
const UNREADABLE: [(&str, &str, &str); 12] = [
    ("no version", r#""request_id":5,"action":"cancel""#, " E"),
    (
        "a great version",
        r#""version":256,"request_id":5,"action":"cancel""#,
        " E",
    ),
    (
        "a fraction",
        r#""version":2,"request_id":1.0,"action":"cancel""#,
        "",
    ),
    (
        "beyond u64",
        r#""version":2,"request_id":18446744073709551616,"action":"cancel""#,
        "",
    ),
    (
        "negative",
        r#""version":2,"request_id":-1,"action":"cancel""#,
        "",
    ),
    (
        "a string",
        r#""version":2,"request_id":"5","action":"cancel""#,
        "",
    ),
    (
        "index beyond i64",
        r#""version":2,"request_id":5,"trade_index":9223372036854775808,"action":"cancel""#,
        " E",
    ),
    (
        "no id",
        r#""version":2,"request_id":5,"id":"me","action":"cancel""#,
        " E",
    ),
    (
        "unknown payload",
        r#""version":2,"request_id":5,"action":"cancel","payload":{"a":1}"#,
        " E",
    ),
    (
        "no payload in it",
        r#""version":2,"request_id":5,"action":"cancel","payload":{}"#,
        " E",
    ),
    (
        "two payloads",
        r#""version":2,"request_id":5,"action":"new-order","payload":{"amount":1,"text_message":""}"#,
        " E",
    ),
    (
        "beyond u8",
        r#""version":2,"request_id":5,"action":"rate-user","payload":{"rating_user":256}"#,
        " E",
    ),
];

const MISSHAPEN: [(&str, &str); 5] = [
    (
        "a key twice",
        r#"{"order":{"version":2,"version":2,"action":"cancel"}}"#,
    ),
    (
        "an unknown key twice",
        r#"{"order":{"version":2,"action":"cancel","a":1,"a":2}}"#,
    ),
    (
        "two wrappers",
        r#"{"order":{"version":2,"action":"cancel"},"dispute":{"version":2,"action":"cancel"}}"#,
    ),
    ("an array", r#"[2,null,null,null,"cancel",null]"#),
    ("nothing", r"{}"),
];

/// Extremes are read and then fail a rule (wire 3.3).
#[tokio::test]
async fn extreme_numbers_fail_a_rule_and_nothing_else() {
    let mut town = Town::new().await;
    let mut alice = town.person_of_the_house("alice", Transport::Direct).await;
    for extreme in [i64::MIN, i64::MAX] {
        let mut terms = offer(OrderKind::Sell, 1);
        terms.amount = extreme;
        terms.fiat_amount = extreme;
        terms.premium = extreme;
        terms.min_amount = Some(extreme);
        terms.max_amount = Some(extreme);
        terms.created_at = Some(extreme);
        terms.expires_at = Some(extreme);
        let mut message = alice.message(Action::NewOrder, Some(Payload::Order(terms)));
        message.request_id = Some(u64::MAX);
        alice.sends(&message, "cant-do{invalid_amount} E").await;
    }
    alice.offers(OrderKind::Sell, 10_000).await;
}

//! Proving a key, and what only its holder may do (NIPs 42 and 70).

use mostro_relay::relay::RelayLimits;
use nostr::event::Event;
use nostr::filter::Filter;
use nostr::key::Keys;
use relay_policy::{EventHead, Prefix, QueryPolicy, Rate, Refusal, Session};
use serde_json::json;

use crate::harbour::{Client, Draft, Harbour, NOW, URL, draft, limits};

fn hex(event: &Event) -> String {
    event.id.to_hex()
}

fn protected(text: &str) -> Draft {
    draft(1).text(text).bare_tag("-")
}

fn proof(challenge: &str) -> Draft {
    draft(22_242).tag("challenge", challenge).tag("relay", URL)
}

/// Brings the relay to ask, with a protected event of a stranger.
async fn is_asked(client: &mut Client) -> String {
    let (accepted, why) = client
        .publish(&protected("ask me").by(&Keys::generate()))
        .await;
    assert!(!accepted && why.starts_with("auth-required: "), "{why}");
    client.challenge().await
}

#[tokio::test]
async fn nip42_nobody_is_asked_who_does_not_have_to_be() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    assert!(client.publish(&draft(1).by(&keys)).await.0);
    assert!(client.publish(&draft(1059).to(&keys).by(&keys)).await.0);
    client.req("all", &[json!({})]).await;
    client.subscribe("wraps", &[json!({"kinds": [1059]})]).await;
    assert!(client.closed("wraps").await.starts_with("restricted: "));
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn nip70_a_protected_event_is_taken_from_its_author_alone() {
    let harbour = Harbour::open().await;
    let (mut alice, mut bob) = (harbour.client().await, harbour.client().await);
    let (hers, his) = (Keys::generate(), Keys::generate());
    bob.req("notes", &[json!({"kinds": [1]})]).await;
    let note = protected("mine").by(&hers);

    alice.offer(&note).await;
    let asked = alice.next().await;
    assert_eq!(asked[0], "AUTH", "the challenge comes before the refusal");
    let challenge = asked[1].as_str().unwrap().to_owned();
    let (accepted, why) = alice.ok(&note).await;
    assert!(!accepted && why.starts_with("auth-required: "), "{why}");

    let proven = alice.prove(&proof(&challenge).by(&hers)).await;
    assert_eq!(proven, (true, String::new()));
    assert_eq!(alice.publish(&note).await, (true, String::new()));
    assert_eq!(bob.live("notes").await, hex(&note));

    let borrowed = protected("his").by(&his);
    let (accepted, why) = alice.publish(&borrowed).await;
    assert!(!accepted && why.starts_with("restricted: "), "{why}");
    let second = alice.prove(&proof(&challenge).by(&his)).await;
    assert_eq!(second, (true, String::new()));
    assert!(alice.publish(&borrowed).await.0, "both keys are proven");
    assert!(alice.publish(&protected("hers").by(&hers)).await.0);
    alice.hears_nothing_else().await;

    let (accepted, why) = bob.publish(&protected("again").by(&hers)).await;
    assert!(!accepted && why.starts_with("auth-required: "), "{why}");
    assert_ne!(bob.challenge().await, challenge, "one for each connection");
    harbour.stop().await;
}

#[tokio::test]
async fn nip42_a_proof_counts_for_what_is_said_behind_it() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let keys = Keys::generate();
    let proof = proof(&is_asked(&mut client).await).by(&keys);
    let notes: Vec<Event> = (0..50)
        .map(|number| protected(&number.to_string()).by(&keys))
        .collect();
    client.say(&json!(["AUTH", proof])).await;
    for note in &notes {
        client.offer(note).await;
    }
    assert_eq!(client.ok(&proof).await, (true, String::new()));
    for note in &notes {
        assert_eq!(client.ok(note).await, (true, String::new()));
    }
    client.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn nip70_a_repost_of_a_protected_event_is_refused() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let note = protected("mine").by(&Keys::generate());
    let repost = draft(6).text(note.as_json()).by(&Keys::generate());
    let (accepted, why) = client.publish(&repost).await;
    assert!(!accepted && why.starts_with("blocked: "), "{why}");
    harbour.stop().await;
}

#[tokio::test]
async fn nip42_a_wrong_proof_is_refused_with_a_reason_and_proves_nothing() {
    let harbour = Harbour::open().await;
    let (mut client, mut other) = (harbour.client().await, harbour.client().await);
    let keys = Keys::generate();
    let early = client.prove(&proof("").by(&keys)).await;
    assert!(!early.0 && early.1.starts_with("invalid: "), "{early:?}");
    let (challenge, foreign) = (is_asked(&mut client).await, is_asked(&mut other).await);
    let good = proof(&challenge).by(&keys);
    let mut unsigned = good.clone();
    unsigned.sig = draft(1).by(&keys).sig;
    let mut borrowed = good.clone();
    borrowed.pubkey = Keys::generate().public_key();
    let elsewhere = draft(22_242).tag("challenge", &challenge);
    let note = draft(1).tag("challenge", &challenge).tag("relay", URL);
    let table = [
        ("another connection", proof(&foreign).by(&keys)),
        (
            "another relay",
            elsewhere.tag("relay", "wss://evil.example").by(&keys),
        ),
        ("another kind", note.by(&keys)),
        ("too old", proof(&challenge).at(NOW - 601).by(&keys)),
        ("from the future", proof(&challenge).at(NOW + 601).by(&keys)),
        ("a wrong signature", unsigned),
        ("another's name", borrowed),
    ];
    for (case, proof) in &table {
        let (accepted, why) = client.prove(proof).await;
        assert!(!accepted && why.starts_with("invalid: "), "{case}: {why}");
        let still_asked = client.publish(&protected(case).by(&keys)).await;
        assert!(still_asked.1.starts_with("auth-required: "), "{case}");
        assert_eq!(client.challenge().await, challenge, "{case}");
    }
    client
        .say(&json!(["AUTH", {"id": hex(&good), "kind": "one"}]))
        .await;
    assert!(!client.ok(&good).await.0);
    client.say(&json!(["AUTH", challenge])).await;
    assert!(client.notice().await.starts_with("invalid: "));
    assert_eq!(client.prove(&good).await, (true, String::new()));
    harbour.stop().await;
}

#[tokio::test]
async fn nip42_a_proof_is_never_an_event() {
    let harbour = Harbour::open().await;
    let (mut client, mut spy) = (harbour.client().await, harbour.client().await);
    spy.req("proofs", &[json!({"kinds": [22_242]}), json!({})])
        .await;
    let challenge = is_asked(&mut client).await;
    let proof = proof(&challenge).by(&Keys::generate());
    let (accepted, why) = client.publish(&proof).await;
    assert!(!accepted && why.starts_with("invalid: "), "{why}");
    assert!(client.prove(&proof).await.0);
    assert_eq!(client.count("all", &[json!({})]).await, 0);
    spy.hears_nothing_else().await;
    harbour.stop().await;
}

#[tokio::test]
async fn nip42_a_connection_proves_twenty_keys_at_most() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let challenge = is_asked(&mut client).await;
    let first = proof(&challenge).by(&Keys::generate());
    assert!(client.prove(&first).await.0);
    for _ in 1..20 {
        assert!(
            client
                .prove(&proof(&challenge).by(&Keys::generate()))
                .await
                .0
        );
    }
    let (accepted, why) = client.prove(&proof(&challenge).by(&Keys::generate())).await;
    assert!(!accepted && why.starts_with("rate-limited: "), "{why}");
    assert!(client.prove(&first).await.0, "a proven key stays proven");
    harbour.stop().await;
}

#[tokio::test]
async fn nip42_proofs_and_counts_use_up_the_allowance() {
    let frames = Some(Rate {
        per_second: 1,
        burst: 1,
    });
    let harbour = Harbour::with(RelayLimits { frames, ..limits() }).await;
    let mut client = harbour.client().await;
    let mut proofs = Vec::new();
    for _ in 0..10 {
        proofs.push(proof("guessed").by(&Keys::generate()));
        client.say(&json!(["AUTH", proofs.last()])).await;
        client.ask_count("many", &[json!({})]).await;
    }
    let mut refused = 0;
    for proof in &proofs {
        refused += usize::from(client.ok(proof).await.1.starts_with("rate-limited: "));
    }
    assert!(refused >= 5, "{refused} refused");
    assert!(client.closed("many").await.starts_with("rate-limited: "));
    harbour.stop().await;
}

/// Shows events to their authors alone.
struct OwnWords;

impl QueryPolicy for OwnWords {
    fn admit(&self, session: &Session, _: &[Filter]) -> Result<(), Refusal> {
        if session.authenticated.is_empty() {
            return Err(Refusal::new(Prefix::AuthRequired, "who are you?"));
        }
        Ok(())
    }

    fn may_see(&self, session: &Session, _: &Filter, event: EventHead) -> bool {
        session.authenticated.contains(&event.author)
    }
}

#[tokio::test]
async fn nip42_a_reading_policy_may_ask_and_sees_who_answered() {
    let harbour = Harbour::guarded_by(OwnWords).await;
    let (mut alice, mut author) = (harbour.client().await, harbour.client().await);
    let (hers, his) = (Keys::generate(), Keys::generate());
    let (note, other) = (draft(1).by(&hers), draft(1).by(&his));
    assert!(author.publish(&note).await.0);
    assert!(author.publish(&other).await.0);

    alice.subscribe("notes", &[json!({})]).await;
    let asked = alice.next().await;
    assert_eq!(asked[0], "AUTH", "the challenge comes before the refusal");
    assert_eq!(alice.closed("notes").await, "auth-required: who are you?");
    alice.ask_count("notes", &[json!({})]).await;
    assert_eq!(
        alice.next().await,
        asked,
        "the same for the whole connection"
    );
    assert_eq!(alice.closed("notes").await, "auth-required: who are you?");

    let challenge = asked[1].as_str().unwrap();
    assert!(alice.prove(&proof(challenge).by(&hers)).await.0);
    assert_eq!(alice.req("notes", &[json!({})]).await, [hex(&note)]);
    assert_eq!(alice.count("notes", &[json!({})]).await, 1);
    let later = draft(1).text("later").by(&his);
    assert!(author.publish(&later).await.0);
    let live = draft(1).text("live").by(&hers);
    assert!(author.publish(&live).await.0);
    assert_eq!(alice.live("notes").await, hex(&live));
    assert!(alice.prove(&proof(challenge).by(&his)).await.0);
    let latest = draft(1).text("latest").by(&his);
    assert!(author.publish(&latest).await.0);
    assert_eq!(
        alice.live("notes").await,
        hex(&latest),
        "a proof counts for open subscriptions"
    );
    alice.hears_nothing_else().await;
    harbour.stop().await;
}

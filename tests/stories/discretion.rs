//! What the relay shows to whom, and who may say what on it.

use escrow_core::wire::order_event::ORDER;
use escrow_core::wire::{OrderKind, Transport};
use nostr::event::{Event, Tag};
use nostr::key::Keys;
use serde_json::json;

use crate::envelopes::{direct, event, now, tagged};
use crate::listener::Listener;
use crate::town::Town;

/// Messages to the node are metadata: they are decided and gone.
#[tokio::test]
async fn messages_to_the_node_are_neither_stored_nor_passed_on() {
    let mut town = Town::new().await;
    let node = town.key();
    let mut alice = town.person("alice", Transport::Direct).await;
    let mut bob = town.person("bob", Transport::GiftWrap).await;
    let friend = Keys::generate();
    let to_both = json!({"kinds": [14, 1059], "#p": [node, friend.public_key()]});
    let mut ear = Listener::at(town.url()).await;
    assert_eq!(ear.subscribes(to_both.clone()).await, Ok(vec![]));
    alice.offers(OrderKind::Sell, 10_000).await;
    bob.offers(OrderKind::Buy, 10_000).await;
    // The first that comes is what was said last, and to somebody else.
    let chat = event(&Keys::generate(), 14, friend.public_key(), "chat");
    let said = Listener::at(town.url()).await.publishes(&chat).await;
    assert_eq!(said, (true, String::new()));
    assert_eq!(ear.hears().await, chat.id.to_hex());
    let mut late = Listener::at(town.url()).await;
    assert_eq!(late.subscribes(to_both).await, Ok(vec![chat.id.to_hex()]));
}

/// One filter must not list the trade keys of everybody.
#[tokio::test]
async fn the_nodes_letters_are_shown_to_who_knows_the_recipient() {
    let mut town = Town::new().await;
    let node = town.key();
    let mut alice = town.person("alice", Transport::Direct).await;
    let mut bob = town.person("bob", Transport::GiftWrap).await;
    alice.offers(OrderKind::Sell, 10_000).await;
    bob.offers(OrderKind::Sell, 10_000).await;
    let mut ear = Listener::at(town.url()).await;
    for filter in [
        json!({"kinds": [14], "authors": [node]}),
        json!({"kinds": [1059]}),
        json!({"kinds": [14, 1059]}),
        json!({"kinds": [14], "authors": [node], "#p": []}),
    ] {
        let refused = ear.subscribes(filter.clone()).await;
        let quiet = match &refused {
            Ok(shown) => shown.is_empty(),
            Err(why) => why.starts_with("restricted: "),
        };
        assert!(quiet, "{filter}: {refused:?}");
    }
    let mine = json!({"kinds": [14], "authors": [node], "#p": [alice.key()]});
    assert_eq!(ear.subscribes(mine).await.unwrap().len(), 1);
    let wrapped = json!({"kinds": [1059], "#p": [bob.key()]});
    assert_eq!(ear.subscribes(wrapped).await.unwrap().len(), 1);
    // Everything by the node, but the letters.
    let all = ear.subscribes(json!({"authors": [node]})).await.unwrap();
    assert!(!all.is_empty());
    let letters = json!({"ids": all, "kinds": [14, 1059], "#p": [alice.key(), bob.key()]});
    assert_eq!(ear.subscribes(letters).await, Ok(vec![]));
}

/// Parties chat with keys that nobody has announced (wire 11).
#[tokio::test]
async fn the_chat_of_strangers_is_carried() {
    let town = Town::new().await;
    let (author, shared) = (Keys::generate(), Keys::generate().public_key());
    let mut ear = Listener::at(town.url()).await;
    let by_author = json!({"kinds": [14], "authors": [author.public_key()]});
    assert_eq!(ear.subscribes(by_author.clone()).await, Ok(vec![]));
    let chat = event(&author, 14, shared, "sealed");
    let mut mouth = Listener::at(town.url()).await;
    assert_eq!(mouth.publishes(&chat).await, (true, String::new()));
    assert_eq!(ear.hears().await, chat.id.to_hex());
    let old = event(&Keys::generate(), 1_059, shared, "sealed");
    assert_eq!(mouth.publishes(&old).await, (true, String::new()));
    let to_shared = json!({"kinds": [1059], "#p": [shared]});
    assert_eq!(ear.subscribes(to_shared).await, Ok(vec![old.id.to_hex()]));
    assert_eq!(ear.subscribes(by_author).await, Ok(vec![chat.id.to_hex()]));
}

#[tokio::test]
async fn only_the_node_publishes_with_its_key() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let order = alice.offers(OrderKind::Sell, 10_000).await;
    let mut thief = Listener::at(town.url()).await;
    let d = |value: String| Tag::parse(["d".to_owned(), value]).unwrap();
    let forged = [
        tagged(&town.keys, ORDER, [d(order.to_string())], ""),
        tagged(&town.keys, 1, [], "we are closed"),
        tagged(&town.keys, 0, [], "{}"),
        event(&town.keys, 14, Keys::generate().public_key(), "pay me"),
        tagged(&town.keys, 5, [d(order.to_string())], ""),
    ];
    for event in forged {
        let (taken, why) = thief.publishes(&event).await;
        assert!(!taken && why.starts_with("blocked: "), "{why}");
    }
    // An operator who uses the key writes to the node itself.
    let cancel = r#"{"order":{"version":2,"action":"cancel","payload":null}}"#;
    let text = format!("[{cancel},null,null]");
    let own = direct(&town.keys, town.key(), &text);
    assert_eq!(thief.publishes(&own).await, (true, String::new()));
}

/// Rule of the relay: orders of other nodes are carried, so many of each.
#[tokio::test]
async fn foreign_orders_are_carried_within_a_quota() {
    let town = Town::with(|settings| settings.relay.orders_per_foreign_key = 2).await;
    let stranger = Keys::generate();
    let order = |d: &str, at: u64| {
        let tags = [["d", d], ["z", "order"], ["s", "pending"]];
        let tags = tags.map(|tag| Tag::parse(tag).unwrap());
        dated(&stranger, tags, at)
    };
    let mut mouth = Listener::at(town.url()).await;
    let at = now() - 10;
    for (event, fits) in [
        (order("a", at), true),
        (order("b", at), true),
        (order("c", at), false),
        (order("a", at + 1), true),
    ] {
        let (taken, why) = mouth.publishes(&event).await;
        assert_eq!(taken, fits, "{why}");
    }
    let all = json!({"kinds": [38383], "authors": [stranger.public_key()]});
    assert_eq!(mouth.subscribes(all).await.unwrap().len(), 2);
}

fn dated(author: &Keys, tags: [Tag; 3], at: u64) -> Event {
    use nostr::event::{EventBuilder, FinalizeEvent, Kind};
    EventBuilder::new(Kind::from_u16(ORDER), "")
        .tags(tags)
        .custom_created_at(nostr::types::Timestamp::from_secs(at))
        .finalize(author)
        .unwrap()
}

//! Clients who read too slowly, say too little, or stay until the end.

use std::time::Duration;

use mostro_relay::relay::RelayLimits;
use nostr::event::Event;
use nostr::key::Keys;
use relay_policy::Receipt;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harbour::{Harbour, draft, limits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_who_stops_reading_is_closed_with_a_reason() {
    let limits = RelayLimits {
        waiting_bytes: 100_000,
        closing_time: Duration::from_secs(30),
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let mut author = harbour.client().await;
    let mut sleeper = harbour.client_with_small_buffer().await;
    let mut reader = harbour.client().await;
    sleeper.req("all", &[json!({"kinds": [1]})]).await;
    reader.req("all", &[json!({"kinds": [1]})]).await;
    for event in &pages(300) {
        assert_eq!(author.publish(event).await, (true, String::new()));
        assert_eq!(
            reader.live("all").await,
            event.id.to_hex(),
            "who reads misses nothing"
        );
    }
    let ended = sleeper.reads_to_the_end().await;
    assert_eq!(ended.frame.map(|frame| frame.code), Some(CloseCode::Policy));
    assert!(ended.notices[0].contains("too slow"), "{:?}", ended.notices);
    drop((author, sleeper, reader));
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_waits_for_a_slow_reader() {
    let limits = RelayLimits {
        waiting_bytes: 100_000,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    harbour.relay.publish(pages(200)).await.unwrap();
    let mut slow = harbour.client_with_small_buffer().await;
    slow.subscribe("history", &[json!({"kinds": [1]})]).await;
    let mut other = harbour.client().await;
    assert_eq!(
        other.req("history", &[json!({"kinds": [1]})]).await.len(),
        200
    );
    assert_eq!(slow.stored("history").await.len(), 200);
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_much_waits_for_all_who_does_not_read_is_closed() {
    let limits = RelayLimits {
        waiting_bytes_in_all: 600_000,
        closing_time: Duration::from_secs(30),
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let mut sleeper = harbour.client_with_small_buffer().await;
    let mut reader = harbour.client().await;
    sleeper.req("all", &[json!({"kinds": [1]})]).await;
    reader.req("all", &[json!({"kinds": [1]})]).await;
    for page in pages(300) {
        harbour.relay.publish(vec![page.clone()]).await.unwrap();
        assert_eq!(reader.live("all").await, page.id.to_hex());
    }
    let ended = sleeper.reads_to_the_end().await;
    assert_eq!(ended.frame.map(|frame| frame.code), Some(CloseCode::Policy));
    let told = &ended.notices[0];
    assert!(told.contains("too many for all clients"), "{told}");
    drop((sleeper, reader));
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_part_of_an_answer_ends_where_its_bytes_do() {
    let limits = RelayLimits {
        answer_bytes: 1_000_000,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let mut pages = pages(101);
    let live = pages.pop().unwrap();
    harbour.relay.publish(pages.clone()).await.unwrap();
    pages.sort();
    let newest: Vec<String> = pages.iter().map(|page| page.id.to_hex()).collect();
    let mut client = harbour.client().await;
    let notes = json!({"kinds": [1]});
    let two = [notes.clone(), json!({"kinds": [1], "limit": 40})];
    assert_eq!(client.req("all", &[notes]).await, newest[..32]);
    assert_eq!(client.req("each", &two).await, newest[..16]);
    let ids = json!({"ids": newest});
    assert_eq!(client.req("ids", &[ids]).await, newest[..32]);
    harbour.relay.publish(vec![live.clone()]).await.unwrap();
    assert_eq!(client.live("all").await, live.id.to_hex());
    harbour.stop().await;
}

/// Notes of some 30,300 bytes each.
fn pages(count: u16) -> Vec<Event> {
    let (keys, page) = (Keys::generate(), "x".repeat(30_000));
    let numbers = 0..count;
    numbers
        .map(|number| draft(1).text(format!("{number}{page}")).by(&keys))
        .collect()
}

#[tokio::test]
async fn a_silent_client_is_closed_with_a_reason() {
    let limits = RelayLimits {
        idle_after: Duration::from_millis(200),
        ping_every: Duration::from_secs(3_600),
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let ended = harbour.client().await.reads_to_the_end().await;
    assert_eq!(ended.frame.map(|frame| frame.code), Some(CloseCode::Policy));
    assert!(ended.notices[0].contains("idle"), "{:?}", ended.notices);
    harbour.stop().await;
}

#[tokio::test]
async fn pings_keep_a_listener_connected() {
    let limits = RelayLimits {
        idle_after: Duration::from_millis(1_500),
        ping_every: Duration::from_millis(50),
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let (mut listener, mut author) = (harbour.client().await, harbour.client().await);
    listener.req("notes", &[json!({"kinds": [1]})]).await;
    let keys = Keys::generate();
    let begun = std::time::Instant::now();
    let mut number = 0_u64;
    while begun.elapsed() < 2 * limits.idle_after {
        let note = draft(1).text(number.to_string()).by(&keys);
        number += 1;
        author.publish(&note).await;
        assert_eq!(listener.live("notes").await, note.id.to_hex());
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_stop_says_goodbye_and_ends() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    client.req("all", &[json!({})]).await;
    let stopped = harbour.stop();
    let ended = client.reads_to_the_end().await;
    assert_eq!(ended.frame.map(|frame| frame.code), Some(CloseCode::Away));
    assert!(ended.notices[0].contains("stopping"), "{:?}", ended.notices);
    drop(client);
    stopped.await;
}

#[tokio::test]
async fn a_stop_waits_for_receipts_but_not_for_who_waits_in_line() {
    let limits = RelayLimits {
        receipts_per_connection: 1,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let mut trader = harbour.client().await;
    let messages: Vec<Event> = (0..3)
        .map(|_| draft(14).to(&harbour.node).by(&Keys::generate()))
        .collect();
    for message in &messages {
        trader.offer(message).await;
    }
    let decided = harbour.delivery().await;
    let in_line = harbour.delivery().await;
    assert_eq!(
        (&decided.event.id, &in_line.event.id),
        (&messages[0].id, &messages[1].id)
    );
    let stopped = harbour.stop();
    let ended = trader.reads_to_the_end().await;
    assert_eq!(ended.frame.map(|frame| frame.code), Some(CloseCode::Away));
    let receipt = Receipt {
        accepted: true,
        message: String::new(),
    };
    decided.receipt.send(receipt.clone()).unwrap();
    assert!(
        in_line.receipt.send(receipt).is_err(),
        "nobody waits for it any more"
    );
    drop(trader);
    stopped.await;
}

//! One event, many listeners.

use nostr::event::Event;
use nostr::key::Keys;
use serde_json::{Value, json};

use crate::harbour::{Client, Harbour, draft};

const LISTENERS: usize = 40;
const EVENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_reaches_each_listener_whole_and_in_order() {
    let harbour = Harbour::open().await;
    let keys = Keys::generate();
    let events: Vec<Event> = (0..EVENTS)
        .map(|number| {
            let kind = if number % 2 == 0 { 1 } else { 7 };
            let text = number.to_string();
            draft(kind).text(text).tag("t", number % 4).by(&keys)
        })
        .collect();
    let me = keys.public_key().to_hex();
    // Every filter is filed in another place of the index; some names are shared.
    let table = [
        ("all", json!({}), [true; 4]),
        ("all", json!({"authors": [me]}), [true; 4]),
        (
            "ones",
            json!({"kinds": [1], "authors": [me]}),
            [true, false, true, false],
        ),
        ("ones", json!({"kinds": [1]}), [true, false, true, false]),
        (
            "some",
            json!({"#t": ["1", "2"]}),
            [false, true, true, false],
        ),
    ];
    let mut listeners: Vec<(Client, [bool; 4])> = Vec::new();
    for number in 0..LISTENERS {
        let (name, filter, wanted) = &table[number % table.len()];
        let mut listener = harbour.client().await;
        listener.req(name, std::slice::from_ref(filter)).await;
        listeners.push((listener, *wanted));
    }
    let mut author = harbour.client().await;
    for event in &events {
        author.offer(event).await;
    }
    for (number, (mut listener, wanted)) in listeners.into_iter().enumerate() {
        let name = table[number % table.len()].0;
        for (number, event) in events.iter().enumerate() {
            if wanted[number % 4] {
                assert_eq!(listener.live(name).await, event.id.to_hex());
            }
        }
        listener.hears_nothing_else().await;
    }
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_comes_whole_with_its_end_behind_it() {
    let harbour = Harbour::open().await;
    let keys = Keys::generate();
    let newest_first: Vec<Event> = (0..300_u64)
        .map(|age| {
            draft(1)
                .at(crate::harbour::NOW - age)
                .text("x".repeat(1_000))
                .by(&keys)
        })
        .collect();
    harbour.relay.publish(newest_first.clone()).await.unwrap();
    let mut client = harbour.client().await;
    let expected: Vec<String> = newest_first.iter().map(|it| it.id.to_hex()).collect();
    for number in 0..3 {
        let all: Value = json!({"kinds": [1]});
        assert_eq!(client.req(&number.to_string(), &[all]).await, expected);
    }
    client.hears_nothing_else().await;
    harbour.stop().await;
}

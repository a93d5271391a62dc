//! Much at once: the order of one connection, and what is left for the others.

use futures_util::future::join;
use mostro_relay::relay::RelayLimits;
use nostr::event::Event;
use nostr::key::Keys;
use relay_policy::Receipt;
use serde_json::{Value, json};

use crate::harbour::{Harbour, draft, limits};

const STORED: (bool, String) = (true, String::new());

fn notes(count: usize) -> Vec<Event> {
    let keys = Keys::generate();
    (0..count)
        .map(|number| draft(1).text(number.to_string()).by(&keys))
        .collect()
}

fn offered(event: &Event) -> Value {
    json!(["EVENT", event])
}

fn hex(event: &Event) -> String {
    event.id.to_hex()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_in_one_breath_is_followed_in_its_order() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let events = notes(80);
    let (before, rest) = events.split_at(30);
    let (during, after) = rest.split_at(20);
    let mut words: Vec<Value> = before.iter().map(offered).collect();
    words.push(json!(["REQ", "closed", {"limit": 0}]));
    words.push(json!(["REQ", "all", {"kinds": [1]}]));
    words.extend(during.iter().map(offered));
    words.push(json!(["CLOSE", "closed"]));
    words.extend(after.iter().map(offered));
    client.burst(&words).await;
    for event in &events {
        assert_eq!(client.ok(event).await, STORED);
    }
    let mut all = client.stored("all").await;
    while all.len() < events.len() {
        all.push(client.live("all").await);
    }
    all.sort();
    let mut expected: Vec<String> = events.iter().map(hex).collect();
    expected.sort();
    assert_eq!(all, expected, "each event once, stored or live");
    let shown = client.shown_meanwhile("closed");
    assert!(
        after.iter().all(|event| !shown.contains(&hex(event))),
        "shown to a subscription that was closed before"
    );
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_event_in_a_crowd_is_refused_alone() {
    let harbour = Harbour::open().await;
    let mut client = harbour.client().await;
    let mut events = notes(60);
    for wrong in events.iter_mut().step_by(7) {
        wrong.content.push('!');
    }
    client
        .burst(&events.iter().map(offered).collect::<Vec<_>>())
        .await;
    for (number, event) in events.iter().enumerate() {
        let (accepted, message) = client.ok(event).await;
        assert_eq!(accepted, number % 7 != 0, "{message}");
    }
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_room_for_what_is_unsaved_slows_down_and_loses_nothing() {
    let limits = RelayLimits {
        unsaved_bytes: 2_000,
        saves_per_connection: 3,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let (mut alice, mut bob) = (harbour.client().await, harbour.client().await);
    let (hers, his) = (notes(30), notes(30));
    let offer_all = |events: &[Event]| events.iter().map(offered).collect::<Vec<_>>();
    let (hers_offered, his_offered) = (offer_all(&hers), offer_all(&his));
    join(alice.burst(&hers_offered), bob.burst(&his_offered)).await;
    for (hers, his) in hers.iter().zip(&his) {
        assert_eq!(alice.ok(hers).await, STORED);
        assert_eq!(bob.ok(his).await, STORED);
    }
    let limit = 2 * hers.len();
    assert_eq!(alice.req("all", &[json!({})]).await.len(), limit);
    harbour.stop().await;
}

/// Messages to the node are handed over as they are reached, so the deliveries tell who
/// was served when.
#[tokio::test]
async fn a_flood_leaves_others_their_turn() {
    const FLOOD: usize = 1_500;
    const TRADES: usize = 10;
    let limits = RelayLimits {
        receipts_per_connection: FLOOD,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let (mut flooder, mut trader) = (harbour.client().await, harbour.client().await);
    let message = |_| draft(14).to(&harbour.node).by(&Keys::generate());
    let flood: Vec<Event> = (0..FLOOD).map(message).collect();
    let own: Vec<Event> = (0..TRADES).map(message).collect();
    let flooding = async {
        let words: Vec<Value> = flood.iter().map(offered).collect();
        flooder.burst(&words).await;
    };
    let trading = async {
        for trade in &own {
            assert_eq!(trader.publish(trade).await, STORED);
        }
    };
    let deciding = async {
        let mut served = Vec::new();
        while served.len() < FLOOD + TRADES {
            let delivery = harbour.delivery().await;
            served.push(own.contains(&delivery.event));
            let (accepted, message) = STORED;
            delivery
                .receipt
                .send(Receipt { accepted, message })
                .unwrap();
        }
        served
    };
    let ((), ((), served)) = join(flooding, join(trading, deciding)).await;
    let last_trade = served.iter().rposition(|is_trade| *is_trade).unwrap();
    assert!(
        last_trade < FLOOD / 2,
        "the last trade was number {last_trade}"
    );
    harbour.stop().await;
}

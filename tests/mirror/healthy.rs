//! Mirrors that do what they should, most of the time.

use crate::bridge::Bridge;
use crate::place::{Place, foreign_relay};

#[tokio::test]
async fn what_the_node_publishes_is_on_every_mirror() {
    let (_one, one) = foreign_relay().await;
    let (_other, other) = foreign_relay().await;
    let urls = [format!("ws://{one}"), format!("ws://{other}")];
    let place = Place::with_mirrors(&urls).await;
    for name in ["a", "b", "c"] {
        place.says(name, 1).await;
    }
    let mut own = place.reader_of(place.relay()).await;
    let mut shown = Vec::new();
    // Three orders and the list of relays.
    for _ in 0..4 {
        shown.push(own.event().await);
    }
    for relay in [one, other] {
        place.reader_of(relay).await.sees_all(&shown).await;
    }
    place.all_is_acknowledged().await;

    let list = shown
        .iter()
        .find(|event| event.kind.as_u16() == 10_002)
        .unwrap();
    let listed: Vec<_> = list
        .tags
        .iter()
        .map(|tag| tag.as_slice()[1].as_str())
        .collect();
    let own = "wss://own.example".to_owned();
    assert_eq!(listed, [&own, &urls[0], &urls[1]], "our own address first");
}

#[tokio::test]
async fn after_an_outage_the_newest_revisions_arrive_and_nothing_else() {
    let (_relay, relay) = foreign_relay().await;
    let bridge = Bridge::to(relay).await;
    let mut place = Place::with_mirrors(&[bridge.url()]).await;
    place.says("before", 1).await;
    let mut reader = place.reader_of(relay).await;
    let first = place.shown().await;
    reader.sees_all(&first).await;
    place.all_is_acknowledged().await;

    bridge.falls();
    for revision in 1..=3 {
        for name in 0..20 {
            place.says(&name.to_string(), revision).await;
        }
    }
    place.closes().await;
    assert_eq!(place.waits_on_disk(), 20, "one row per address");
    place.opens().await;
    let crossings = bridge.crossings();
    for name in 0..20 {
        place.says(&name.to_string(), 4).await;
    }
    let mut own = place.reader_of(place.relay()).await;
    own.sees_revisions("4", 20).await;
    bridge.stands_again();

    reader.sees_revisions("4", 20).await;
    place.all_is_acknowledged().await;
    let orders = reader.seen.iter().filter(|it| it.kind.as_u16() == 38_383);
    let revisions: Vec<_> = orders.map(|event| event.content.as_str()).collect();
    assert_eq!(revisions[0], "1", "the order from before");
    assert_eq!(revisions[1..], ["4"; 20], "nothing between");
    assert!(
        bridge.crossings() > crossings,
        "it was called again and again"
    );
}

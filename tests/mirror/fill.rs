//! A mirror that is listed when the node has published already.

use escrow_engine::submission::{MirrorNews, MirrorReport};
use storage::ledger::{Filled, OutboxSeq};

use crate::bridge::Bridge;
use crate::place::{Place, foreign_relay};

/// More than one page of the fill.
const ORDERS: usize = 300;

async fn published(place: &Place) {
    let names: Vec<_> = (0..ORDERS).map(|name| name.to_string()).collect();
    let saying = names.iter().map(|name| place.says(name, 1));
    futures_util::future::join_all(saying).await;
}

#[tokio::test]
async fn a_mirror_that_is_listed_later_gets_the_book_once() {
    let (_relay, relay) = foreign_relay().await;
    let mut place = Place::with_mirrors(&[]).await;
    published(&place).await;
    place.moves_to(&[format!("ws://{relay}")]).await;
    let mut reader = place.reader_of(relay).await;
    reader.sees_revisions("1", ORDERS).await;
    place.status(|mirror| mirror.is_filled).await;
    place.all_is_acknowledged().await;
    place.says("7", 2).await;
    reader.sees_revisions("2", 1).await;
    place.all_is_acknowledged().await;

    place.closes().await;
    assert_eq!(place.on_disk().filled, Filled::All);
    assert_eq!(place.waits_on_disk(), 0);
}

#[tokio::test]
async fn a_fill_survives_outages_and_restarts_and_brings_no_old_revision() {
    let (_relay, relay) = foreign_relay().await;
    let bridge = Bridge::to(relay).await;
    let mut place = Place::with_mirrors(&[]).await;
    published(&place).await;
    bridge.falls();
    place.moves_to(&[bridge.url()]).await;
    for name in 0..ORDERS / 2 {
        place.says(&name.to_string(), 2).await;
    }
    let view = place.node().escrow().unwrap().views().view().unwrap();
    let (_, mirror) = view.mirrors().unwrap().remove(0);
    assert_eq!(
        mirror.filled,
        Filled::Nothing,
        "nobody is there to bring it to"
    );
    bridge.stands_again();
    let mut reader = place.reader_of(relay).await;
    reader.sees_revisions("1", 20).await;
    bridge.falls();
    place.closes().await;
    bridge.stands_again();
    place.opens().await;
    reader.sees_revisions("1", ORDERS - ORDERS / 2).await;
    reader.sees_revisions("2", ORDERS / 2).await;
    place.status(|mirror| mirror.is_filled).await;
    place.all_is_acknowledged().await;
    let outdated = reader.seen.iter().filter(|event| {
        let name = event.tags.identifier().and_then(|name| name.parse().ok());
        event.content == "1" && name.is_some_and(|name: usize| name < ORDERS / 2)
    });
    assert_eq!(outdated.count(), 0);
}

#[tokio::test]
async fn a_revision_that_was_read_too_long_ago_is_left_out() {
    let (_relay, relay) = foreign_relay().await;
    let bridge = Bridge::to(relay).await;
    let place = Place::with_mirrors(&[bridge.url()]).await;
    place.status(|mirror| mirror.is_filled).await;
    place.all_is_acknowledged().await;
    bridge.falls();
    place.says("a", 1).await;
    let escrow = place.node().escrow().unwrap();
    let mirror = escrow.mirrors()[0];
    let view = escrow.views().view().unwrap();
    let rows = view.backlog_from(mirror, OutboxSeq(0), 10).unwrap();
    let orders = rows.into_iter().map(|(_, row)| row);
    let of_order = orders.filter(|row| row.event.contains("38383"));
    let read: Vec<_> = of_order.collect();
    assert_eq!(read.len(), 1);
    place.says("a", 2).await;
    bridge.stands_again();
    place.all_is_acknowledged().await;
    bridge.falls();
    let news = MirrorNews::Fill {
        events: read,
        filled: Filled::All,
    };
    escrow
        .report_mirror(MirrorReport { mirror, news })
        .await
        .unwrap();
    let view = escrow.views().view().unwrap();
    let rows = view.backlog_from(mirror, OutboxSeq(0), 10).unwrap();
    assert!(!rows.iter().any(|(_, row)| row.event.contains("38383")));
}

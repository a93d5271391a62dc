//! What the event database gets wrong, shown on the database itself.
//!
//! Each of these is the reason for something in `storage::events`. When one of them
//! fails, the database has been mended, and that something may go.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on shall stop there"
)]

use std::path::Path;

use futures_util::future::{join, join_all};
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::Keys;
use nostr::types::Timestamp;
use nostr_database::{NostrDatabase, SaveEventStatus};
use nostr_lmdb::NostrLmdb;

const NOW: u64 = 1_700_000_000;

async fn open(folder: &Path) -> NostrLmdb {
    open_with_room(folder, 16 << 20).await
}

async fn open_with_room(folder: &Path, map_size_bytes: usize) -> NostrLmdb {
    let database = NostrLmdb::builder(folder).map_size(map_size_bytes);
    database.build().await.unwrap()
}

fn event(by: &Keys, kind: u16, at: u64, tags: &[&[&str]]) -> Event {
    let tags = tags
        .iter()
        .map(|tag| Tag::parse(tag.iter().copied()).unwrap());
    EventBuilder::new(Kind::from(kind), "")
        .tags(tags)
        .custom_created_at(Timestamp::from(at))
        .finalize(by)
        .unwrap()
}

async fn is_stored_after(database: &NostrLmdb, event: &Event) -> bool {
    database.save_event(event).await.unwrap();
    database.event_by_id(&event.id).await.unwrap().is_some()
}

#[tokio::test]
async fn authors_kinds_and_tags_with_a_limit_are_not_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let mostro = Keys::generate();
    let mut orders = Vec::new();
    for age in 0..30 {
        let name = age.to_string();
        let order = event(
            &mostro,
            38_383,
            NOW - age,
            &[&["d", &name], &["s", "pending"]],
        );
        database.save_event(&order).await.unwrap();
        orders.push(order);
    }
    let filter = Filter::new()
        .author(mostro.public_key())
        .kind(Kind::from(38_383))
        .custom_tag(SingleLetterTag::LOWERCASE_S, "pending");
    let found = database.query(filter.limit(5)).await.unwrap();
    assert!(found.iter().ne(orders.iter().take(5)));
}

#[tokio::test]
async fn ids_with_a_limit_are_not_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let keys = Keys::generate();
    let notes: Vec<Event> = (0..30).map(|age| event(&keys, 1, NOW - age, &[])).collect();
    for note in &notes {
        database.save_event(note).await.unwrap();
    }
    let filter = Filter::new().ids(notes.iter().map(|note| note.id)).limit(5);
    let found = database.query(filter).await.unwrap();
    assert!(found.iter().ne(notes.iter().take(5)));
}

#[tokio::test]
async fn two_names_that_share_182_bytes_replace_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let keys = Keys::generate();
    let prefix = "x".repeat(182);
    let [first, second] = ["1", "2"].map(|end| format!("{prefix}{end}"));
    let first = event(&keys, 30_000, NOW, &[&["d", &first]]);
    let second = event(&keys, 30_000, NOW + 1, &[&["d", &second]]);
    assert!(is_stored_after(&database, &first).await);
    assert!(is_stored_after(&database, &second).await);
    assert_eq!(database.event_by_id(&first.id).await.unwrap(), None);
}

#[tokio::test]
async fn an_addressable_event_without_a_name_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let keys = Keys::generate();
    for at in [NOW, NOW + 1] {
        assert!(is_stored_after(&database, &event(&keys, 30_000, at, &[])).await);
    }
    assert_eq!(database.count(Filter::new()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_deletion_that_comes_before_its_event_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let keys = Keys::generate();
    let note = event(&keys, 1, NOW, &[]);
    let deletion = event(&keys, 5, NOW, &[&["e", &note.id.to_hex()]]);
    assert!(is_stored_after(&database, &deletion).await);
    assert!(is_stored_after(&database, &note).await);
}

#[tokio::test]
async fn a_late_older_deletion_weakens_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let keys = Keys::generate();
    let address = format!("38383:{}:a", keys.public_key().to_hex());
    let order = event(&keys, 38_383, NOW + 5, &[&["d", "a"]]);
    for (at, is_held_off) in [(NOW + 10, true), (NOW, false)] {
        let deletion = event(&keys, 5, at, &[&["a", &address]]);
        assert!(is_stored_after(&database, &deletion).await);
        assert_eq!(is_stored_after(&database, &order).await, !is_held_off);
    }
}

#[tokio::test]
async fn expired_events_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let order = event(&Keys::generate(), 1, NOW, &[&["expiration", "1700000001"]]);
    assert!(is_stored_after(&database, &order).await);
    assert_eq!(database.query(Filter::new()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_event_that_cannot_be_written_fails_others() {
    let folder = tempfile::tempdir().unwrap();
    let database = open_with_room(folder.path(), 2 << 20).await;
    let keys = Keys::generate();
    let giant = EventBuilder::new(Kind::TextNote, "x".repeat(4 << 20));
    let giant = giant.finalize(&keys).unwrap();
    // Which events share a transaction is a matter of time: of this many some do.
    for round in 0..50 {
        let notes = (0..20).map(|age| event(&keys, 1, NOW - round * 20 - age, &[]));
        let notes: Vec<Event> = notes.collect();
        let others = notes.iter().map(|note| database.save_event(note));
        let (_, others) = join(database.save_event(&giant), join_all(others)).await;
        if others.iter().any(Result::is_err) {
            return;
        }
        assert!(
            others
                .iter()
                .all(|saved| matches!(saved, Ok(SaveEventStatus::Success)))
        );
    }
    panic!("no other event has failed");
}

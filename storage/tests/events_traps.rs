//! Each thing the database gets wrong, or that a crash could, by name.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on shall stop there"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::Keys;
use nostr::types::Timestamp;
use storage::events::{Counted, EventStore, EventStoreError, EventStoreOptions, Kept, Saved};

const NOW: u64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from(NOW)
}

async fn open(folder: &Path) -> EventStore {
    open_with_room(folder, 256 << 20).await
}

async fn open_with_room(folder: &Path, map_size_bytes: usize) -> EventStore {
    let options = EventStoreOptions {
        map_size_bytes,
        ..EventStoreOptions::default()
    };
    EventStore::open(folder, options).await.unwrap()
}

fn event(by: &Keys, kind: u16, at: u64, tags: &[&[&str]]) -> Event {
    EventBuilder::new(Kind::from(kind), "")
        .tags(
            tags.iter()
                .map(|tag| Tag::parse(tag.iter().copied()).unwrap()),
        )
        .custom_created_at(Timestamp::from(at))
        .finalize(by)
        .unwrap()
}

async fn save(store: &EventStore, event: &Event) -> Saved {
    store.save(event).await.unwrap()
}

fn stored(event: &Event) -> Saved {
    Saved::Stored(Kept::of(event))
}

async fn find(store: &EventStore, filter: Filter) -> Vec<Event> {
    events(&store.query(vec![filter], now()).await.unwrap())
}

async fn all(store: &EventStore) -> Vec<Event> {
    find(store, Filter::new()).await
}

fn events(found: &[Arc<Kept>]) -> Vec<Event> {
    found.iter().map(|kept| kept.event()).collect()
}

#[tokio::test]
async fn pending_orders_of_one_mostro_are_its_newest() {
    // Orders are answered from memory, the other kind by the database.
    for kind in [38_383, 38_000] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let (mostro, other) = (Keys::generate(), Keys::generate());
        let mut orders = Vec::new();
        for number in 0..60_u64 {
            let name = number.to_string();
            let status = if number % 2 == 0 {
                "pending"
            } else {
                "success"
            };
            let tags: [&[&str]; 3] = [&["d", &name], &["s", status], &["z", "order"]];
            let by = |keys| event(keys, kind, NOW - number, &tags);
            orders.extend([by(&mostro), by(&other)]);
        }
        let saved = join_all(orders.iter().map(|order| save(&store, order))).await;
        assert!(saved.into_iter().eq(orders.iter().map(stored)));
        for limit in [1, 5, 20, 30, 1_000] {
            let filter = Filter::new()
                .author(mostro.public_key())
                .kind(Kind::from(kind))
                .custom_tag(SingleLetterTag::LOWERCASE_S, "pending")
                .custom_tag(SingleLetterTag::LOWERCASE_Z, "order")
                .limit(limit);
            let found = find(&store, filter).await;
            let pending = orders.iter().step_by(4);
            assert!(
                found.iter().eq(pending.take(limit)),
                "{limit} of kind {kind}"
            );
        }
    }
}

#[tokio::test]
async fn ids_with_a_limit_are_the_newest_not_the_lowest() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    let notes: Vec<Event> = (0..20).map(|age| event(&keys, 1, NOW - age, &[])).collect();
    for note in &notes {
        save(&store, note).await;
    }
    let filter = Filter::new().ids(notes.iter().map(|note| note.id)).limit(3);
    let found = find(&store, filter).await;
    assert!(found.iter().eq(notes.iter().take(3)));
}

#[tokio::test]
async fn what_may_not_answer_does_not_use_up_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    // Pages of any size end within a second here.
    let notes: Vec<Event> = (0..1_500_u64)
        .map(|number| event(&keys, 1, NOW - number / 500, &[&["n", &number.to_string()]]))
        .collect();
    join_all(notes.iter().map(|note| save(&store, note))).await;
    let in_order = all(&store).await;
    assert_eq!(in_order.len(), notes.len());
    for (limit, one_in) in [(1, 1_500), (3, 500), (10, 100), (100, 7), (2_000, 2)] {
        let usable: Vec<Event> = in_order
            .iter()
            .skip(one_in - 1)
            .step_by(one_in)
            .cloned()
            .collect();
        let filter = Filter::new().limit(limit);
        let may_answer = |_: &Filter, kept: &Kept| usable.iter().any(|event| event.id == kept.id);
        let found = store
            .query_where(vec![filter], now(), usize::MAX, may_answer)
            .await
            .unwrap();
        assert!(
            events(&found).iter().eq(usable.iter().take(limit)),
            "{limit} of one in {one_in}"
        );
    }
}

#[tokio::test]
async fn an_answer_of_large_events_ends_where_its_bytes_do() {
    const LARGE: usize = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    // Notes are read page by page and by id, lists of relays from memory. After a page
    // of small notes comes one of large ones, and all of them share a few seconds.
    let large = |kind: u16, number: u64, size| {
        EventBuilder::new(Kind::from(kind), "x".repeat(size))
            .tag(Tag::parse(["d", &number.to_string()]).unwrap())
            .custom_created_at(Timestamp::from(NOW - number / 100))
            .finalize(&keys)
            .unwrap()
    };
    let mut all: Vec<Event> = (0..600_u64)
        .map(|number| large(1, number, if number < 130 { 0 } else { LARGE }))
        .collect();
    all.extend((0..100).map(|number| large(38_383, number, LARGE)));
    join_all(all.iter().map(|event| save(&store, event))).await;
    all.sort();
    for kind in [1, 38_383] {
        let in_order = all.iter().filter(|event| event.kind.as_u16() == kind);
        let in_order: Vec<&Event> = in_order.collect();
        let by_kind = Filter::new().kind(Kind::from(kind));
        let by_id = Filter::new().ids(in_order.iter().map(|event| event.id));
        for filter in [by_kind, by_id] {
            for most_bytes in [0, 1, LARGE, 10 * LARGE, 64 * LARGE, usize::MAX] {
                let query = store.query_where(vec![filter.clone()], now(), most_bytes, |_, _| true);
                let found = events(&query.await.unwrap());
                assert!(found.iter().eq(in_order.iter().copied().take(found.len())));
                let bytes = |count| -> usize {
                    let events = in_order.iter().take(count);
                    events.map(|event| event.as_json().len()).sum()
                };
                assert!(!found.is_empty());
                assert!(found.len() == 1 || bytes(found.len()) <= most_bytes);
                assert!(found.len() == in_order.len() || bytes(found.len() + 1) > most_bytes);
            }
        }
    }
}

#[tokio::test]
async fn each_event_is_counted_once_and_limits_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (alice, bob) = (Keys::generate(), Keys::generate());
    let over = (NOW - 1).to_string();
    for by in [&alice, &bob] {
        for age in 0..3 {
            save(&store, &event(by, 1, NOW - age, &[])).await;
        }
        save(&store, &event(by, 1, NOW, &[&["expiration", &over]])).await;
    }
    let filters = vec![
        Filter::new().author(alice.public_key()).limit(1),
        Filter::new().kind(Kind::TextNote).since((NOW - 1).into()),
    ];
    let everyone = store.count_where(filters.clone(), now(), |_, _| true);
    assert_eq!(everyone.await.unwrap(), Counted::Exactly(5));
    let not_bob = |_: &Filter, kept: &Kept| kept.author != bob.public_key();
    let without_bob = store.count_where(filters, now(), not_bob);
    assert_eq!(without_bob.await.unwrap(), Counted::Exactly(3));
}

#[tokio::test]
async fn names_that_an_index_cannot_tell_apart_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    let prefix = "x".repeat(182);
    let table: [&[&[&str]]; 3] = [
        &[&["d", &format!("{prefix}1")]],
        &[&["d", "a\0"]],
        &[&["d", "a"], &["d", "b"]],
    ];
    for tags in table {
        let saved = save(&store, &event(&keys, 30_000, NOW, tags)).await;
        assert!(matches!(saved, Saved::Unkeepable(_)), "{saved:?}");
    }
    let (a, longest) = (
        event(&keys, 30_000, NOW, &[&["d", "a"]]),
        event(&keys, 30_000, NOW - 1, &[&["d", &prefix]]),
    );
    save(&store, &a).await;
    save(&store, &longest).await;
    assert_eq!(all(&store).await, [a, longest]);
}

#[tokio::test]
async fn an_addressable_event_without_a_name_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    let without = event(&keys, 30_000, NOW, &[]);
    let valueless = event(&keys, 30_000, NOW + 1, &[&["d"]]);
    let empty = event(&keys, 30_000, NOW + 2, &[&["d", ""]]);
    for event in [&without, &valueless, &empty] {
        assert_eq!(save(&store, event).await, stored(event));
        assert_eq!(all(&store).await, std::slice::from_ref(event));
    }
    for event in [&without, &valueless] {
        assert_eq!(save(&store, event).await, Saved::Superseded);
    }
    assert_eq!(save(&store, &empty).await, Saved::Duplicate);
}

#[tokio::test]
async fn a_deletion_may_come_before_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let (author, stranger) = (Keys::generate(), Keys::generate());
    let note = event(&author, 1, NOW, &[]);
    let id = note.id.to_hex();
    {
        let store = open(folder.path()).await;
        save(&store, &event(&stranger, 5, NOW, &[&["e", &id]])).await;
        save(&store, &event(&author, 5, NOW, &[&["e", &id]])).await;
    }
    let store = open(folder.path()).await;
    assert_eq!(
        save(&store, &note).await,
        Saved::Deleted,
        "also after a restart"
    );
}

#[tokio::test]
async fn a_late_older_deletion_does_not_weaken_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    let address = format!("38383:{}:a", keys.public_key().to_hex());
    let deletion = |at| event(&keys, 5, at, &[&["a", &address]]);
    let order = |at| event(&keys, 38_383, at, &[&["d", "a"]]);
    save(&store, &deletion(NOW + 10)).await;
    save(&store, &deletion(NOW)).await;
    assert_eq!(save(&store, &order(NOW + 10)).await, Saved::Deleted);
    let newer = order(NOW + 11);
    assert_eq!(save(&store, &newer).await, stored(&newer));
    save(&store, &deletion(NOW + 5)).await;
    assert!(all(&store).await.contains(&newer));
}

#[tokio::test]
async fn a_deletion_cannot_be_deleted_nor_purged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    let note = event(&keys, 1, NOW, &[]);
    let over = (NOW - 1).to_string();
    let deletion = event(
        &keys,
        5,
        NOW,
        &[&["e", &note.id.to_hex()], &["expiration", &over]],
    );
    save(&store, &deletion).await;
    save(
        &store,
        &event(&keys, 5, NOW, &[&["e", &deletion.id.to_hex()]]),
    )
    .await;
    assert_eq!(store.purge_expired(now()).await.unwrap(), 0);
    assert_eq!(save(&store, &note).await, Saved::Deleted);
    assert_eq!(
        store.get(deletion.id, now()).await.unwrap(),
        None,
        "expired all the same"
    );
}

#[tokio::test]
async fn an_expired_event_is_never_returned_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    // More events in one second than a page of the purge holds.
    let notes = (0..1_300_u64).map(|number| {
        let name = number.to_string();
        let expires = (NOW - 1 + 2 * (number % 2)).to_string();
        event(
            &keys,
            1,
            NOW - 10,
            &[&["t", &name], &["expiration", &expires]],
        )
    });
    let notes: Vec<Event> = notes.collect();
    join_all(notes.iter().map(|note| save(&store, note))).await;
    let lasting: Vec<_> = notes
        .iter()
        .skip(1)
        .step_by(2)
        .map(|note| note.id)
        .collect();
    let expired_id = event(&keys, 1, NOW, &[&["expiration", &(NOW - 1).to_string()]]);
    save(&store, &expired_id).await;
    assert_eq!(store.get(expired_id.id, now()).await.unwrap(), None);
    let newest = store
        .query(vec![Filter::new().limit(1)], now())
        .await
        .unwrap();
    assert!(lasting.contains(&newest.first().unwrap().id));
    let left = all(&store)
        .await
        .into_iter()
        .map(|event| event.id)
        .collect::<BTreeSet<_>>();
    assert_eq!(left, lasting.into_iter().collect());
    assert_eq!(store.purge_expired(now()).await.unwrap(), 651);
    assert_eq!(store.purge_expired(now()).await.unwrap(), 0);
    let earlier = Timestamp::from(NOW - 100);
    assert_eq!(
        store
            .query(vec![Filter::new()], earlier)
            .await
            .unwrap()
            .len(),
        650
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_versions_at_once_the_best_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    for name in [&["d", "a"][..], &["d", ""], &["t", "no d"]] {
        let versions: Vec<Event> = (0..300_u64)
            .map(|number| {
                let number = number.to_string();
                event(&keys, 30_000, NOW + 7, &[name, &["n", &number]])
            })
            .collect();
        join_all(versions.iter().map(|version| save(&store, version))).await;
        let best = versions.iter().min_by_key(|version| version.id).unwrap();
        let stored = all(&store).await;
        assert!(stored.contains(best));
        let deletion = event(&keys, 5, NOW, &[&["e", &best.id.to_hex()]]);
        save(&store, &deletion).await;
        assert!(
            all(&store)
                .await
                .iter()
                .all(|event| event.kind == Kind::EventDeletion)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_written_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_room(folder.path(), 2 << 20).await;
    let keys = Keys::generate();
    let giant = EventBuilder::new(Kind::TextNote, "x".repeat(4 << 20))
        .finalize(&keys)
        .unwrap();
    let notes: Vec<Event> = (0..40).map(|age| event(&keys, 1, NOW - age, &[])).collect();
    let mut saves: Vec<_> = notes.iter().map(|note| store.save(note)).collect();
    saves.insert(20, store.save(&giant));
    let mut outcomes = join_all(saves).await;
    let failure = outcomes.remove(20).unwrap_err();
    assert!(
        matches!(failure, EventStoreError::Save { id, .. } if id == giant.id),
        "{failure}"
    );
    for (outcome, note) in outcomes.into_iter().zip(&notes) {
        assert_eq!(outcome.unwrap(), stored(note));
    }
    assert_eq!(all(&store).await, notes);
}

#[tokio::test]
async fn a_version_that_cannot_be_written_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_room(folder.path(), 2 << 20).await;
    let keys = Keys::generate();
    let order = event(&keys, 38_383, NOW, &[&["d", "a"]]);
    save(&store, &order).await;
    let giant = EventBuilder::new(Kind::from(38_383), "x".repeat(4 << 20))
        .tag(Tag::identifier("a"))
        .custom_created_at(Timestamp::from(NOW + 1))
        .finalize(&keys)
        .unwrap();
    store.save(&giant).await.unwrap_err();
    let filter = Filter::new().kind(Kind::from(38_383));
    assert_eq!(find(&store, filter).await, [order]);
}

#[tokio::test]
async fn what_is_removed_is_not_found_by_id_either() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let keys = Keys::generate();
    let soon = (NOW - 1).to_string();
    for kind in [1, 38_383, 30_000] {
        let named = |at, name| event(&keys, kind, at, &[&["d", name]]);
        let expiring = event(&keys, kind, NOW - 9, &[&["d", "b"], &["expiration", &soon]]);
        let (deleted, replaced) = (named(NOW - 9, "a"), named(NOW - 9, "c"));
        for event in [&deleted, &expiring, &replaced] {
            save(&store, event).await;
            let earlier = Timestamp::from(NOW - 5);
            let found = store.get(event.id, earlier).await.unwrap().unwrap();
            assert_eq!(found.event(), *event);
        }
        save(
            &store,
            &event(&keys, 5, NOW, &[&["e", &deleted.id.to_hex()]]),
        )
        .await;
        save(&store, &named(NOW, "c")).await;
        store.purge_expired(now()).await.unwrap();
        let ids = [&deleted, &expiring, &replaced].map(|event| event.id);
        let early = Timestamp::from(NOW - 5);
        let left = store
            .query(vec![Filter::new().ids(ids)], early)
            .await
            .unwrap();
        let left: Vec<_> = left.iter().map(|kept| kept.id).collect();
        let is_never_replaced = kind == 1;
        assert_eq!(
            left == [replaced.id],
            is_never_replaced,
            "kind {kind}: {left:?}"
        );
        assert!(left.len() < 2);
    }
}

#[test]
fn the_database_is_read_beside_the_tasks_and_memory_at_once() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let keys = Keys::generate();
        let (note, order) = (event(&keys, 1, NOW, &[]), event(&keys, 38_383, NOW, &[]));
        save(&store, &note).await;
        save(&store, &order).await;

        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || is_done.recv());
        let by_kind = |event: &Event| find(&store, Filter::new().kind(event.kind));
        let mut reading = Box::pin(by_kind(&note));
        assert_eq!(reading.as_mut().now_or_never(), None);
        assert_eq!(by_kind(&order).now_or_never(), Some(vec![order.clone()]));
        let by_id = store.get(note.id, now()).now_or_never();
        assert_eq!(by_id.unwrap().unwrap().unwrap().event(), note);

        drop(done);
        busy.await.unwrap().unwrap_err();
        assert_eq!(reading.await, [note]);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_saves_and_reads_than_places_all_come_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let options = EventStoreOptions {
        map_size_bytes: 256 << 20,
        saves_in_flight: 2,
        reads_at_once: 1,
        ..EventStoreOptions::default()
    };
    let store = EventStore::open(folder.path(), options).await.unwrap();
    let keys = Keys::generate();
    save(&store, &event(&keys, 5, NOW, &[])).await;
    let notes: Vec<Event> = (0..100)
        .map(|age| event(&keys, 1, NOW - age, &[]))
        .collect();
    let saved = join_all(notes.iter().map(|note| save(&store, note))).await;
    assert!(saved.into_iter().eq(notes.iter().map(stored)));
    let reads = join_all(notes.iter().map(|note| store.get(note.id, now()))).await;
    assert!(
        reads
            .into_iter()
            .map(Result::unwrap)
            .map(|found| found.unwrap().event())
            .eq(notes)
    );
}

//! Memory against the database, after many writes at once.

use std::collections::HashMap;
use std::mem::discriminant;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use nostr::event::{Event, Signature, Tag, Tags};
use nostr::filter::SingleLetterTag;
use nostr::key::PublicKey;
use nostr::types::Timestamp;

use super::super::{EventStore, EventStoreOptions, Saved};
use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

async fn open(folder: &Path, live_bytes: usize) -> EventStore {
    let options = EventStoreOptions {
        map_size_bytes: 64 << 20,
        live_bytes,
        ..EventStoreOptions::default()
    };
    EventStore::open(folder, options).await.unwrap()
}

/// An event that nobody signed; the store takes events as verified.
fn event(author: u8, kind: u16, at: u64, number: u64, tags: &[[&str; 2]]) -> Event {
    let mut id = [author; 32];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let tags = tags.iter().map(|tag| Tag::parse(*tag).unwrap());
    Event::new(
        EventId::from_byte_array(id),
        PublicKey::from_byte_array([author; 32]),
        Timestamp::from_secs(at),
        Kind::from_u16(kind),
        Tags::from_list(tags.collect()),
        "x".repeat(200),
        Signature::from_slice(&[1; 64]).unwrap(),
    )
}

/// Orders and other events of few addresses, some of them deleted, some expired.
fn history(seed: u64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for number in 0..600 {
        let dice = (seed * 1_000 + number).wrapping_mul(0xd134_2543_de82_ef95) >> 20;
        let at = 900 + dice / 3 % 12;
        let name = (dice / 40 % 6).to_string();
        let (d, s) = (
            ["d", &name],
            ["s", ["pending", "success"][usize::from(dice % 10 < 5)]],
        );
        let tags: (u16, &[[&str; 2]]) = match dice / 1_000 % 10 {
            0 => (5, &[]),
            1 => (0, &[]),
            2 => (30_078, &[["t", "no name"]]),
            3 => (38_383, &[d, s, ["expiration", "950"]]),
            4 => (38_386, &[d, s]),
            _ => (38_383, &[d, s, ["z", "order"]]),
        };
        let author = 1 + u8::from(dice % 7 < 3);
        let earlier = events.iter().rev().nth(usize::try_from(dice % 40).unwrap());
        let event = match (tags, earlier) {
            ((5, _), Some(victim)) => {
                let (author, id) = (victim.pubkey.as_bytes()[0], victim.id.to_hex());
                event(author, 5, at, number, &[["e", &id]])
            }
            (_, Some(again)) if (dice / 10_000).is_multiple_of(5) => again.clone(),
            ((kind, tags), _) => event(author, kind, at, number, tags),
        };
        events.push(event);
    }
    events
}

async fn in_database(store: &EventStore, kind: u16) -> Vec<EventId> {
    let found = store.read(Filter::new().kind(Kind::from_u16(kind))).await;
    found.unwrap().iter().map(|event| event.id).collect()
}

async fn in_memory(store: &EventStore, kind: u16) -> Option<Vec<EventId>> {
    let filter = Filter::new().kind(Kind::from_u16(kind));
    let found = store
        .memory
        .newest(&filter, Room::UNBOUNDED, |_| true)
        .await?;
    Some(found.iter().map(|kept| kept.id).collect())
}

/// Asserts that every rack holds what the database does, and that its lists do.
async fn assert_equal(store: &EventStore) {
    for kind in KINDS {
        let stored = in_database(store, kind).await;
        assert_eq!(
            in_memory(store, kind).await.as_ref(),
            Some(&stored),
            "kind {kind}"
        );
    }
    let book = store.memory.look_up();
    for holding in book.racks.values() {
        holding.whole().unwrap().assert_lists_are_right();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_holds_what_the_database_does_after_many_writes_at_once() {
    let mut outcomes = HashMap::<_, u32>::new();
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path(), 16 << 20).await;
        for batch in history(seed).chunks(150) {
            let purge = store.purge_expired(NOW);
            let (saved, purged) =
                join(join_all(batch.iter().map(|it| store.save(it))), purge).await;
            assert!(purged.is_ok());
            for saved in saved {
                let saved = saved.unwrap();
                *outcomes.entry(discriminant(&saved)).or_insert(0) += 1;
            }
            store.purge_expired(NOW).await.unwrap();
            assert_equal(&store).await;
        }
        assert!(in_memory(&store, 38_383).await.unwrap().len() > 3);
        drop(store);
        store = open(folder.path(), 16 << 20).await;
        assert_equal(&store).await;
    }
    for saved in [Saved::Superseded, Saved::Deleted, Saved::Duplicate] {
        // How often depends on who comes first.
        let has_happened = outcomes.contains_key(&discriminant(&saved));
        assert!(has_happened, "{saved:?}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_newer_version_stays_when_an_older_one_is_taken_in_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 << 20).await;
    let order = |at, number| event(1, 38_383, at, number, &[["d", "a"]]);
    let (first, second) = (order(900, 1), order(901, 2));
    store.save(&first).await.unwrap();
    store.save(&second).await.unwrap();
    store.memory.stored(&Kept::of(&first));
    assert_eq!(in_memory(&store, 38_383).await, Some(vec![second.id]));
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_leaves_memory_in_doubt_until_the_next_purge() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 << 20).await;
    let (order, note) = (
        event(1, 38_383, 900, 1, &[["d", "a"]]),
        event(1, 1, 900, 2, &[]),
    );
    store.save(&note).await.unwrap();
    assert!(store.memory.get(note.id).is_some());
    let busy = store.shared_batch.write().await;
    assert!(store.save(&order).now_or_never().is_none());
    drop(busy);
    assert_eq!(in_memory(&store, 38_383).await, None);
    assert!(store.memory.get(note.id).is_none());

    store.save(&order).await.unwrap();
    assert_eq!(in_memory(&store, 38_383).await, None);
    // Nobody waits for this one either; how far it comes is a matter of time.
    drop(store.fill_memory().now_or_never());
    store.purge_expired(NOW).await.unwrap();
    assert_eq!(in_memory(&store, 38_383).await, Some(vec![order.id]));
    store.get(note.id, NOW).await.unwrap().unwrap();
    assert!(store.memory.get(note.id).is_some());
}

#[tokio::test]
async fn who_fills_the_room_of_other_kinds_does_not_push_out_orders() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 64 << 10).await;
    let order = event(1, 38_383, 900, 1, &[["d", "a"]]);
    let relays = event(1, 10_002, 900, 2, &[]);
    let profiles = (3..40).map(|author| event(author, 0, 900, 3, &[]));
    let profiles: Vec<Event> = profiles.collect();
    for event in profiles.iter().chain([&order, &relays]) {
        store.save(event).await.unwrap();
    }
    assert_eq!(in_memory(&store, 0).await, None, "the largest gives way");
    assert_eq!(in_memory(&store, 38_383).await, Some(vec![order.id]));
    assert_eq!(in_memory(&store, 10_002).await, Some(vec![relays.id]));
    let all = Filter::new().kinds([Kind::Metadata, Kind::from_u16(38_383)]);
    assert_eq!(store.query(vec![all], NOW).await.unwrap().len(), 38);

    // There is room again for what is left.
    let ids = profiles.iter().skip(5).map(|profile| profile.id);
    store.remove(&ids.collect::<Vec<_>>()).await.unwrap();
    store.purge_expired(NOW).await.unwrap();
    assert_equal(&store).await;
}

#[tokio::test]
async fn what_was_read_before_a_removal_is_not_taken_in_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 << 20).await;
    let note = event(1, 1, 900, 1, &[]);
    let since = store.memory.read_begins();
    store.save(&note).await.unwrap();
    store.remove(&[note.id]).await.unwrap();
    store.memory.read(&Kept::of(&note), since);
    assert!(store.memory.get(note.id).is_none());
    store
        .memory
        .read(&Kept::of(&note), store.memory.read_begins());
    assert!(store.memory.get(note.id).is_some());
}

#[tokio::test]
async fn what_was_asked_for_last_is_found_within_its_room() {
    let memory = Memory::new(0, 100 << 10);
    memory.recent().open();
    let notes: Vec<_> = (0..1_000)
        .map(|number| Kept::of(&event(1, 1, 900, number, &[])))
        .collect();
    for note in &notes {
        memory.stored(note);
        assert!(
            memory.get(notes[0].id).is_some(),
            "it is asked for again and again"
        );
    }
    let held = notes.iter().filter(|note| memory.get(note.id).is_some());
    let held: usize = held.map(|note| note.size_bytes()).sum();
    assert!((40 << 10..100 << 10).contains(&held), "{held} bytes");
}

#[tokio::test]
async fn a_long_answer_is_right_across_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 << 20).await;
    let status = |number| {
        if number % 7 == 0 {
            "pending"
        } else {
            "success"
        }
    };
    let orders = (0..3_000_u64).map(|number| {
        let (name, at) = (number.to_string(), 500 + number % 8 * 40);
        let tags = [
            ["d", &name],
            ["s", status(number)],
            ["k", "sell"],
            ["k", "buy"],
        ];
        event(
            1 + u8::try_from(number % 2).unwrap(),
            38_383 + u16::from(number % 5 == 0),
            at,
            number,
            &tags,
        )
    });
    let orders: Vec<Event> = orders.collect();
    for order in &orders {
        store.memory.stored(&Kept::of(order));
    }
    let mut in_order: Vec<Arc<Kept>> = orders.iter().map(Kept::of).collect();
    in_order.sort();
    let both = Filter::new().kinds([Kind::from_u16(38_383), Kind::from_u16(38_384)]);
    let authors = [1, 2].map(|author| PublicKey::from_byte_array([author; 32]));
    let filters = [
        both.clone(),
        both.clone().authors(authors),
        both.clone()
            .authors(authors)
            .custom_tag(SingleLetterTag::LOWERCASE_S, "pending"),
        both.clone().since(540.into()).until(700.into()),
        both.clone().custom_tags(
            SingleLetterTag::LOWERCASE_D,
            (0..2_000).map(|it| it.to_string()),
        ),
        both.clone()
            .custom_tags(SingleLetterTag::LOWERCASE_K, ["sell", "buy"]),
        both.ids(orders.iter().skip(500).map(|order| order.id)),
    ];
    for filter in &filters {
        for wanted in [1, 10, 400, 1_500, usize::MAX] {
            let room = Room {
                events: wanted,
                ..Room::UNBOUNDED
            };
            let found = store
                .memory
                .newest(filter, room, |kept| kept.matches(filter))
                .await;
            let expected = in_order
                .iter()
                .filter(|kept| kept.matches(filter))
                .take(wanted);
            assert!(found.unwrap().iter().eq(expected), "{wanted} of {filter:?}");
        }
    }
}

#[test]
fn seconds_beyond_what_a_spot_can_say_are_told_apart_all_the_same() {
    let times = [
        Timestamp::min(),
        7.into(),
        (1 << 41).into(),
        Timestamp::max(),
    ];
    let mut rack = Rack::default();
    for (number, at) in (0..).zip(times) {
        rack.put(&Kept::of(&event(
            1,
            38_383,
            at.as_secs(),
            number,
            &[["d", &number.to_string()]],
        )));
    }
    let (first, last) = (Second::of(0.into()), Second::of(Timestamp::max()));
    assert_eq!((first, last), (Second::FIRST, Second::LAST));
    rack.assert_lists_are_right();
    let since = Filter::new().since(((1 << 41) + 1).into());
    let range = Spot::back_in_time(Second::LAST, Second::of((1 << 41).into()));
    let lists = rack.narrowest(&since);
    let found = lists.iter().flat_map(|list| list.range(&range));
    let found = found
        .filter_map(|spot| rack.at(spot))
        .filter(|kept| kept.matches(&since));
    assert_eq!(
        found.map(|kept| kept.created_at).collect::<Vec<_>>(),
        [Timestamp::max()]
    );
}

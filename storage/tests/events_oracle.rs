//! The event store against a naive store in memory: random events, replacements,
//! deletions, expiries and filters must give the same answers.
//!
//! `EVENT_STORE_ROUNDS=500 cargo test --workspace --test events_oracle` runs longer;
//! `EVENT_STORE_SEED=7` starts at another seed. A failure prints its seed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on shall stop there"
)]

use std::collections::{BTreeMap, BTreeSet};

use nostr::event::{Event, EventBuilder, EventId, FinalizeEvent, Kind, Tag};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::{Keys, SecretKey};
use nostr::types::Timestamp;
use storage::events::{EventStore, EventStoreOptions, Kept, Saved};

const EVENTS_PER_ROUND: usize = 400;
const QUERIES_PER_EVENT: usize = 2;
const BEGIN: u64 = 1_000;
const SECONDS: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_answers_as_a_naive_one_does() {
    let rounds = number_from_env("EVENT_STORE_ROUNDS").unwrap_or(8);
    let first = number_from_env("EVENT_STORE_SEED").unwrap_or(1);
    let (mut checks, mut hits) = (0, 0);
    for seed in first..first + rounds {
        let (round_checks, round_hits) = play(seed).await;
        checks += round_checks;
        hits += round_hits;
    }
    println!("{checks} checks, {hits} events returned");
    assert!(
        hits > checks,
        "the filters of this test find next to nothing"
    );
}

async fn play(seed: u64) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let options = EventStoreOptions {
        map_size_bytes: 64 << 20,
        ..EventStoreOptions::default()
    };
    let mut store = EventStore::open(folder.path(), options).await.unwrap();
    let mut naive = Naive::default();
    let mut dice = Dice(seed);
    let world = World::new(&mut dice);
    let (mut checks, mut hits) = (0, 0);

    for step in 0..EVENTS_PER_ROUND {
        let event = dice.pick(&world.events).clone();
        let expected = naive.save(&event);
        let saved = store.save(&event).await.unwrap();
        assert_eq!(saved, expected, "seed {seed}, step {step}: {event:?}");
        if dice.one_in(40) {
            let now = dice.second();
            let purged = store.purge_expired(now).await.unwrap();
            assert_eq!(purged, naive.purge(now), "seed {seed}, step {step}: purge");
        }
        if dice.one_in(60) {
            drop(store);
            store = EventStore::open(folder.path(), options).await.unwrap();
        }
        for _ in 0..QUERIES_PER_EVENT {
            let filters: Vec<Filter> = (0..=dice.below(2))
                .map(|_| world.filter(&mut dice))
                .collect();
            let now = dice.second();
            let found = store.query(filters.clone(), now).await.unwrap();
            let found: Vec<EventId> = found.iter().map(|kept| kept.id).collect();
            let expected = ids(&naive.query(&filters, now));
            assert_eq!(
                found, expected,
                "seed {seed}, step {step}: {filters:?} at {now}"
            );
            checks += 1;
            hits += found.len();
        }
    }
    (checks, hits)
}

fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// The rules of the protocol, written down without any regard for speed.
#[derive(Default)]
struct Naive(BTreeMap<EventId, Event>);

impl Naive {
    fn save(&mut self, event: &Event) -> Saved {
        if event.kind.is_ephemeral() {
            return Saved::Ephemeral;
        }
        if self.0.contains_key(&event.id) {
            return Saved::Duplicate;
        }
        if event.kind == Kind::EventDeletion {
            self.0.retain(|_, stored| !deletes(event, stored));
        } else if self.0.values().any(|stored| deletes(stored, event)) {
            return Saved::Deleted;
        }
        if let Some(address) = address(event) {
            let mut rivals = self
                .0
                .values()
                .filter(|it| self::address(it).as_ref() == Some(&address));
            if let Some(rival) = rivals.next().cloned() {
                let stays = rival.created_at > event.created_at
                    || (rival.created_at == event.created_at && rival.id < event.id);
                if stays {
                    return Saved::Superseded;
                }
                self.0.remove(&rival.id);
            }
        }
        self.0.insert(event.id, event.clone());
        Saved::Stored(Kept::of(event))
    }

    fn purge(&mut self, now: Timestamp) -> usize {
        let before = self.0.len();
        self.0
            .retain(|_, event| event.kind == Kind::EventDeletion || !is_over(event, now));
        before - self.0.len()
    }

    fn query(&self, filters: &[Filter], now: Timestamp) -> Vec<Event> {
        let mut found = BTreeMap::new();
        for filter in filters {
            let mut matching: Vec<&Event> = self
                .0
                .values()
                .filter(|event| matches(filter, event) && !is_over(event, now))
                .collect();
            matching.sort_by_key(|event| (u64::MAX - event.created_at.as_secs(), event.id));
            for event in matching
                .into_iter()
                .take(filter.limit.unwrap_or(usize::MAX))
            {
                found.insert(
                    (u64::MAX - event.created_at.as_secs(), event.id),
                    event.clone(),
                );
            }
        }
        found.into_values().collect()
    }
}

fn tag<'a>(event: &'a Event, name: &'a str) -> impl Iterator<Item = &'a str> {
    event
        .tags
        .iter()
        .filter(move |tag| tag.kind() == name)
        .filter_map(|tag| tag.content())
}

fn is_over(event: &Event, now: Timestamp) -> bool {
    tag(event, "expiration")
        .next()
        .is_some_and(|at| at.parse::<u64>().unwrap() < now.as_secs())
}

fn address(event: &Event) -> Option<String> {
    let kind = event.kind.as_u16();
    let name = match kind {
        0 | 3 | 10_000..20_000 => "",
        30_000..40_000 => tag(event, "d").next().unwrap_or(""),
        _ => return None,
    };
    Some(format!("{kind}:{}:{name}", event.pubkey.to_hex()))
}

fn deletes(deletion: &Event, target: &Event) -> bool {
    let kind_is_right = deletion.kind.as_u16() == 5 && target.kind.as_u16() != 5;
    let by_id = tag(deletion, "e").any(|id| id == target.id.to_hex());
    let by_address = address(target).is_some_and(|address| {
        deletion.created_at >= target.created_at && tag(deletion, "a").any(|it| it == address)
    });
    kind_is_right && deletion.pubkey == target.pubkey && (by_id || by_address)
}

fn matches(filter: &Filter, event: &Event) -> bool {
    let one_of = |values: &BTreeSet<String>, letter: &SingleLetterTag| {
        let name = letter.as_char().to_string();
        tag(event, &name).any(|value| values.contains(value))
    };
    filter
        .ids
        .as_ref()
        .is_none_or(|ids| ids.contains(&event.id))
        && filter
            .authors
            .as_ref()
            .is_none_or(|authors| authors.contains(&event.pubkey))
        && filter
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&event.kind))
        && filter.since.is_none_or(|since| event.created_at >= since)
        && filter.until.is_none_or(|until| event.created_at <= until)
        && filter
            .generic_tags
            .iter()
            .all(|(letter, values)| one_of(values, letter))
}

/// Everything that can happen in one round: few authors, kinds, names and seconds, so
/// that events meet.
struct World {
    keys: Vec<Keys>,
    events: Vec<Event>,
}

const KINDS: [u16; 12] = [
    1, 1, 1, 14, 14, 0, 10_002, 38_383, 38_383, 38_383, 30_078, 20_001,
];

impl World {
    fn new(dice: &mut Dice) -> Self {
        let keys: Vec<Keys> = (1..=3)
            .map(|number| Keys::new(SecretKey::from_slice(&[number; 32]).unwrap()))
            .collect();
        let mut world = Self {
            keys,
            events: Vec::new(),
        };
        for _ in 0..EVENTS_PER_ROUND {
            let event = if dice.one_in(8) && !world.events.is_empty() {
                world.deletion(dice)
            } else {
                world.event(dice)
            };
            world.events.push(event);
        }
        world
    }

    fn event(&self, dice: &mut Dice) -> Event {
        let kind = *dice.pick(&KINDS);
        let mut tags: Vec<Vec<String>> = Vec::new();
        if kind >= 30_000 && !dice.one_in(5) {
            tags.push(vec!["d".to_owned(), dice.pick(&names()).clone()]);
        } else if dice.one_in(6) {
            tags.push(vec!["d".to_owned()]);
        }
        for (letter, values) in tag_values(&self.keys) {
            if dice.one_in(2) {
                tags.push(vec![letter.to_string(), dice.pick(&values).clone()]);
            }
        }
        if dice.one_in(4) {
            tags.push(vec![
                "expiration".to_owned(),
                dice.second().as_secs().to_string(),
            ]);
        }
        self.sign(dice, kind, tags)
    }

    fn deletion(&self, dice: &mut Dice) -> Event {
        let tags = (0..=dice.below(3)).map(|_| {
            let target = dice.pick(&self.events);
            match address(target) {
                Some(address) if dice.one_in(2) => vec!["a".to_owned(), address],
                Some(_) | None => vec!["e".to_owned(), target.id.to_hex()],
            }
        });
        let mut tags: Vec<Vec<String>> = tags.collect();
        if dice.one_in(4) {
            tags.push(expiration(dice));
        }
        self.sign(dice, 5, tags)
    }

    fn sign(&self, dice: &mut Dice, kind: u16, tags: Vec<Vec<String>>) -> Event {
        EventBuilder::new(Kind::from(kind), dice.below(1_000).to_string())
            .tags(tags.into_iter().map(|tag| Tag::parse(tag).unwrap()))
            .custom_created_at(dice.second())
            .finalize(dice.pick(&self.keys))
            .unwrap()
    }

    fn filter(&self, dice: &mut Dice) -> Filter {
        let mut filter = Filter::new();
        if dice.one_in(8) {
            filter = filter.ids((0..=dice.below(6)).map(|_| dice.pick(&self.events).id));
        }
        if dice.one_in(2) {
            filter =
                filter.authors((0..=dice.below(2)).map(|_| dice.pick(&self.keys).public_key()));
        }
        if dice.one_in(2) {
            filter = filter.kinds((0..=dice.below(3)).map(|_| Kind::from(*dice.pick(&KINDS))));
        }
        let mut letters = tag_values(&self.keys);
        letters.push(('d', names()));
        letters.push(('e', vec![dice.pick(&self.events).id.to_hex()]));
        for (letter, values) in letters {
            if dice.one_in(7) {
                let letter = SingleLetterTag::from_char(letter).unwrap();
                let values = (0..=dice.below(2)).map(|_| dice.pick(&values).clone());
                filter = filter.custom_tags(letter, values.collect::<Vec<_>>());
            }
        }
        if dice.one_in(5) {
            filter = filter.since(dice.second());
        }
        if dice.one_in(5) {
            filter = filter.until(dice.second());
        }
        if dice.one_in(2) {
            filter = filter.limit(dice.below(8));
        }
        filter
    }
}

fn expiration(dice: &mut Dice) -> Vec<String> {
    vec!["expiration".to_owned(), dice.second().as_secs().to_string()]
}

/// Names that an index could mix up: empty, equal but for the last byte, of full length.
fn names() -> Vec<String> {
    ["", "a", "b", &"x".repeat(181), &"x".repeat(182)]
        .map(str::to_owned)
        .to_vec()
}

/// Tag values; two of them differ only beyond the length of an index key.
fn tag_values(keys: &[Keys]) -> Vec<(char, Vec<String>)> {
    let long = "v".repeat(182);
    let long_values = vec!["short".to_owned(), format!("{long}1"), format!("{long}2")];
    vec![
        ('z', vec!["order".to_owned(), "info".to_owned()]),
        (
            's',
            vec!["pending".to_owned(), "success".to_owned(), String::new()],
        ),
        (
            'p',
            keys.iter().map(|keys| keys.public_key().to_hex()).collect(),
        ),
        ('Q', long_values),
    ]
}

/// A small deterministic generator (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap()
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn second(&mut self) -> Timestamp {
        Timestamp::from(BEGIN + self.roll() % SECONDS)
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a whole number"))
}

//! The event store against a naive store in memory: random events, replacements,
//! deletions, expiries, purges, restarts, filters, counts and look-ups must come to the
//! same.
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
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nostr::event::{Event, EventBuilder, EventId, FinalizeEvent, Kind, Tag};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::{Keys, SecretKey};
use nostr::types::Timestamp;
use storage::events::{Counted, EventStore, EventStoreOptions, Kept, Saved};
use tempfile::TempDir;

const EVENTS_PER_ROUND: usize = 300;
const QUESTIONS_PER_EVENT: usize = 40;
const BEGIN: u64 = 1_000;
const SECONDS: u64 = 40;

/// What the rounds amounted to.
#[derive(Debug, Default)]
struct Tally {
    checks: usize,
    hits: usize,
}

#[test]
fn the_store_answers_as_a_naive_one_does() {
    let rounds = number_from_env("EVENT_STORE_ROUNDS").unwrap_or(9);
    let first = number_from_env("EVENT_STORE_SEED").unwrap_or(1);
    let next = AtomicU64::new(first);
    let mut all = Tally::default();
    thread::scope(|scope| {
        let players = [(); 2].map(|()| scope.spawn(|| play_rounds(&next, first + rounds)));
        for player in players {
            all += player.join().unwrap();
        }
    });
    println!("{all:?}");
    assert!(rounds < 9 || all.checks >= 100_000, "{all:?}");
    assert!(
        all.hits > all.checks,
        "the filters find next to nothing: {all:?}"
    );
}

#[tokio::main(flavor = "current_thread")]
async fn play_rounds(next: &AtomicU64, end: u64) -> Tally {
    let mut tally = Tally::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return tally;
        }
        tally += Round::open(seed).await.play().await;
    }
}

/// One store and its naive twin, from the first event to the last.
struct Round {
    seed: u64,
    dice: Dice,
    world: World,
    options: EventStoreOptions,
    folder: TempDir,
    store: EventStore,
    naive: Naive,
    tally: Tally,
}

impl Round {
    async fn open(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut options = EventStoreOptions {
            map_size_bytes: 64 << 20,
            ..EventStoreOptions::default()
        };
        // In some rounds nearly nothing finds room in memory.
        if seed.is_multiple_of(3) {
            (options.live_bytes, options.recent_bytes) = (16 << 10, 8 << 10);
        }
        let folder = folder_without_a_disk();
        Self {
            seed,
            world: World::new(&mut dice),
            dice,
            options,
            store: EventStore::open(folder.path(), options).await.unwrap(),
            folder,
            naive: Naive::default(),
            tally: Tally::default(),
        }
    }

    async fn play(mut self) -> Tally {
        for step in 0..EVENTS_PER_ROUND {
            let event = self.dice.pick(&self.world.events).clone();
            let saved = self.store.save(&event).await.unwrap();
            let case = format!("seed {}, step {step}", self.seed);
            assert_eq!(saved, self.naive.save(&event), "{case}: {event:?}");
            if self.dice.one_in(40) {
                let now = self.dice.second();
                let purged = self.store.purge_expired(now).await.unwrap();
                assert_eq!(purged, self.naive.purge(now), "{case}: purge at {now}");
            }
            if self.dice.one_in(60) {
                drop(self.store);
                let opened = EventStore::open(self.folder.path(), self.options).await;
                self.store = opened.unwrap();
            }
            for _ in 0..QUESTIONS_PER_EVENT {
                self.ask(&case).await;
            }
        }
        self.tally
    }

    async fn ask(&mut self, case: &str) {
        let now = self.dice.second();
        let hits = match self.dice.below(8) {
            0 => {
                let id = self.dice.pick(&self.world.events).id;
                let found = self.store.get(id, now).await.unwrap();
                let expected = self.naive.get(id, now);
                assert_eq!(
                    found.map(|kept| kept.event()).as_ref(),
                    expected,
                    "{case}: {id}"
                );
                usize::from(expected.is_some())
            }
            1 => {
                let filters = self.filters();
                let counted = self
                    .store
                    .count_where(filters.clone(), now, |_, _| true)
                    .await;
                let expected = self.naive.count(&filters, now);
                let found = counted.unwrap();
                assert_eq!(
                    found,
                    Counted::Exactly(expected),
                    "{case}: {filters:?} at {now}"
                );
                expected
            }
            _ => {
                let filters = self.filters();
                let most_bytes = if self.dice.one_in(4) {
                    self.dice.below(8_000)
                } else {
                    usize::MAX
                };
                let query = self
                    .store
                    .query_where(filters.clone(), now, most_bytes, |_, _| true);
                let found: Vec<EventId> = query.await.unwrap().iter().map(|it| it.id).collect();
                let expected = self.naive.query(&filters, now, most_bytes);
                assert_eq!(
                    found, expected,
                    "{case}: {filters:?} at {now}, {most_bytes} bytes"
                );
                found.len()
            }
        };
        self.tally += Tally { checks: 1, hits };
    }

    fn filters(&mut self) -> Vec<Filter> {
        let number = 1 + self.dice.below(2);
        let filters = (0..number).map(|_| self.world.filter(&mut self.dice));
        filters.collect()
    }
}

/// A folder in memory where there is one: this test is not about the disk.
fn folder_without_a_disk() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.checks += other.checks;
        self.hits += other.hits;
    }
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

    fn get(&self, id: EventId, now: Timestamp) -> Option<&Event> {
        self.0.get(&id).filter(|event| !is_over(event, now))
    }

    fn query(&self, filters: &[Filter], now: Timestamp, most_bytes: usize) -> Vec<EventId> {
        let size = |event: &Event| match most_bytes {
            usize::MAX => 0,
            _ => event.as_json().len(),
        };
        let (mut found, mut bytes_left) = (BTreeSet::new(), most_bytes);
        for (number, filter) in filters.iter().enumerate() {
            let share = bytes_left / (filters.len() - number);
            let mut matching = self.matching(filter, now);
            matching.sort_unstable();
            matching.truncate(filter.limit.unwrap_or(usize::MAX));
            let mut bytes = 0;
            for place in matching {
                let size = size(&self.0[&place.1]);
                if bytes > 0 && bytes + size > share {
                    break;
                }
                bytes += size;
                found.insert(place);
            }
            bytes_left = bytes_left.saturating_sub(bytes);
        }
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn count(&self, filters: &[Filter], now: Timestamp) -> usize {
        let found = filters.iter().flat_map(|filter| self.matching(filter, now));
        found.collect::<BTreeSet<_>>().len()
    }

    /// What matches, by its age and id.
    fn matching(&self, filter: &Filter, now: Timestamp) -> Vec<(u64, EventId)> {
        let all = self.0.values();
        let matching = all.filter(|event| matches(filter, event) && !is_over(event, now));
        matching
            .map(|event| (u64::MAX - event.created_at.as_secs(), event.id))
            .collect()
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
        .is_some_and(|at| at.parse::<u64>().unwrap() <= now.as_secs())
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

const KINDS: [u16; 14] = [
    1, 1, 1, 14, 14, 0, 10_002, 10_003, 20_001, 30_023, 30_078, 38_383, 38_383, 38_386,
];

/// Kinds that the store answers for without the disk.
const LIVE_KINDS: [u16; 5] = [0, 10_002, 30_078, 38_383, 38_386];

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
            for _ in 0..dice.below(3) {
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
            let from = if dice.one_in(2) {
                &KINDS[..]
            } else {
                &LIVE_KINDS
            };
            filter = filter.kinds((0..=dice.below(3)).map(|_| Kind::from(*dice.pick(from))));
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

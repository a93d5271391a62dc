//! One filter, to a store of known events.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::filter::{Filter, MatchEventOptions, SingleLetterTag};
use nostr::key::{Keys, PublicKey, SecretKey};
use nostr::types::Timestamp;
use relay_policy::{EventHead, QueryPolicy, Reading, Session};
use storage::events::{Counted, EventStore, EventStoreOptions, Kept, Saved};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The second in which every question is asked.
const NOW: u64 = 1_700_000_000;

const PRIVATE: [u16; 3] = [4, 14, 1059];

/// The same events in two stores, one of which answers what it can from memory and the
/// other all from disk, and in a list.
pub(crate) struct Filters {
    runtime: Runtime,
    stores: [EventStore; 2],
    events: Vec<(Event, Arc<Kept>)>,
    node: PublicKey,
    _folders: [TempDir; 2],
}

impl Filters {
    pub(crate) fn open() -> Self {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let with_memory = EventStoreOptions::default();
        let without = EventStoreOptions {
            live_bytes: 0,
            recent_bytes: 0,
            ..with_memory
        };
        let open = |folder: &TempDir, options| {
            let opening = EventStore::open(folder.path(), options);
            runtime.block_on(opening).unwrap()
        };
        let stores = [open(&folders[0], with_memory), open(&folders[1], without)];
        let node = keys(7);
        let mut events = Vec::new();
        for event in stock(&node) {
            for store in &stores {
                let saved = runtime.block_on(store.save(&event)).unwrap();
                assert!(matches!(saved, Saved::Stored(_)), "{saved:?}");
            }
            events.push((event.clone(), Kept::of(&event)));
        }
        events.sort_by(|(_, a), (_, b)| a.cmp(b));
        Self {
            runtime,
            stores,
            events,
            node: node.public_key(),
            _folders: folders,
        }
    }

    /// Checks one filter; tells whether the text was one.
    pub(crate) fn check(&self, data: &[u8]) -> bool {
        let Ok(filter) = Filter::from_json(data) else {
            return false;
        };
        let again = Filter::from_json(filter.as_json());
        assert_eq!(
            again.expect("it was written by the one who reads it"),
            filter
        );
        self.check_matching(&filter);
        self.check_answer(&filter);
        self.check_secrets(&filter);
        true
    }

    /// The library's matching and ours agree, where both have an opinion.
    fn check_matching(&self, filter: &Filter) {
        // An empty list and a search mean something else to the library.
        let matches_none = filter.search.is_some() || has_empty_list(filter);
        for (event, kept) in &self.events {
            let expected = !matches_none && filter.match_event(event, MatchEventOptions::new());
            assert_eq!(kept.matches(filter), expected, "{event:?}");
        }
    }

    /// The stores find what the list finds, in the same order, and count it.
    fn check_answer(&self, filter: &Filter) {
        let now = Timestamp::from(NOW);
        let expected: Vec<_> = self
            .events
            .iter()
            .filter(|(_, kept)| kept.matches(filter) && !kept.is_expired_at(now))
            .map(|(event, _)| event.id)
            .collect();
        let limit = filter.limit.unwrap_or(usize::MAX).min(expected.len());
        for store in &self.stores {
            let found = store.query(vec![filter.clone()], now);
            let found = self.runtime.block_on(found).unwrap();
            let found: Vec<_> = found.iter().map(|kept| kept.id).collect();
            assert_eq!(found, expected[..limit]);
            let counted = store.count_where(vec![filter.clone()], now, |_, _| true);
            let counted = self.runtime.block_on(counted).unwrap();
            assert_eq!(counted, Counted::Exactly(expected.len()));
        }
    }

    /// A private event is seen by who names its recipient, or its author if that is not
    /// the node; a question that is refused would have shown none.
    fn check_secrets(&self, filter: &Filter) {
        let reading = Reading::new(self.node);
        let session = Session::new(1, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let is_admitted = reading
            .admit(&session, std::slice::from_ref(filter))
            .is_ok();
        let secrets = self
            .events
            .iter()
            .filter(|(event, kept)| PRIVATE.contains(&event.kind.as_u16()) && kept.matches(filter));
        for (event, _) in secrets {
            let head = EventHead {
                kind: event.kind,
                author: event.pubkey,
            };
            let names_recipient = filter
                .generic_tags
                .get(&SingleLetterTag::LOWERCASE_P)
                .is_some_and(|keys| {
                    event
                        .tags
                        .public_keys()
                        .any(|key| keys.contains(&key.to_hex()))
                });
            let names_author = event.pubkey != self.node
                && filter
                    .authors
                    .as_ref()
                    .is_some_and(|it| it.contains(&event.pubkey));
            let may_see = reading.may_see(&session, filter, head);
            assert_eq!(may_see, names_recipient || names_author, "{event:?}");
            assert!(is_admitted || !may_see);
        }
    }
}

fn has_empty_list(filter: &Filter) -> bool {
    filter.ids.as_ref().is_some_and(BTreeSet::is_empty)
        || filter.authors.as_ref().is_some_and(BTreeSet::is_empty)
        || filter.kinds.as_ref().is_some_and(BTreeSet::is_empty)
        || filter.generic_tags.values().any(BTreeSet::is_empty)
}

/// Orders, notes and messages of the node and of two traders, some of one second.
fn stock(node: &Keys) -> Vec<Event> {
    let (alice, bob) = (keys(1), keys(2));
    let people = [node, &alice, &bob];
    let mut events = Vec::new();
    for number in 0..36 {
        let author = people[number % 3];
        let to = people[number / 3 % 3].public_key().to_hex();
        let name = number.to_string();
        let status = ["pending", "in-progress", "success"][number % 5 % 3];
        let (kind, tags): (u16, &[&[&str]]) = match number / 3 % 4 {
            0 => (
                38_383,
                &[
                    &["d", &name],
                    &["s", status],
                    &["z", "order"],
                    &["k", "buy", "sell"],
                ],
            ),
            1 => (
                PRIVATE[number % 3],
                &[&["p", &to], &["e"], &["expiration", "1700000100"]],
            ),
            2 => (
                1,
                &[
                    &["t", "a"],
                    &["t", "b\0"],
                    &["t", ""],
                    &["p", &to],
                    &["expiration", "1"],
                ],
            ),
            _ => (
                1,
                &[
                    &["t", &name],
                    &["T", "a"],
                    &["word", "x"],
                    &["d", "of no address"],
                ],
            ),
        };
        let at = NOW - u64::try_from(number / 2).unwrap();
        events.push(event(author, kind, tags, at));
    }
    events.push(event(&alice, 30_000, &[], 0));
    events.push(event(
        &alice,
        10_002,
        &[&["r", "wss://relay.example.org"]],
        u64::MAX / 2,
    ));
    events
}

fn event(by: &Keys, kind: u16, tags: &[&[&str]], at: u64) -> Event {
    let tags = tags
        .iter()
        .map(|tag| Tag::parse(tag.iter().copied()).unwrap());
    EventBuilder::new(Kind::from(kind), "Content")
        .tags(tags)
        .custom_created_at(Timestamp::from(at))
        .finalize(by)
        .unwrap()
}

fn keys(number: u8) -> Keys {
    Keys::new(SecretKey::from_slice(&[number; 32]).unwrap())
}

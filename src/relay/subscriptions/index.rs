//! Which subscriptions an event may concern.
//!
//! A filter is filed under the narrowest of its conditions, once for each value of it. An
//! event is looked up under everything it is and carries, so it meets a filter that it
//! matches in at least one place, and most others nowhere.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nostr::event::{EventId, Kind};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::PublicKey;
use storage::events::Kept;

use super::subscription::Subscription;

/// Letters of tags that name one thing or one person, so that few events carry the same.
const NAMING_LETTERS: [SingleLetterTag; 4] = [
    SingleLetterTag::LOWERCASE_P,
    SingleLetterTag::LOWERCASE_E,
    SingleLetterTag::LOWERCASE_D,
    SingleLetterTag::LOWERCASE_A,
];

/// A place in the index, the fingerprint of a [`Selector`].
///
/// Two selectors may share a place: whoever is found there is asked for his filters anyway.
/// Nobody outside can make them, because the fingerprint is keyed.
pub(super) type Place = u64;

/// What filters are filed under and events looked up by.
#[derive(Hash)]
enum Selector<'a> {
    Id(EventId),
    Tag(SingleLetterTag, &'a str),
    AuthorAndKind(PublicKey, Kind),
    Author(PublicKey),
    Kind(Kind),
    Anything,
}

/// All open subscriptions of all connections, by place.
#[derive(Debug, Default)]
pub(super) struct Index {
    fingerprints: RandomState,
    /// The subscriptions of one place stand in the order in which they were opened.
    filed: RwLock<HashMap<Place, Vec<Arc<Subscription>>>>,
}

impl Index {
    /// Where subscriptions with these filters are filed, each place once.
    ///
    /// Never more places than [`values_in`] counts in the filters.
    pub(super) fn places(&self, filters: &[Filter]) -> Vec<Place> {
        self.distinct(filters.iter().flat_map(narrowest))
    }

    /// Files a subscription under its places.
    pub(super) fn file(&self, subscription: &Arc<Subscription>) {
        let mut filed = self.write();
        for place in subscription.places() {
            let here = filed.entry(*place).or_default();
            let after = here.partition_point(|it| it.number() < subscription.number());
            here.insert(after, subscription.clone());
        }
    }

    /// Takes a subscription out of all its places.
    pub(super) fn take_out(&self, subscription: &Subscription) {
        let mut filed = self.write();
        for place in subscription.places() {
            let Some(here) = filed.get_mut(place) else {
                continue;
            };
            if let Ok(at) = here.binary_search_by_key(&subscription.number(), |it| it.number()) {
                here.remove(at);
            }
            if here.is_empty() {
                filed.remove(place);
            }
        }
    }

    /// Finds every subscription that may want an event, each once, the oldest first.
    pub(super) fn candidates(&self, kept: &Kept) -> Vec<Arc<Subscription>> {
        let places = self.distinct(selectors_of(kept));
        let filed = self.read();
        let found = places.iter().filter_map(|place| filed.get(place)).flatten();
        let mut found: Vec<_> = found.cloned().collect();
        drop(filed);
        found.sort_unstable_by_key(|it| it.number());
        found.dedup_by_key(|it| it.number());
        found
    }

    fn distinct<'a>(&self, selectors: impl IntoIterator<Item = Selector<'a>>) -> Vec<Place> {
        let places = selectors
            .into_iter()
            .map(|it| self.fingerprints.hash_one(it));
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Place, Vec<Arc<Subscription>>>> {
        self.filed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Place, Vec<Arc<Subscription>>>> {
        self.filed.write().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }
}

/// Counts what a filter costs to keep: its values, and one for itself when it has none.
pub(in crate::relay) fn values_in(filter: &Filter) -> usize {
    let tags: usize = filter.generic_tags.values().map(BTreeSet::len).sum();
    let others = [
        filter.ids.as_ref().map(BTreeSet::len),
        filter.authors.as_ref().map(BTreeSet::len),
        filter.kinds.as_ref().map(BTreeSet::len),
    ];
    let others: usize = others.into_iter().flatten().sum();
    tags.saturating_add(others).max(1)
}

/// The values of the condition that fewest events fulfil; a condition without values is
/// fulfilled by none, and such a filter is filed nowhere.
fn narrowest(filter: &Filter) -> Vec<Selector<'_>> {
    let naming = |letter: &SingleLetterTag| NAMING_LETTERS.contains(letter);
    // Words such as the state of an order are shared by events of many authors.
    let tag = filter
        .generic_tags
        .iter()
        .min_by_key(|(letter, values)| (Reverse(naming(letter)), values.len()));
    match (&filter.ids, tag, &filter.authors, &filter.kinds) {
        (Some(ids), ..) => ids.iter().map(|id| Selector::Id(*id)).collect(),
        (None, Some((letter, values)), authors, _) if naming(letter) || authors.is_none() => values
            .iter()
            .map(|value| Selector::Tag(*letter, value))
            .collect(),
        (None, _, Some(authors), kinds) => by_author(authors, kinds.as_ref()),
        (None, _, None, Some(kinds)) => kinds.iter().map(|kind| Selector::Kind(*kind)).collect(),
        (None, _, None, None) => vec![Selector::Anything],
    }
}

/// Pairs authors with kinds, unless the pairs are more than the values they are made of.
fn by_author<'a>(
    authors: &BTreeSet<PublicKey>,
    kinds: Option<&BTreeSet<Kind>>,
) -> Vec<Selector<'a>> {
    let pays = |kinds: &&BTreeSet<Kind>| {
        authors.len().saturating_mul(kinds.len()) <= authors.len().saturating_add(kinds.len())
    };
    match kinds.filter(pays) {
        Some(kinds) => authors
            .iter()
            .flat_map(|author| {
                kinds
                    .iter()
                    .map(|kind| Selector::AuthorAndKind(*author, *kind))
            })
            .collect(),
        None => authors.iter().copied().map(Selector::Author).collect(),
    }
}

fn selectors_of(kept: &Kept) -> impl Iterator<Item = Selector<'_>> {
    let tags = kept
        .letters_and_values()
        .map(|(letter, value)| Selector::Tag(letter, value));
    let itself = [
        Selector::Id(kept.id),
        Selector::AuthorAndKind(kept.author, kept.kind),
        Selector::Author(kept.author),
        Selector::Kind(kept.kind),
        Selector::Anything,
    ];
    tags.chain(itself)
}

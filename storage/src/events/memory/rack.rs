//! The stored events of one kind.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::sync::Arc;

use nostr::event::EventId;
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::PublicKey;

use super::super::Kept;
use super::list::{CELLS, List, Second, Spot};

/// What one line of a list takes of memory, in bytes, on average.
const LINE_BYTES: usize = 28;

/// The largest sum of [`Rack::size_bytes`] for which there are always cells: each event
/// stands on four lists at least.
pub(super) const LARGEST_BYTES: usize = CELLS * 4 * LINE_BYTES;

/// More pairs of author and status are not looked up.
const MOST_PAIRS: usize = 1_000;

/// Events of one replaceable or addressable kind, one for each address, with lists by what
/// filters ask for.
///
/// A list is found by the hash of what its events have in common. Two that share a hash
/// share a list, so a list may hold more than it should and never less: what stands on it
/// is to be checked with the whole filter.
#[derive(Debug, Default)]
pub(super) struct Rack {
    cells: Vec<Option<Arc<Kept>>>,
    free: Vec<usize>,
    lists: HashMap<u64, List>,
    hasher: RandomState,
    size_bytes: usize,
}

/// What the events of a list have in common.
#[derive(Hash)]
enum Selector<'a> {
    Kind,
    Id(EventId),
    Author(PublicKey),
    Tag(SingleLetterTag, &'a str),
    /// Author and status: few of an author's orders are pending.
    Standing(PublicKey, &'a str),
}

impl Rack {
    /// Puts an event in its place, unless the version that is there outlasts it.
    pub(super) fn put(&mut self, kept: &Arc<Kept>) {
        let rivals = self.versions(kept);
        if rivals.iter().any(|rival| rival <= kept) {
            return;
        }
        for rival in rivals {
            self.remove(rival.id);
        }
        let cell = self.free.pop().unwrap_or(self.cells.len());
        match self.cells.get_mut(cell) {
            Some(free) => *free = Some(kept.clone()),
            None => self.cells.push(Some(kept.clone())),
        }
        let spot = Spot::new(Second::of(kept.created_at), cell);
        for selector in selectors(kept) {
            let list = self.lists.entry(self.hasher.hash_one(selector));
            list.and_modify(|list| list.insert(spot))
                .or_insert(List::One(spot));
        }
        self.size_bytes = self.size_bytes.saturating_add(size_bytes(kept));
    }

    /// Takes an event away, if it is here.
    pub(super) fn remove(&mut self, id: EventId) {
        let Some((spot, kept)) = self.find(id) else {
            return;
        };
        for selector in selectors(&kept) {
            let hash = self.hasher.hash_one(selector);
            if self
                .lists
                .get_mut(&hash)
                .is_some_and(|list| list.remove(spot))
            {
                self.lists.remove(&hash);
            }
        }
        if let Some(cell) = self.cells.get_mut(spot.cell()) {
            *cell = None;
            self.free.push(spot.cell());
        }
        self.size_bytes = self.size_bytes.saturating_sub(size_bytes(&kept));
    }

    pub(super) fn get(&self, id: EventId) -> Option<Arc<Kept>> {
        self.find(id).map(|(_, kept)| kept)
    }

    pub(super) fn at(&self, spot: Spot) -> Option<&Arc<Kept>> {
        self.cells.get(spot.cell())?.as_ref()
    }

    /// The memory it takes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The lists on which everything stands that matches the filter; of several choices
    /// the shortest.
    pub(super) fn narrowest(&self, filter: &Filter) -> Vec<&List> {
        let mut choices = vec![self.lists_of(iter::once(Selector::Kind))];
        if let Some(ids) = &filter.ids {
            choices.push(self.lists_of(ids.iter().map(|id| Selector::Id(*id))));
        }
        if let Some(authors) = &filter.authors {
            choices.push(self.lists_of(authors.iter().map(|author| Selector::Author(*author))));
        }
        for (letter, values) in &filter.generic_tags {
            let tags = values.iter().map(|value| Selector::Tag(*letter, value));
            choices.push(self.lists_of(tags));
        }
        choices.extend(self.by_standing(filter));
        let shortest = choices.into_iter().min_by_key(|lists| length(lists));
        shortest.unwrap_or_default()
    }

    fn by_standing(&self, filter: &Filter) -> Option<Vec<&List>> {
        let authors = filter.authors.as_ref()?;
        let statuses = filter.generic_tags.get(&SingleLetterTag::LOWERCASE_S)?;
        let pairs = authors.iter().flat_map(|author| {
            let standing = |status| Selector::Standing(*author, status);
            statuses.iter().map(move |status| standing(status))
        });
        let is_worth_it = authors.len().saturating_mul(statuses.len()) <= MOST_PAIRS;
        is_worth_it.then(|| self.lists_of(pairs))
    }

    /// Asserts that the lists are those of the events that are here.
    #[cfg(test)]
    pub(super) fn assert_lists_are_right(&self) {
        use std::collections::BTreeSet;
        let mut right: HashMap<u64, BTreeSet<Spot>> = HashMap::new();
        for (cell, kept) in self.cells.iter().enumerate() {
            for selector in kept.iter().flat_map(|kept| selectors(kept)) {
                let spots = right.entry(self.hasher.hash_one(selector)).or_default();
                spots.extend(
                    kept.as_ref()
                        .map(|it| Spot::new(Second::of(it.created_at), cell)),
                );
            }
        }
        let all = Spot::back_in_time(Second::LAST, Second::FIRST);
        let lists = self
            .lists
            .iter()
            .map(|(hash, list)| (*hash, list.range(&all).collect()));
        assert_eq!(lists.collect::<HashMap<_, _>>(), right);
        let sizes = self.cells.iter().flatten().map(|kept| size_bytes(kept));
        assert_eq!(sizes.sum::<usize>(), self.size_bytes);
    }

    fn lists_of<'a>(&self, selectors: impl Iterator<Item = Selector<'a>>) -> Vec<&List> {
        let hashes = selectors.map(|selector| self.hasher.hash_one(selector));
        hashes.filter_map(|hash| self.lists.get(&hash)).collect()
    }

    fn find(&self, id: EventId) -> Option<(Spot, Arc<Kept>)> {
        let list = self.lists.get(&self.hasher.hash_one(Selector::Id(id)))?;
        let all = Spot::back_in_time(Second::LAST, Second::FIRST);
        let mut kept = list
            .range(&all)
            .filter_map(|spot| Some((spot, self.at(spot)?)));
        kept.find_map(|(spot, kept)| (kept.id == id).then(|| (spot, kept.clone())))
    }

    /// The events at the address of this one: none, or one.
    fn versions(&self, of: &Kept) -> Vec<Arc<Kept>> {
        let mut lists = self.lists_of(iter::once(Selector::Author(of.author)));
        if of.kind.is_addressable() {
            let named = Selector::Tag(SingleLetterTag::LOWERCASE_D, name(of));
            let named = self.lists_of(iter::once(named));
            if length(&named) < length(&lists) {
                lists = named;
            }
        }
        let all = Spot::back_in_time(Second::LAST, Second::FIRST);
        let candidates = lists.iter().flat_map(|list| list.range(&all));
        candidates
            .filter_map(|spot| self.at(spot))
            .filter(|kept| kept.author == of.author && name(kept) == name(of))
            .cloned()
            .collect()
    }
}

fn length(lists: &[&List]) -> usize {
    lists.iter().map(|list| list.len()).sum()
}

fn size_bytes(kept: &Kept) -> usize {
    let lines = selectors(kept).count();
    kept.size_bytes().saturating_add(lines * LINE_BYTES)
}

/// The name in the address of an event; without a `d` tag it is empty.
fn name(kept: &Kept) -> &str {
    let mut names = kept.values(SingleLetterTag::LOWERCASE_D);
    let name = names.next().filter(|_| kept.kind.is_addressable());
    name.unwrap_or_default()
}

/// The lists on which an event stands.
fn selectors(kept: &Kept) -> impl Iterator<Item = Selector<'_>> {
    let by_tag = kept.letters_and_values();
    let by_standing = kept.values(SingleLetterTag::LOWERCASE_S);
    let always = [
        Selector::Kind,
        Selector::Id(kept.id),
        Selector::Author(kept.author),
        Selector::Tag(SingleLetterTag::LOWERCASE_D, name(kept)),
    ];
    always
        .into_iter()
        .chain(by_tag.map(|(letter, value)| Selector::Tag(letter, value)))
        .chain(by_standing.map(|status| Selector::Standing(kept.author, status)))
}

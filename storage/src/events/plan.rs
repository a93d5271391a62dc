//! Which question the database is asked for a filter.
//!
//! The database intersects authors, kinds and tags by id and cuts at the limit, which
//! leaves the wrong events; several tags it walks one after the other, each to its end.
//! So it is asked by one index only, for a superset of the answer.

use std::collections::{BTreeMap, BTreeSet};

use nostr::event::EventId;
use nostr::filter::{Filter, SingleLetterTag};

/// A question that is answered rightly, with everything that the planned filter matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Which of these events are stored? By id the database would cut at a limit in the
    /// order of the ids, not of time.
    ByIds(Vec<EventId>),
    /// Which are the newest events that match? It may be asked with a limit.
    NewestFirst(Filter),
}

impl Plan {
    /// Plans the question for a filter, or none when nothing can match it.
    pub(super) fn of(filter: &Filter) -> Option<Self> {
        if has_empty_list(filter) {
            return None;
        }
        let all = Filter {
            limit: None,
            search: None,
            ..filter.clone()
        };
        Some(match all.ids {
            Some(ids) => Self::ByIds(ids.into_iter().collect()),
            None => Self::NewestFirst(by_one_index(all)),
        })
    }
}

fn by_one_index(all: Filter) -> Filter {
    let Some((letter, values)) = narrowest_tag(&all) else {
        return all;
    };
    let others = Filter {
        generic_tags: BTreeMap::new(),
        ..all
    };
    if others.authors.is_some() && others.kinds.is_some() && is_broad(letter) {
        return others;
    }
    let by_tag = others.custom_tags(letter, values);
    if by_tag.authors.is_some() {
        Filter {
            kinds: None,
            ..by_tag
        }
    } else {
        by_tag
    }
}

/// An empty list asks for events that are one of none.
fn has_empty_list(filter: &Filter) -> bool {
    filter.ids.as_ref().is_some_and(BTreeSet::is_empty)
        || filter.authors.as_ref().is_some_and(BTreeSet::is_empty)
        || filter.kinds.as_ref().is_some_and(BTreeSet::is_empty)
        || filter.generic_tags.values().any(BTreeSet::is_empty)
}

fn narrowest_tag(filter: &Filter) -> Option<(SingleLetterTag, BTreeSet<String>)> {
    let narrowest = filter.generic_tags.iter().min_by_key(|(letter, values)| {
        let names_one_thing = matches!(letter.as_char(), 'd' | 'e' | 'a' | 'p' | 'E' | 'A');
        (is_broad(**letter), !names_one_thing, values.len())
    });
    narrowest.map(|(letter, values)| (*letter, values.clone()))
}

/// Tags that nearly all order events carry with the same value: platform and document.
fn is_broad(letter: SingleLetterTag) -> bool {
    matches!(letter.as_char(), 'y' | 'z')
}

#[cfg(test)]
mod tests {
    use nostr::event::Kind;
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn the_database_is_never_asked_for_authors_kinds_and_tags_together() {
        let mostro = Keys::generate().public_key();
        let trader = Keys::generate().public_key();
        let orders = Filter::new().author(mostro).kind(Kind::from(38_383));
        let by_letter = |letter, value: &str| Filter::new().custom_tag(letter, value);
        let (z, s) = (SingleLetterTag::LOWERCASE_Z, SingleLetterTag::LOWERCASE_S);
        let table = [
            (
                "the book",
                orders.clone().custom_tag(z, "order").limit(50),
                orders.clone(),
            ),
            (
                "pending orders",
                orders
                    .clone()
                    .custom_tag(z, "order")
                    .custom_tag(s, "pending")
                    .limit(50),
                by_letter(s, "pending").author(mostro),
            ),
            (
                "my messages",
                Filter::new()
                    .author(mostro)
                    .kind(Kind::from(14))
                    .pubkey(trader)
                    .limit(5),
                Filter::new().author(mostro).pubkey(trader),
            ),
            (
                "one order",
                Filter::new()
                    .kind(Kind::from(38_383))
                    .identifier("x")
                    .custom_tag(s, "pending"),
                Filter::new().kind(Kind::from(38_383)).identifier("x"),
            ),
            ("all orders", orders.clone().limit(5), orders),
        ];
        for (case, asked, planned) in table {
            let plan = Plan::of(&asked).unwrap();
            assert_eq!(plan, Plan::NewestFirst(planned), "{case}");
        }
    }

    #[test]
    fn ids_are_looked_up_without_a_limit() {
        let id = EventId::from_byte_array([7; 32]);
        let plan = Plan::of(&Filter::new().id(id).kind(Kind::TextNote).limit(1)).unwrap();
        assert_eq!(plan, Plan::ByIds(vec![id]));
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        assert_eq!(
            Plan::of(&Filter {
                kinds: Some(BTreeSet::new()),
                ..Filter::new()
            }),
            None
        );
        assert!(Plan::of(&Filter::new()).is_some());
    }
}

//! What a Mostro node shows to whom.

use nostr::event::Kind;
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::PublicKey;

use crate::{EventHead, Prefix, QueryPolicy, Refusal, Session};

/// Kinds whose mere existence tells who talks to whom.
const PRIVATE_KINDS: [u16; 3] = [4, 14, 1059];

/// The reading policy of a Mostro node.
///
/// Clients read without authentication, so knowing a fresh key is the proof: private
/// messages answer only filters that name the recipient, or an author who is not the
/// node. The node's own messages always need the recipient, or one filter would list
/// the trade key of every trader.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    node: PublicKey,
}

impl Reading {
    /// Guards the messages of the node with this key.
    #[must_use]
    pub fn new(node: PublicKey) -> Self {
        Self { node }
    }

    /// Tells whether the filter asks for private kinds alone and can see none of them.
    fn is_hopeless(&self, filter: &Filter) -> bool {
        let only_private = filter
            .kinds
            .as_ref()
            .is_some_and(|kinds| !kinds.is_empty() && kinds.iter().all(|kind| is_private(*kind)));
        let only_the_node = filter
            .authors
            .as_ref()
            .is_none_or(|authors| authors.iter().all(|author| *author == self.node));
        only_private && only_the_node && !names_a_recipient(filter)
    }
}

impl QueryPolicy for Reading {
    fn admit(&self, _: &Session, filters: &[Filter]) -> Result<(), Refusal> {
        if filters.iter().all(|filter| self.is_hopeless(filter)) {
            return Err(Refusal::new(
                Prefix::Restricted,
                "private messages are shown only to filters that name a recipient (#p), \
                 or an author other than the node",
            ));
        }
        Ok(())
    }

    fn may_see(&self, _: &Session, filter: &Filter, event: EventHead) -> bool {
        !is_private(event.kind)
            || names_a_recipient(filter)
            || (event.author != self.node && names_an_author(filter))
    }
}

fn is_private(kind: Kind) -> bool {
    PRIVATE_KINDS.contains(&kind.as_u16())
}

fn names_a_recipient(filter: &Filter) -> bool {
    filter
        .generic_tags
        .get(&SingleLetterTag::LOWERCASE_P)
        .is_some_and(|keys| !keys.is_empty())
}

fn names_an_author(filter: &Filter) -> bool {
    filter
        .authors
        .as_ref()
        .is_some_and(|authors| !authors.is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nostr::event::{Event, EventBuilder, FinalizeEvent, Tag};
    use nostr::filter::MatchEventOptions;
    use nostr::key::Keys;

    use super::*;

    fn session() -> Session {
        Session::new(1, IpAddr::from([192, 0, 2, 7]))
    }

    fn event(by: &Keys, kind: u16, to: &Keys) -> Event {
        EventBuilder::new(Kind::from(kind), "sealed")
            .tag(Tag::public_key(to.public_key()))
            .finalize(by)
            .unwrap()
    }

    #[test]
    fn private_kinds_are_shown_only_to_who_knows_a_key() {
        let (node, alice, bob) = (Keys::generate(), Keys::generate(), Keys::generate());
        let reading = Reading::new(node.public_key());
        let from_node = event(&node, 14, &alice);
        let chat = event(&bob, 14, &alice);
        let wrap = event(&bob, 1059, &alice);
        let old_dm = event(&bob, 4, &alice);
        let order = event(&node, 38_383, &alice);
        let private = [Kind::from(4), Kind::from(14), Kind::from(1059)];

        let table = [
            ("all", Filter::new(), [false, false, false, false, true]),
            (
                "kinds",
                Filter::new().kinds(private),
                [false, false, false, false, false],
            ),
            (
                "ids",
                Filter::new().ids([from_node.id, chat.id, wrap.id]),
                [false; 5],
            ),
            (
                "the node",
                Filter::new().author(node.public_key()),
                [false, false, false, false, true],
            ),
            (
                "an author",
                Filter::new().author(bob.public_key()),
                [false, true, true, true, false],
            ),
            (
                "recipient",
                Filter::new().pubkey(alice.public_key()),
                [true; 5],
            ),
            (
                "wrong recipient",
                Filter::new().pubkey(bob.public_key()),
                [false; 5],
            ),
            (
                "node and recipient",
                Filter::new()
                    .author(node.public_key())
                    .pubkey(alice.public_key()),
                [true, false, false, false, true],
            ),
            (
                "node and another author",
                Filter::new().authors([node.public_key(), bob.public_key()]),
                [false, true, true, true, true],
            ),
        ];
        for (case, filter, expected) in table {
            let seen = [&from_node, &chat, &wrap, &old_dm, &order].map(|event| {
                let head = EventHead {
                    kind: event.kind,
                    author: event.pubkey,
                };
                filter.match_event(event, MatchEventOptions::new())
                    && reading.may_see(&session(), &filter, head)
            });
            assert_eq!(seen, expected, "{case}");
        }
    }

    #[test]
    fn a_req_that_can_see_nothing_is_refused() {
        let (node, other) = (Keys::generate().public_key(), Keys::generate().public_key());
        let reading = Reading::new(node);
        let gift_wraps = Filter::new().kind(Kind::from(1059));
        let table = [
            ("wraps of everybody", vec![gift_wraps.clone()], false),
            (
                "messages of the node",
                vec![Filter::new().kind(Kind::from(14)).author(node)],
                false,
            ),
            (
                "wraps to somebody",
                vec![gift_wraps.clone().pubkey(other)],
                true,
            ),
            (
                "chat by author",
                vec![Filter::new().kind(Kind::from(14)).author(other)],
                true,
            ),
            (
                "one good filter of two",
                vec![gift_wraps, Filter::new().kind(Kind::TextNote)],
                true,
            ),
            ("everything", vec![Filter::new()], true),
        ];
        for (case, filters, admitted) in table {
            assert_eq!(
                reading.admit(&session(), &filters).is_ok(),
                admitted,
                "{case}"
            );
        }
    }
}

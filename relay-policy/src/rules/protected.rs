//! Events that only their author may publish (NIP-70).

use nostr::event::{Event, Kind};

use crate::{Prefix, Refusal, Session};

/// Refuses a protected event that its author does not publish himself, and a repost that
/// carries one.
///
/// The author is not proven yet; who claims another's name here fails at the signature.
pub(crate) fn check(session: &Session, event: &Event) -> Result<(), Refusal> {
    if is_protected(event) && !session.authenticated.contains(&event.pubkey) {
        return Err(if session.authenticated.is_empty() {
            Refusal::new(
                Prefix::AuthRequired,
                "the event is protected: only its author may publish it",
            )
        } else {
            Refusal::new(
                Prefix::Restricted,
                "the event is protected, and its author is none of the keys you have proven",
            )
        });
    }
    if reposts_a_protected_event(event) {
        return Err(Refusal::new(
            Prefix::Blocked,
            "a protected event may not be reposted",
        ));
    }
    Ok(())
}

fn is_protected(event: &Event) -> bool {
    event.tags.iter().any(|tag| tag.kind() == "-")
}

fn reposts_a_protected_event(event: &Event) -> bool {
    let is_repost = event.kind == Kind::Repost || event.kind == Kind::GenericRepost;
    is_repost && Event::from_json(&event.content).is_ok_and(|inside| is_protected(&inside))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nostr::event::{EventBuilder, FinalizeEvent};
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::event;

    fn session(proven: &[&Keys]) -> Session {
        let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
        for keys in proven {
            session.authenticated.add(keys.public_key(), 20);
        }
        session
    }

    fn prefix(session: &Session, event: &Event) -> Option<Prefix> {
        check(session, event).err().map(|refusal| refusal.prefix)
    }

    #[test]
    fn nip70_only_the_author_publishes_a_protected_event() {
        let (author, other) = (Keys::generate(), Keys::generate());
        let protected: &[&[&str]] = &[&["-"]];
        let (open, asks, refuses) = (None, Some(Prefix::AuthRequired), Some(Prefix::Restricted));
        let table: [(&str, &[&Keys], &[&[&str]], Option<Prefix>); 7] = [
            ("nobody, no tag", &[], &[], open),
            ("nobody, some other tag", &[], &[&["t", "-"]], open),
            ("nobody", &[], protected, asks),
            ("among other tags", &[], &[&["t", "a"], &["-"]], asks),
            ("another key", &[&other], protected, refuses),
            ("the author", &[&author], protected, open),
            (
                "the author among others",
                &[&other, &author],
                protected,
                open,
            ),
        ];
        for (case, proven, tags, expected) in table {
            for kind in [1, 1059, 38_383] {
                let found = prefix(&session(proven), &event(&author, kind, tags));
                assert_eq!(found, expected, "{case}, kind {kind}");
            }
        }
    }

    #[test]
    fn nip70_a_repost_carries_no_protected_event() {
        let (author, other) = (Keys::generate(), Keys::generate());
        let repost = |kind: u16, content: String| {
            let draft = EventBuilder::new(Kind::from(kind), content);
            draft.finalize(&other).unwrap()
        };
        let protected = event(&author, 1, &[&["-"]]).as_json();
        let free = event(&author, 1, &[]).as_json();
        let table = [
            (6, protected.clone(), Some(Prefix::Blocked)),
            (16, protected.clone(), Some(Prefix::Blocked)),
            (1, protected, None),
            (6, free, None),
            (6, String::new(), None),
            (16, "{\"tags\":[[\"-\"]]}".to_owned(), None),
        ];
        for (kind, content, expected) in table {
            let found = prefix(&session(&[&author]), &repost(kind, content.clone()));
            assert_eq!(found, expected, "kind {kind}: {content}");
        }
    }
}

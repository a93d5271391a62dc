//! Events that only their author may publish (NIP-70).

use nostr::event::{Event, Kind};

use crate::{Prefix, Refusal, Session};

/// Refuses a protected event that its author does not publish himself.
pub(crate) fn check_author(session: &Session, event: &Event) -> Result<(), Refusal> {
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
    Ok(())
}

/// Refuses a repost that carries a protected event.
pub(crate) fn check_repost(event: &Event) -> Result<(), Refusal> {
    let is_repost = event.kind == Kind::Repost || event.kind == Kind::GenericRepost;
    if is_repost && Event::from_json(&event.content).is_ok_and(|inside| is_protected(&inside)) {
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nostr::event::{EventBuilder, FinalizeEvent};
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::event;

    /// Who is proven, the tags of the event, and the refusal.
    type Row<'a> = (&'a str, &'a [&'a Keys], &'a [&'a [&'a str]], Option<Prefix>);

    fn session(proven: &[&Keys]) -> Session {
        let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
        for keys in proven {
            session.authenticated.add(keys.public_key(), 20);
        }
        session
    }

    #[test]
    fn nip70_only_the_author_publishes_a_protected_event() {
        let (author, other) = (Keys::generate(), Keys::generate());
        let protected: &[&[&str]] = &[&["-"]];
        let (open, asks, refuses) = (None, Some(Prefix::AuthRequired), Some(Prefix::Restricted));
        let table: [Row; 7] = [
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
                let judged = check_author(&session(proven), &event(&author, kind, tags));
                let found = judged.err().map(|refusal| refusal.prefix);
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
            (6, protected.clone(), false),
            (16, protected.clone(), false),
            (1, protected, true),
            (6, free, true),
            (6, String::new(), true),
            (16, r#"{"tags":[["-"]]}"#.to_owned(), true),
        ];
        for (kind, content, passes) in table {
            let judged = check_repost(&repost(kind, content.clone()));
            assert_eq!(judged.is_ok(), passes, "kind {kind}: {content}");
        }
    }
}

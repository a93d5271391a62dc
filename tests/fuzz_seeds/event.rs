//! One event, as if its author had signed it, through the gate into the store.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nostr::event::{Event, UnsignedEvent};
use nostr::filter::Filter;
use nostr::key::{Keys, SecretKey};
use nostr::types::Timestamp;
use relay_policy::{Arrival, Gate, GateTerms, MAX_D_TAG_BYTES, Session, Verdict, WritePolicy};
use storage::events::{EventStore, EventStoreOptions, Kept, Saved};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The second in which everything happens.
const NOW: u64 = 1_700_000_000;

/// A gate, and the store behind it.
pub(crate) struct Events {
    runtime: Runtime,
    store: EventStore,
    gate: Gate,
    terms: GateTerms,
    _folder: TempDir,
}

impl Events {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let store = EventStore::open(folder.path(), EventStoreOptions::default());
        let terms = GateTerms {
            pow: 2,
            pow_first_contact: 4,
            ..GateTerms::default()
        };
        let node = Keys::new(SecretKey::from_slice(&[7; 32]).unwrap()).public_key();
        Self {
            store: runtime.block_on(store).unwrap(),
            runtime,
            gate: Gate::new(node, terms, Arc::new(BTreeSet::new()), None),
            terms,
            _folder: folder,
        }
    }

    /// Checks one event; tells whether the text was one.
    pub(crate) fn check(&self, data: &[u8]) -> bool {
        let Ok(event) = Event::from_json(data) else {
            return false;
        };
        check_round_trip(&event);
        let signed = with_its_id(&event);
        assert_eq!(event.verify_id(), event.id == signed.id);
        assert!(signed.verify_id());
        let session = Session::new(1, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let arrival = Arrival {
            event: &signed,
            size_bytes: data.len(),
            now: Timestamp::from(NOW),
        };
        if self.gate.before_signature(&session, arrival).is_err() {
            return true;
        }
        self.check_bounds(&signed, data.len());
        match self.gate.after_signature(&session, arrival) {
            Verdict::Keep => self.runtime.block_on(self.check_kept(signed)),
            Verdict::Refuse(_) => (),
            Verdict::Taken(_) => panic!("there is no inbox"),
        }
        true
    }

    /// What the gate promises of an event that it lets pass.
    fn check_bounds(&self, event: &Event, size_bytes: usize) {
        let kind = event.kind.as_u16();
        let limit = match kind {
            14 | 1059 => self.terms.message_bytes,
            _ => self.terms.event_bytes,
        };
        assert!(size_bytes <= limit, "{size_bytes} bytes");
        assert!(event.created_at.as_secs() <= NOW + self.terms.future_secs);
        let first = |name: &str| event.tags.iter().find(|tag| tag.kind() == name)?.content();
        let expires = first("expiration").and_then(|at| at.parse::<u64>().ok());
        assert!(expires.is_none_or(|at| at > NOW), "it has expired");
        if (30_000..40_000).contains(&kind) {
            let names = event.tags.iter().filter(|tag| tag.kind() == "d").count();
            let name = first("d").unwrap_or_default();
            assert!(names <= 1 && name.len() <= MAX_D_TAG_BYTES && !name.contains('\0'));
        }
    }

    /// Saves an event and asks for it in every way.
    async fn check_kept(&self, event: Event) {
        let (now, id) = (Timestamp::from(NOW), event.id);
        let saved = self.store.save(&event).await.unwrap();
        let stored = self.store.get(id, now).await.unwrap();
        match saved {
            Saved::Stored(kept) => assert_eq!(kept.json(), event.as_json()),
            Saved::Duplicate => return assert!(stored.is_some()),
            Saved::Ephemeral => return assert!(event.kind.is_ephemeral() && stored.is_none()),
            Saved::Superseded => {
                let has_versions = event.kind.is_replaceable() || event.kind.is_addressable();
                return assert!(has_versions && stored.is_none());
            }
            Saved::Deleted => return assert!(stored.is_none()),
            Saved::Unkeepable(why) => panic!("the gate let pass: {why}"),
        }
        let stored = stored.expect("what is stored can be read");
        assert_eq!(stored.json(), event.as_json());
        let (author, kind) = (event.pubkey, event.kind);
        let questions = [
            Filter::new().id(id),
            Filter::new().author(author).kind(kind).limit(1_000_000),
            Filter::new()
                .since(event.created_at)
                .until(event.created_at),
        ];
        let tags = event.tags.iter().take(4);
        let by_tag = tags.filter_map(|tag| {
            let by_tag = Filter::new().custom_tag(tag.single_letter_tag()?, tag.content()?);
            Some(by_tag.author(author).kind(kind))
        });
        for question in questions.into_iter().chain(by_tag) {
            let found = self.store.query(vec![question.clone()], now).await.unwrap();
            assert!(found.iter().any(|kept| kept.id == id), "{question:?}");
        }
    }
}

/// What was read reads the same when it is written again.
fn check_round_trip(event: &Event) {
    let text = event.as_json();
    let again = Event::from_json(&text).expect("it was written by the one who reads it");
    assert_eq!(again.as_json(), text);
    let kept = Kept::of(event);
    assert_eq!(kept.json(), text);
    assert_eq!(kept.expires_at, event.tags.expiration());
    for (letter, value) in kept.letters_and_values() {
        let mut tags = event.tags.iter();
        assert!(tags.any(|tag| {
            tag.single_letter_tag() == Some(letter) && tag.content() == Some(value)
        }));
    }
}

/// The same event with the id that it should have.
fn with_its_id(event: &Event) -> Event {
    let Event {
        pubkey,
        created_at,
        kind,
        tags,
        content,
        sig,
        ..
    } = event.clone();
    let id = UnsignedEvent::new(pubkey, created_at, kind, tags.clone(), &content).id();
    Event::new(id, pubkey, created_at, kind, tags, content, sig)
}

//! What subscribers are shown, compared with a model that asks every filter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_util::FutureExt;
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Signature, Tag, Tags};
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::{Keys, PublicKey};
use proptest::collection::{btree_set, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use relay_policy::{Prefix, Reading};

use super::*;
use crate::relay::frame::Frame;
use crate::relay::outgoing::Next;
use crate::relay::waiting_room::WaitingRoom;
use crate::relay::words;

fn subscriptions() -> Arc<Subscriptions> {
    let policy = Arc::new(Reading::new(Keys::generate().public_key()));
    Arc::new(Subscriptions::new(Visibility::new(policy)))
}

fn join_with(subscriptions: &Arc<Subscriptions>, limits: &RelayLimits) -> Connection {
    let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
    let seat = WaitingRoom::new(limits.waiting_bytes_in_all).enter();
    let outgoing = Arc::new(Outgoing::new(limits.waiting_bytes, seat));
    let joined = subscriptions.join(session, outgoing.clone(), limits);
    Connection { joined, outgoing }
}

fn join(subscriptions: &Arc<Subscriptions>) -> Connection {
    join_with(subscriptions, &RelayLimits::default())
}

struct Connection {
    joined: Joined,
    outgoing: Arc<Outgoing>,
}

impl Connection {
    fn open(&self, name: &str, filters: Vec<Filter>) -> Result<Ticket, relay_policy::Refusal> {
        self.joined.reader.open(name.to_owned(), filters)
    }

    /// What was sent since the last look.
    fn sent(&self) -> Vec<String> {
        match self.outgoing.next().now_or_never() {
            Some(Next::Send(frames)) => frames.iter().map(text).collect(),
            Some(Next::Close(farewell)) => panic!("the connection closes: {farewell:?}"),
            None => Vec::new(),
        }
    }
}

fn text(frame: &Frame) -> String {
    match frame {
        Frame::Words(words) => words.clone(),
        Frame::Event { head, kept } => [head, kept.json(), words::AFTER_EVENT].concat(),
        Frame::Encoded(frame) => panic!("no text: {frame:?}"),
    }
}

fn note(text: &str) -> Arc<Kept> {
    let draft = EventBuilder::new(Kind::TextNote, text);
    Kept::of(&draft.finalize(&Keys::generate()).unwrap())
}

fn deliver(subscriptions: &Subscriptions, kept: &Arc<Kept>) {
    subscriptions.deliver(kept, kept.created_at);
}

fn shown(name: &str, kept: &Kept) -> String {
    [&words::before_event(name), kept.json(), words::AFTER_EVENT].concat()
}

#[test]
fn what_came_during_the_stored_part_follows_it_without_repetition() {
    let subscriptions = subscriptions();
    let reader = join(&subscriptions);
    let (stored, fresh) = (note("read from the store as well"), note("too late for it"));
    let ticket = reader.open("a", vec![Filter::new()]).unwrap();
    deliver(&subscriptions, &stored);
    deliver(&subscriptions, &fresh);
    subscriptions.go_live(&ticket, &[stored]);
    assert_eq!(reader.sent(), [words::eose("a"), shown("a", &fresh)]);
}

#[test]
fn an_event_that_was_read_before_it_is_delivered_is_not_shown_again() {
    let subscriptions = subscriptions();
    let reader = join(&subscriptions);
    let (early, next) = (note("stored, not yet delivered"), note("another"));
    let on_its_way = subscriptions.set_out(early.id);
    drop(subscriptions.set_out(early.id));
    let others: Vec<_> = (0..3)
        .map(|_| subscriptions.set_out(note("busy").id))
        .collect();
    let ticket = reader.open("a", vec![Filter::new()]).unwrap();
    subscriptions.go_live(&ticket, std::slice::from_ref(&early));
    deliver(&subscriptions, &early);
    drop((on_its_way, others));
    deliver(&subscriptions, &next);
    assert_eq!(reader.sent(), [words::eose("a"), shown("a", &next)]);
    assert!(subscriptions.on_their_way.is_empty());
}

#[test]
fn a_subscription_that_was_replaced_does_not_go_live() {
    let subscriptions = subscriptions();
    let limits = RelayLimits {
        subscriptions: 1,
        ..RelayLimits::default()
    };
    let reader = join_with(&subscriptions, &limits);
    let open = |name| reader.open(name, vec![Filter::new()]);
    let (first, second) = (open("a").unwrap(), open("a").unwrap());
    subscriptions.go_live(&first, &[]);
    assert!(!first.is_open() && !reader.joined.reader.give_up(&first));
    subscriptions.go_live(&second, &[]);
    assert_eq!(reader.sent(), [words::eose("a")]);
    assert!(open("b").is_err());
    assert!(reader.joined.reader.give_up(&second));
    assert!(open("b").is_ok());
}

#[test]
fn values_are_bounded_over_all_subscriptions_of_a_connection() {
    let subscriptions = subscriptions();
    let limits = RelayLimits {
        open_values: 10,
        ..RelayLimits::default()
    };
    let reader = join_with(&subscriptions, &limits);
    let kinds = |count: u16| vec![Filter::new().kinds((0..count).map(Kind::from))];
    reader.open("a", kinds(6)).unwrap();
    let refusal = reader.open("b", kinds(5)).unwrap_err();
    assert_eq!(refusal.prefix, Prefix::RateLimited);
    reader.open("b", vec![Filter::new(); 4]).unwrap();
    assert!(reader.open("c", vec![Filter::new()]).is_err());
    reader.open("a", kinds(5)).unwrap();
    reader.open("c", vec![Filter::new()]).unwrap();
    reader.joined.reader.close("a");
    reader.open("a", kinds(5)).unwrap();
    drop(reader);
    assert!(subscriptions.index.is_empty());
}

#[test]
fn who_has_left_is_not_visited() {
    let subscriptions = subscriptions();
    let connection = join(&subscriptions);
    let ticket = connection.open("a", vec![Filter::new()]).unwrap();
    drop(connection);
    let late = note("too late");
    deliver(&subscriptions, &late);
    assert!(!ticket.is_open());
    assert_eq!(Arc::strong_count(&late), 1, "nobody holds it");
}

#[test]
fn an_event_visits_only_whom_it_may_concern() {
    let subscriptions = subscriptions();
    let reader = join(&subscriptions);
    let (author, other) = (Keys::generate(), Keys::generate().public_key());
    let draft = EventBuilder::new(Kind::from(38_383), "").tags([
        Tag::identifier("an order"),
        Tag::public_key(other),
        Tag::parse(["s", "pending"]).unwrap(),
    ]);
    let kept = Kept::of(&draft.finalize(&author).unwrap());
    let (any, me, kind) = (Filter::new, author.public_key(), kept.kind);
    let pending = |filter: Filter| filter.custom_tag(SingleLetterTag::LOWERCASE_S, "pending");
    let strange = EventId::from_byte_array([0; 32]);
    let table = [
        ("anything", any(), true),
        ("its id", any().id(kept.id).kind(Kind::TextNote), true),
        ("another id", any().id(strange).author(me).kind(kind), false),
        (
            "its recipient",
            any().pubkey(other).kind(Kind::TextNote),
            true,
        ),
        (
            "another recipient",
            any().pubkey(me).author(me).kind(kind),
            false,
        ),
        (
            "one name of two, another recipient",
            any().identifiers(["an order", "another"]).pubkey(me),
            false,
        ),
        (
            "its author and kind",
            pending(any().author(me).kind(kind)),
            true,
        ),
        (
            "its author, another kind",
            pending(any().author(me).kind(Kind::TextNote)),
            false,
        ),
        (
            "another author",
            pending(any().author(other).kind(kind)),
            false,
        ),
        (
            "many pairs",
            any().authors([me, other]).kinds((1..5).map(Kind::from)),
            true,
        ),
        ("its state", pending(any().kind(Kind::TextNote)), true),
        ("its kind", any().kind(kind), true),
        ("another kind", any().kind(Kind::TextNote), false),
        ("no kind", any().kinds([]), false),
        ("no author", any().authors([]).kind(kind), false),
    ];
    for (case, filter, visited) in table {
        let _ticket = reader.open("a", vec![filter]).unwrap();
        assert_eq!(
            subscriptions.index.candidates(&kept).len(),
            usize::from(visited),
            "{case}"
        );
    }
}

#[derive(Debug, Clone)]
enum Act {
    Open(usize, &'static str, Vec<Filter>),
    Close(usize, &'static str),
    Leave(usize),
    Deliver(Event),
}

const CONNECTIONS: usize = 4;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (connection, name) = (0..CONNECTIONS, prop::sample::select(vec!["a", "b", "c"]));
    let to = (connection.clone(), name.clone());
    let open = (connection.clone(), name, vec(filter(), 1..4));
    let act = prop_oneof![
        5 => open.prop_map(|(connection, name, filters)| Act::Open(connection, name, filters)),
        1 => to.prop_map(|(connection, name)| Act::Close(connection, name)),
        1 => connection.prop_map(Act::Leave),
        9 => event().prop_map(Act::Deliver),
    ];
    vec(act, 1..40)
}

fn person() -> impl Strategy<Value = PublicKey> {
    (1..4_u8).prop_map(|seed| PublicKey::from_byte_array([seed; 32]))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![1, 14, 38_383]).prop_map(Kind::from)
}

fn id() -> impl Strategy<Value = EventId> {
    (0..4_u8).prop_map(|seed| EventId::from_byte_array([seed; 32]))
}

fn letter_and_value() -> impl Strategy<Value = (SingleLetterTag, String)> {
    let letters = vec![
        SingleLetterTag::LOWERCASE_P,
        SingleLetterTag::LOWERCASE_D,
        SingleLetterTag::LOWERCASE_S,
        SingleLetterTag::UPPERCASE_S,
    ];
    (prop::sample::select(letters), "[xyz]?")
}

fn filter() -> impl Strategy<Value = Filter> {
    let some = 0..3;
    let parts = (
        weighted(0.1, btree_set(id(), some.clone())),
        weighted(0.3, btree_set(person(), some.clone())),
        weighted(0.5, btree_set(kind(), some.clone())),
        vec((letter_and_value(), "[xyz]?"), some),
        weighted(0.2, 0..6_u64),
    );
    parts.prop_map(|(ids, authors, kinds, tags, since)| {
        let mut generic_tags = BTreeMap::<_, BTreeSet<String>>::new();
        for ((letter, value), another) in tags {
            generic_tags
                .entry(letter)
                .or_default()
                .extend([value, another]);
        }
        Filter {
            ids,
            authors,
            kinds,
            generic_tags,
            since: since.map(Timestamp::from),
            ..Filter::new()
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    let parts = (
        id(),
        person(),
        0..6_u64,
        kind(),
        vec(letter_and_value(), 0..4),
    );
    parts.prop_map(|(id, author, at, kind, tags)| {
        let tags = tags.into_iter().map(|(letter, value)| {
            Tag::parse([letter.to_string(), value]).expect("two words are a tag")
        });
        let signature = Signature::from_byte_array([7; 64]);
        let tags = Tags::from_list(tags.collect());
        Event::new(id, author, at.into(), kind, tags, "", signature)
    })
}

proptest! {
    #[test]
    fn subscribers_are_shown_what_asking_every_filter_would_show(acts in acts()) {
        let subscriptions = subscriptions();
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| join(&subscriptions)).collect();
        let mut model: Vec<BTreeMap<&str, Vec<Filter>>> = vec![BTreeMap::new(); CONNECTIONS];
        for act in acts {
            match act {
                Act::Open(connection, name, filters) => {
                    let ticket = connections[connection].open(name, filters.clone()).unwrap();
                    subscriptions.go_live(&ticket, &[]);
                    prop_assert_eq!(connections[connection].sent(), [words::eose(name)]);
                    model[connection].insert(name, filters);
                }
                Act::Close(connection, name) => {
                    connections[connection].joined.reader.close(name);
                    model[connection].remove(name);
                }
                Act::Leave(connection) => {
                    connections[connection] = join(&subscriptions);
                    model[connection].clear();
                }
                Act::Deliver(event) => {
                    let kept = Kept::of(&event);
                    deliver(&subscriptions, &kept);
                    let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
                    let shows = |filter: &Filter| {
                        subscriptions.visibility.shows(&session, filter, &kept, kept.created_at)
                    };
                    for (connection, open) in connections.iter().zip(&model) {
                        let wanted = open.iter().filter(|(_, filters)| filters.iter().any(shows));
                        let wanted: BTreeSet<_> = wanted.map(|(name, _)| shown(name, &kept)).collect();
                        let sent = connection.sent();
                        prop_assert_eq!(sent.len(), wanted.len());
                        prop_assert_eq!(BTreeSet::from_iter(sent), wanted);
                    }
                }
            }
        }
        drop(connections);
        prop_assert!(subscriptions.index.is_empty());
    }
}

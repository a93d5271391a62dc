//! Somebody without keys, who wants to know who talks to whom.
//!
//! He may know everything else: the node, the ids of the messages, their times, their
//! tags. Whatever he asks, he is answered as if there were no messages at all.

use std::slice;

use nostr::event::Event;
use nostr::key::Keys;
use serde_json::{Map, Value, json};

use crate::harbour::{Client, Harbour, NOW, draft};

/// Kinds that are private.
const PRIVATE: [u16; 3] = [4, 14, 1059];

/// What the scraper knows of each message.
const THREAD: &str = "00000000000000000000000000000000000000000000000000000000000000ee";
const SUBJECT: &str = "trade";

/// Messages by the node and by strangers, and a public event that looks like them.
struct Town {
    node: Keys,
    trader: Keys,
    private: Vec<Event>,
    public: Event,
}

impl Town {
    fn around(node: &Keys) -> Town {
        let (trader, stranger) = (Keys::generate(), Keys::generate());
        let one_shot = Keys::generate;
        let message = |kind: u16, by: &Keys, text: &str| {
            let message = draft(kind).to(&trader).text(text);
            message.tag("e", THREAD).tag("d", SUBJECT).by(by)
        };
        Town {
            private: vec![
                message(14, node, "from the node"),
                message(1059, &one_shot(), "from the node"),
                message(14, &stranger, "chat"),
                message(4, &stranger, "chat"),
                message(1059, &one_shot(), "chat"),
            ],
            public: message(1, node, "gm"),
            node: node.clone(),
            trader,
        }
    }

    /// Every filter that names no recipient, and no author but the node.
    fn filters(&self) -> Vec<Value> {
        let ids = self.private.iter().chain([&self.public]);
        let ids: Vec<_> = ids.map(|event| event.id.to_hex()).collect();
        let choices = [
            vec![json!({}), json!({"ids": ids})],
            vec![
                json!({}),
                json!({"kinds": PRIVATE}),
                json!({"kinds": [1, 4, 14, 1059]}),
            ],
            vec![json!({}), json!({"authors": [self.node.public_key()]})],
            vec![json!({}), json!({"since": NOW - 1, "until": NOW + 1})],
            vec![
                json!({}),
                json!({"#e": [THREAD]}),
                json!({"#d": [SUBJECT]}),
                json!({"#p": []}),
            ],
            vec![json!({}), json!({"limit": 1})],
        ];
        choices.iter().fold(vec![json!({})], |filters, choices| {
            let with = |filter: &Value| choices.iter().map(|it| both(filter, it)).collect();
            filters.iter().flat_map::<Vec<_>, _>(with).collect()
        })
    }

    async fn is_busy(&self, harbour: &Harbour) {
        let mut post = harbour.client().await;
        let (by_the_node, by_strangers) = self.private.split_at(2);
        harbour.relay.publish(by_the_node.to_vec()).await.unwrap();
        for message in by_strangers {
            assert_eq!(post.publish(message).await, (true, String::new()));
        }
    }
}

fn both(filter: &Value, other: &Value) -> Value {
    let fields = |it: &Value| it.as_object().unwrap().clone();
    Value::Object(
        fields(filter)
            .into_iter()
            .chain(fields(other))
            .collect::<Map<_, _>>(),
    )
}

impl Client {
    /// Everything that he is told when he asks for these events, and for their number.
    async fn scrapes(&mut self, filters: &[Value]) -> Vec<Vec<Value>> {
        let mut told = Vec::new();
        for filter in filters {
            for verb in ["REQ", "COUNT"] {
                self.say(&json!([verb, "q", filter])).await;
                let mut answer = Vec::new();
                loop {
                    let next = self.next().await;
                    let is_last = next[0] != "EVENT";
                    answer.push(next);
                    if is_last {
                        break;
                    }
                }
                told.push(answer);
            }
        }
        told
    }
}

impl Client {
    /// What he is told about events that bear a message's id, and about its deletion.
    async fn guesses(&mut self, message: &Event, thief: &Keys, town: &Town) -> Vec<(bool, String)> {
        let mut altered = message.clone();
        "a guess".clone_into(&mut altered.content);
        let mut forged = message.clone();
        forged.sig = town.public.sig;
        let deletion = draft(5).tag("e", message.id).by(thief);
        let mut told = Vec::new();
        for guess in [&altered, &forged, &deletion] {
            told.push(self.publish(guess).await);
        }
        told
    }
}

#[tokio::test]
async fn a_scraper_is_told_the_same_whether_there_are_messages_or_not() {
    let harbour = Harbour::open().await;
    let town = Town::around(&harbour.node);
    let filters = town.filters();
    harbour
        .relay
        .publish(vec![town.public.clone()])
        .await
        .unwrap();
    let mut scraper = harbour.client().await;
    let before = scraper.scrapes(&filters).await;
    town.is_busy(&harbour).await;
    let after = scraper.scrapes(&filters).await;
    for ((before, after), place) in before.iter().zip(&after).zip(0..) {
        assert_eq!(before, after, "{}", filters[place / 2]);
    }
    let answers = |verb: &str| before.iter().filter(|told| told[0][0] == verb).count();
    assert!(answers("EVENT") > 50, "he does see what is public");
    assert!(answers("CLOSED") > 50, "what is hopeless is refused");
    assert_eq!(
        answers("EVENT") + answers("CLOSED") + answers("EOSE") + answers("COUNT"),
        2 * filters.len()
    );

    // The messages are there, for whom they are meant.
    let mine = json!({"#p": [town.trader.public_key()], "kinds": PRIVATE});
    assert_eq!(scraper.req("mine", slice::from_ref(&mine)).await.len(), 5);
    assert_eq!(scraper.count("mine", &[mine]).await, 5);
    harbour.stop().await;
}

#[tokio::test]
async fn a_scraper_hears_no_message_live() {
    let harbour = Harbour::open().await;
    let town = Town::around(&harbour.node);
    let mut scrapers = Vec::new();
    for filters in town.filters().chunks(90) {
        let mut scraper = harbour.client().await;
        for (place, filter) in filters.iter().enumerate() {
            scraper
                .subscribe(&place.to_string(), slice::from_ref(filter))
                .await;
            let opened = scraper.next().await;
            assert!(opened[0] == "EOSE" || opened[0] == "CLOSED", "{opened}");
        }
        scrapers.push(scraper);
    }
    let mut trader = harbour.client().await;
    let mine = json!({"#p": [town.trader.public_key()], "limit": 0});
    trader.req("mine", &[mine]).await;
    town.is_busy(&harbour).await;
    for message in &town.private {
        assert_eq!(trader.live("mine").await, message.id.to_hex());
    }
    for scraper in &mut scrapers {
        scraper.hears_nothing_else().await;
    }
    harbour.stop().await;
}

/// Who holds an event may learn that it is stored, who holds only its id may not: an event
/// that bears a known id, and a deletion of it, are answered as if it were unknown.
#[tokio::test]
async fn an_id_alone_is_no_question() {
    let harbour = Harbour::open().await;
    let town = Town::around(&harbour.node);
    town.is_busy(&harbour).await;
    let mut scraper = harbour.client().await;
    let thief = Keys::generate();
    for known in &town.private {
        let unknown = draft(14)
            .text(known.id.to_hex())
            .to(&town.trader)
            .by(&thief);
        let guesses = scraper.guesses(known, &thief, &town).await;
        let at_random = scraper.guesses(&unknown, &thief, &town).await;
        assert_eq!(guesses, at_random, "kind {}", known.kind);
    }
    let mine = json!({"#p": [town.trader.public_key()]});
    let left = scraper.req("mine", &[mine]).await;
    assert_eq!(left.len(), 5, "a stranger deletes nothing");
    harbour.stop().await;
}

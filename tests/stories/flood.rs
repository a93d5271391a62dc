//! Trades while strangers pour junk over the relay and the node (rule Y4).

use std::net::SocketAddr;
use std::time::Duration;

use escrow_core::wire::{Action, OrderKind, Transport};
use futures_util::{SinkExt, StreamExt};
use nostr::event::{Event, EventId};
use nostr::key::Keys;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::envelopes::{direct, event, gift_wrap, now, signed_at, tagged};
use crate::town::Town;
use crate::trades::{Nights, buy, sell};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Presigned pieces of each kind of junk; they are repeated without end.
const PIECES: usize = 64;

/// How the relay answered a connection that pours.
#[derive(Debug, Default)]
struct Answers {
    taken: usize,
    told_to_wait: usize,
    refused: usize,
}

/// Connections that pour without pause.
struct Flood {
    address: SocketAddr,
    mouths: JoinSet<()>,
    answers: watch::Sender<Answers>,
}

impl Flood {
    fn over(town: &Town) -> Flood {
        Flood {
            address: town.node().relay_address(),
            mouths: JoinSet::new(),
            answers: watch::Sender::default(),
        }
    }

    /// One more connection, which repeats these events and adds to each a copy with
    /// a fresh id and a wrong signature.
    async fn pours(&mut self, junk: Vec<Event>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = client_async("ws://localhost/", stream).await.unwrap();
        let (mut mouth, mut ear) = socket.split();
        self.mouths.spawn(async move {
            for turn in 0_u64.. {
                for event in &junk {
                    for event in [event, &forged(event, turn)] {
                        let frame = json!(["EVENT", event]).to_string();
                        if mouth.send(Message::text(frame)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let answers = self.answers.clone();
        self.mouths.spawn(async move {
            while let Some(Ok(frame)) = ear.next().await {
                if let Message::Text(text) = frame {
                    let answer: Value = serde_json::from_str(&text).unwrap();
                    answers.send_modify(|answers| answers.count(&answer));
                }
            }
        });
    }

    /// Waits until the flood has been answered so.
    async fn hears(&self, enough: impl FnMut(&Answers) -> bool) {
        let mut answers = self.answers.subscribe();
        let heard = timeout(PATIENCE, answers.wait_for(enough)).await;
        assert!(heard.is_ok(), "{:?}", self.answers.borrow());
    }
}

impl Answers {
    fn count(&mut self, answer: &Value) {
        assert_eq!(answer[0], "OK", "{answer}");
        if answer[2] == true {
            self.taken += 1;
        } else if answer[3].as_str().unwrap().starts_with("rate-limited: ") {
            self.told_to_wait += 1;
        } else {
            self.refused += 1;
        }
    }
}

fn forged(event: &Event, turn: u64) -> Event {
    let mut forged = event.clone();
    forged.content = format!("{turn}{}", event.content);
    forged.id = EventId::compute(
        &forged.pubkey,
        &forged.created_at,
        &forged.kind,
        &forged.tags,
        &forged.content,
    );
    forged
}

fn pieces(piece: impl FnMut(usize) -> Event) -> Vec<Event> {
    (0..PIECES).map(piece).collect()
}

/// Something well-formed of nobody known: it is opened, decided and answered.
async fn requests_of_nobody(town: &mut Town) -> Vec<Event> {
    let mut nobody = town.hidden("nobody", Transport::GiftWrap).await;
    let node = town.key();
    pieces(|number| {
        nobody.trade.keys = Keys::generate();
        let mut cancel = nobody.message(Action::Cancel, None);
        cancel.id = Some(uuid::Uuid::from_u128(number as u128));
        signed_at(&nobody, &cancel, Transport::GiftWrap, node, now())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn y4_trades_are_made_during_a_flood_of_strangers() {
    let mut town = Town::new().await;
    let node = town.key();
    let somebody = Keys::generate().public_key();
    let nobody = Keys::generate;
    let mut flood = Flood::over(&town);
    flood
        .pours(pieces(|n| tagged(&nobody(), 1, [], n.to_string())))
        .await;
    flood
        .pours(pieces(|_| event(&nobody(), 14, somebody, "chat")))
        .await;
    flood
        .pours(pieces(|_| event(&nobody(), 1_059, somebody, "chat")))
        .await;
    for _ in 0..2 {
        flood
            .pours(pieces(|_| direct(&nobody(), node, "junk")))
            .await;
        flood.pours(pieces(|_| gift_wrap(node, "junk"))).await;
        flood.pours(requests_of_nobody(&mut town).await).await;
    }
    for (transport, names) in [
        (Transport::GiftWrap, ["alice", "bob", "carol", "dave"]),
        (Transport::Direct, ["erin", "frank", "grace", "heidi"]),
    ] {
        let [mut alice, mut bob, mut carol, mut dave] = [
            town.person(names[0], transport).await,
            town.person(names[1], transport).await,
            town.person(names[2], transport).await,
            town.person(names[3], transport).await,
        ];
        sell(&mut town, &mut alice, &mut bob, Nights::None).await;
        buy(&mut town, &mut carol, &mut dave, Nights::None).await;
    }
    let enough = |count: usize| count > PIECES;
    flood
        .hears(|it| enough(it.taken) && enough(it.refused) && enough(it.told_to_wait))
        .await;
}

/// Strangers are told to wait, and a running trade is not disturbed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_r13_a_flood_of_strangers_starves_no_running_trade() {
    let mut town = Town::with(|settings| settings.relay.stranger_envelopes_per_second = 1).await;
    let mut alice = town.person("alice", Transport::Direct).await;
    alice.offers(OrderKind::Sell, 10_000).await;
    let mut flood = Flood::over(&town);
    for _ in 0..5 {
        let node = town.key();
        flood.pours(pieces(|_| gift_wrap(node, "junk"))).await;
    }
    flood.hears(|answers| answers.told_to_wait > 0).await;
    alice.says(Action::Cancel, "canceled E").await;
}

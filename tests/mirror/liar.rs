//! A relay that says what a test tells it to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use nostr::event::{Event, EventId};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// What it says to an event that it hears for the n-th time.
pub(crate) type Answers = fn(&Event, usize) -> Vec<Value>;

/// What a liar has in mind, on all of its lines.
#[derive(Default)]
struct Mind {
    /// What it shows to whoever asks for anything.
    shown: Vec<Value>,
    /// How often it has heard each event.
    heard: BTreeMap<EventId, usize>,
    /// How often it was called.
    calls: usize,
    /// How many questions it will end after it has answered them.
    ends: usize,
}

pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    mind: Arc<Mutex<Mind>>,
    _tasks: JoinSet<()>,
}

impl Liar {
    pub(crate) async fn saying(answers: Answers) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mind = Arc::<Mutex<Mind>>::default();
        let same_mind = mind.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut conversations = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                same_mind.lock().unwrap().calls += 1;
                conversations.spawn(talk(stream, answers, same_mind.clone()));
            }
        });
        Liar {
            address,
            mind,
            _tasks: tasks,
        }
    }

    /// Shows this, too, from the next question on.
    pub(crate) fn shows(&self, event: Value) {
        self.mind.lock().unwrap().shown.push(event);
    }

    /// Ends so many questions, once it has told what it knows.
    pub(crate) fn ends(&self, questions: usize) {
        self.mind.lock().unwrap().ends = questions;
    }

    /// Waits until those questions were asked and ended.
    pub(crate) async fn has_ended_them(&self) {
        while self.mind.lock().unwrap().ends > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// How often it was called, for either way.
    pub(crate) fn calls(&self) -> usize {
        self.mind.lock().unwrap().calls
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

async fn talk(stream: TcpStream, answers: Answers, mind: Arc<Mutex<Mind>>) {
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let words: Value = serde_json::from_str(&text).unwrap();
        let said = match words[0].as_str().unwrap() {
            "EVENT" => {
                let event = Event::from_json(words[1].to_string()).unwrap();
                let mut mind = mind.lock().unwrap();
                let times = mind.heard.entry(event.id).or_insert(0);
                *times += 1;
                answers(&event, *times)
            }
            "REQ" => {
                let mut mind = mind.lock().unwrap();
                let shown = mind.shown.iter();
                let shown = shown.map(|it| json!(["EVENT", words[1], it]));
                let mut said: Vec<_> = shown.chain([json!(["EOSE", words[1]])]).collect();
                if mind.ends > 0 {
                    mind.ends -= 1;
                    said.push(json!(["CLOSED", words[1], "error: shutting down"]));
                }
                said
            }
            _ => Vec::new(),
        };
        for words in said {
            let text = words
                .as_str()
                .map_or_else(|| words.to_string(), str::to_owned);
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }
}

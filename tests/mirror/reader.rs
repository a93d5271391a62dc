//! Somebody who reads a relay.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::event::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Reader {
    socket: WebSocketStream<TcpStream>,
    /// Every event that was shown, in its order.
    pub(crate) seen: Vec<Event>,
}

impl Reader {
    /// Opens a line to a relay and asks for everything that `filter` matches.
    pub(crate) async fn of(relay: SocketAddr, filter: &Value) -> Reader {
        let stream = TcpStream::connect(relay).await.unwrap();
        let url = format!("ws://{relay}");
        let (socket, _) = client_async(url, stream).await.unwrap();
        let mut reader = Reader {
            socket,
            seen: Vec::new(),
        };
        reader.says(&json!(["REQ", "all", filter])).await;
        reader
    }

    pub(crate) async fn says(&mut self, words: &Value) {
        let frame = Message::text(words.to_string());
        self.socket.send(frame).await.unwrap();
    }

    pub(crate) async fn hears(&mut self) -> Value {
        loop {
            let heard = timeout(PATIENCE, self.socket.next()).await;
            let heard = heard.expect("a word in time").unwrap().unwrap();
            if let Message::Text(text) = heard {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// The next message of this kind.
    pub(crate) async fn hears_about(&mut self, what: &str) -> Value {
        loop {
            let heard = self.hears().await;
            if heard[0] == what {
                return heard;
            }
        }
    }

    /// Reads until all these events were shown at some time.
    pub(crate) async fn sees_all(&mut self, wanted: &[Event]) {
        while !wanted.iter().all(|it| self.seen.contains(it)) {
            self.event().await;
        }
    }

    /// Reads until this revision of so many orders was shown.
    pub(crate) async fn sees_revisions(&mut self, revision: &str, orders: usize) {
        let shown = |seen: &[Event]| seen.iter().filter(|it| it.content == revision).count();
        while shown(&self.seen) < orders {
            self.event().await;
        }
    }

    /// The next event that is shown.
    pub(crate) async fn event(&mut self) -> Event {
        let heard = self.hears_about("EVENT").await;
        let event = Event::from_json(heard[2].to_string()).unwrap();
        self.seen.push(event.clone());
        event
    }

    /// What is stored, and nothing that comes after it.
    pub(crate) async fn stored(relay: SocketAddr, filter: &Value) -> Vec<Event> {
        let mut reader = Reader::of(relay, filter).await;
        let mut stored = Vec::new();
        loop {
            let heard = reader.hears().await;
            if heard[0] == "EOSE" {
                return stored;
            }
            stored.push(Event::from_json(heard[2].to_string()).unwrap());
        }
    }
}

//! Somebody who just listens: a bare websocket, for what a trader never asks.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::event::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Listener {
    socket: WebSocketStream<TcpStream>,
}

impl Listener {
    /// Connects to a relay at `ws://` and an IP address.
    pub(crate) async fn at(url: &str) -> Listener {
        let address = url.strip_prefix("ws://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(url, stream).await.unwrap();
        Listener { socket }
    }

    /// Subscribes and returns the ids of what is stored, or why it is refused.
    pub(crate) async fn subscribes(&mut self, filter: Value) -> Result<Vec<String>, String> {
        self.says(&json!(["REQ", "ear", filter])).await;
        let mut ids = Vec::new();
        loop {
            let heard = self.next().await;
            match heard[0].as_str() {
                Some("EVENT") => ids.push(text(&heard[2]["id"])),
                Some("EOSE") => return Ok(ids),
                Some("CLOSED") => return Err(text(&heard[2])),
                _ => panic!("{heard}"),
            }
        }
    }

    /// Subscribes and waits for an event that is as it is waited for.
    pub(crate) async fn hears_event(
        &mut self,
        filter: &Value,
        is_it: impl Fn(&Event) -> bool,
    ) -> Event {
        self.says(&json!(["REQ", "ear", filter])).await;
        loop {
            let heard = self.next().await;
            if heard[0] == "EVENT" {
                let event: Event = serde_json::from_value(heard[2].clone()).unwrap();
                if is_it(&event) {
                    return event;
                }
            }
        }
    }

    /// The id of the next event that comes live.
    pub(crate) async fn hears(&mut self) -> String {
        let heard = self.next().await;
        assert_eq!(heard[0], "EVENT", "{heard}");
        text(&heard[2]["id"])
    }

    /// Publishes and returns the verdict.
    pub(crate) async fn publishes(&mut self, event: &Event) -> (bool, String) {
        self.says(&json!(["EVENT", event])).await;
        let heard = self.next().await;
        assert_eq!((&heard[0], &heard[1]), (&json!("OK"), &json!(event.id)));
        (heard[2].as_bool().unwrap(), text(&heard[3]))
    }

    async fn says(&mut self, words: &Value) {
        let frame = Message::text(words.to_string());
        self.socket.send(frame).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.unwrap();
            if let Message::Text(text) = frame.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

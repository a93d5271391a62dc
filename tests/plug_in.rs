//! The gate on somebody else's relay: the policy is a plug-in and needs nothing of ours.
//!
//! That relay speaks an older version of the Nostr crate, so events cross as JSON. It
//! checks signatures itself, knows no third answer beside yes and no, and therefore says
//! `OK false` to a message that was taken; the receipt is the reason it gives.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop there"
)]

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::types::Timestamp;
use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{self, PolicyResult, RelayBuilder};
use nostr_relay_builder::prelude::JsonUtil;
use relay_policy::{
    Arrival, BoxFuture, Gate, GateTerms, Inbox, QueryPolicy, Reading, Receipt, Session, Verdict,
    WritePolicy,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

#[derive(Default)]
struct Letterbox(Mutex<Vec<Event>>);

impl Inbox for Letterbox {
    fn submit(&self, _: &Session, event: Event) -> BoxFuture<'static, Receipt> {
        self.0.lock().unwrap().push(event);
        Box::pin(ready(Receipt {
            accepted: true,
            message: "taken".to_owned(),
        }))
    }
}

/// Our policies in the other relay's clothes.
struct PlugIn<Policy>(Policy);

impl<Policy> fmt::Debug for PlugIn<Policy> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PlugIn")
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = PolicyResult> + Send + 'a>>;

impl builder::WritePolicy for PlugIn<Gate> {
    fn admit_event<'a>(
        &'a self,
        event: &'a nostr_relay_builder::prelude::Event,
        address: &'a SocketAddr,
    ) -> Answer<'a> {
        Box::pin(async move {
            let json = event.as_json();
            let event = Event::from_json(&json).unwrap();
            let session = Session::new(0, address.ip());
            let now = Timestamp::now();
            let arrival = Arrival {
                event: &event,
                size_bytes: json.len(),
                now,
            };
            if let Err(refusal) = self.0.before_signature(&session, arrival) {
                return PolicyResult::Reject(refusal.to_string());
            }
            match self.0.after_signature(&session, arrival) {
                Verdict::Keep => PolicyResult::Accept,
                Verdict::Taken(receipt) => PolicyResult::Reject(receipt.await.message),
                Verdict::Refuse(refusal) => PolicyResult::Reject(refusal.to_string()),
            }
        })
    }
}

impl builder::QueryPolicy for PlugIn<Reading> {
    fn admit_query<'a>(
        &'a self,
        filter: &'a nostr_relay_builder::prelude::Filter,
        address: &'a SocketAddr,
    ) -> Answer<'a> {
        Box::pin(async move {
            let filter = Filter::from_json(filter.as_json()).unwrap();
            match self.0.admit(&Session::new(0, address.ip()), &[filter]) {
                Ok(()) => PolicyResult::Accept,
                Err(refusal) => PolicyResult::Reject(refusal.to_string()),
            }
        })
    }
}

#[tokio::test]
async fn the_gate_works_on_a_stock_relay() {
    let (node, trader) = (Keys::generate(), Keys::generate());
    let letterbox = Arc::new(Letterbox::default());
    let gate = Gate::new(
        node.public_key(),
        GateTerms::default(),
        Arc::new(BTreeSet::new()),
        Some(letterbox.clone()),
    );
    let relay = LocalRelay::new(
        RelayBuilder::default()
            .write_policy(PlugIn(gate))
            .query_policy(PlugIn(Reading::new(node.public_key()))),
    );
    relay.run().await.unwrap();
    let mut client = connect(&relay).await;

    let to_node = Tag::public_key(node.public_key());
    let message = EventBuilder::new(Kind::from(14), "sealed")
        .tag(to_node)
        .finalize(&trader)
        .unwrap();
    let gm = EventBuilder::new(Kind::TextNote, "gm")
        .finalize(&trader)
        .unwrap();
    let impostor = EventBuilder::new(Kind::TextNote, "I am the node")
        .finalize(&node)
        .unwrap();

    assert_eq!(
        publish(&mut client, &message).await,
        json!([false, "blocked: taken"])
    );
    assert_eq!(*letterbox.0.lock().unwrap(), std::slice::from_ref(&message));
    assert_eq!(publish(&mut client, &gm).await, json!([true, ""]));
    let refused = publish(&mut client, &impostor).await;
    assert!(
        refused[1]
            .as_str()
            .unwrap()
            .contains("only the node itself"),
        "{refused}"
    );

    say(&mut client, &json!(["REQ", "all", {}])).await;
    let shown = hear(&mut client).await;
    assert_eq!(
        (&shown[0], &shown[2]["id"]),
        (&json!("EVENT"), &json!(gm.id.to_hex()))
    );
    assert_eq!(
        hear(&mut client).await,
        json!(["EOSE", "all"]),
        "the message was not stored"
    );
    say(&mut client, &json!(["REQ", "spy", {"kinds": [1059]}])).await;
    let closed = hear(&mut client).await;
    assert_eq!(closed[0], "CLOSED");
    assert!(
        closed[2].as_str().unwrap().contains("restricted"),
        "{closed}"
    );
    relay.shutdown();
}

type Client = WebSocketStream<TcpStream>;

async fn connect(relay: &LocalRelay) -> Client {
    let url = relay.url().await.to_string();
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let stream = TcpStream::connect(address).await.unwrap();
    client_async(url.as_str(), stream).await.unwrap().0
}

async fn publish(client: &mut Client, event: &Event) -> Value {
    say(client, &json!(["EVENT", event])).await;
    let ok = hear(client).await;
    assert_eq!((&ok[0], &ok[1]), (&json!("OK"), &json!(event.id.to_hex())));
    json!([ok[2], ok[3]])
}

async fn say(client: &mut Client, words: &Value) {
    client.send(Message::text(words.to_string())).await.unwrap();
}

async fn hear(client: &mut Client) -> Value {
    let patience = Duration::from_secs(30);
    loop {
        let heard = timeout(patience, client.next())
            .await
            .expect("an answer in time");
        if let Message::Text(text) = heard.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

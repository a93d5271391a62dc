//! The node as a whole: what it takes to start, to go on and to stop.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at its first surprise"
)]

use std::net::SocketAddr;
use std::time::Duration;

use escrow_core::wire::{Letter, Seed, Transport, client};
use escrow_engine::clock::{Clock, SystemClock};
use futures_util::{SinkExt, StreamExt};
use mostro_relay::node::{Node, NodeError};
use mostro_relay::settings::Settings;
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::Keys;
use nostr::types::RelayUrl;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tags of the node's terms, in their order (`wire.md` 10.3).
const TERMS: [&str; 30] = [
    "d",
    "mostro_version",
    "mostro_commit_hash",
    "max_order_amount",
    "min_order_amount",
    "expiration_hours",
    "expiration_seconds",
    "fiat_currencies_accepted",
    "max_orders_per_response",
    "fee",
    "pow",
    "pow_first_contact",
    "protocol_version",
    "y",
    "z",
    "escrow_mode",
    "hold_invoice_cltv_delta",
    "escrow_deadline_margin_blocks",
    "lnd_version",
    "lnd_node_pubkey",
    "lnd_commit_hash",
    "lnd_node_alias",
    "lnd_chains",
    "lnd_networks",
    "lnd_uris",
    "invoice_expiration_window",
    "hold_invoice_expiration_window",
    "bond_enabled",
    "maintenance_mode",
    "software",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_on_its_one_port() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(settings(&folder)).await;
    let address = node.relay_address();
    assert_eq!(node.url(), format!("ws://{address}"));
    assert_eq!(ask(address, "/livez").await, (200, "alive\n".into()));
    assert_eq!(
        ask(address, "/readyz").await,
        (200, "{\"ready\":true}\n".into())
    );
    let (code, document) = ask(address, "/").await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (code, document["pubkey"].as_str()),
        (200, Some(node.public_key().to_hex().as_str()))
    );
    for (limit, value) in [("max_message_length", 262_144), ("max_filters", 20)] {
        assert_eq!(document["limitation"][limit], value);
    }
    let wallets = ask(node.sandbox_address().unwrap(), "/wallets").await;
    assert_eq!(wallets, (200, "{\"trader\":100000000000}".into()));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_terms_are_complete_and_true() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder);
    settings.mostro.fee = 0.0125;
    settings.node.name = Some("Casa".into());
    let node = started(settings).await;
    let terms = announced(&node, 38_385).await;
    let names: Vec<_> = terms
        .tags
        .iter()
        .map(|tag| tag.as_slice()[0].as_str())
        .collect();
    assert_eq!(names, TERMS);
    let lightning = node.escrow().unwrap().lightning().borrow().clone();
    let escrow_engine::LightningHealth::Reachable(lightning) = lightning else {
        panic!("the sandbox is always there: {lightning:?}");
    };
    let values = [
        ("d", node.public_key().to_hex()),
        ("fee", "0.0125".into()),
        ("pow", "0".into()),
        ("protocol_version", "2".into()),
        ("lnd_node_pubkey", lightning.pubkey),
        ("lnd_node_alias", lightning.alias),
        ("lnd_networks", "regtest".into()),
        ("hold_invoice_cltv_delta", "144".into()),
        ("maintenance_mode", "false".into()),
    ];
    for (name, value) in values {
        assert_eq!(tag(&terms, name), [name, &value]);
    }
    assert_eq!(tag(&terms, "y"), ["y", "mostro", "Casa"]);
    assert_eq!(
        announced(&node, 0).await.content,
        "{\"name\":\"Casa\",\"about\":\"sandbox: all money is simulated\"}"
    );
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn z4_a_sandbox_says_everywhere_that_its_money_is_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder);
    settings.node.about = Some("In town".into());
    settings.relay.description = "A relay".into();
    for (escrow, said) in [(true, " (sandbox: all money is simulated)"), (false, "")] {
        settings.escrow.enabled = escrow;
        let node = started(settings.clone()).await;
        let (_, document) = ask(node.relay_address(), "/").await;
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["description"], format!("A relay{said}"));
        let (_, page) = ask_as("text/html", node.relay_address(), "/").await;
        assert!(page.contains(&format!("\nA relay{said}\n")), "{page}");
        if escrow {
            let profile = announced(&node, 0).await.content;
            assert_eq!(profile, format!("{{\"about\":\"In town{said}\"}}"));
        }
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_goes_on_as_the_same_node() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder);
    settings.node.name = Some("Casa".into());
    settings.relay.public_url = Some(RelayUrl::parse("wss://relay.example.org").unwrap());
    let (mut identities, mut last_terms) = (Vec::new(), 0);
    for _ in 0..3 {
        let node = started(settings.clone()).await;
        let terms = announced_after(&node, 38_385, last_terms).await;
        last_terms = terms.created_at.as_secs();
        let (profile, relays) = (announced(&node, 0).await, announced(&node, 10_002).await);
        assert_eq!(tag(&relays, "r"), ["r", "wss://relay.example.org"]);
        identities.push((node.public_key(), profile.id, relays.id));
        node.stop().await.unwrap();
    }
    identities.dedup();
    assert_eq!(identities.len(), 1, "what did not change is not said again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_not_share_their_data() {
    let folder = tempfile::tempdir().unwrap();
    let first = started(settings(&folder)).await;
    let refused = Node::start(settings(&folder)).await.err().unwrap();
    assert!(matches!(refused, NodeError::Identity(_)), "{refused}");
    let lock = folder.path().join("lock");
    assert!(
        refused.to_string().contains(&*lock.to_string_lossy()),
        "{refused}"
    );
    first.stop().await.unwrap();
    started(settings(&folder)).await.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named_with_its_setting() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = started(settings(&one)).await;
    let mut second = settings(&other);
    second.relay.listen = first.relay_address();
    let refused = Node::start(second).await.err().unwrap().to_string();
    let address = first.relay_address();
    assert!(
        refused.starts_with(&format!("cannot listen on {address}: ")),
        "{refused}"
    );
    assert!(refused.contains("Set relay.listen to another"), "{refused}");
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_escrow_the_relay_works_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder);
    settings.escrow.enabled = false;
    let node = started(settings).await;
    assert_eq!(node.sandbox_address(), None);
    assert_eq!(ask(node.relay_address(), "/readyz").await.0, 200);
    let mut client = Client::of(&node).await;
    let trader = Keys::generate();
    let greeting = EventBuilder::new(Kind::TextNote, "gm")
        .finalize(&trader)
        .unwrap();
    assert_eq!(
        client.publishes(&greeting).await,
        json!(["OK", greeting.id, true, ""])
    );
    let message = EventBuilder::new(Kind::from_u16(14), "hello")
        .tag(Tag::public_key(node.public_key()))
        .finalize(&trader)
        .unwrap();
    let answer = client.publishes(&message).await;
    assert!(
        answer[3].as_str().unwrap().starts_with("restricted: "),
        "{answer}"
    );
    drop(client);
    assert!(!folder.path().join("ledger.redb").exists());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_the_escrow() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(settings(&folder)).await;
    let message = EventBuilder::new(Kind::from_u16(14), "no envelope")
        .tag(Tag::public_key(node.public_key()))
        .finalize(&Keys::generate())
        .unwrap();
    let answer = Client::of(&node).await.publishes(&message).await;
    assert_eq!(answer[2], false);
    assert!(
        answer[3].as_str().unwrap().starts_with("invalid: "),
        "{answer}"
    );
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_is_refused_while_orders_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut changed = settings(&folder);
    let key = Keys::generate();
    changed.node.key = Some(key.clone());

    let node = started(settings(&folder)).await;
    let old = node.public_key();
    node.stop().await.unwrap();
    let node = started(changed.clone()).await;
    assert_eq!(node.public_key(), key.public_key(), "nothing was open");
    node.stop().await.unwrap();

    let node = started(settings(&folder)).await;
    assert_eq!(node.public_key(), old);
    let mut client = Client::of(&node).await;
    let order = new_order(&node, &Keys::generate());
    assert_eq!(
        client.publishes(&order).await,
        json!(["OK", order.id, true, ""])
    );
    drop(client);
    node.stop().await.unwrap();
    let refused = Node::start(changed).await.err().unwrap().to_string();
    let expected = format!(
        "the ledger holds 1 open orders of node {old}, but the node key is {}",
        key.public_key()
    );
    assert!(refused.starts_with(&expected), "{refused}");
}

/// An offer to sell, as a client sends it.
fn new_order(node: &Node, trader: &Keys) -> Event {
    let message = r#"{"order":{"version":2,"request_id":1,"trade_index":1,"action":"new-order","payload":{"order":{"kind":"sell","status":"pending","amount":10000,"fiat_code":"USD","min_amount":null,"max_amount":null,"fiat_amount":10,"payment_method":"cash","premium":0,"created_at":0,"expires_at":null}}}}"#;
    let letter = Letter {
        message_json: message,
        to: node.public_key(),
        transport: Transport::Direct,
        created_at: SystemClock.now(),
        expiration: None,
    };
    client::wrap(&letter, trader, None, &Seed([7; 32])).unwrap()
}

/// Any free ports, data in the folder.
fn settings(folder: &TempDir) -> Settings {
    let mut settings = Settings::default();
    settings.node.data_dir = folder.path().into();
    settings.relay.listen.set_port(0);
    settings.sandbox.listen.set_port(0);
    settings.relay.max_store_gib = 1;
    settings
}

async fn started(settings: Settings) -> Node {
    timeout(PATIENCE, Box::pin(Node::start(settings)))
        .await
        .unwrap()
        .unwrap()
}

async fn announced(node: &Node, kind: u16) -> Event {
    announced_after(node, kind, 0).await
}

/// The node's event of a kind, as soon as there is one later than `after`.
async fn announced_after(node: &Node, kind: u16, after: u64) -> Event {
    let mut client = Client::of(node).await;
    let question = json!(["REQ", "q", { "kinds": [kind], "authors": [node.public_key()] }]);
    client.says(&question).await;
    loop {
        let heard = client.hears().await;
        if heard[0] == "EVENT" {
            let event: Event = serde_json::from_value(heard[2].clone()).unwrap();
            if event.created_at.as_secs() > after {
                event.verify().unwrap();
                return event;
            }
        }
    }
}

fn tag<'a>(event: &'a Event, name: &str) -> &'a [String] {
    let mut tags = event.tags.iter().map(Tag::as_slice);
    tags.find(|tag| tag[0] == name).unwrap()
}

/// Status and body of a `GET`, as a client that prefers the relay's document.
async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    ask_as("application/nostr+json", address, path).await
}

/// The same, as a client that accepts something else.
async fn ask_as(accepts: &str, address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accepts}\r\n\
         Connection: close\r\n\r\n"
    );
    let mut answer = String::new();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
    };
    timeout(PATIENCE, exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

/// A websocket client of few words.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn of(node: &Node) -> Self {
        let stream = TcpStream::connect(node.relay_address()).await.unwrap();
        Self(client_async(node.url(), stream).await.unwrap().0)
    }

    async fn says(&mut self, words: &Value) {
        let words = Message::text(words.to_string());
        timeout(PATIENCE, self.0.send(words))
            .await
            .unwrap()
            .unwrap();
    }

    async fn hears(&mut self) -> Value {
        let frame = timeout(PATIENCE, self.0.next()).await.unwrap();
        serde_json::from_str(frame.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    async fn publishes(&mut self, event: &Event) -> Value {
        self.says(&json!(["EVENT", event])).await;
        self.hears().await
    }
}

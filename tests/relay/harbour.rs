//! A relay on a free port, and clients to sail there.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mostro_relay::front_door::{self, FrontDoor, Readiness};
use mostro_relay::relay::{Relay, RelayLimits, RelayParts, RelayProfile};
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::Keys;
use nostr::types::{RelayUrl, Timestamp};
use relay_policy::{BoxFuture, Gate, GateTerms, Inbox, QueryPolicy, Reading, Receipt, Session};
use serde_json::{Value, json};
use storage::events::{EventStore, EventStoreOptions};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

/// The second in which every test begins.
pub(crate) const NOW: u64 = 1_700_000_000;

/// The address under which the world knows the harbour.
pub(crate) const URL: &str = "wss://harbour.example";

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The limits of the tests: the defaults, but clients who do not answer a farewell are
/// not waited for.
pub(crate) fn limits() -> RelayLimits {
    RelayLimits {
        closing_time: Duration::from_millis(100),
        ..RelayLimits::default()
    }
}

/// Waits for something that is about to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what)
        .await
        .expect("it should have happened by now")
}

/// A message to the node, and the way to answer it.
pub(crate) struct Delivery {
    pub(crate) event: Event,
    pub(crate) receipt: oneshot::Sender<Receipt>,
}

/// Hands every message to the test, which decides when it is answered.
struct TestInbox(mpsc::UnboundedSender<Delivery>);

impl Inbox for TestInbox {
    fn submit(&self, _: &Session, event: Event) -> BoxFuture<'static, Receipt> {
        let (receipt, answer) = oneshot::channel();
        self.0.send(Delivery { event, receipt }).unwrap();
        Box::pin(async { answer.await.expect("every message is answered") })
    }
}

/// A running relay.
pub(crate) struct Harbour {
    pub(crate) node: Keys,
    pub(crate) relay: Relay,
    pub(crate) address: SocketAddr,
    pub(crate) readiness: watch::Sender<Readiness>,
    pub(crate) profile: RelayProfile,
    pub(crate) deliveries: Mutex<mpsc::UnboundedReceiver<Delivery>>,
    clock: Arc<AtomicU64>,
    stop: CancellationToken,
    running: Mutex<JoinSet<std::io::Result<()>>>,
    _folder: TempDir,
}

impl Harbour {
    pub(crate) async fn open() -> Self {
        Self::with(limits()).await
    }

    pub(crate) async fn with(limits: RelayLimits) -> Self {
        let node = Keys::generate();
        let reading = Reading::new(node.public_key());
        Self::build(node, limits, Arc::new(reading)).await
    }

    /// A harbour with a reading policy of the test's own.
    pub(crate) async fn guarded_by(reading: impl QueryPolicy + 'static) -> Self {
        Self::build(Keys::generate(), limits(), Arc::new(reading)).await
    }

    async fn build(node: Keys, limits: RelayLimits, reading: Arc<dyn QueryPolicy>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EventStoreOptions {
            map_size_bytes: 1 << 30,
            ..EventStoreOptions::default()
        };
        let store = Arc::new(EventStore::open(folder.path(), options).await.unwrap());
        let (inbox, deliveries) = mpsc::unbounded_channel();
        let gate = Gate::new(
            node.public_key(),
            limits.gate_terms(GateTerms {
                orders_per_key: 3,
                ..GateTerms::default()
            }),
            Arc::new(BTreeSet::new()),
            Some(Arc::new(TestInbox(inbox))),
        );
        let clock = Arc::new(AtomicU64::new(NOW));
        let hands = clock.clone();
        let relay = Relay::new(RelayParts {
            store,
            writing: Arc::new(gate),
            reading,
            limits,
            urls: vec![RelayUrl::parse(URL).unwrap()],
            clock: Arc::new(move || Timestamp::from(hands.load(Ordering::Relaxed))),
        });
        let (readiness, is_ready) = watch::channel(Readiness::Ready);
        let profile = RelayProfile {
            name: "harbour".to_owned(),
            description: "a relay for tests".to_owned(),
            pubkey: node.public_key(),
            contact: None,
        };
        let door = FrontDoor {
            relay: relay.clone(),
            profile: profile.clone(),
            readiness: is_ready,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(front_door::run(listener, door, stop.clone()));
        Self {
            node,
            relay,
            address,
            readiness,
            profile,
            deliveries: Mutex::new(deliveries),
            clock,
            stop,
            running: Mutex::new(running),
            _folder: folder,
        }
    }

    pub(crate) fn set_clock(&self, now: u64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    /// Tells the relay to stop; the future ends when it has.
    pub(crate) fn stop(&self) -> impl Future<Output = ()> + use<> {
        self.stop.cancel();
        let mut running = std::mem::take(&mut *self.running.lock().unwrap());
        async move { soon(running.join_next()).await.unwrap().unwrap().unwrap() }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.unwrap()).await
    }

    /// A client whose system holds next to nothing that he has not read.
    pub(crate) async fn client_with_small_buffer(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        Client::over(socket.connect(self.address).await.unwrap()).await
    }

    /// Waits for a message to the node.
    #[expect(clippy::await_holding_lock, reason = "only one test holds the harbour")]
    pub(crate) async fn delivery(&self) -> Delivery {
        soon(self.deliveries.lock().unwrap().recv()).await.unwrap()
    }
}

/// A websocket client that keeps what it heard until somebody asks for it.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    heard: VecDeque<Value>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) notices: Vec<String>,
    pub(crate) frame: Option<CloseFrame>,
}

impl Client {
    async fn over(stream: TcpStream) -> Self {
        let (socket, _) = soon(client_async("ws://localhost/", stream)).await.unwrap();
        Self {
            socket,
            heard: VecDeque::new(),
        }
    }

    pub(crate) async fn say(&mut self, words: &Value) {
        self.say_raw(words.to_string()).await;
    }

    pub(crate) async fn say_raw(&mut self, words: impl Into<String>) {
        self.send(Message::text(words.into())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        soon(self.socket.send(message)).await.unwrap();
    }

    /// Says many things in one breath.
    pub(crate) async fn burst(&mut self, words: &[Value]) {
        for words in words {
            let frame = Message::text(words.to_string());
            soon(self.socket.feed(frame)).await.unwrap();
        }
        soon(self.socket.flush()).await.unwrap();
    }

    /// Sends an event and does not wait.
    pub(crate) async fn offer(&mut self, event: &Event) {
        self.say(&json!(["EVENT", event])).await;
    }

    /// Sends an event and waits for its `OK`.
    pub(crate) async fn publish(&mut self, event: &Event) -> (bool, String) {
        self.offer(event).await;
        self.ok(event).await
    }

    /// Waits for the `OK` of an event.
    pub(crate) async fn ok(&mut self, event: &Event) -> (bool, String) {
        let id = json!(event.id.to_hex());
        let ok = self
            .wait_for(|heard| heard[0] == "OK" && heard[1] == id)
            .await;
        (ok[2].as_bool().unwrap(), ok[3].as_str().unwrap().to_owned())
    }

    /// Opens a subscription and returns its stored part.
    pub(crate) async fn req(&mut self, name: &str, filters: &[Value]) -> Vec<String> {
        self.subscribe(name, filters).await;
        self.stored(name).await
    }

    /// Opens a subscription and does not wait.
    pub(crate) async fn subscribe(&mut self, name: &str, filters: &[Value]) {
        let mut words = vec![json!("REQ"), json!(name)];
        words.extend(filters.iter().cloned());
        self.say(&Value::Array(words)).await;
    }

    /// Reads up to `EOSE` and returns the ids of what came before it.
    pub(crate) async fn stored(&mut self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let next = self
                .wait_for(|it| it[1] == name && (it[0] == "EVENT" || it[0] == "EOSE"))
                .await;
            if next[0] == "EOSE" {
                return ids;
            }
            ids.push(next[2]["id"].as_str().unwrap().to_owned());
        }
    }

    /// Waits for the next event of a subscription and returns its id.
    pub(crate) async fn live(&mut self, name: &str) -> String {
        let event = self.wait_for(|it| it[0] == "EVENT" && it[1] == name).await;
        event[2]["id"].as_str().unwrap().to_owned()
    }

    /// The ids of what a subscription has shown and nobody has asked for.
    pub(crate) fn shown_meanwhile(&self, name: &str) -> Vec<String> {
        let shown = self.heard.iter();
        shown
            .filter(|it| it[0] == "EVENT" && it[1] == name)
            .map(|it| it[2]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits for the `CLOSED` of a subscription and returns its text.
    pub(crate) async fn closed(&mut self, name: &str) -> String {
        let closed = self.wait_for(|it| it[0] == "CLOSED" && it[1] == name).await;
        closed[2].as_str().unwrap().to_owned()
    }

    /// Asks for a count and waits for it.
    pub(crate) async fn count(&mut self, name: &str, filters: &[Value]) -> u64 {
        self.ask_count(name, filters).await;
        self.counted(name).await
    }

    /// Waits for the answer to a count.
    pub(crate) async fn counted(&mut self, name: &str) -> u64 {
        let count = self.wait_for(|it| it[0] == "COUNT" && it[1] == name).await;
        count[2]["count"].as_u64().unwrap()
    }

    /// Asks for a count and does not wait.
    pub(crate) async fn ask_count(&mut self, name: &str, filters: &[Value]) {
        let mut words = vec![json!("COUNT"), json!(name)];
        words.extend(filters.iter().cloned());
        self.say(&Value::Array(words)).await;
    }

    /// Takes the next words that the relay said.
    pub(crate) async fn next(&mut self) -> Value {
        self.wait_for(|_| true).await
    }

    /// Waits to be asked for a key and returns the challenge.
    pub(crate) async fn challenge(&mut self) -> String {
        let asked = self.wait_for(|it| it[0] == "AUTH").await;
        asked[1].as_str().unwrap().to_owned()
    }

    /// Answers a challenge and waits for the `OK`.
    pub(crate) async fn prove(&mut self, proof: &Event) -> (bool, String) {
        self.say(&json!(["AUTH", proof])).await;
        self.ok(proof).await
    }

    pub(crate) async fn notice(&mut self) -> String {
        let notice = self.wait_for(|it| it[0] == "NOTICE").await;
        notice[1].as_str().unwrap().to_owned()
    }

    /// Makes sure that everything said before has been followed, and that nothing but
    /// the answer to this came of it.
    pub(crate) async fn hears_nothing_else(&mut self) {
        self.say(&json!(["REQ", "any other words?", {"kinds": [65_000], "limit": 0}]))
            .await;
        let _eose = self.stored("any other words?").await;
        assert_eq!(self.heard, Vec::<Value>::new());
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.heard.iter().position(&wanted) {
            return self.heard.remove(place).unwrap();
        }
        loop {
            let heard = self.hear().await.expect("the connection is open");
            if wanted(&heard) {
                return heard;
            }
            self.heard.push_back(heard);
        }
    }

    async fn hear(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Reads to the end of the connection.
    pub(crate) async fn reads_to_the_end(&mut self) -> Ended {
        let mut notices = Vec::new();
        loop {
            match self.hear().await {
                Ok(heard) if heard[0] == "NOTICE" => {
                    notices.push(heard[1].as_str().unwrap().to_owned());
                }
                Ok(_) => (),
                Err(frame) => return Ended { notices, frame },
            }
        }
    }
}

/// An event to be signed.
pub(crate) struct Draft {
    kind: u16,
    content: String,
    at: u64,
    tags: Vec<Tag>,
}

/// Begins an event of this kind, dated now.
pub(crate) fn draft(kind: u16) -> Draft {
    Draft {
        kind,
        content: String::new(),
        at: NOW,
        tags: Vec::new(),
    }
}

impl Draft {
    pub(crate) fn text(mut self, content: impl Into<String>) -> Self {
        self.content = content.into();
        self
    }

    pub(crate) fn at(mut self, second: u64) -> Self {
        self.at = second;
        self
    }

    pub(crate) fn tag(mut self, name: &str, value: impl Display) -> Self {
        let parts = [name.to_owned(), format!("{value}")];
        self.tags.push(Tag::parse(parts).unwrap());
        self
    }

    /// A tag of a name alone.
    pub(crate) fn bare_tag(mut self, name: &str) -> Self {
        self.tags.push(Tag::parse([name]).unwrap());
        self
    }

    pub(crate) fn to(self, keys: &Keys) -> Self {
        self.tag("p", keys.public_key().to_hex())
    }

    pub(crate) fn by(self, keys: &Keys) -> Event {
        EventBuilder::new(Kind::from(self.kind), self.content)
            .tags(self.tags)
            .custom_created_at(Timestamp::from(self.at))
            .finalize(keys)
            .unwrap()
    }
}

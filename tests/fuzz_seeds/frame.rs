//! One frame to a relay that is all there but for the network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mostro_relay::relay::{Relay, RelayLimits, RelayParts};
use nostr::event::EventId;
use nostr::key::{Keys, SecretKey};
use nostr::message::RelayMessage;
use nostr::types::Timestamp;
use relay_policy::{Gate, GateTerms, Reading};
use serde_json::{Value, json};
use storage::events::{EventStore, EventStoreOptions};
use tempfile::TempDir;
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

/// The second in which everything happens.
const NOW: u64 = 1_700_000_000;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is no event, in bytes: whatever was asked, it is a name and
/// a reason.
const LONGEST_ANSWER: usize = 2_000;

/// A subscription by which one hears that everything said before has been followed.
const THE_END: &str = "everything before this has been followed";

/// A relay without an escrow, for one client after the other.
pub(crate) struct Frames {
    runtime: Runtime,
    relay: Relay,
    _folder: TempDir,
}

impl Frames {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let node = Keys::new(SecretKey::from_slice(&[7; 32]).unwrap()).public_key();
        let limits = RelayLimits {
            // Large enough for what is hostile to a parser, and not only to the limit.
            frame_bytes: 2 << 20,
            frames: None,
            closing_time: Duration::from_millis(1),
            ..RelayLimits::default()
        };
        let terms = limits.gate_terms(GateTerms::default());
        let store = EventStore::open(folder.path(), EventStoreOptions::default());
        let relay = Relay::new(RelayParts {
            store: Arc::new(runtime.block_on(store).unwrap()),
            writing: Arc::new(Gate::new(node, terms, Arc::new(BTreeSet::new()), None)),
            reading: Arc::new(Reading::new(node)),
            limits,
            urls: Vec::new(),
            clock: Arc::new(|| Timestamp::from(NOW)),
        });
        Self {
            runtime,
            relay,
            _folder: folder,
        }
    }

    /// Says one frame to a fresh session and checks what is answered; tells whether the
    /// frame was more than something to complain about.
    pub(crate) fn check(&self, data: &[u8]) -> bool {
        let Ok(frame) = std::str::from_utf8(data) else {
            return false;
        };
        if frame.contains(THE_END) {
            return false;
        }
        let due = Due::of(frame);
        let answers = self.runtime.block_on(self.answers_to(frame, &due));
        for answer in &answers {
            check_form(answer);
        }
        let answers: Vec<Value> = answers
            .iter()
            .map(|answer| serde_json::from_str(answer).unwrap())
            .filter(|answer: &Value| answer[0] != "AUTH")
            .collect();
        due.check(&answers);
        answers.iter().all(|answer| answer[0] != "NOTICE")
    }

    /// Everything the relay says until it has followed the frame.
    async fn answers_to(&self, frame: &str, due: &Due) -> Vec<String> {
        let (ours, theirs) = duplex(64 * 1024);
        let client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let serving = self.relay.serve(theirs, peer, CancellationToken::new());
        let asking = timeout(PATIENCE, ask(client, frame, due));
        let (answers, ()) = tokio::join!(asking, Box::pin(serving));
        answers.expect("every frame is followed and, but for CLOSE, answered")
    }
}

async fn ask(mut client: WebSocketStream<DuplexStream>, frame: &str, due: &Due) -> Vec<String> {
    client.send(Message::text(frame)).await.unwrap();
    let last = json!(["REQ", THE_END, {"kinds": [65_000], "limit": 0}]);
    client.send(Message::text(last.to_string())).await.unwrap();
    let (mut answers, mut is_followed) = (Vec::new(), false);
    while !is_followed || (answers.is_empty() && !matches!(due, Due::AtMostANotice)) {
        let message = client.next().await.expect("the connection lives").unwrap();
        let Message::Text(answer) = message else {
            continue;
        };
        if answer.contains(THE_END) {
            is_followed |= answer.starts_with("[\"EOSE\"");
        } else {
            answers.push(answer.as_str().to_owned());
        }
    }
    answers
}

/// What must hold of each thing a relay says.
fn check_form(answer: &str) {
    let parsed: Value = serde_json::from_str(answer).unwrap();
    let message = RelayMessage::from_json(answer).expect("clients can read it");
    let again: Value = serde_json::from_str(&message.as_json()).unwrap();
    assert_eq!(parsed, again, "it says what it seems to say");
    let reason = match parsed[0].as_str().unwrap() {
        "EVENT" => return,
        "OK" if parsed[2] == true => None,
        "OK" => Some(&parsed[3]),
        "CLOSED" => Some(&parsed[2]),
        "NOTICE" => Some(&parsed[1]),
        "EOSE" | "COUNT" | "AUTH" => None,
        other => panic!("{other} is no word of a relay"),
    };
    assert!(answer.len() <= LONGEST_ANSWER, "{} bytes", answer.len());
    let Some(reason) = reason else { return };
    let prefixes = [
        "invalid: ",
        "pow: ",
        "blocked: ",
        "restricted: ",
        "rate-limited: ",
        "auth-required: ",
        "duplicate: ",
        "error: ",
    ];
    let reason = reason.as_str().unwrap();
    assert!(prefixes.iter().any(|it| reason.starts_with(it)), "{reason}");
}

/// The answer that a frame must have, read from NIP-01 and not from the relay.
enum Due {
    /// The event has an id: one `OK` for it.
    Ok(EventId),
    /// The question has a name: an answer under that name.
    About(String),
    /// Nothing to name: one `NOTICE`.
    Notice,
    /// A `CLOSE`, which is followed in silence.
    AtMostANotice,
    /// No JSON for one parser, which another may read further.
    Something,
}

impl Due {
    fn of(frame: &str) -> Self {
        let Ok(parsed) = serde_json::from_str::<Value>(frame) else {
            return Self::Something;
        };
        let name = || parsed[1].as_str().map(str::to_owned);
        match parsed[0].as_str() {
            Some("EVENT" | "AUTH") => {
                let id = parsed[1]["id"]
                    .as_str()
                    .and_then(|id| EventId::from_hex(id).ok());
                id.map_or(Self::Notice, Self::Ok)
            }
            Some("REQ" | "COUNT") => name()
                .filter(|name| (1..=64).contains(&name.chars().count()))
                .map_or(Self::Notice, Self::About),
            Some("CLOSE") => Self::AtMostANotice,
            _ => Self::Notice,
        }
    }

    fn check(&self, answers: &[Value]) {
        let verbs: Vec<_> = answers.iter().filter_map(|it| it[0].as_str()).collect();
        match self {
            Self::Ok(id) => {
                assert_eq!(verbs, ["OK"]);
                assert_eq!(answers[0][1], id.to_hex());
            }
            Self::About(name) => {
                assert!(answers.iter().all(|it| it[1] == *name), "{answers:?}");
                let (last, before) = verbs.split_last().unwrap();
                let stored = before.iter().all(|verb| *verb == "EVENT");
                assert!(
                    stored && ["EOSE", "CLOSED", "COUNT"].contains(last),
                    "{verbs:?}"
                );
            }
            Self::Notice => assert_eq!(verbs, ["NOTICE"]),
            Self::AtMostANotice => assert!(verbs.is_empty() || verbs == ["NOTICE"], "{verbs:?}"),
            Self::Something => assert_eq!(verbs.len(), 1, "{verbs:?}"),
        }
    }
}

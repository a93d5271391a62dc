//! An external relay with our own engine, which shows letters only to who has
//! proven their recipient's key (NIP-42).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use mostro_relay::front_door::{self, FrontDoor, Readiness};
use mostro_relay::relay::{Relay, RelayLimits, RelayParts, RelayProfile};
use nostr::event::Kind;
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::{Keys, PublicKey};
use nostr::types::{RelayUrl, Timestamp};
use relay_policy::{EventHead, Gate, GateTerms, Prefix, QueryPolicy, Refusal, Session};
use storage::events::{EventStore, EventStoreOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running relay.
pub(crate) struct OwnEngine {
    pub(crate) address: SocketAddr,
    _readiness: watch::Sender<Readiness>,
    _running: JoinSet<std::io::Result<()>>,
    _folder: TempDir,
}

impl OwnEngine {
    pub(crate) async fn open() -> OwnEngine {
        let folder = tempfile::tempdir().unwrap();
        let options = EventStoreOptions {
            map_size_bytes: 1 << 28,
            ..EventStoreOptions::default()
        };
        let store = EventStore::open(folder.path(), options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = Keys::generate().public_key();
        let limits = RelayLimits::default();
        let terms = limits.gate_terms(GateTerms::default());
        let relay = Relay::new(RelayParts {
            store: Arc::new(store),
            writing: Arc::new(Gate::new(node, terms, Arc::new(BTreeSet::new()), None)),
            reading: Arc::new(Recipients),
            limits,
            urls: vec![RelayUrl::parse(&format!("ws://{address}")).unwrap()],
            clock: Arc::new(Timestamp::now),
        });
        let (readiness, is_ready) = watch::channel(Readiness::Ready);
        let door = FrontDoor {
            relay,
            profile: RelayProfile {
                name: "elsewhere".into(),
                description: String::new(),
                pubkey: node,
                contact: None,
            },
            readiness: is_ready,
        };
        let mut running = JoinSet::new();
        running.spawn(front_door::run(listener, door, CancellationToken::new()));
        OwnEngine {
            address,
            _readiness: readiness,
            _running: running,
            _folder: folder,
        }
    }
}

/// Letters are their recipients' to read.
struct Recipients;

impl QueryPolicy for Recipients {
    fn admit(&self, session: &Session, filters: &[Filter]) -> Result<(), Refusal> {
        let is_private = |kind: &Kind| [14, 1_059].contains(&kind.as_u16());
        let asks_for_letters = |filter: &&Filter| {
            let kinds = filter.kinds.as_ref();
            kinds.is_some_and(|kinds| kinds.iter().any(is_private))
        };
        for filter in filters.iter().filter(asks_for_letters) {
            let recipients = filter.generic_tags.get(&SingleLetterTag::LOWERCASE_P);
            let is_proven = |key: &String| {
                let key = PublicKey::from_hex(key);
                key.is_ok_and(|key| session.authenticated.contains(&key))
            };
            if !recipients.is_some_and(|keys| keys.iter().all(is_proven)) {
                let why = "letters are shown to their recipient";
                return Err(Refusal::new(Prefix::AuthRequired, why));
            }
        }
        Ok(())
    }

    fn may_see(&self, _: &Session, _: &Filter, _: EventHead) -> bool {
        true
    }
}

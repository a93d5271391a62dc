//! The rooms of a node in a test's own process, furnished with what no setting
//! can name: a disk that fails, or a server that all addresses lead to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::terms::Terms;
use escrow_core::time::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::intake::Intake;
use escrow_engine::mailbox::MailboxLimits;
use escrow_engine::preimages::Preimages;
use escrow_engine::prices::NoPrices;
use escrow_engine::submission::{Receipt as Decided, Refusal};
use escrow_engine::{Escrow, EscrowHandle, Parts, PublishError, Publisher, Readiness, Source};
use escrow_lightning::{InvoiceRules, LightningBackend, Lnurl};
use mostro_relay::front_door::{self, FrontDoor};
use mostro_relay::relay::{Relay, RelayLimits, RelayParts, RelayProfile};
use nostr::event::Event;
use nostr::key::Keys;
use nostr::types::Timestamp;
use relay_policy::{BoxFuture, Gate, GateTerms, Inbox, Reading, Receipt, Session};
use secrecy::SecretBox;
use storage::events::{EventStore, EventStoreOptions};
use storage::ledger::Ledger;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What rooms stand on; it is there before them and after them.
pub(crate) struct Ground {
    pub(crate) keys: Keys,
    pub(crate) terms: Terms,
    /// By how many seconds the clock of the next rooms is ahead of the machine's,
    /// as if so much time had passed with nobody at home.
    pub(crate) ahead_secs: u64,
    /// What the relay keeps.
    events: Arc<EventStore>,
    _folder: TempDir,
}

impl Ground {
    pub(crate) async fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let options = EventStoreOptions {
            map_size_bytes: 1 << 30,
            ..EventStoreOptions::default()
        };
        let events = EventStore::open(folder.path(), options).await.unwrap();
        Ground {
            keys: Keys::generate(),
            terms: Terms::default(),
            ahead_secs: 0,
            events: Arc::new(events),
            _folder: folder,
        }
    }
}

/// A relay with an escrow behind one port.
pub(crate) struct Rooms {
    pub(crate) url: String,
    pub(crate) escrow: EscrowHandle,
    _running: JoinSet<()>,
}

impl Rooms {
    /// Opens the port; whatever address a trader names is asked at `addresses`.
    pub(crate) async fn open(
        ground: &Ground,
        ledger: Ledger,
        backend: Arc<dyn LightningBackend>,
        addresses: SocketAddr,
    ) -> Rooms {
        let slot = Slot::default();
        let relay = relay(ground, &slot);
        let parts = parts(ground, ledger, backend, addresses, relay.clone()).await;
        let stop = CancellationToken::new();
        let escrow = Escrow::start(parts, stop.clone()).await.unwrap();
        let handle = escrow.handle();
        slot.0.set(handle.clone()).ok().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let door = FrontDoor {
            relay,
            profile: RelayProfile {
                name: "rooms".to_owned(),
                description: String::new(),
                pubkey: ground.keys.public_key(),
                contact: None,
            },
            readiness: watch::channel(front_door::Readiness::Ready).1,
        };
        let mut running = JoinSet::new();
        running.spawn(async move { escrow.ended().await.unwrap() });
        running.spawn(async move { front_door::run(listener, door, stop).await.unwrap() });
        Rooms {
            url,
            escrow: handle,
            _running: running,
        }
    }

    /// Returns when the escrow decides.
    pub(crate) async fn is_ready(&self) {
        let mut readiness = self.escrow.readiness();
        let ready = readiness.wait_for(|readiness| *readiness == Readiness::Ready);
        let ready = tokio::time::timeout(Duration::from_secs(30), ready).await;
        drop(
            ready
                .expect("it begins, or its disk is well again")
                .unwrap(),
        );
    }
}

fn relay(ground: &Ground, slot: &Slot) -> Relay {
    let node = ground.keys.public_key();
    let limits = RelayLimits::default();
    let gate = Gate::new(
        node,
        limits.gate_terms(GateTerms::default()),
        Arc::new(BTreeSet::new()),
        Some(Arc::new(slot.clone())),
    );
    Relay::new(RelayParts {
        store: ground.events.clone(),
        writing: Arc::new(gate),
        reading: Arc::new(Reading::new(node)),
        limits,
        urls: Vec::new(),
        clock: Arc::new(Timestamp::now),
    })
}

async fn parts(
    ground: &Ground,
    ledger: Ledger,
    backend: Arc<dyn LightningBackend>,
    addresses: SocketAddr,
    relay: Relay,
) -> Parts {
    let keys = &ground.keys;
    let info = backend.info().await.unwrap();
    let rules = InvoiceRules {
        network: info.network,
        max_final_cltv_expiry_delta: 144,
        own_node_pubkey: info.pubkey,
    };
    Parts {
        ledger,
        desk: Desk {
            keys: keys.clone(),
            terms: ground.terms.clone(),
            stationery: Stationery {
                network: info.network.to_string(),
                relays: Vec::new(),
                instance: None,
                closed_order_secs: 86_400,
                dispute_secs: 86_400,
                rating_secs: 86_400,
                dev_fee_secs: 365 * 86_400,
                letter_secs: 86_400,
            },
            preimages: Arc::new(Preimages::new(SecretBox::new(Box::new(
                keys.secret_key().to_secret_bytes(),
            )))),
            entropy: Entropy::from_os(),
            prices: Arc::new(NoPrices),
            lightning_is_ready: true,
            sealing: Sealing::Full,
        },
        intake: Intake::new(keys.clone(), rules.clone()),
        backend,
        addresses: Arc::new(Lnurl::only_at(addresses, rules)),
        publisher: Arc::new(Shelf(relay)),
        clock: Arc::new(Ahead(ground.ahead_secs)),
        mailbox: MailboxLimits::default(),
        strangers_per_second: 500,
        banned: Vec::new(),
        mirrors: Vec::new(),
    }
}

/// The clock of the machine, and so many seconds more.
struct Ahead(u64);

impl Clock for Ahead {
    fn now(&self) -> UnixTime {
        SystemClock.now().plus(self.0)
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }
}

/// Where the relay hands messages in; the escrow comes later.
#[derive(Clone, Default)]
struct Slot(Arc<OnceLock<EscrowHandle>>);

impl Inbox for Slot {
    fn submit(&self, session: &Session, event: Event) -> BoxFuture<'static, Receipt> {
        let source = Source {
            address: session.peer,
            connection: session.id,
        };
        let escrow = self.0.get().expect("the port opens last").clone();
        Box::pin(async move {
            let (accepted, message) = match escrow.submit(source, event).await {
                Decided::Decided | Decided::Ruled(_) => (true, String::new()),
                Decided::Duplicate => (true, "duplicate: decided".to_owned()),
                Decided::Refused(Refusal::Invalid(why)) => (false, format!("invalid: {why}")),
                Decided::Refused(Refusal::Blocked(why)) => (false, format!("blocked: {why}")),
                Decided::Refused(Refusal::Busy(why)) => (false, format!("rate-limited: {why}")),
                Decided::Refused(Refusal::Error(why)) => (false, format!("error: {why}")),
            };
            Receipt { accepted, message }
        })
    }
}

/// Where the escrow publishes.
struct Shelf(Relay);

#[async_trait]
impl Publisher for Shelf {
    async fn publish(&self, events: Vec<Event>) -> Result<(), PublishError> {
        let published = self.0.publish(events).await;
        published.map_err(|why| PublishError(why.to_string()))
    }
}

//! A ledger whose disk fails: the same rooms as in a node, over a disk of the
//! test's own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use escrow_core::terms::Terms;
use escrow_core::time::UnixTime;
use escrow_core::wire::{Action, OrderKind, Transport};
use escrow_engine::clock::SystemClock;
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::intake::Intake;
use escrow_engine::mailbox::MailboxLimits;
use escrow_engine::preimages::Preimages;
use escrow_engine::prices::NoPrices;
use escrow_engine::submission::{Receipt as Decided, Refusal};
use escrow_engine::{Escrow, EscrowHandle, Parts, PublishError, Publisher, Readiness, Source};
use escrow_lightning::sandbox::Setup;
use escrow_lightning::{InvoiceRules, LightningBackend, Lnurl, Sandbox};
use mostro_relay::front_door::{self, FrontDoor};
use mostro_relay::relay::{Relay, RelayLimits, RelayParts, RelayProfile};
use mostro_relay::trader::{Persona, Trader, Wallet};
use nostr::event::Event;
use nostr::key::Keys;
use nostr::types::Timestamp;
use relay_policy::{BoxFuture, Gate, GateTerms, Inbox, Reading, Receipt, Session};
use secrecy::SecretBox;
use storage::events::{EventStore, EventStoreOptions};
use storage::ledger::Ledger;
use storage::testing::{PowerCutDisk, Trouble};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::envelopes::{now, signed_at};
use crate::person::Person;
use crate::town::PURSE;

/// Story "commit fails": nothing is promised, nothing is half done, and the
/// same message is decided once the disk is well (rule G15, up-S15).
#[tokio::test]
async fn g15_up_s15_a_failed_commit_is_told_and_the_resend_is_clean() {
    for trouble in [Trouble::Refuses, Trouble::SyncsAndComplains] {
        let workshop = Workshop::open().await;
        let mut alice = workshop.person("alice").await;
        let kept = alice.offers(OrderKind::Sell, 10_000).await;
        let cancel = alice.message(Action::Cancel, None);
        let node = workshop.keys.public_key();
        let cancel = signed_at(&alice, &cancel, Transport::Direct, node, now());

        workshop.disk.set_trouble(trouble);
        let verdict = alice.publishes(&cancel).await;
        assert!(!verdict.taken);
        assert!(verdict.text.starts_with("error: "), "{}", verdict.text);
        workshop.disk.set_trouble(Trouble::None);
        workshop.is_ready().await;

        let again = alice.publishes(&cancel).await;
        assert!(again.taken, "{}", again.text);
        // Had the failed commit reached the disk, it would count.
        assert!(again.text.is_empty() || again.text.starts_with("duplicate:"));
        alice.hears_an_answer("canceled E").await;
        alice.hears_no_more().await;
        let view = workshop.escrow.views().view().unwrap();
        let order = view.order(escrow_core::order::OrderId(kept)).unwrap();
        assert!(order.unwrap().stage.is_terminal());
    }
}

/// A relay with an escrow over a disk that fails on demand.
struct Workshop {
    keys: Keys,
    disk: PowerCutDisk,
    sandbox: Sandbox,
    escrow: EscrowHandle,
    url: String,
    _running: JoinSet<()>,
    _folder: TempDir,
}

impl Workshop {
    async fn open() -> Workshop {
        let folder = tempfile::tempdir().unwrap();
        let (keys, disk, inbox) = (Keys::generate(), PowerCutDisk::new(), Counter::default());
        let relay = relay(&folder, &keys, &inbox).await;
        let clock = Arc::new(|| UnixTime(now()));
        let sandbox = Sandbox::in_memory(&Setup::from_seed([1; 32]), clock);
        let ledger = Ledger::with_backend(disk.clone()).unwrap();
        let parts = parts(&keys, ledger, &sandbox, relay.clone()).await;
        let stop = CancellationToken::new();
        let escrow = Escrow::start(parts, stop.clone()).await.unwrap();
        let handle = escrow.handle();
        inbox.0.set(handle.clone()).ok().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let door = FrontDoor {
            relay,
            profile: RelayProfile {
                name: "workshop".to_owned(),
                description: String::new(),
                pubkey: keys.public_key(),
                contact: None,
            },
            readiness: watch::channel(front_door::Readiness::Ready).1,
        };
        let mut running = JoinSet::new();
        running.spawn(async move { escrow.ended().await.unwrap() });
        running.spawn(async move { front_door::run(listener, door, stop).await.unwrap() });
        Workshop {
            keys,
            disk,
            sandbox,
            escrow: handle,
            url,
            _running: running,
            _folder: folder,
        }
    }

    async fn person(&self, name: &str) -> Person {
        let persona = Persona {
            full_privacy: true,
            ..Persona::new(name, [1; 32], Transport::Direct)
        };
        let node = self.keys.public_key();
        let trader = Trader::join(persona, &self.url, node).await.unwrap();
        let wallet = Wallet::funded(&self.sandbox, name, PURSE).await.unwrap();
        Person::new(trader, wallet).await
    }

    async fn is_ready(&self) {
        let mut readiness = self.escrow.readiness();
        let ready = readiness.wait_for(|readiness| *readiness == Readiness::Ready);
        let ready = tokio::time::timeout(std::time::Duration::from_secs(30), ready).await;
        drop(ready.expect("the disk is well again").unwrap());
    }
}

async fn relay(folder: &TempDir, keys: &Keys, inbox: &Counter) -> Relay {
    let options = EventStoreOptions {
        map_size_bytes: 1 << 30,
        ..EventStoreOptions::default()
    };
    let store = EventStore::open(folder.path(), options).await.unwrap();
    let limits = RelayLimits::default();
    let gate = Gate::new(
        keys.public_key(),
        limits.gate_terms(GateTerms::default()),
        Arc::new(BTreeSet::new()),
        Some(Arc::new(inbox.clone())),
    );
    Relay::new(RelayParts {
        store: Arc::new(store),
        writing: Arc::new(gate),
        reading: Arc::new(Reading::new(keys.public_key())),
        limits,
        urls: Vec::new(),
        clock: Arc::new(Timestamp::now),
    })
}

async fn parts(keys: &Keys, ledger: Ledger, sandbox: &Sandbox, relay: Relay) -> Parts {
    let lightning = sandbox.info().await.unwrap();
    let rules = InvoiceRules {
        network: lightning.network,
        max_final_cltv_expiry_delta: 144,
        own_node_pubkey: lightning.pubkey,
    };
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    Parts {
        ledger,
        desk: Desk {
            keys: keys.clone(),
            terms: Terms::default(),
            stationery: Stationery {
                network: lightning.network.to_string(),
                relays: Vec::new(),
                instance: None,
                closed_order_secs: 86_400,
                dispute_secs: 7_776_000,
                rating_secs: 7_776_000,
                dev_fee_secs: 365 * 86_400,
                letter_secs: 86_400,
            },
            preimages: Arc::new(Preimages::new(SecretBox::new(Box::new([7; 32])))),
            entropy: Entropy::from_os(),
            prices: Arc::new(NoPrices),
            lightning_is_ready: false,
            sealing: Sealing::Full,
        },
        intake: Intake::new(keys.clone(), rules.clone()),
        backend: Arc::new(sandbox.clone()),
        addresses: Arc::new(Lnurl::only_at(nobody, rules)),
        publisher: Arc::new(Shelf(relay)),
        clock: Arc::new(SystemClock),
        mailbox: MailboxLimits::default(),
        strangers_per_second: 500,
        banned: Vec::new(),
        mirrors: Vec::new(),
    }
}

/// Where the relay hands messages in; the escrow comes later.
#[derive(Clone, Default)]
struct Counter(Arc<OnceLock<EscrowHandle>>);

impl Inbox for Counter {
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

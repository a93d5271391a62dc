//! One network of real nodes for all stories, and a box of its own for each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use escrow_core::PaymentHash;
use escrow_core::payout::Attempt;
use escrow_core::wire::Transport;
use escrow_lightning::Lnd;
use escrow_lightning::lnd::{BAKE, LndAccess, Macaroon};
use escrow_regtest::{Balances, Network, Proxy};
use mostro_relay::trader::{Persona, Trader};
use nostr::key::{Keys, PublicKey};
use storage::ledger::{Ledger, View};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::deal::Person;
use crate::running_box::RunningBox;

/// Longer than anything here may take on a busy machine, a payment that is
/// tried again included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Blocks before the end of a hold at which LND gives it back by itself.
pub(crate) const AUTO_CANCEL_MARGIN: u32 = 18;

static NETWORK: OnceCell<Mutex<Network>> = OnceCell::const_new();
static BIRTHS: AtomicU8 = AtomicU8::new(1);

/// A box with its line to the operator's node.
pub(crate) struct Town {
    pub(crate) network: MutexGuard<'static, Network>,
    /// Between the box and the operator's node.
    pub(crate) line: Proxy,
    /// What the nodes had before.
    pub(crate) before: Balances,
    keys: Keys,
    settings: Vec<(String, String)>,
    running: RunningBox,
    folder: TempDir,
}

impl Town {
    pub(crate) async fn new() -> Town {
        Town::with(&[]).await
    }

    /// With these settings besides.
    pub(crate) async fn with(further: &[(&str, &str)]) -> Town {
        let network = network().await;
        let before = at_rest(&network).await;
        let line = Proxy::to(network.operator().grpc()).await.unwrap();
        let keys = Keys::generate();
        let access = (network.operator().certificate(), macaroon(&network));
        let mut settings = settings(&access, line.address(), &keys);
        settings.extend(
            further
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string())),
        );
        let folder = tempfile::tempdir().unwrap();
        let running = RunningBox::starts(folder.path(), &settings).await;
        running.is_ready().await;
        Town {
            network,
            line,
            before,
            keys,
            settings,
            running,
            folder,
        }
    }

    /// A trader who does not have anything to do with Lightning.
    pub(crate) async fn person(&self, name: &str, transport: Transport) -> Person {
        let url = self.running.url();
        joins(name, transport, (&url, self.keys.public_key())).await
    }

    /// Alice, who sells, and Bob, who buys.
    pub(crate) async fn pair(&self, alices: Transport, bobs: Transport) -> (Person, Person) {
        let alice = self.person("alice", alices).await;
        (alice, self.person("bob", bobs).await)
    }

    pub(crate) async fn box_dies(&mut self) {
        self.running.is_killed().await;
    }

    pub(crate) async fn box_starts(&mut self, people: &mut [&mut Person]) {
        self.running = RunningBox::starts(self.folder.path(), &self.settings).await;
        for person in people {
            person.comes_back(&self.running.url()).await;
        }
    }

    pub(crate) async fn box_is_ready(&self) {
        self.running.is_ready().await;
    }

    pub(crate) async fn box_is_ready_but(&self, why: &str) {
        self.running.is_ready_but(why).await;
    }

    pub(crate) async fn box_says(&self, words: &str) {
        self.running.says(words).await;
    }

    /// Looks at what the dead box has written down.
    pub(crate) fn reads<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        let ledger = self.ledger();
        look(&ledger.views().view().unwrap())
    }

    /// What it has written down of a payment.
    pub(crate) fn attempt(&self, hash: &str) -> Attempt {
        let attempt = self.reads(|view| view.attempt(payment_hash(hash)).unwrap());
        attempt.expect("the payment was decided")
    }

    /// Rewrites what the dead box has written down of a payment, as if its past
    /// had been another.
    pub(crate) fn rewrites_attempt(&self, hash: &str, rewrite: impl FnOnce(&mut Attempt)) {
        let mut attempt = self.attempt(hash);
        rewrite(&mut attempt);
        let mut ledger = self.ledger();
        let mut page = ledger.page().unwrap();
        page.put_attempt(&attempt).unwrap();
        page.commit().unwrap();
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.data_dir().join("ledger.redb")).unwrap()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Waits until the nodes own together what they did before, and each has
    /// gained what it should have, in sats.
    pub(crate) async fn adds_up(&self, gains: [i128; 3]) {
        adds_up(&self.network, &self.before, gains).await;
    }
}

/// As [`Town::adds_up`], after these balances.
pub(crate) async fn adds_up(network: &Network, before: &Balances, gains: [i128; 3]) {
    let after = network.comes_to_rest(before.owned_msat()).await.unwrap();
    let gained = ["seller", "operator", "buyer"].map(|name| after.gain_msat(name, before));
    let wanted = gains.map(|sats| sats * 1_000);
    assert_eq!(gained, wanted, "before:\n{before}\nafter:\n{after}");
}

/// What the nodes have when nothing is on its way.
pub(crate) async fn at_rest(network: &Network) -> Balances {
    let owned = network.balances().await.unwrap().owned_msat();
    network.comes_to_rest(owned).await.unwrap()
}

/// A trader at this box of this key.
pub(crate) async fn joins(
    name: &str,
    transport: Transport,
    (url, node): (&str, PublicKey),
) -> Person {
    let seed = BIRTHS.fetch_add(1, Ordering::Relaxed);
    let persona = Persona {
        patience: PATIENCE,
        ..Persona::new(name, [seed; 32], transport)
    };
    let joined = Trader::join(persona, url, node).await;
    Person::new(joined.unwrap()).await
}

pub(crate) fn payment_hash(hex: &str) -> PaymentHash {
    let mut hash = PaymentHash([0; 32]);
    faster_hex::hex_decode(hex.as_bytes(), &mut hash.0).unwrap();
    hash
}

/// The one network, for one story at a time.
pub(crate) async fn network() -> MutexGuard<'static, Network> {
    let built = async || Mutex::new(new_network().await);
    let network = NETWORK.get_or_init(built).await.lock().await;
    // An earlier story may have failed in the middle of its trouble.
    network.chain().thaws().unwrap();
    for node in [network.seller(), network.operator(), network.buyer()] {
        node.thaws().unwrap();
        if !node.is_running() {
            node.start().unwrap();
        } else if node.state().await.is_ok_and(|state| state == "LOCKED") {
            node.stop().await.unwrap();
            node.start().unwrap();
        }
    }
    network.is_ready().await.unwrap();
    for node in [network.seller(), network.operator(), network.buyer()] {
        let open = node.ask(&["listinvoices", "--pending_only"]).await.unwrap();
        for invoice in open.list("/invoices") {
            let hash = invoice["r_hash"].as_str().expect("an invoice has a hash");
            node.cancels(hash).await.unwrap();
        }
    }
    network
}

/// With a macaroon for the box, made as the operator is told to make his.
async fn new_network() -> Network {
    let network = Network::for_tests("lnd").await.unwrap();
    let operator = network.operator();
    let rights = BAKE.split_whitespace();
    let rights: Vec<_> = rights.filter(|word| word.starts_with("uri:")).collect();
    let file = macaroon(&network);
    operator.bakes_macaroon(&file, &rights).await.unwrap();
    network
}

fn macaroon(network: &Network) -> PathBuf {
    let beside = network.operator().certificate();
    beside.with_file_name("mostro.macaroon")
}

/// How many payments the operator's node has ever begun.
pub(crate) async fn payments(network: &Network) -> u64 {
    let asked = ["listpayments", "--include_incomplete", "--max_payments=1"];
    let answer = network.operator().ask(&asked).await.unwrap();
    answer.number("/last_index_offset").unwrap()
}

/// The operator's node, as a box sees it.
pub(crate) fn lnd(network: &Network) -> Lnd {
    lnd_at(network, network.operator().grpc())
}

/// The same at the end of this line.
pub(crate) fn lnd_at(network: &Network, line: SocketAddr) -> Lnd {
    let access = LndAccess {
        address: format!("https://{line}"),
        certificate: network.operator().certificate(),
        macaroon: Macaroon::File(macaroon(network)),
    };
    Lnd::new(access, AUTO_CANCEL_MARGIN).unwrap()
}

/// The settings of a box with this certificate and this macaroon.
pub(crate) fn settings(
    (certificate, macaroon): &(PathBuf, PathBuf),
    node: SocketAddr,
    keys: &Keys,
) -> Vec<(String, String)> {
    let shown = |path: &Path| path.display().to_string();
    let settings = [
        ("NODE__KEY", keys.secret_key().to_secret_hex()),
        ("RELAY__LISTEN", "127.0.0.1:0".to_owned()),
        ("RELAY__MAX_STORE_GIB", "1".to_owned()),
        ("LIGHTNING__BACKEND", "lnd".to_owned()),
        ("LIGHTNING__LND_GRPC_HOST", format!("https://{node}")),
        ("LIGHTNING__LND_CERT_FILE", shown(certificate)),
        ("LIGHTNING__LND_MACAROON_FILE", shown(macaroon)),
        ("LIGHTNING__PAYMENT_RETRIES_INTERVAL", "10".to_owned()),
    ];
    settings.map(|(key, value)| (key.to_owned(), value)).into()
}

//! The backend on real LND nodes. `.ci/lnd` runs it.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod door;
mod payer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use escrow_core::{Msat, UnixTime};
use escrow_lightning::conformance::{Harness, Needs, Sent, cases};
use escrow_lightning::lnd::{BAKE, LndAccess, Macaroon};
use escrow_lightning::{LightningBackend, Lnd, Preimage};
use escrow_regtest::Network;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// One network for all tests here; it takes long to build.
static NETWORK: OnceCell<Mutex<Network>> = OnceCell::const_new();

async fn network() -> MutexGuard<'static, Network> {
    let built = NETWORK.get_or_init(async || Mutex::new(Network::for_tests("lnd").await.unwrap()));
    let network = built.await.lock().await;
    network.is_ready().await.unwrap();
    network
}

/// The operator's node, with the macaroon of our manual.
async fn access(network: &Network) -> LndAccess {
    let operator = network.operator();
    let macaroon = operator.admin_macaroon().with_file_name("mostro.macaroon");
    if !macaroon.exists() {
        let rights: Vec<_> = BAKE
            .split(' ')
            .filter(|it| it.starts_with("uri:"))
            .collect();
        operator.bakes_macaroon(&macaroon, &rights).await.unwrap();
    }
    LndAccess {
        address: format!("https://{}", operator.grpc()),
        certificate: operator.certificate(),
        macaroon: Macaroon::File(macaroon),
    }
}

async fn backend(network: &Network) -> Lnd {
    Lnd::new(access(network).await, 18).unwrap()
}

/// A secret that no test of this run, or of another, has used.
fn fresh_preimage() -> Preimage {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = format!("{}{}", std::process::id(), now.as_nanos());
    Preimage::new(Sha256::digest(seed).into())
}

fn now() -> UnixTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    UnixTime(now.as_secs())
}

struct Real<'a> {
    network: &'a Network,
    lnd: Arc<Lnd>,
}

/// Waits on the spot: what the network waits with cannot be sent between threads.
fn waits<T>(what: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(what))
}

#[async_trait]
impl Harness for Real<'_> {
    fn backend(&self) -> Arc<dyn LightningBackend> {
        self.lnd.clone()
    }

    fn now(&self) -> UnixTime {
        now()
    }

    fn fresh_preimage(&mut self) -> Preimage {
        fresh_preimage()
    }

    async fn payer_sends(&mut self, bolt11: &str, part: Msat, total: Msat) -> Sent {
        payer::sends(self.network, bolt11, part, total).await
    }

    async fn payer_balance(&mut self) -> Msat {
        payer::balance(self.network.seller()).await
    }

    async fn payee_invoice(&mut self, amount: Option<Msat>, life: Duration) -> String {
        let amount = format!("--amt_msat={}", amount.unwrap_or_default().0);
        let expiry = format!("--expiry={}", life.as_secs());
        let buyer = self.network.buyer();
        let answer = buyer.ask(&["addinvoice", &amount, &expiry]).await.unwrap();
        answer.text("/payment_request").unwrap().to_owned()
    }

    async fn payee_balance(&mut self) -> Msat {
        payer::balance(self.network.buyer()).await
    }

    async fn mine(&mut self, blocks: u32) {
        waits(self.network.mine(blocks)).unwrap();
    }

    async fn pass(&mut self, _time: Duration) {
        unreachable!("cases that need it are left out");
    }

    async fn restart(&mut self) {
        let operator = self.network.operator();
        waits(operator.stop()).unwrap();
        operator.start().unwrap();
        waits(self.network.is_ready()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn lnd_does_what_every_backend_does() {
    let network = network().await;
    let lnd = Arc::new(backend(&network).await);
    lnd.introduce().await.unwrap();
    let mut failures = Vec::new();
    for case in cases() {
        if case.needs == Needs::Time {
            eprintln!("left out, it takes minutes: {}", case.name);
            continue;
        }
        let mut real = Real {
            network: &network,
            lnd: lnd.clone(),
        };
        eprintln!("{}", case.name);
        if let Err(failure) = case.run(&mut real).await {
            failures.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Where a file of the tests may lie.
fn scratch(name: &str) -> PathBuf {
    tempfile::tempdir().unwrap().keep().join(name)
}

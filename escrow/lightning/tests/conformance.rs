//! The suite for every backend, run against the sandbox.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::{Msat, Sats, UnixTime};
use escrow_lightning::conformance::{Harness, Sent, cases};
use escrow_lightning::sandbox::{
    Clock, CreateInvoice, DEFAULT_WALLET, Fund, MemoryJournal, Mine, Setup, WalletPays,
};
use escrow_lightning::{LightningBackend, Preimage, Sandbox};

struct Simulated {
    sandbox: Sandbox,
    journal: MemoryJournal,
    time: Arc<AtomicU64>,
    preimages: u8,
}

fn open(journal: &MemoryJournal, time: &Arc<AtomicU64>) -> Sandbox {
    let time = Arc::clone(time);
    let clock: Clock = Arc::new(move || UnixTime(time.load(Ordering::SeqCst)));
    let setup = Setup::from_seed([7; 32]);
    Sandbox::with_journal(Box::new(journal.clone()), &setup, clock).unwrap()
}

impl Simulated {
    async fn new() -> Self {
        let journal = MemoryJournal::default();
        let time = Arc::new(AtomicU64::new(1_700_000_000));
        let sandbox = open(&journal, &time);
        let payee = Fund {
            wallet: "payee".into(),
            amount: Sats(0),
        };
        sandbox.apply(payee).await.unwrap().unwrap();
        Simulated {
            sandbox,
            journal,
            time,
            preimages: 0,
        }
    }

    async fn balance(&self, wallet: &'static str) -> Msat {
        self.sandbox
            .look(move |world| world.balance(wallet))
            .await
            .unwrap()
    }
}

#[async_trait]
impl Harness for Simulated {
    fn backend(&self) -> Arc<dyn LightningBackend> {
        Arc::new(self.sandbox.clone())
    }

    fn now(&self) -> UnixTime {
        UnixTime(self.time.load(Ordering::SeqCst))
    }

    fn fresh_preimage(&mut self) -> Preimage {
        self.preimages += 1;
        Preimage::new([self.preimages; 32])
    }

    async fn payer_sends(&mut self, bolt11: &str, part: Msat, total: Msat) -> Sent {
        let (part, total) = (Some(part), Some(total));
        let pays = WalletPays {
            wallet: DEFAULT_WALLET.into(),
            bolt11: bolt11.into(),
            total,
            part,
        };
        self.sandbox
            .apply(pays)
            .await
            .unwrap()
            .map_or(Sent::Refused, |_| Sent::Held)
    }

    async fn payer_balance(&mut self) -> Msat {
        self.balance(DEFAULT_WALLET).await
    }

    async fn payee_invoice(&mut self, amount: Option<Msat>, life: Duration) -> String {
        let invoice = CreateInvoice {
            wallet: "payee".into(),
            amount,
            memo: String::new(),
            expiry_secs: life.as_secs(),
            cltv_delta: 80,
        };
        self.sandbox.apply(invoice).await.unwrap().unwrap()
    }

    async fn payee_balance(&mut self) -> Msat {
        self.balance("payee").await
    }

    async fn mine(&mut self, blocks: u32) {
        self.sandbox.apply(Mine { blocks }).await.unwrap();
    }

    async fn pass(&mut self, time: Duration) {
        self.time.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    async fn restart(&mut self) {
        self.sandbox = open(&self.journal, &self.time);
    }
}

#[tokio::test]
async fn the_sandbox_does_what_every_backend_does() {
    let mut failures = Vec::new();
    for case in cases() {
        let mut simulated = Simulated::new().await;
        if let Err(failure) = case.run(&mut simulated).await {
            failures.push(format!("{}: {failure}", case.name));
        }
        let sums = simulated
            .sandbox
            .look(|world| (world.total_msat(), world.minted_msat()));
        let (total, minted) = sums.await.unwrap();
        assert_eq!(total, minted, "{}: sats were made or lost", case.name);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

//! What the sandbox remembers after a power cut.

use std::io;
use std::sync::{Arc, Mutex};

use escrow_core::{Msat, Sats};
use escrow_lightning::backend::{HoldState, SettleOutcome};
use escrow_lightning::sandbox::{
    DEFAULT_WALLET, Fund, Journal, MemoryJournal, OpenError, WalletPayment, WalletPays,
};
use escrow_lightning::{LightningBackend, LnError, Preimage, Sandbox};

use crate::{hold_request, setup, standing_clock};

#[tokio::test]
async fn a_file_remembers_what_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.journal");
    let preimage = Preimage::new([1; 32]);
    let bolt11;
    {
        let sandbox = Sandbox::open(&path, &setup(), standing_clock()).unwrap();
        bolt11 = sandbox
            .create_hold(&hold_request(&preimage))
            .await
            .unwrap()
            .bolt11;
        let pays = WalletPays::exactly(DEFAULT_WALLET, &bolt11);
        assert_eq!(
            sandbox.apply(pays).await.unwrap(),
            Ok(WalletPayment::HoldAccepted)
        );
    }
    let sandbox = Sandbox::open(&path, &setup(), standing_clock()).unwrap();
    let hold = sandbox.lookup_hold(preimage.hash()).await.unwrap().unwrap();
    assert_eq!(hold.bolt11, bolt11);
    assert!(matches!(hold.state, HoldState::Accepted(_)), "{hold:?}");
    assert_eq!(
        sandbox.settle_hold(&preimage).await.unwrap(),
        SettleOutcome::Settled
    );
}

#[tokio::test]
async fn many_callers_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.journal");
    let sandbox = Sandbox::open(&path, &setup(), standing_clock()).unwrap();
    let funds = (0..500).map(|_| {
        sandbox.apply(Fund {
            wallet: "many".into(),
            amount: Sats(1),
        })
    });
    for answer in futures_util::future::join_all(funds).await {
        answer.unwrap().unwrap();
    }
    drop(sandbox);
    let lines = std::fs::read(&path)
        .unwrap()
        .split(|byte| *byte == b'\n')
        .count();
    assert!(
        lines < 250,
        "500 requests that came at once took {lines} lines"
    );
    let sandbox = Sandbox::open(&path, &setup(), standing_clock()).unwrap();
    let balance = sandbox.look(|world| world.balance("many")).await.unwrap();
    assert_eq!(balance, Msat(500_000));
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let journal = MemoryJournal::default();
    let open = |journal: &MemoryJournal| {
        Sandbox::with_journal(Box::new(journal.clone()), &setup(), standing_clock())
    };
    let fund = |sats| Fund {
        wallet: "w".into(),
        amount: Sats(sats),
    };
    let sandbox = open(&journal).unwrap();
    sandbox.apply(fund(1)).await.unwrap().unwrap();
    let whole = journal.bytes().len();
    sandbox.apply(fund(10)).await.unwrap().unwrap();
    let bytes = journal.bytes();
    for end in whole + 1..bytes.len() {
        let torn = MemoryJournal::from(bytes[..end].to_vec());
        let sandbox = open(&torn).unwrap();
        sandbox.apply(fund(100)).await.unwrap().unwrap();
        let sandbox = open(&torn).unwrap();
        let balance = sandbox.look(|world| world.balance("w")).await.unwrap();
        assert_eq!(balance, Msat(101_000), "cut at byte {end}");
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_not_passed_over() {
    let journal = MemoryJournal::default();
    let sandbox =
        Sandbox::with_journal(Box::new(journal.clone()), &setup(), standing_clock()).unwrap();
    for _ in 0..2 {
        let fund = Fund {
            wallet: "w".into(),
            amount: Sats(1),
        };
        sandbox.apply(fund).await.unwrap().unwrap();
    }
    let bytes = journal.bytes();
    let second_line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 30;
    for place in [20, second_line] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        let journal = MemoryJournal::from(damaged);
        let opened = Sandbox::with_journal(Box::new(journal), &setup(), standing_clock());
        assert!(
            matches!(opened, Err(OpenError::Damaged(_))),
            "byte {place}: {opened:?}"
        );
    }
}

#[tokio::test]
async fn a_long_journal_is_written_anew() {
    let journal = MemoryJournal::default();
    let open =
        || Sandbox::with_journal(Box::new(journal.clone()), &setup(), standing_clock()).unwrap();
    let sandbox = open();
    for _ in 0..1_100 {
        let fund = Fund {
            wallet: "w".into(),
            amount: Sats(1),
        };
        sandbox.apply(fund).await.unwrap().unwrap();
    }
    let long = journal.bytes().len();
    let balance = open().look(|world| world.balance("w")).await.unwrap();
    assert_eq!(balance, Msat(1_100_000));
    assert!(journal.bytes().len() < long / 10);
}

/// A disk that stops taking anything after so many lines.
struct DyingDisk {
    lines_left: u32,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl Journal for DyingDisk {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.kept.lock().unwrap().clone())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.lines_left = self
            .lines_left
            .checked_sub(1)
            .ok_or(io::ErrorKind::StorageFull)?;
        self.kept.lock().unwrap().extend_from_slice(line);
        Ok(())
    }

    fn replace(&mut self, whole: &[u8]) -> io::Result<()> {
        *self.kept.lock().unwrap() = whole.to_vec();
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_sync_is_no_answer_and_the_last() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let disk = |lines_left| {
        Box::new(DyingDisk {
            lines_left,
            kept: Arc::clone(&kept),
        })
    };
    let sandbox = Sandbox::with_journal(disk(1), &setup(), standing_clock()).unwrap();
    let (first, second) = (Preimage::new([1; 32]), Preimage::new([2; 32]));
    sandbox.create_hold(&hold_request(&first)).await.unwrap();
    let answer = sandbox.create_hold(&hold_request(&second)).await;
    assert!(matches!(answer, Err(LnError::Ambiguous(_))), "{answer:?}");
    let answer = sandbox.lookup_hold(second.hash()).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");

    let sandbox = Sandbox::with_journal(disk(9), &setup(), standing_clock()).unwrap();
    assert!(sandbox.lookup_hold(first.hash()).await.unwrap().is_some());
    assert_eq!(sandbox.lookup_hold(second.hash()).await.unwrap(), None);
}

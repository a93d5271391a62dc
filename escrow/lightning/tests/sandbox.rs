//! The sandbox as a neighbour of the escrow: what it remembers after a power
//! cut, what its faults do, and that no sat is made or lost.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use escrow_core::{Msat, PaymentHash, Sats, UnixTime};
use escrow_lightning::backend::{
    FailReason, HoldRequest, HoldState, PayRequest, PaymentState, SettleOutcome, StartPayment,
};
use escrow_lightning::sandbox::{
    Act, CancelHold, Clock, CreateHold, CreateInvoice, DEFAULT_WALLET, FailPayments, Fault,
    FaultAction, Fund, Journal, MemoryJournal, Mine, Op, OpenError, PayRefusal, SettleHold, Setup,
    StartPaying, Tick, WalletPayment, WalletPays, World,
};
use escrow_lightning::{LightningBackend, LnError, Preimage, Sandbox};
use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;

const START: UnixTime = UnixTime(1_700_000_000);

fn setup() -> Setup {
    Setup::from_seed([3; 32])
}

fn standing_clock() -> Clock {
    Arc::new(|| START)
}

fn in_memory() -> Sandbox {
    Sandbox::in_memory(&setup(), standing_clock())
}

fn hold_request(preimage: &Preimage) -> HoldRequest {
    HoldRequest {
        hash: preimage.hash(),
        amount: Msat(10_000_000),
        memo: "order 1".into(),
        expires_at: START.plus(900),
        cltv_delta: 144,
        private_hints: false,
    }
}

fn invoice(wallet: &str, msat: u64) -> CreateInvoice {
    CreateInvoice {
        wallet: wallet.into(),
        amount: Some(Msat(msat)),
        memo: String::new(),
        expiry_secs: 3_600,
        cltv_delta: 80,
    }
}

fn pay_request(bolt11: String, msat: u64) -> PayRequest {
    PayRequest {
        bolt11,
        amount: Msat(msat),
        fee_limit: Msat(100_000),
        cltv_limit: 1_008,
        max_parts: 16,
        timeout: Duration::from_secs(60),
    }
}

// --- What it remembers ---------------------------------------------------

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

// --- What its faults do --------------------------------------------------

#[tokio::test]
async fn fail_before_does_nothing_and_fail_after_does_it() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let request = hold_request(&preimage);
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::FailBefore));
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::FailAfter));

    let answer = sandbox.create_hold(&request).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
    assert_eq!(sandbox.lookup_hold(request.hash).await.unwrap(), None);

    let answer = sandbox.create_hold(&request).await;
    assert!(matches!(answer, Err(LnError::Ambiguous(_))), "{answer:?}");
    assert!(sandbox.lookup_hold(request.hash).await.unwrap().is_some());

    sandbox.create_hold(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_done_when_it_is_let_go() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let request = hold_request(&preimage);
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::Hang));
    let patience = Duration::from_secs(8);
    let answer = tokio::time::timeout(patience, sandbox.create_hold(&request)).await;
    assert!(answer.is_err(), "the caller lost patience: {answer:?}");
    assert_eq!(sandbox.lookup_hold(request.hash).await.unwrap(), None);
    sandbox.let_go().await;
    assert!(sandbox.lookup_hold(request.hash).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_streams_and_keeps_holds() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let hold = sandbox.create_hold(&hold_request(&preimage)).await.unwrap();
    let mut news = sandbox.watch_hold(hold.hash);
    let mut heights = sandbox.watch_blocks();
    assert_eq!(news.next().await, Some(hold.clone()));
    assert!(heights.next().await.is_some());

    let away = FaultAction::restart(Duration::from_secs(5));
    sandbox.add_fault(Fault {
        op: None,
        action: away,
    });
    let answer = sandbox.info().await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
    assert_eq!(news.next().await, None, "ended without a final state");
    assert_eq!(heights.next().await, None);
    assert_eq!(sandbox.watch_hold(hold.hash).next().await, None);
    let answer = sandbox.settle_hold(&preimage).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");

    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(sandbox.lookup_hold(hold.hash).await.unwrap(), Some(hold));
}

#[tokio::test]
async fn ordered_failures_fail_so_many_payments() {
    let sandbox = in_memory();
    let bolt11 = sandbox
        .apply(invoice(DEFAULT_WALLET, 1_000_000))
        .await
        .unwrap()
        .unwrap();
    let request = pay_request(bolt11, 1_000_000);
    sandbox.apply(FailPayments { count: 2 }).await.unwrap();
    let mut states = Vec::new();
    for _ in 0..3 {
        assert_eq!(
            sandbox.start_payment(&request).await.unwrap(),
            StartPayment::Started
        );
        states.push(
            sandbox
                .list_payments_since(0, 9)
                .await
                .unwrap()
                .pop()
                .unwrap()
                .state,
        );
    }
    let no_route = PaymentState::Failed {
        reason: FailReason::NoRoute,
    };
    assert_eq!(states[..2], [no_route.clone(), no_route]);
    assert!(
        matches!(states[2], PaymentState::Succeeded { .. }),
        "{states:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn time_passes_without_requests_until_told_to_stop() {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock: Clock = {
        let seconds = Arc::clone(&seconds);
        Arc::new(move || START.plus(seconds.load(Ordering::SeqCst)))
    };
    let sandbox = Sandbox::in_memory(&setup(), clock);
    let mut heights = sandbox.watch_blocks();
    let first = heights.next().await.unwrap();
    seconds.store(600, Ordering::SeqCst);
    let told = tokio::select! {
        () = sandbox.run(std::future::pending()) => None,
        height = heights.next() => height,
    };
    assert_eq!(told, Some(first + 1));
    sandbox.run(async {}).await;
}

// --- What the world does beyond the suite for every backend --------------

fn pay(world: &mut World, bolt11: String, msat: u64, fee_limit: u64) -> PaymentState {
    let mut request = pay_request(bolt11, msat);
    request.fee_limit = Msat(fee_limit);
    assert_eq!(
        world.apply(START, StartPaying::from(&request)).reply,
        StartPayment::Started
    );
    world.apply(START, Tick);
    world.payments_since(0, u32::MAX).pop().unwrap().state
}

#[test]
fn a_fee_above_its_limit_finds_no_route() {
    let mut world = World::new(&setup(), START);
    let bolt11 = world
        .apply(START, invoice(DEFAULT_WALLET, 1_000_000))
        .reply
        .unwrap();
    let no_route = PaymentState::Failed {
        reason: FailReason::NoRoute,
    };
    assert_eq!(pay(&mut world, bolt11.clone(), 1_000_000, 1_099), no_route);
    let paid = pay(&mut world, bolt11, 1_000_000, 1_100);
    assert!(
        matches!(
            paid,
            PaymentState::Succeeded {
                fee: Msat(1_100),
                ..
            }
        ),
        "{paid:?}"
    );
}

#[test]
fn a_node_without_liquidity_says_so() {
    let mut poor = setup();
    (poor.outbound, poor.inbound) = (Sats(1_000), Sats(1_000));
    let mut world = World::new(&poor, START);
    let bolt11 = world
        .apply(START, invoice(DEFAULT_WALLET, 1_000_000))
        .reply
        .unwrap();
    let insufficient = PaymentState::Failed {
        reason: FailReason::InsufficientBalance,
    };
    assert_eq!(pay(&mut world, bolt11, 1_000_000, 10_000), insufficient);

    let act = CreateHold::from(&hold_request(&Preimage::new([1; 32])));
    let hold = world.apply(START, act).reply.unwrap();
    let pays = WalletPays::exactly(DEFAULT_WALLET, &hold.bolt11);
    assert_eq!(world.apply(START, pays).reply, Err(PayRefusal::NoRoute));
}

#[test]
fn wallets_pay_each_other_once() {
    let mut world = World::new(&setup(), START);
    world
        .apply(
            START,
            Fund {
                wallet: "bob".into(),
                amount: Sats(0),
            },
        )
        .reply
        .unwrap();
    let bolt11 = world.apply(START, invoice("bob", 7_000)).reply.unwrap();
    let text = format!(" lightning:{} ", bolt11.to_ascii_uppercase());
    let pays = |name: &str, text: &str| WalletPays::exactly(name, text);
    let table = [
        (
            "with nothing",
            pays("bob", &bolt11),
            Err(PayRefusal::SelfPayment),
        ),
        (
            "from nowhere",
            pays("eve", &bolt11),
            Err(PayRefusal::NoSuchWallet),
        ),
        (
            "for nothing",
            pays(DEFAULT_WALLET, "lnbcrt1"),
            Err(PayRefusal::UnknownInvoice),
        ),
        (
            "pasted as a link",
            pays(DEFAULT_WALLET, &text),
            Ok(WalletPayment::Paid),
        ),
        (
            "again",
            pays(DEFAULT_WALLET, &bolt11),
            Err(PayRefusal::WrongDetails),
        ),
    ];
    for (case, act, want) in table {
        assert_eq!(world.apply(START, act).reply, want, "{case}");
    }
    assert_eq!(world.balance("bob"), Msat(7_000));
}

#[test]
fn each_part_waits_two_minutes_for_the_rest() {
    let mut world = World::new(&setup(), START);
    let preimage = Preimage::new([1; 32]);
    let act = CreateHold::from(&hold_request(&preimage));
    let hold = world.apply(START, act).reply.unwrap();
    let part = WalletPays {
        part: Some(Msat(2_000_000)),
        total: Some(Msat(10_000_000)),
        ..WalletPays::exactly(DEFAULT_WALLET, &hold.bolt11)
    };
    for secs in [0, 60] {
        let sent = world.apply(START.plus(secs), part.clone()).reply;
        assert_eq!(sent, Ok(WalletPayment::PartHeld));
    }
    for (secs, partial) in [
        (119, 4_000_000),
        (120, 2_000_000),
        (179, 2_000_000),
        (180, 0),
    ] {
        world.apply(START.plus(secs), Tick);
        let state = world.hold(preimage.hash()).unwrap().state;
        assert_eq!(
            state,
            HoldState::Open {
                partial: Msat(partial)
            },
            "after {secs} seconds"
        );
    }
    let other_total = WalletPays {
        total: Some(Msat(11_000_000)),
        ..part.clone()
    };
    world.apply(START.plus(200), part).reply.unwrap();
    let sent = world.apply(START.plus(200), other_total).reply;
    assert_eq!(
        sent,
        Err(PayRefusal::WrongDetails),
        "the parts disagree on the whole"
    );
}

#[test]
fn a_payee_who_was_paid_already_refuses() {
    let mut world = World::new(&setup(), START);
    world
        .apply(
            START,
            Fund {
                wallet: "bob".into(),
                amount: Sats(0),
            },
        )
        .reply
        .unwrap();
    let bolt11 = world.apply(START, invoice("bob", 7_000)).reply.unwrap();
    let gift = WalletPays::exactly(DEFAULT_WALLET, &bolt11);
    world.apply(START, gift).reply.unwrap();
    let before = world.liquidity();
    let refused = PaymentState::Failed {
        reason: FailReason::WrongDetails,
    };
    assert_eq!(pay(&mut world, bolt11, 7_000, 10_000), refused);
    assert_eq!(world.liquidity(), before);
}

#[test]
fn a_block_is_found_every_ten_minutes() {
    let mut world = World::new(&setup(), START);
    let height = world.height();
    for (secs, blocks) in [(599, 0), (600, 1), (601, 1), (1_200, 2), (0, 2)] {
        world.apply(START.plus(secs), Tick);
        assert_eq!(world.height() - height, blocks, "after {secs} seconds");
    }
    assert_eq!(world.apply(START, Mine { blocks: 5 }).reply, height + 7);
}

#[test]
fn an_invoice_of_the_sandbox_says_so() {
    let mut world = World::new(&setup(), START);
    let mut request = hold_request(&Preimage::new([1; 32]));
    request.memo = "é".repeat(319);
    let hold = world
        .apply(START, CreateHold::from(&request))
        .reply
        .unwrap();
    let invoice: lightning_invoice::Bolt11Invoice = hold.bolt11.parse().unwrap();
    assert!(hold.bolt11.starts_with("lnbcrt"), "{}", hold.bolt11);
    assert!(
        invoice.description().to_string().starts_with("SANDBOX é"),
        "{invoice}"
    );
}

// --- That no sat is made or lost -----------------------------------------

/// One move of a random story; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Move {
    Open(u8),
    Pay(u8, u8, u64),
    Settle(u8),
    Cancel(u8),
    Invoice(u8),
    Payout(u8),
    Gift(u8, u8),
    Fail(u32),
    Mine(u32),
    Wait(u64),
    TurnBack(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => (0..6_u8).prop_map(Move::Open),
        6 => (0..6_u8, 0..2_u8, 1..25_u64).prop_map(|(hold, payer, mega)| {
            Move::Pay(hold, payer, mega * 1_000_000)
        }),
        3 => (0..6_u8).prop_map(Move::Settle),
        3 => (0..6_u8).prop_map(Move::Cancel),
        2 => (0..2_u8).prop_map(Move::Invoice),
        3 => (0..3_u8).prop_map(Move::Payout),
        2 => (0..2_u8, 0..3_u8).prop_map(|(payer, invoice)| Move::Gift(payer, invoice)),
        1 => (0..3_u32).prop_map(Move::Fail),
        2 => (1..150_u32).prop_map(Move::Mine),
        3 => (1..700_u64).prop_map(Move::Wait),
        1 => (1..700_u64).prop_map(Move::TurnBack),
    ]
}

/// A world that a story can happen to.
trait Scene {
    fn play<A: Act + Send + 'static>(&mut self, now: UnixTime, act: A) -> A::Reply
    where
        A::Reply: Send + 'static;

    /// Time passes and nobody does anything.
    fn wait(&mut self, now: UnixTime);
}

impl Scene for World {
    fn play<A: Act + Send + 'static>(&mut self, now: UnixTime, act: A) -> A::Reply
    where
        A::Reply: Send + 'static,
    {
        self.apply(now, act).reply
    }

    fn wait(&mut self, now: UnixTime) {
        self.apply(now, Tick);
    }
}

/// A sandbox whose clock is set by the story. Without a thread behind it,
/// its answers are there at once.
struct Remembered {
    sandbox: Sandbox,
    clock: Arc<AtomicU64>,
}

impl Scene for Remembered {
    fn play<A: Act + Send + 'static>(&mut self, now: UnixTime, act: A) -> A::Reply
    where
        A::Reply: Send + 'static,
    {
        self.clock.store(now.0, Ordering::SeqCst);
        self.sandbox.apply(act).now_or_never().unwrap().unwrap()
    }

    fn wait(&mut self, now: UnixTime) {
        self.clock.store(now.0, Ordering::SeqCst);
        self.sandbox.look(|_| ()).now_or_never().unwrap().unwrap();
    }
}

#[derive(Default)]
struct Story {
    now: u64,
    holds: Vec<String>,
    invoices: Vec<String>,
}

impl Story {
    fn go(&mut self, scene: &mut impl Scene, step: Move) {
        let now = START.plus(self.now);
        let wallet = |number: u8| if number == 0 { DEFAULT_WALLET } else { "poor" };
        match step {
            Move::Open(hold) => {
                let request = HoldRequest {
                    expires_at: now.plus(300),
                    ..hold_request(&Preimage::new([hold + 1; 32]))
                };
                if let Ok(hold) = scene.play(now, CreateHold::from(&request)) {
                    self.holds.push(hold.bolt11);
                }
            }
            Move::Pay(hold, payer, part) => {
                let bolt11 = self
                    .holds
                    .get(usize::from(hold))
                    .cloned()
                    .unwrap_or_default();
                let total = Some(Msat(part.max(10_000_000)));
                let (wallet, part) = (wallet(payer).to_owned(), Some(Msat(part)));
                let pays = WalletPays {
                    wallet,
                    bolt11,
                    total,
                    part,
                };
                let _paid_or_not = scene.play(now, pays);
            }
            Move::Settle(hold) => {
                scene.play(now, SettleHold::from(&Preimage::new([hold + 1; 32])));
            }
            Move::Cancel(hold) => {
                let hash = Preimage::new([hold + 1; 32]).hash();
                scene.play(now, CancelHold { hash });
            }
            Move::Invoice(payee) => {
                let made = scene.play(now, invoice(wallet(payee), 3_000_000));
                self.invoices.extend(made);
            }
            Move::Gift(payer, number) => {
                let bolt11 = self
                    .invoices
                    .get(usize::from(number))
                    .cloned()
                    .unwrap_or_default();
                let _paid_or_not = scene.play(now, WalletPays::exactly(wallet(payer), &bolt11));
            }
            Move::Payout(number) => {
                let bolt11 = self
                    .invoices
                    .get(usize::from(number))
                    .cloned()
                    .unwrap_or_default();
                scene.play(now, StartPaying::from(&pay_request(bolt11, 3_000_000)));
            }
            Move::Fail(count) => scene.play(now, FailPayments { count }),
            Move::Mine(blocks) => drop(scene.play(now, Mine { blocks })),
            Move::Wait(secs) => {
                self.now += secs;
                scene.wait(START.plus(self.now));
            }
            Move::TurnBack(secs) => self.now = self.now.saturating_sub(secs),
        }
    }
}

fn states(world: &World) -> Vec<Option<HoldState>> {
    let hash = |number: u8| -> PaymentHash { Preimage::new([number + 1; 32]).hash() };
    (0..6)
        .map(|number| world.hold(hash(number)).map(|hold| hold.state))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_sat_is_made_or_lost_and_what_is_final_stays(
        story in prop::collection::vec(moves(), 1..60),
    ) {
        let mut world = World::new(&setup(), START);
        world.apply(START, Fund { wallet: "poor".into(), amount: Sats(15_000) }).reply.unwrap();
        let mut told = Story::default();
        for step in story {
            let before = states(&world);
            told.go(&mut world, step);
            prop_assert_eq!(world.total_msat(), world.minted_msat());
            for (was, is) in before.into_iter().zip(states(&world)) {
                if let Some(was) = was.filter(|state| state.is_final()) {
                    prop_assert_eq!(Some(was), is);
                }
            }
        }
    }

    #[test]
    fn what_is_remembered_is_what_happened(story in prop::collection::vec(moves(), 1..40)) {
        let journal = MemoryJournal::default();
        let clock = Arc::new(AtomicU64::new(START.0));
        let open = || {
            let clock = Arc::clone(&clock);
            let clock: Clock = Arc::new(move || UnixTime(clock.load(Ordering::SeqCst)));
            Sandbox::with_journal(Box::new(journal.clone()), &setup(), clock).unwrap()
        };
        let mut scene = Remembered { sandbox: open(), clock: Arc::clone(&clock) };
        let mut told = Story::default();
        for step in story {
            told.go(&mut scene, step);
        }
        scene.play(START, FailPayments { count: 0 });
        let worlds = [scene.sandbox, open()].map(|sandbox| {
            let look = sandbox.look(|world| serde_json::to_string(world).unwrap());
            look.now_or_never().unwrap().unwrap()
        });
        prop_assert_eq!(&worlds[0], &worlds[1]);
    }
}

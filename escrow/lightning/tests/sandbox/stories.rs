//! Random stories: no sat is made or lost, what is final stays, and what is
//! remembered is what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use escrow_core::{Msat, PaymentHash, Sats, UnixTime};
use escrow_lightning::backend::{HoldRequest, HoldState};
use escrow_lightning::sandbox::{
    Act, CancelHold, Clock, CreateHold, DEFAULT_WALLET, FailPayments, Fund, MemoryJournal, Mine,
    SettleHold, StartPaying, Tick, WalletPays, World,
};
use escrow_lightning::{Preimage, Sandbox};
use futures_util::FutureExt;
use proptest::prelude::*;

use crate::{START, hold_request, invoice, pay_request, setup};

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

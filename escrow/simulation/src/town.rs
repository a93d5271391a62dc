//! One run: a node on a disk that loses power, traders, and Lightning.

mod hours;
mod operator;
mod post;
mod power;
mod rest;
mod step;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use escrow_core::UnixTime;
use escrow_core::order::Order;
use escrow_engine::desk::Sealing;
use escrow_engine::known_keys::KnownKeys;
use escrow_engine::preimages::Preimages;
use escrow_engine::writer::Engine;
use nostr::key::Keys;
use secrecy::SecretBox;
use storage::ledger::{Ledger, View};
use storage::testing::PowerCutDisk;

use crate::dice::Dice;
use crate::lightning::{Line, Workers};
use crate::market::Market;
use crate::mirrors::Mirrors;
use crate::people::{People, fresh_keys};
use crate::tally::Tally;
use crate::trace::Trace;
use crate::witness::Witness;

use self::hours::Hours;
use self::post::Post;
use self::step::Chores;

/// Orders that get into a town's book before its trouble ends.
pub const TRADES_PER_TOWN: u64 = 50;

/// Rounds of trouble after which a town ends even with fewer orders.
const MOST_ROUNDS: usize = 2_000;

/// Longest time in which the node does nothing by itself, in seconds: about a
/// block while an escrow may end, half a day otherwise.
const LONGEST_NAP_SECS: u64 = 1_800;
const LONGEST_SLEEP_SECS: u64 = 43_200;

/// A clock that is wrong by no more than this may have drifted there.
const JUMP_SECS: u64 = 61;

/// What is left of a town.
#[derive(Clone, Debug)]
pub struct Lived {
    /// SHA-256 of everything that went into its node and came out.
    pub digest: [u8; 32],
    /// Orders that got into its book.
    pub trades: u64,
    /// What happened, and how trades ended.
    pub tally: Tally,
}

/// Lives through one town. `show` is told all that happens, if given.
///
/// # Panics
/// At the first thing that must not be.
#[must_use]
pub fn live(seed: u64, show: Option<fn(&str)>) -> Lived {
    let mut town = Town::new(seed, show);
    town.live();
    Lived {
        digest: town.trace.digest(),
        trades: u64::try_from(town.witness.orders.len()).unwrap(),
        tally: town.tally,
    }
}

/// A node, its surroundings and who watches them.
pub(crate) struct Town {
    dice: Dice,
    hours: Hours,
    keys: Keys,
    sealing: Sealing,
    secret: [u8; 32],
    disk: PowerCutDisk,
    /// None while the node is without power.
    engine: Option<Engine>,
    /// By how much a clock that is believed again moves what traders wait for.
    timers_move_by: Option<u64>,
    /// The latest time that the node has seen: in its ledger it goes back behind
    /// that only with a clock that is believed.
    ledger_time: UnixTime,
    /// One view serves until the next step, and so do the orders that were read
    /// with it.
    seen: RefCell<Option<Rc<View>>>,
    living: RefCell<Option<Rc<Vec<Order>>>>,
    chores: Chores,
    known: KnownKeys,
    preimages: Arc<Preimages>,
    market: Arc<Market>,
    workers: Workers,
    line: Line,
    people: People,
    /// In one round so many at most think of something.
    bustle: u64,
    post: Post,
    mirrors: Mirrors,
    witness: Witness,
    steps: u64,
    trace: Trace,
    tally: Tally,
}

impl Town {
    fn new(seed: u64, show: Option<fn(&str)>) -> Town {
        let mut dice = Dice::new(seed);
        // Sealing costs most of the time, so few towns seal.
        let sealing = if dice.percent(3) {
            Sealing::Full
        } else {
            Sealing::Off
        };
        let now = UnixTime(1_750_000_000);
        let mut line = Line::new(dice.bytes(), now);
        let keys = fresh_keys(&mut dice);
        let people = People::new(&mut line, &mut dice, keys.clone());
        let bustle = 3 + dice.below(10);
        let secret = dice.bytes();
        let mut town = Town {
            witness: Witness::new(keys.public_key(), &line),
            hours: Hours::new(now),
            keys,
            sealing,
            secret,
            disk: PowerCutDisk::new(),
            engine: None,
            timers_move_by: None,
            ledger_time: now,
            seen: RefCell::default(),
            living: RefCell::default(),
            chores: Chores::default(),
            known: KnownKeys::default(),
            preimages: preimages(secret),
            market: Arc::new(Market::new()),
            workers: Workers::new(now),
            line,
            people,
            bustle,
            post: Post::default(),
            mirrors: Mirrors::draw(&mut dice),
            steps: 0,
            trace: Trace::new(show),
            tally: Tally::default(),
            dice,
        };
        // Made as a whole: redb refuses a file whose making was cut off.
        drop(Ledger::with_backend(town.disk.clone()).unwrap());
        town.start_after(0);
        town
    }

    /// The whole run.
    fn live(&mut self) {
        for _ in 0..MOST_ROUNDS {
            if u64::try_from(self.witness.orders.len()).unwrap() >= TRADES_PER_TOWN {
                break;
            }
            self.round();
        }
        self.come_to_rest();
    }

    fn round(&mut self) {
        let secs = match self.dice.below(1_000) {
            0..600 => self.dice.below(3),
            600..850 => 3 + self.dice.below(8),
            850..960 => 11 + self.dice.below(110),
            960..990 => 200 + self.dice.below(2_000),
            990..999 => 3_600 + self.dice.below(20_000),
            _ => 86_400 + self.dice.below(86_400),
        };
        self.sleep(secs);
        self.weather();
        for _ in 0..=self.dice.below(self.bustle) {
            self.somebody_acts();
        }
        if self.dice.percent(5) {
            self.somebody_wonders();
        }
        match self.dice.below(1_000) {
            0..20 => {
                // What the workers have found out is lost with the process.
                self.work();
                self.tally.add("crash before reports");
                self.crash();
            }
            20..28 => self.lose_power(),
            _ => {}
        }
        let batch = self.batch();
        match self.dice.below(100) {
            0..3 => self.cut_power_in(batch),
            3..5 => self.refuse_commit_of(batch),
            5..9 => self.commit_and_crash(batch),
            _ => self.turn(&batch),
        }
    }

    /// Lets time pass in which nobody thinks of anything; the node wakes up for
    /// its timers, and to judge escrows.
    fn sleep(&mut self, secs: u64) {
        let until = self.hours.now.plus(secs);
        loop {
            let left = until.secs_since(self.hours.now);
            let nap = self.nap_secs().min(left);
            self.pass_time(nap);
            if nap == left {
                return;
            }
            let batch = self.batch();
            self.turn(&batch);
        }
    }

    /// How long the node can sleep.
    fn nap_secs(&self) -> u64 {
        let holds = self.view().hold_counts().unwrap();
        let longest = if holds.opening + holds.open + holds.closing > 0 {
            LONGEST_NAP_SECS
        } else {
            LONGEST_SLEEP_SECS
        };
        let until_timer = self.next_timer().map(|at| at.secs_since(self.hours.seen()));
        // A timer that waits for Lightning comes again and again.
        until_timer.map_or(longest, |secs| secs.clamp(20, longest))
    }

    fn pass_time(&mut self, secs: u64) {
        self.hours.pass(secs);
        self.line.pass_time(self.hours.now);
    }

    /// What happens by itself.
    fn weather(&mut self) {
        let view = self.view();
        self.line.weather(&view, &mut self.dice, &mut self.tally);
        if !self.hours.is_right() && self.dice.percent(10) {
            self.hours.set_wrong(0);
        }
        match self.dice.below(100) {
            0 => self.somebody_sets_the_clock(),
            1 => self.close_post(),
            2..5 => self.market.moves(&mut self.dice, &mut self.tally),
            _ => {}
        }
    }

    /// The clock goes wrong, mostly by more than can be drift.
    fn somebody_sets_the_clock(&mut self) {
        let secs = match self.dice.below(20) {
            0..4 => self.dice.below(JUMP_SECS),
            4..19 => JUMP_SECS + self.dice.below(7_200),
            _ => 86_400,
        };
        let secs = i64::try_from(secs).unwrap();
        let by_secs = if self.dice.percent(50) { secs } else { -secs };
        self.hours.set_wrong(by_secs);
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// The ledger as the last step has left it.
    fn view(&self) -> Rc<View> {
        let mut seen = self.seen.borrow_mut();
        let view = || Rc::new(self.engine().views().view().unwrap());
        seen.get_or_insert_with(view).clone()
    }

    /// The orders that still move, as the last step has left them.
    fn living(&self) -> Rc<Vec<Order>> {
        let mut living = self.living.borrow_mut();
        let read = || {
            let view = self.view();
            let orders = view.living_orders().unwrap();
            Rc::new(orders.map(Result::unwrap).collect())
        };
        living.get_or_insert_with(read).clone()
    }

    /// The ledger is about to change.
    fn look_away(&mut self) {
        self.seen.take();
        self.living.take();
    }

    /// When the next timer fires, should the clock be believed.
    fn next_timer(&self) -> Option<UnixTime> {
        self.view().next_timer().unwrap()
    }
}

fn preimages(secret: [u8; 32]) -> Arc<Preimages> {
    Arc::new(Preimages::new(SecretBox::new(Box::new(secret))))
}

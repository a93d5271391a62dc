//! Many towns at once, and what came of them.

use std::any::Any;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use escrow_core::PaymentHash;
use sha2::{Digest, Sha256};

use crate::tally::Tally;
use crate::town::{Lived, TRADES_PER_TOWN, live};

/// Name of the threads in which towns live: who does not want to read of a
/// failure twice can leave theirs out of what a panic prints.
pub const THREAD: &str = "town";

/// What shall be simulated. The same seed and number of trades leave the same
/// trace, on any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seeds of all towns follow from it.
    pub seed: u64,
    /// At least so many orders get into a book; 0 makes one town all the same.
    pub trades: u64,
    /// Towns that live at the same time.
    pub threads: NonZero<usize>,
}

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Report {
    /// Orders that got into a book, in all towns that lived to their end.
    pub trades: u64,
    /// Towns that were begun.
    pub towns: u64,
    /// SHA-256 over the digests of all towns in the order of the plan; a town
    /// that failed counts as 32 zeros.
    pub trace: String,
    /// What happened, and how trades ended.
    pub tally: Tally,
    /// Wall-clock time of it all.
    pub elapsed: Duration,
    /// Towns in which something happened that must not, in the order of the plan.
    pub failures: Vec<Failure>,
}

/// A town in which something happened that must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its seed, for [`live`].
    pub seed: u64,
    /// What it was, in the words of the check that found it.
    pub why: String,
}

/// How far a plan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Orders that got into a book so far.
    pub trades: u64,
    /// Towns that are over.
    pub towns: u64,
    /// Those of them that failed.
    pub failed: u64,
}

impl Plan {
    /// How many towns it takes.
    #[must_use]
    pub fn towns(&self) -> u64 {
        self.trades.div_ceil(TRADES_PER_TOWN).max(1)
    }
}

/// The seed of the town with this number, from 0, in the plan of a seed.
#[must_use]
pub fn town_seed(plan: u64, number: u64) -> u64 {
    let mut hash = Sha256::new();
    hash.update(plan.to_be_bytes());
    hash.update(number.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    // Short enough to be read out.
    u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
}

/// Lives through all towns of a plan. `progress` is told after each of them, by
/// the thread in which it lived.
///
/// # Panics
/// If a thread cannot be started. A town that panics is a [`Failure`].
pub fn run(plan: &Plan, progress: &(dyn Fn(Progress) + Sync)) -> Report {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let ledger = Mutex::new(Outcomes::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.get() {
            let work = || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= plan.towns() {
                        return;
                    }
                    let outcome = attempt(town_seed(plan.seed, number));
                    let mut outcomes = ledger.lock().unwrap();
                    progress(outcomes.add(number, outcome));
                }
            };
            let thread = Builder::new().name(THREAD.into());
            thread.spawn_scoped(scope, work).unwrap();
        }
    });
    let outcomes = ledger.into_inner().unwrap();
    outcomes.report(plan.towns(), began.elapsed())
}

fn attempt(seed: u64) -> Result<Lived, Failure> {
    // Nothing of a town is left after its panic.
    catch_unwind(AssertUnwindSafe(|| live(seed, None))).map_err(|panic| Failure {
        seed,
        why: words(panic.as_ref()),
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// What is known of the towns that are over.
#[derive(Default)]
struct Outcomes {
    trades: u64,
    tally: Tally,
    digests: Vec<(u64, [u8; 32])>,
    failures: Vec<(u64, Failure)>,
}

impl Outcomes {
    fn add(&mut self, number: u64, outcome: Result<Lived, Failure>) -> Progress {
        let digest = match outcome {
            Ok(lived) => {
                self.trades += lived.trades;
                self.tally.merge(&lived.tally);
                lived.digest
            }
            Err(failure) => {
                self.failures.push((number, failure));
                [0; 32]
            }
        };
        self.digests.push((number, digest));
        let count = |list: usize| u64::try_from(list).unwrap();
        Progress {
            trades: self.trades,
            towns: count(self.digests.len()),
            failed: count(self.failures.len()),
        }
    }

    fn report(mut self, towns: u64, elapsed: Duration) -> Report {
        self.digests.sort_unstable();
        self.failures.sort_by_key(|(number, _)| *number);
        let mut trace = Sha256::new();
        for (_, digest) in &self.digests {
            trace.update(digest);
        }
        Report {
            trades: self.trades,
            towns,
            trace: PaymentHash(trace.finalize().into()).to_string(),
            tally: self.tally,
            elapsed,
            failures: self
                .failures
                .into_iter()
                .map(|(_, failure)| failure)
                .collect(),
        }
    }
}

//! A seeded simulation over `Engine::step`: traders with goals and mistakes, a
//! bad line to Lightning, power cuts; after every step book, ledger, Lightning
//! and wallets must agree.
//!
//! A thousand seeds run; `SIMULATION_SEED=42` runs one and shows what happens.
#![expect(clippy::print_stdout, reason = "a simulation tells what it did")]

use std::num::NonZero;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use escrow_simulation::{Tally, run};

const SEEDS: u64 = 1_000;

/// What must have happened somewhere, or the simulation has become empty.
const WANTED: [&str; 15] = [
    "success",
    "canceled",
    "refusal",
    "refused take or order",
    "repeated message",
    "call refused",
    "reply lost",
    "late hold",
    "look-up failed",
    "failure held back",
    "late answer to a release",
    "power cut in a commit",
    "commit failed",
    "crash before Lightning",
    "crash before reports",
];

#[test]
fn book_ledger_lightning_and_wallets_agree_whatever_happens() {
    if let Some(seed) = seed_from_env() {
        let (digest, tally) = run(seed, Some(show));
        println!("seed {seed} trace {digest}\n{tally:#?}");
        return;
    }
    let next = AtomicU64::new(1);
    let total = Mutex::new(Tally::default());
    let failed = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    match catch_unwind(|| run(seed, None)) {
                        Ok((_, tally)) => total.lock().unwrap().merge(&tally),
                        Err(_) => failed.lock().unwrap().push(seed),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "SIMULATION_SEED={failed:?} fails");
    let total = total.into_inner().unwrap();
    println!("{SEEDS} seeds: {:#?}", total.0);
    for name in WANTED {
        assert!(total.of(name) > 0, "no {name} in any of the seeds");
    }
    assert!(total.of("success") > SEEDS, "too few trades succeed");
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in [1, 50, 1_001] {
        let (first, _) = run(seed, None);
        let (second, _) = run(seed, None);
        println!("seed {seed} trace {first}");
        assert_eq!(first, second);
    }
    assert_ne!(run(1, None).0, run(2, None).0);
}

fn show(line: &str) {
    println!("{line}");
}

fn seed_from_env() -> Option<u64> {
    let text = std::env::var("SIMULATION_SEED").ok()?;
    (!text.is_empty()).then(|| text.parse().expect("SIMULATION_SEED is a number"))
}

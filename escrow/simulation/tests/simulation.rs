//! Ten thousand trades with everything that goes wrong; and what must have
//! gone wrong, or the simulation has become empty.
#![expect(clippy::print_stdout, reason = "a simulation tells what it did")]

use std::num::NonZero;
use std::thread;

use escrow_simulation::{Plan, TRADES_PER_TOWN, run};

/// What must have happened somewhere.
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
    let plan = Plan {
        seed: 1,
        trades: 10_000,
        threads: thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
    };
    let report = run(&plan, &|_| {});
    println!("{report:#?}");
    for failure in &report.failures {
        println!(
            "mostro-relay simulate --town {} --aloud\n{}",
            failure.seed, failure.why
        );
    }
    assert!(report.failures.is_empty(), "towns failed");
    assert!(report.trades >= plan.trades);
    for name in WANTED {
        assert!(report.tally.of(name) > 0, "no {name} in any town");
    }
    let successes = report.tally.of("success");
    assert!(successes > plan.trades / 4, "{successes} trades succeed");
}

#[test]
fn the_same_plan_leaves_the_same_trace_on_any_number_of_threads() {
    let trace = |seed, threads| {
        let plan = Plan {
            seed,
            trades: 6 * TRADES_PER_TOWN,
            threads: NonZero::new(threads).unwrap(),
        };
        run(&plan, &|_| {}).trace
    };
    assert_eq!(trace(7, 1), trace(7, 2));
    assert_ne!(trace(7, 2), trace(8, 2));
}

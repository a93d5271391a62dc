//! Ten thousand trades with everything that goes wrong; and what must have
//! gone wrong, or the simulation has become empty.
#![expect(clippy::print_stdout, reason = "a simulation tells what it did")]

use std::num::NonZero;
use std::thread;

use escrow_simulation::{Plan, TRADES_PER_TOWN, run};

/// How trades must have ended somewhere.
const ENDINGS: [&str; 9] = [
    "success",
    "expired",
    "canceled by a solver",
    "canceled by its maker",
    "canceled by both",
    "canceled: not paid in time",
    "canceled: no invoice in time",
    "canceled: escrow near its end",
    "canceled: escrow gone back",
];

/// What must have happened somewhere.
const EVENTS: &[&str] = &[
    // People.
    "claim left to heirs",
    "overpaid hold",
    "refusal",
    "refused take or order",
    "strange invoice",
    "walked away",
    // The market, the court and the operator.
    "child told by its release",
    "late answer to a ruling",
    "latch cleared",
    "maintenance",
    "maintenance over",
    "price moved",
    "price too old",
    "solvers named",
    "success at market price",
    "debt written off",
    "lost payment given up by the operator",
    "operator may not cancel",
    "operator rules",
    "operator takes a dispute",
    "order withdrawn by the operator",
    "solver removed",
    "solver removed from a dispute",
    "solver replaced",
    // Addresses.
    "address asks for less",
    "address asks for more",
    "address cannot be asked",
    "address gives a dying invoice",
    "address gives a used invoice",
    "address gives nothing",
    "address hangs",
    "address is slow",
    "address names no amount",
    "address not found",
    "address not looked up",
    "address takes exactly this",
    "address takes less",
    "development fee paid",
    "success to an address",
    // Questions.
    "last index asked",
    "order moved to another key",
    "orders asked",
    "own figures asked",
    "session restored",
    // The post.
    "OK lost",
    "message doubled",
    "message late by hours",
    "message lost",
    "relay takes no events",
    "repeated message",
    // Power, disk and clock.
    "clock believed again",
    "clock jump seen",
    "commit failed",
    "crash after commit",
    "crash before Lightning",
    "crash before reports",
    "power cut in a commit",
    "power cut in a start",
    "power off",
    "power off for days",
    // Lightning.
    "a day's blocks at once",
    "attempt given up as lost",
    "attempt lost",
    "call refused",
    "failure held back",
    "failure in trouble",
    "found by a look-up",
    "held payment answered",
    "history cut short",
    "hold paid in parts",
    "info hung",
    "late answer to a cancel",
    "late answer to a release",
    "late hold",
    "locked wallet",
    "look-up failed",
    "lost attempt found out",
    "node restarted in a call",
    "not synced",
    "payee fails",
    "payee holds",
    "payee is offline",
    "payee is slow",
    "payment may not be sent yet",
    "payment missing",
    "payments forgotten",
    "reply lost",
    "silent stream",
    "slow call",
    "stale height",
    "start window",
    "step while deferring",
    "stream dropped",
    "stream ended without an end",
    "stream out of order",
    "stream told twice",
    // Mirrors.
    "answer goes to a mirror",
    "message on both ways",
    "message through a mirror",
    "mirror away",
    "mirror blocks",
    "mirror keeps nothing",
    "mirror lies of a duplicate",
    "mirror limits the rate",
    "mirror read on from its cursor",
    "mirror shows a message late",
    "mirror tells a message twice",
    "truthful mirror shows the book",
    // What few orders come through.
    "dispute",
    "hold opened anew",
    "paid before the invoice came",
    "payout asked for",
    "payout asked for again",
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
    for name in ENDINGS.iter().chain(EVENTS) {
        assert!(report.tally.of(name) > 0, "no {name} in any town");
    }
    let successes = report.tally.of("success");
    assert!(successes > plan.trades / 5, "{successes} trades succeed");
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

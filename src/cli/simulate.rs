//! `mostro-relay simulate`: towns full of trades and trouble, from a seed.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, value_parser};
use escrow_simulation::{Failure, Plan, Progress, Report, THREAD};
use serde_json::json;

/// Try the escrow on thousands of trades with everything that can go wrong.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Each town has a node, Lightning, and traders who make mistakes; messages are lost, the power goes, \
clocks jump. After every step book, ledger, Lightning and wallets must agree, and in the end nothing \
may be left that nobody brings on. No money, no network, no file: all of it is in memory.

The same seed and number of trades leave the same trace on every machine, whatever --threads says. \
A town in which something breaks is told with the command that lives through it again.

Exit code: 0 if nothing broke, 1 if something did, 2 for arguments that cannot be used.

  mostro-relay simulate --trades 200000 --seed 42
  mostro-relay simulate --town 1234 --aloud")]
pub struct SimulateArgs {
    /// What all chance follows from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Orders that get into a book, at least; a town always brings its share to an end.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 10_000,
        value_parser = value_parser!(u64).range(1..=1_000_000_000)
    )]
    trades: u64,
    /// Towns that live at the same time; without it, one for each core.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Live through this town alone, as a failure names it.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seed", "trades", "threads", "json"])]
    town: Option<u64>,
    /// Print everything that goes into the town's node and comes out.
    #[arg(long, requires = "town")]
    aloud: bool,
}

/// Simulates, and tells what came of it.
///
/// # Errors
/// If the simulation itself cannot be run.
pub async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    // It computes without a pause, so it gets a thread of its own.
    tokio::task::spawn_blocking(move || match args.town {
        Some(seed) => one_town(seed, args.aloud),
        None => whole_plan(&args),
    })
    .await
    .context("the town broke down; above stands where")
}

fn one_town(seed: u64, aloud: bool) -> ExitCode {
    let lived = escrow_simulation::live(seed, aloud.then_some(print));
    let mut text = format!("town {seed}: {} trades, nothing broke\n", lived.trades);
    counts(&mut text, "endings", &lived.tally.endings);
    counts(&mut text, "events", &lived.tally.events);
    print(&text);
    ExitCode::SUCCESS
}

fn whole_plan(args: &SimulateArgs) -> ExitCode {
    keep_towns_quiet();
    let plan = Plan {
        seed: args.seed,
        trades: args.trades,
        threads: args.threads(),
    };
    let report = escrow_simulation::run(&plan, &teller(&plan, args.json));
    if args.json {
        print(&to_json(&plan, &report));
    } else {
        print(&to_text(&plan, &report));
    }
    if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl SimulateArgs {
    fn threads(&self) -> NonZero<usize> {
        let asked = self.threads.and_then(|count| NonZero::new(count.into()));
        asked
            .or_else(|| thread::available_parallelism().ok())
            .unwrap_or(NonZero::<usize>::MIN)
    }
}

/// A town that breaks is told at the end, with how to see it again; what it
/// would print by itself would stand in the middle of the progress.
fn keep_towns_quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some(THREAD) {
            usual(panic);
        }
    }));
}

/// Tells a person how far it is; nothing to a file or to a script.
fn teller(plan: &Plan, is_json: bool) -> impl Fn(Progress) + Sync + use<> {
    let (towns, began) = (plan.towns(), Instant::now());
    let is_watched = !is_json && io::stderr().is_terminal();
    let told_at = Mutex::new(began);
    move |progress| {
        let mut told_at = told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = progress.towns == towns;
        if !is_watched || !is_last && told_at.elapsed() < TELL_EVERY {
            return;
        }
        *told_at = Instant::now();
        let end = if is_last { "\n" } else { "" };
        let line = how_far(progress, towns, began.elapsed());
        let _nobody_watches = write!(io::stderr(), "\r{line:<78}{end}");
    }
}

/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_millis(500);

#[expect(
    clippy::cast_precision_loss,
    reason = "a speed for people; nobody simulates 2^52 trades"
)]
fn how_far(progress: Progress, towns: u64, elapsed: Duration) -> String {
    let Progress {
        trades,
        towns: done,
        failed,
    } = progress;
    let secs = elapsed.as_secs_f64().max(1e-9);
    let left = towns.saturating_sub(done) as f64 * secs / done.max(1) as f64;
    let left = Duration::from_secs_f64(left.ceil()).as_secs();
    let (minutes, seconds) = (left / 60, left % 60);
    format!(
        "{done} of {towns} towns, {trades} trades, {:.0}/s, {failed} failures, {minutes}:{seconds:02} left",
        trades as f64 / secs
    )
}

fn to_text(plan: &Plan, report: &Report) -> String {
    let mut text = String::new();
    counts(&mut text, "how trades ended", &report.tally.endings);
    counts(&mut text, "what happened", &report.tally.events);
    let _infallible = write!(
        text,
        "seed       {}\n\
         towns      {}\n\
         trades     {}\n\
         time       {:.1} s on {} threads, {:.0} trades/s on each\n\
         trace      {}\n",
        plan.seed,
        report.towns,
        report.trades,
        report.elapsed.as_secs_f64(),
        plan.threads,
        trades_per_second(plan, report),
        report.trace,
    );
    if report.failures.is_empty() {
        text.push_str("nothing broke\n");
    }
    for failure in &report.failures {
        let why = failure.why.lines().next().unwrap_or_default();
        let why: String = why.chars().take(WHY_CHARS).collect();
        let _infallible = write!(text, "BROKEN     {}\n           {why}\n", replay(failure));
    }
    text
}

/// Characters of a failure's words in the table; the replay has them all.
const WHY_CHARS: usize = 300;

/// The command that lives through it again.
fn replay(failure: &Failure) -> String {
    format!("mostro-relay simulate --town {} --aloud", failure.seed)
}

fn counts<'a>(
    text: &mut String,
    title: &str,
    counts: impl IntoIterator<Item = (&'a &'static str, &'a u64)>,
) {
    let _infallible = writeln!(text, "{title}");
    for (name, count) in counts {
        let _infallible = writeln!(text, "  {count:>10}  {name}");
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a speed for people; nobody simulates 2^52 trades"
)]
fn trades_per_second(plan: &Plan, report: &Report) -> f64 {
    let thread_secs = report.elapsed.as_secs_f64() * plan.threads.get() as f64;
    report.trades as f64 / thread_secs.max(1e-9)
}

fn to_json(plan: &Plan, report: &Report) -> String {
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|failure| json!({"town": failure.seed, "why": failure.why, "replay": replay(failure)}))
        .collect();
    json!({
        "seed": plan.seed,
        "towns": report.towns,
        "trades": report.trades,
        "threads": plan.threads,
        "elapsed_s": report.elapsed.as_secs_f64(),
        "trades_per_s_and_thread": trades_per_second(plan, report),
        "trace": report.trace,
        "endings": report.tally.endings,
        "events": report.tally.events,
        "failures": failures,
    })
    .to_string()
}

fn print(text: &str) {
    // Who closes the pipe does not want to hear more.
    let _nobody_listens = writeln!(io::stdout(), "{}", text.trim_end_matches('\n'));
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use escrow_simulation::Tally;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn read(words: &str) -> Result<SimulateArgs, String> {
        let words = std::iter::once("simulate").chain(words.split_whitespace());
        match Line::try_parse_from(words) {
            Ok(line) => Ok(line.args),
            Err(why) => Err(why.to_string()),
        }
    }

    #[test]
    fn arguments_have_bounds_and_a_town_stands_alone() {
        assert_eq!(read("--threads 3").unwrap().threads().get(), 3);
        assert_eq!(read("--town 7 --aloud").unwrap().town, Some(7));
        for wrong in [
            "--trades 0",
            "--trades 2000000000",
            "--threads 0",
            "--aloud",
            "--town 7 --seed 1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn progress_tells_how_fast_it_is_and_how_long_it_takes() {
        let progress = Progress {
            trades: 2_000,
            towns: 100,
            failed: 1,
        };
        let line = how_far(progress, 500, Duration::from_secs(20));
        assert_eq!(
            line,
            "100 of 500 towns, 2000 trades, 100/s, 1 failures, 1:20 left"
        );
    }

    #[test]
    fn a_failure_is_told_with_the_command_that_shows_it() {
        let plan = Plan {
            seed: 1,
            trades: 10,
            threads: NonZero::<usize>::MIN,
        };
        let report = Report {
            trades: 10,
            towns: 1,
            trace: "00".into(),
            tally: Tally::default(),
            elapsed: Duration::from_secs(2),
            failures: vec![Failure {
                seed: 77,
                why: "sats made or lost\nin many words".into(),
            }],
        };
        let text = to_text(&plan, &report);
        assert!(text.contains("mostro-relay simulate --town 77 --aloud"));
        assert!(text.contains("sats made or lost") && !text.contains("many words"));
        assert!(text.contains("5 trades/s"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&to_json(&plan, &report)).unwrap();
        assert_eq!(json["failures"][0]["town"], 77);
    }
}

//! `mostro-relay bench`: measures this box, or any relay, on this machine.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, Command, Subcommand};
use escrow_regtest::Network;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::asking::AskingScale;
use crate::bench::full_book::BookScale;
use crate::bench::machine::Machine;
use crate::bench::relay::{self, Plan, Scale, Scenario};
use crate::bench::trades::Crowd;
use crate::bench::{self, Finding, Listener};

/// Measure whole trades and the writer on this machine.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    /// The short measurement, of less than a minute.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Clone, Debug, Args)]
struct OutputArgs {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// The disk to measure on; data goes into a new folder in it.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Measure a relay from outside, and check all it does.
    Relay(RelayArgs),
    /// Measure how fast a mirror is served, and how soon after an outage.
    Mirror(ShortArgs),
    /// Measure whether replies take longer when the book is full.
    FullBook(ShortArgs),
    /// Measure takes at the market's price, and sessions that are restored.
    Asking(ShortArgs),
    /// Measure whole trades over the real nodes of `regtest up`.
    Lnd(LndArgs),
}

#[derive(Clone, Debug, Args)]
struct LndArgs {
    /// Folder of the network.
    #[arg(long, value_name = "DIR", default_value = "target/regtest")]
    network: PathBuf,
    #[command(flatten)]
    short: ShortArgs,
}

#[derive(Clone, Debug, Args)]
struct ShortArgs {
    /// The same, but with less of everything.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measure a relay from outside, and check all it does.
#[derive(Clone, Debug, Args)]
struct RelayArgs {
    /// The relay (ws://…); without it, a box of our own in a process of its own.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The process of that relay, if it runs on this machine: for its memory.
    #[arg(long, value_name = "PID", requires = "url")]
    pid: Option<u32>,
    /// What to measure; without it, everything that is possible.
    #[arg(
        long = "scenario",
        value_name = "NAME",
        value_enum,
        value_delimiter = ','
    )]
    scenarios: Vec<Scenario>,
    /// Everything, but shorter.
    #[arg(long)]
    quick: bool,
    /// Live orders in the box of idle-memory and start-up.
    #[arg(long, value_name = "COUNT")]
    orders: Option<u64>,
    /// Events in the box of start-up, with its orders.
    #[arg(long, value_name = "COUNT")]
    events: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, prints the findings as they are made, and tidies up.
///
/// # Errors
/// If the folder cannot be used, or a measurement goes wrong.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        Some(What::Relay(args)) => {
            let plan = args.plan()?;
            let measuring = async |folder: &Path, printer: &mut Printer| {
                relay::run(&plan, folder, printer).await
            };
            measured(&args.output, measuring).await
        }
        Some(What::Mirror(args)) => {
            let orders = if args.quick { 2_000 } else { 10_000 };
            let program = this_program()?;
            let measuring = async |folder: &Path, printer: &mut Printer| {
                printer.machine(folder)?;
                let times = bench::mirror::measure(folder, program, orders, printer).await?;
                printer.hears(&Finding::Mirror(times));
                Ok(())
            };
            measured(&args.output, measuring).await
        }
        Some(What::FullBook(args)) => {
            let scale = if args.quick {
                BookScale::QUICK
            } else {
                BookScale::FULL
            };
            let measuring = async |folder: &Path, printer: &mut Printer| {
                printer.machine(folder)?;
                let times = bench::full_book::measure(folder, scale, printer).await?;
                printer.hears(&Finding::FullBook(times));
                Ok(())
            };
            measured(&args.output, measuring).await
        }
        Some(What::Asking(args)) => {
            let scale = if args.quick {
                AskingScale::QUICK
            } else {
                AskingScale::FULL
            };
            let measuring = async |folder: &Path, printer: &mut Printer| {
                printer.machine(folder)?;
                let times = bench::asking::measure(folder, scale, printer).await?;
                printer.hears(&Finding::Asking(times));
                Ok(())
            };
            measured(&args.output, measuring).await
        }
        Some(What::Lnd(args)) => {
            let network = Network::find(&args.network)?;
            let crowds = lnd_crowds(args.short.quick);
            let measuring = async |folder: &Path, printer: &mut Printer| {
                printer.machine(folder)?;
                for times in bench::lnd::measure(folder, &network, crowds, printer).await? {
                    printer.hears(&Finding::Lnd(times));
                }
                Ok(())
            };
            measured(&args.short.output, measuring).await
        }
        None if args.quick => {
            let measuring =
                async |folder: &Path, printer: &mut Printer| bench::quick(folder, printer).await;
            measured(&args.output, measuring).await
        }
        None => Command::new("mostro-relay bench")
            .error(
                ErrorKind::MissingRequiredArgument,
                "say `bench --quick` for whole trades, or `bench relay` for the relay alone",
            )
            .exit(),
    }
}

/// One pair alone, for how long the box takes, and a crowd, for how much it does.
fn lnd_crowds(quick: bool) -> [Crowd; 2] {
    let trades_each = if quick { 5 } else { 25 };
    [1, 4].map(|pairs| Crowd { pairs, trades_each })
}

async fn measured(
    output: &OutputArgs,
    measuring: impl AsyncFnOnce(&Path, &mut Printer) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir_in(&output.folder)
        .with_context(|| format!("no folder in {}", output.folder.display()))?;
    let mut printer = Printer { json: output.json };
    // Dropped by a signal too, so that the folder goes in any case, and with
    // it the processes that were started.
    tokio::select! {
        measured = measuring(folder.path(), &mut printer) => measured?,
        told = told_to_stop() => {
            told?;
            return Ok(ExitCode::FAILURE);
        }
    }
    if output.json {
        print(&json!({"part": "end", "ok": true}).to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for somebody who wants this to end.
async fn told_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

impl RelayArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        let usual = if self.quick {
            Scale::QUICK
        } else {
            Scale::FULL
        };
        let mut plan = Plan {
            url: self.url.clone(),
            pid: self.pid,
            scenarios: self.scenarios.clone(),
            scale: Scale {
                live_orders: self.orders.unwrap_or(usual.live_orders),
                stored_events: self.events.unwrap_or(usual.stored_events),
                ..usual
            },
            program: this_program()?,
        };
        if plan.scenarios.is_empty() {
            plan.scenarios = plan.possible();
        }
        Ok(plan)
    }
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program does not know its place")
}

/// Findings go to the standard output, progress to the standard error.
struct Printer {
    json: bool,
}

impl Printer {
    /// Says what the machine can do, without which no number means anything.
    fn machine(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.begins("the machine");
        self.hears(&Finding::Machine(Machine::measure(folder)?));
        Ok(())
    }
}

fn print(text: &str) {
    // Who closes the pipe does not want to hear more.
    let _nobody_listens = writeln!(io::stdout(), "{}", text.trim_end_matches('\n'));
}

impl Listener for Printer {
    fn begins(&mut self, what: &str) {
        let _nobody_listens = writeln!(io::stderr(), "measuring {what} …");
    }

    fn hears(&mut self, finding: &Finding) {
        if self.json {
            print(&finding.to_json().to_string());
        } else {
            print(&finding.to_text());
        }
    }
}

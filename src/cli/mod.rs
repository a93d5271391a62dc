//! The command line of `mostro-relay`.

pub mod act;
mod banner;
pub mod bench;
pub mod court;
pub mod demo;
pub mod inspect;
pub mod ledger;
pub mod mirror;
pub mod orders;
pub mod payouts;
pub mod prices;
mod run;
pub mod sandbox;
pub mod simulate;
pub mod standing;
mod words;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::bench::BenchArgs;
use self::court::{DisputeArgs, DisputesArgs, SolverArgs};
use self::demo::DemoArgs;
use self::inspect::InspectError;
use self::ledger::LedgerArgs;
use self::mirror::MirrorArgs;
use self::orders::{OrderArgs, OrdersArgs};
use self::payouts::PayoutsArgs;
use self::prices::PricesArgs;
use self::sandbox::SandboxArgs;
use self::simulate::SimulateArgs;
use self::standing::{AuditArgs, MaintenanceArgs, StatusArgs};
use crate::settings::{self, Loaded};

/// Exit code for settings and arguments that are wrong.
const WRONG_WORDS: u8 = 2;

/// A Nostr relay with a Mostro escrow inside, in one process.
#[derive(Clone, Debug, Parser)]
#[command(name = "mostro-relay", version)]
pub struct CommandLine {
    /// Settings file; without it, settings.toml in the current folder.
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the box; the same as no command at all.
    Run,
    /// Drive the simulated wallets of a running box.
    Sandbox(SandboxArgs),
    /// Tell how the box stands, running or stopped.
    Status(StatusArgs),
    /// List the orders that are not over, running or stopped.
    Orders(OrdersArgs),
    /// Tell what has happened to an order, or cancel it.
    Order(OrderArgs),
    /// List the disputes that wait for a ruling, running or stopped.
    Disputes(DisputesArgs),
    /// Take a dispute of a running box, or rule in it.
    Dispute(DisputeArgs),
    /// Say who may judge disputes.
    Solver(SolverArgs),
    /// Take no new trades for a while.
    Maintenance(MaintenanceArgs),
    /// Look at the audit journal, running or stopped.
    Audit(AuditArgs),
    /// List the payouts that are not paid yet, running or stopped, and decide about
    /// payments what only you can.
    Payouts(PayoutsArgs),
    /// Look at the books, running or stopped, and let payments go on.
    Ledger(LedgerArgs),
    /// Tell how the mirrors are, running or stopped.
    Mirror(MirrorArgs),
    /// Tell what a bitcoin costs and who says so, running or stopped.
    Prices(PricesArgs),
    /// Show trades in boxes of their own: three that go well, or what can happen instead.
    Demo(DemoArgs),
    /// Measure whole trades and the writer on this machine.
    Bench(BenchArgs),
    /// Try the escrow on thousands of trades with everything that can go wrong.
    Simulate(SimulateArgs),
}

impl CommandLine {
    /// Does what the command line asks for, and says how it ended: 0 for
    /// success, 2 for words it cannot use, 1 for everything else.
    pub async fn execute(self) -> ExitCode {
        match self.command {
            None | Some(Command::Run) => match self.settings() {
                Ok(loaded) => run::until_told_to_stop(loaded, &self.myself()).await,
                Err(wrong) => wrong,
            },
            Some(Command::Sandbox(ref args)) => match self.settings() {
                Ok(loaded) => {
                    told(sandbox::run(args.clone(), loaded.settings.sandbox.listen).await)
                }
                Err(wrong) => wrong,
            },
            Some(Command::Status(ref args)) => self.of_box(standing::status, args).await,
            Some(Command::Orders(ref args)) => self.of_box(orders::list, args).await,
            Some(Command::Order(ref args)) => self.of_box(orders::one, args).await,
            Some(Command::Disputes(ref args)) => self.of_box(court::list, args).await,
            Some(Command::Dispute(ref args)) => self.of_box(court::rule, args).await,
            Some(Command::Solver(ref args)) => self.of_box(court::solvers, args).await,
            Some(Command::Maintenance(ref args)) => self.of_box(standing::maintenance, args).await,
            Some(Command::Audit(ref args)) => self.of_box(standing::journal, args).await,
            Some(Command::Payouts(ref args)) => self.of_box(payouts::run, args).await,
            Some(Command::Ledger(ref args)) => self.of_box(ledger::run, args).await,
            Some(Command::Mirror(ref args)) => self.of_box(mirror::run, args).await,
            Some(Command::Prices(ref args)) => match self.settings() {
                Ok(loaded) => told(prices::run(args, &loaded.settings).await),
                Err(wrong) => wrong,
            },
            Some(Command::Demo(args)) => demo::run(args).await,
            Some(Command::Bench(args)) => ended(bench::run(args).await),
            Some(Command::Simulate(args)) => ended(simulate::run(args).await),
        }
    }

    /// Asks or tells the box in the data directory of the settings.
    async fn of_box<A>(
        &self,
        run: impl AsyncFnOnce(&A, &Path) -> Result<(), InspectError>,
        args: &A,
    ) -> ExitCode {
        match self.settings() {
            Ok(loaded) => told(run(args, &loaded.settings.node.data_dir).await),
            Err(wrong) => wrong,
        }
    }

    /// How to call this program again with the same settings.
    fn myself(&self) -> String {
        let program = std::env::args_os().next();
        let program = program.map_or_else(|| "mostro-relay".into(), PathBuf::from);
        match &self.settings {
            Some(file) => format!("{} --settings {}", program.display(), file.display()),
            None => program.display().to_string(),
        }
    }

    /// The operator's settings, or the exit code for those that are wrong.
    fn settings(&self) -> Result<Loaded, ExitCode> {
        settings::load(self.settings.as_deref(), environment()).map_err(|problems| {
            complain(&problems.to_string());
            ExitCode::from(WRONG_WORDS)
        })
    }
}

fn told(outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why.to_string());
            ExitCode::FAILURE
        }
    }
}

fn ended(run: anyhow::Result<ExitCode>) -> ExitCode {
    run.unwrap_or_else(|why| {
        complain(&format!("{why:#}"));
        ExitCode::FAILURE
    })
}

fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Says something to the person who called.
fn complain(words: &str) {
    // Without a place to complain to, the exit code has to do.
    let _unheard = writeln!(io::stderr(), "{words}");
}

//! `mostro-relay demo`: two traders, and what happens to them, told as it
//! happens.
//!
//! Each scenario has a box of its own, whose data live in a temporary folder
//! and are gone at the end. Success means that every message came in its
//! place, that the book showed what it should, and that every balance is right
//! to the sat.

mod cancel;
mod cast;
mod coop;
mod dispute;
mod expiry;
mod market;
mod mirror;
mod payfail;
mod privacy;
mod public;
mod purse;
mod range;
mod rating;
mod restart;
mod restore;
mod storyteller;
mod trades;

use std::io;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::dispute::Ruling;
use self::storyteller::Storyteller;
use crate::bench::machine;

/// Show trades in boxes of their own: three that go well, or what can happen instead.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// What to show; may be given several times.
    #[arg(
        long = "scenario",
        value_name = "NAME",
        value_enum,
        value_delimiter = ',',
        default_value = "trades"
    )]
    scenarios: Vec<Scenario>,
    /// Print one JSON object a line; the last says whether all was right.
    #[arg(long)]
    json: bool,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Three trades that go well.
    Trades,
    /// Makers and takers who change their minds before any sat is locked.
    Cancel,
    /// Two who call a trade off together, after the fiat was said to be sent.
    Coop,
    /// A buyer who is too slow, and an offer that nobody takes.
    Expiry,
    /// A payout that fails until the buyer gives another invoice.
    Payfail,
    /// A trader who only knows another relay, and an outage of that relay.
    Mirror,
    /// A box that dies in mid-trade, and is back two hours later.
    Restart,
    /// Sats as the market gives them at the moment of the take.
    Market,
    /// A range that is sold in parts, until nothing is left.
    Range,
    /// A trader who has lost all but her keys, in mid-trade.
    Restore,
    /// Two who rate each other, and what others see of it.
    Rating,
    /// Two who trade without showing who they are.
    Privacy,
    /// A dispute in which a solver pays the buyer.
    DisputeSettle,
    /// A dispute in which a solver gives the seller her sats back.
    DisputeCancel,
    /// Tell what the scenarios are, and show none.
    List,
}

impl Scenario {
    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            Scenario::Trades => "trades",
            Scenario::Cancel => "cancel",
            Scenario::Coop => "coop",
            Scenario::Expiry => "expiry",
            Scenario::Payfail => "payfail",
            Scenario::Mirror => "mirror",
            Scenario::Restart => "restart",
            Scenario::Market => "market",
            Scenario::Range => "range",
            Scenario::Restore => "restore",
            Scenario::Rating => "rating",
            Scenario::Privacy => "privacy",
            Scenario::DisputeSettle => "dispute-settle",
            Scenario::DisputeCancel => "dispute-cancel",
            Scenario::List => "list",
        }
    }

    async fn play(self, teller: &mut Storyteller) -> anyhow::Result<()> {
        match self {
            Scenario::Trades => Box::pin(trades::play(teller)).await,
            Scenario::Cancel => Box::pin(cancel::play(teller)).await,
            Scenario::Coop => Box::pin(coop::play(teller)).await,
            Scenario::Expiry => Box::pin(expiry::play(teller)).await,
            Scenario::Payfail => Box::pin(payfail::play(teller)).await,
            Scenario::Mirror => Box::pin(mirror::play(teller)).await,
            Scenario::Restart => Box::pin(restart::play(teller)).await,
            Scenario::Market => Box::pin(market::play(teller)).await,
            Scenario::Range => Box::pin(range::play(teller)).await,
            Scenario::Restore => Box::pin(restore::play(teller)).await,
            Scenario::Rating => Box::pin(rating::play(teller)).await,
            Scenario::Privacy => Box::pin(privacy::play(teller)).await,
            Scenario::DisputeSettle => Box::pin(dispute::play(Ruling::Settle, teller)).await,
            Scenario::DisputeCancel => Box::pin(dispute::play(Ruling::Cancel, teller)).await,
            Scenario::List => Ok(()),
        }
    }
}

/// Plays the demonstration on the standard output.
///
/// Whatever goes wrong is told as the end of the story, and makes the exit code
/// that of a failure.
pub async fn run(args: DemoArgs) -> ExitCode {
    let mut teller = Storyteller::new(args.json, Box::new(io::stdout()));
    if args.scenarios.contains(&Scenario::List) {
        teller.lists(Scenario::value_variants());
        return ExitCode::SUCCESS;
    }
    // Dropped by a signal too, so that the folders go in any case.
    tokio::select! {
        code = play(&args.scenarios, &mut teller) => code,
        _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
    }
}

async fn play(scenarios: &[Scenario], teller: &mut Storyteller) -> ExitCode {
    for scenario in scenarios {
        if let Err(why) = Box::pin(scenario.play(teller)).await {
            teller.ends_badly(*scenario, &why);
            return ExitCode::FAILURE;
        }
    }
    teller.ends_well(scenarios, machine::resident_memory());
    ExitCode::SUCCESS
}

//! `mostro-relay disputes`, `dispute` and `solver`: what is to be judged, by whom,
//! and how.

use std::path::Path;

use clap::{Args, Subcommand};
use escrow_core::dispute::DisputeId;
use escrow_core::order::OrderId;
use escrow_core::party::IdentityKey;
use nostr::key::PublicKey;
use uuid::Uuid;

use super::act::{self, SureArgs};
use super::inspect::{self, InspectArgs, InspectError};
use super::words::{moment, table};
use crate::operator::Act;
use crate::overview::{self, DisputeLine, SolverLine};

/// List the disputes that wait for a ruling.
#[derive(Clone, Debug, Args)]
pub struct DisputesArgs {
    #[command(flatten)]
    inspect: InspectArgs,
}

/// Take a dispute, or rule in it.
#[derive(Clone, Debug, Args)]
pub struct DisputeArgs {
    #[command(subcommand)]
    ruling: Ruling,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Ruling {
    /// Take it, from whoever has it.
    Take {
        /// The dispute or its order.
        id: Uuid,
        #[command(flatten)]
        sure: SureArgs,
    },
    /// Rule for the buyer, who is paid.
    Settle {
        /// The dispute or its order.
        id: Uuid,
        #[command(flatten)]
        sure: SureArgs,
    },
    /// Rule for the seller, who gets his sats back.
    Cancel {
        /// The dispute or its order.
        id: Uuid,
        #[command(flatten)]
        sure: SureArgs,
    },
}

/// Say who may judge.
#[derive(Clone, Debug, Args)]
pub struct SolverArgs {
    #[command(subcommand)]
    action: SolverAction,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum SolverAction {
    /// Let somebody judge, or change what he may do.
    Add {
        /// His key, npub or hex; after a colon `read` or `read-write`, which is meant
        /// without it.
        key: String,
    },
    /// List who may judge.
    List,
    /// Let somebody judge no longer; his disputes wait for another.
    Remove {
        /// His key, npub or hex.
        #[arg(value_parser = key)]
        key: PublicKey,
        #[command(flatten)]
        sure: SureArgs,
    },
}

fn key(text: &str) -> Result<PublicKey, &'static str> {
    let key = PublicKey::parse(text);
    key.map_err(|_| "must be npub1… or 64 hexadecimal digits")
}

/// Lists the disputes of the box of the settings, unless `args` name another.
///
/// # Errors
/// Why nothing can be told.
pub async fn list(args: &DisputesArgs, data_dir: &Path) -> Result<(), InspectError> {
    let open = open(&args.inspect, data_dir).await?;
    inspect::show(&args.inspect, &open, |lines| listed(lines))
}

async fn open(args: &InspectArgs, data_dir: &Path) -> Result<Vec<DisputeLine>, InspectError> {
    inspect::asked(args, data_dir, overview::DISPUTES, overview::disputes).await
}

fn listed(lines: &[DisputeLine]) -> String {
    let rows = lines.iter().map(|line| {
        [
            line.id.0.to_string(),
            line.order.0.to_string(),
            line.opened_by.clone(),
            moment(line.opened_at),
            line.solver.clone().unwrap_or("nobody".into()),
        ]
    });
    let head = ["dispute", "order", "opened by", "opened", "taken by"];
    table(head, rows.collect(), "no open disputes")
}

/// Takes a dispute, or rules in it.
///
/// # Errors
/// Why it is not done.
pub async fn rule(args: &DisputeArgs, data_dir: &Path) -> Result<(), InspectError> {
    let open = open(&args.inspect, data_dir).await?;
    // One that is not open may be named all the same: the node says why it refuses.
    let named = |id: Uuid| {
        let found = open.iter().find(|it| it.id.0 == id || it.order.0 == id);
        found.map_or((DisputeId(id), OrderId(id)), |it| (it.id, it.order))
    };
    let (sure, question, act) = match args.ruling {
        Ruling::Take { id, sure } => (
            sure,
            format!("Take dispute {id}, from whoever has it?"),
            Act::TakeDispute(named(id).0),
        ),
        Ruling::Settle { id, sure } => (
            sure,
            format!("Settle {id}: the sats go to the BUYER?"),
            Act::Settle(named(id).1),
        ),
        Ruling::Cancel { id, sure } => (
            sure,
            format!("Cancel {id}: the sats go back to the SELLER?"),
            Act::Cancel {
                order: named(id).1,
                pretrade_only: false,
            },
        ),
    };
    act::surely(sure, &question, &args.inspect, data_dir, &act).await
}

/// Says who may judge.
///
/// # Errors
/// Why it is not done, or nothing can be told.
pub async fn solvers(args: &SolverArgs, data_dir: &Path) -> Result<(), InspectError> {
    let inspect = &args.inspect;
    match &args.action {
        SolverAction::Add { key } => {
            act::at_once(inspect, data_dir, &Act::AddSolver(key.clone())).await
        }
        SolverAction::List => {
            let all = inspect::asked(inspect, data_dir, overview::SOLVERS, overview::solvers);
            inspect::show(inspect, &all.await?, |lines| judges(lines))
        }
        SolverAction::Remove { key, sure } => {
            let question = format!("Remove solver {key}? His disputes wait for another.");
            let act = Act::RemoveSolver(IdentityKey(*key));
            act::surely(*sure, &question, inspect, data_dir, &act).await
        }
    }
}

fn judges(lines: &[SolverLine]) -> String {
    let rows = lines.iter().map(|line| {
        let SolverLine {
            key,
            permission,
            since,
        } = line;
        [key.clone(), permission.clone(), moment(*since)]
    });
    table(["solver", "may", "since"], rows.collect(), "no solvers")
}

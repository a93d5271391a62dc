//! `mostro-relay payouts`: which buyers wait for their sats, and why.
//!
//! A running box is asked through its [operator's door](crate::operator_door);
//! of one that is stopped, the ledger is read.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use escrow_engine::clock::{Clock, SystemClock};
use storage::ledger::{Ledger, StorageError};

use crate::node::LEDGER;
use crate::operator_door::{self, DoorError};
use crate::payouts::{self, UnpaidPayout};

/// List the payouts that are not paid yet.
#[derive(Clone, Debug, Args)]
pub struct PayoutsArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Data directory of the box; without it, that of the settings.
    #[arg(long, value_name = "FOLDER")]
    pub(super) data_dir: Option<PathBuf>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum PayoutsError {
    /// No box was ever started on this folder.
    #[error("{} does not exist: no box has run with this data directory", .0.display())]
    NoLedger(PathBuf),
    /// The ledger of a stopped box cannot be read.
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] StorageError),
    /// The running box does not say.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Nowhere to print.
    #[error("cannot print: {0}")]
    Io(#[from] io::Error),
}

/// Prints the list of the box on `data_dir`.
///
/// # Errors
/// Why there is none.
pub async fn run(args: &PayoutsArgs, data_dir: &Path) -> Result<(), PayoutsError> {
    let list = match operator_door::ask(data_dir, payouts::PATH).await? {
        Some(list) => list,
        None => of_stopped_box(&data_dir.join(LEDGER))?,
    };
    let text = if args.json {
        json_line(&list)
    } else {
        lines(&list)
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn of_stopped_box(ledger: &Path) -> Result<Vec<UnpaidPayout>, PayoutsError> {
    // To open a ledger that is not there would make one.
    if !ledger.try_exists()? {
        return Err(PayoutsError::NoLedger(ledger.into()));
    }
    let view = Ledger::open(ledger)?.views().view()?;
    Ok(payouts::unpaid(&view, SystemClock.now())?)
}

fn json_line(list: &[UnpaidPayout]) -> String {
    let json = serde_json::to_string(list).expect("a list of plain data");
    format!("{json}\n")
}

fn lines(list: &[UnpaidPayout]) -> String {
    if list.is_empty() {
        return "nobody waits for his sats\n".into();
    }
    list.iter().map(line).collect()
}

fn line(payout: &UnpaidPayout) -> String {
    let UnpaidPayout {
        order,
        amount_sats,
        age_secs,
        state,
        tries,
        reason,
        next,
    } = payout;
    let reason = reason.as_deref().unwrap_or("-");
    format!(
        "order {}  {amount_sats}  {} h {} min old  {state}  {tries} tries  last failure: {reason}\n    {next}\n",
        order.0,
        age_secs / 3_600,
        age_secs / 60 % 60,
    )
}

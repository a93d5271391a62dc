//! `mostro-relay ledger`: how the books stand, and how payments go on after a
//! breach.

use std::fmt::Write;
use std::path::Path;

use clap::{Args, Subcommand};

use super::inspect::{self, InspectArgs, InspectError};
use crate::books::{self, BooksStatus, ClearOrder};

/// Look at the books, and let payments go on.
#[derive(Clone, Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Tell what was given to whom, and whether payments are stopped.
    Status,
    /// Let payments of the running box leave again.
    Clear {
        /// Why; it is kept in the journal.
        #[arg(long)]
        reason: String,
    },
}

/// Does what `args` ask for with the box of the settings, unless they name
/// another.
///
/// # Errors
/// Why nothing can be told, or is done.
pub async fn run(args: &LedgerArgs, data_dir: &Path) -> Result<(), InspectError> {
    match &args.action {
        Action::Status => {
            let of_ledger = BooksStatus::of_ledger;
            inspect::print(&args.inspect, data_dir, books::PATH, of_ledger, told).await
        }
        Action::Clear { reason } => {
            let order = ClearOrder {
                reason: reason.clone(),
            };
            inspect::order(&args.inspect, data_dir, books::CLEAR, &order).await
        }
    }
}

fn told(status: &BooksStatus) -> String {
    let mut lines = String::new();
    let mut put = |line: String| {
        writeln!(lines, "{line}").expect("a String takes everything");
    };
    match &status.latch {
        None => put("payments leave".into()),
        Some(latch) => put(format!(
            "NO PAYMENT LEAVES since {} (unix seconds): {}",
            latch.since.0, latch.why
        )),
    }
    for unknown in &status.unknown_payments {
        put(format!(
            "payment {} of {}, begun at {}, is unknown: explain it with\n    \
             mostro-relay payouts adopt {} --order ID   or   --no-order",
            unknown.hash, unknown.amount_msat, unknown.created_at.0, unknown.hash
        ));
    }
    for overpaid in &status.overpaid {
        put(format!(
            "the seller of order {} has overpaid {} with {}: give it back to him",
            overpaid.order.0, overpaid.surplus_msat, overpaid.hash
        ));
    }
    put(format!(
        "{:<11}  {:>20}  {:>20}",
        "account", "got msat", "gave msat"
    ));
    for account in &status.accounts {
        put(format!(
            "{:<11}  {:>20}  {:>20}",
            account.account, account.got_msat.0, account.gave_msat.0
        ));
    }
    if status.unpaid_dev_fees > 0 {
        put(format!(
            "{} development fees of {} sat together are not paid: see `mostro-relay payouts`",
            status.unpaid_dev_fees, status.unpaid_dev_fees_sats
        ));
    }
    lines
}

//! `mostro-relay payouts`: which buyers wait for their sats, and why.

use std::path::Path;

use clap::Args;
use escrow_engine::clock::{Clock, SystemClock};
use storage::ledger::View;

use super::inspect::{self, InspectArgs, InspectError};
use crate::payouts::{self, UnpaidPayout};

/// List the payouts that are not paid yet.
#[derive(Clone, Debug, Args)]
pub struct PayoutsArgs {
    #[command(flatten)]
    inspect: InspectArgs,
}

/// Prints the list of the box of the settings, unless `args` name another.
///
/// # Errors
/// Why there is none.
pub async fn run(args: &PayoutsArgs, data_dir: &Path) -> Result<(), InspectError> {
    let of_ledger = |view: &View| payouts::unpaid(view, SystemClock.now());
    let in_words = |list: &Vec<UnpaidPayout>| lines(list);
    inspect::print(&args.inspect, data_dir, payouts::PATH, of_ledger, in_words).await
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

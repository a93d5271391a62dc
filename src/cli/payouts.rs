//! `mostro-relay payouts`: which buyers wait for their sats, and why; which
//! development fees are not paid; and what a payment was for that the ledger does not know.

use std::path::Path;

use clap::{Args, Subcommand};
use escrow_core::PaymentHash;
use escrow_core::order::OrderId;
use escrow_engine::clock::{Clock, SystemClock};
use storage::ledger::View;
use uuid::Uuid;

use super::inspect::{self, InspectArgs, InspectError};
use crate::books::{self, AdoptOrder};
use crate::payouts::{self, UnpaidPayout};

/// List the payouts that are not paid yet, or explain an unknown payment.
#[derive(Clone, Debug, Args)]
pub struct PayoutsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Tell the running box what a payment was for that its ledger does not know.
    Adopt {
        /// The payment's hash, as `mostro-relay ledger status` shows it.
        hash: PaymentHash,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// The order whose buyer it has paid, or whose development fee.
    #[arg(long, value_name = "ID")]
    order: Option<Uuid>,
    /// It was for no order of this box.
    #[arg(long)]
    no_order: bool,
}

/// Does what `args` ask for with the box of the settings, unless they name
/// another.
///
/// # Errors
/// Why there is no list, or nothing is done.
pub async fn run(args: &PayoutsArgs, data_dir: &Path) -> Result<(), InspectError> {
    if let Some(Action::Adopt { hash, of }) = args.action {
        let order = of.order.map(OrderId);
        let order = AdoptOrder { hash, order };
        return inspect::order(&args.inspect, data_dir, books::ADOPT, &order).await;
    }
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
        is_dev_fee,
        amount_sats,
        age_secs,
        state,
        tries,
        reason,
        next,
    } = payout;
    let reason = reason.as_deref().unwrap_or("-");
    let what = if *is_dev_fee {
        "development fee of order"
    } else {
        "order"
    };
    format!(
        "{what} {}  {amount_sats}  {} h {} min old  {state}  {tries} tries  last failure: {reason}\n    {next}\n",
        order.0,
        age_secs / 3_600,
        age_secs / 60 % 60,
    )
}

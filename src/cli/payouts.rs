//! `mostro-relay payouts`: which buyers wait for their sats, and why; which
//! development fees are not paid; and what the operator decides about payments.

use std::path::Path;

use clap::{Args, Subcommand};
use escrow_core::PaymentHash;
use escrow_core::order::OrderId;
use escrow_engine::clock::{Clock, SystemClock};
use storage::ledger::View;
use uuid::Uuid;

use super::inspect::{self, InspectArgs, InspectError};
use crate::books::{self, AdoptOrder, GiveUpOrder, WriteOffOrder};
use crate::payouts::{self, UnpaidPayout};

/// List the payouts that are not paid yet, or decide about payments what only you can.
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
    /// Tell the running box that a payment can reach nobody any more.
    ///
    /// Its buyer is then asked for another invoice; if it is listed as lost, when
    /// Lightning, asked once more within a minute, still does not carry it. No other
    /// payment but one that is lost, or has failed without a reason, can be given
    /// up: should it be claimed after all, the buyer is paid twice.
    GiveUp {
        /// The payment's hash, as `mostro-relay payouts` shows it.
        hash: PaymentHash,
        /// Why you are sure; it is kept in the journal.
        #[arg(long)]
        reason: String,
    },
    /// Tell the running box that what is parked of an order is settled otherwise.
    WriteOff {
        /// The order, as `mostro-relay payouts` shows it.
        order: Uuid,
        /// How; it is kept in the journal.
        #[arg(long)]
        reason: String,
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
    let inspect = &args.inspect;
    match args.action.clone() {
        None => {
            let of_ledger = |view: &View| payouts::unpaid(view, SystemClock.now());
            let in_words = |list: &Vec<UnpaidPayout>| lines(list);
            inspect::print(inspect, data_dir, payouts::PATH, of_ledger, in_words).await
        }
        Some(Action::Adopt { hash, of }) => {
            let order = of.order.map(OrderId);
            let order = AdoptOrder { hash, order };
            inspect::order(inspect, data_dir, books::ADOPT, &order).await
        }
        Some(Action::GiveUp { hash, reason }) => {
            let order = GiveUpOrder { hash, reason };
            inspect::order(inspect, data_dir, books::GIVE_UP, &order).await
        }
        Some(Action::WriteOff { order, reason }) => {
            let order = OrderId(order);
            let order = WriteOffOrder { order, reason };
            inspect::order(inspect, data_dir, books::WRITE_OFF, &order).await
        }
    }
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
        payment,
        next,
        to_decide,
    } = payout;
    let reason = reason.as_deref().unwrap_or("-");
    let what = if *is_dev_fee {
        "development fee of order"
    } else {
        "order"
    };
    let mut lines = vec![
        format!(
            "{what} {}  {amount_sats}  {} h {} min old  {state}  {tries} tries  last failure: {reason}",
            order.0,
            age_secs / 3_600,
            age_secs / 60 % 60,
        ),
        format!("    {next}"),
    ];
    lines.extend(payment.map(|hash| format!("    last payment: {hash}")));
    lines.extend(to_decide.as_ref().map(|choice| format!("    {choice}")));
    lines.join("\n") + "\n"
}

//! `mostro-relay status`, `maintenance` and `audit`: how a box stands, whether it
//! takes new trades, and whether its journal is as it was written.

use std::path::Path;

use clap::{Args, Subcommand};
use escrow_core::order::OrderId;
use uuid::Uuid;

use super::act;
use super::inspect::{self, InspectArgs, InspectError};
use super::orders;
use super::words::moment;
use crate::audit::{self, AuditStatus};
use crate::operator::{Act, Rest};
use crate::overview::{self, BoxStatus};

/// Tell how the box stands.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    inspect: InspectArgs,
}

/// Take no new trades for a while.
#[derive(Clone, Debug, Args)]
pub struct MaintenanceArgs {
    #[command(subcommand)]
    action: MaintenanceAction,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum MaintenanceAction {
    /// Take no new trades; those that run come to their end.
    On {
        /// Why; those who ask are told.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take new trades again.
    Off,
    /// Tell whether new trades are taken, and whether it is safe to stop the box.
    Status,
}

/// Look at the audit journal.
#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    action: AuditAction,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum AuditAction {
    /// Look whether every entry is as it was written.
    Verify,
    /// Tell what has happened to an order.
    Show {
        /// The order.
        order: Uuid,
    },
}

/// Tells how the box of the settings stands, unless `args` name another.
///
/// # Errors
/// Why nothing can be told.
pub async fn status(args: &StatusArgs, data_dir: &Path) -> Result<(), InspectError> {
    let of_ledger = BoxStatus::of_ledger;
    inspect::print(&args.inspect, data_dir, overview::STATUS, of_ledger, told).await
}

fn told(status: &BoxStatus) -> String {
    let known = |value: Option<String>| value.unwrap_or("unknown".into());
    let payments = if status.payments_are_stopped {
        "STOPPED: see mostro-relay ledger status"
    } else {
        "leave"
    };
    let box_is = if status.is_running {
        "running"
    } else {
        "stopped"
    };
    format!(
        "box              {box_is}\nversion          {}\nalive            {}\n\
         block            {}\n{}payments         {payments}\n\
         open disputes    {}\naudit journal    {} entries, head {}\n",
        status.version,
        known(status.alive_at.map(moment)),
        known(status.block_height.map(|height| height.to_string())),
        rests(&status.rest),
        status.open_disputes,
        status.journal_entries,
        status.journal_head,
    )
}

fn rests(rest: &Rest) -> String {
    let new_trades = match &rest.maintenance {
        None => "taken".into(),
        Some(present) => format!(
            "NOT taken since {} ({})",
            moment(present.since),
            present.reason.as_deref().unwrap_or("no reason given")
        ),
    };
    let stop = if rest.is_drained() { "yes" } else { "no" };
    format!(
        "new trades       {new_trades}\norders on offer  {}\nin escrow        {}\n\
         unpaid buyers    {}\nsafe to stop     {stop}\n",
        rest.pending_orders, rest.escrowed_orders, rest.inflight_payouts,
    )
}

/// Takes no new trades, or takes them again, or tells which.
///
/// # Errors
/// Why it is not done, or nothing can be told.
pub async fn maintenance(args: &MaintenanceArgs, data_dir: &Path) -> Result<(), InspectError> {
    let (enabled, reason) = match &args.action {
        MaintenanceAction::On { reason } => (true, reason.clone()),
        MaintenanceAction::Off => (false, None),
        MaintenanceAction::Status => {
            let of_ledger = BoxStatus::of_ledger;
            let asked = inspect::asked(&args.inspect, data_dir, overview::STATUS, of_ledger);
            return inspect::show(&args.inspect, &asked.await?.rest, rests);
        }
    };
    let act = Act::Maintenance { enabled, reason };
    act::at_once(&args.inspect, data_dir, &act).await
}

/// Looks at the audit journal.
///
/// # Errors
/// Why nothing can be told, or that the journal is not as it was written.
pub async fn journal(args: &AuditArgs, data_dir: &Path) -> Result<(), InspectError> {
    let inspect = &args.inspect;
    match args.action {
        AuditAction::Show { order } => orders::tell(inspect, data_dir, OrderId(order)).await,
        AuditAction::Verify => {
            let of_ledger = AuditStatus::of_ledger;
            let status = inspect::asked(inspect, data_dir, audit::VERIFY, of_ledger).await?;
            inspect::show(inspect, &status, verified)?;
            match status.broken {
                None => Ok(()),
                Some(why) => Err(InspectError::BrokenJournal(why)),
            }
        }
    }
}

fn verified(status: &AuditStatus) -> String {
    let AuditStatus {
        broken,
        from,
        to,
        head,
    } = status;
    let result = match broken {
        None => "as they were written".into(),
        Some(why) => format!("NOT as they were written: {why}"),
    };
    format!("entries {from} to {to}: {result}\nhead {head}\n")
}

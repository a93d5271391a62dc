//! `mostro-relay orders` and `order`: the trades of a box, and what has happened to
//! each of them.

use std::path::Path;

use clap::{Args, Subcommand};
use escrow_core::order::OrderId;
use escrow_core::wire::Status;
use storage::ledger::View;
use uuid::Uuid;

use super::act::{self, SureArgs};
use super::inspect::{self, InspectArgs, InspectError};
use super::words::{moment, table};
use crate::operator::Act;
use crate::overview::{self, Happening, OrderLine, OrderStory};

/// List the orders that are not over.
#[derive(Clone, Debug, Args)]
pub struct OrdersArgs {
    /// Only those with this status, for instance `pending`, `active` or `dispute`.
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    #[command(flatten)]
    inspect: InspectArgs,
}

/// Tell what has happened to an order, or cancel it.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct OrderArgs {
    /// The order.
    #[arg(required = true)]
    id: Option<Uuid>,
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// End an order that nobody has taken, or refund the seller of one whose dispute
    /// you have taken; every other state is left alone.
    Cancel {
        /// The order.
        id: Uuid,
        #[command(flatten)]
        sure: SureArgs,
    },
}

fn status(word: &str) -> Result<Status, String> {
    Status::parse(word).ok_or_else(|| {
        let words = Status::ALL.iter().map(|status| status.as_str());
        format!("must be one of {}", words.collect::<Vec<_>>().join(", "))
    })
}

/// Lists the orders of the box of the settings, unless `args` name another.
///
/// # Errors
/// Why nothing can be told.
pub async fn list(args: &OrdersArgs, data_dir: &Path) -> Result<(), InspectError> {
    let wanted = args.status;
    let choose = move |mut lines: Vec<OrderLine>| {
        lines.retain(|line| wanted.is_none_or(|wanted| line.status == wanted));
        lines
    };
    let answer = inspect::asked(&args.inspect, data_dir, overview::ORDERS, overview::orders);
    inspect::show(&args.inspect, &choose(answer.await?), |lines| listed(lines))
}

fn listed(lines: &[OrderLine]) -> String {
    let rows = lines.iter().map(|line| {
        [
            line.id.0.to_string(),
            line.status.to_string(),
            line.kind.clone(),
            line.fiat.clone(),
            line.sats.map_or("market".into(), |sats| sats.to_string()),
            moment(line.since),
        ]
    });
    let head = ["order", "status", "kind", "fiat", "sats", "since"];
    table(head, rows.collect(), "no orders")
}

/// Tells an order's history, or cancels it.
///
/// # Errors
/// Why nothing can be told, or is done.
pub async fn one(args: &OrderArgs, data_dir: &Path) -> Result<(), InspectError> {
    if let Some(Action::Cancel { id, sure }) = args.action {
        let order = OrderId(id);
        let act = Act::Cancel {
            order,
            pretrade_only: false,
        };
        let question = format!("Cancel order {id}?");
        return act::surely(sure, &question, &args.inspect, data_dir, &act).await;
    }
    let id = args.id.unwrap_or_default();
    tell(&args.inspect, data_dir, OrderId(id)).await
}

/// Tells an order's history.
pub(super) async fn tell(
    args: &InspectArgs,
    data_dir: &Path,
    id: OrderId,
) -> Result<(), InspectError> {
    let path = format!("{}?id={}", overview::ORDER, id.0);
    let of_ledger = |view: &View| overview::story(view, id);
    let story = inspect::asked(args, data_dir, &path, of_ledger).await?;
    let story = story.ok_or(InspectError::NoSuchOrder(id.0))?;
    inspect::show(args, &story, told)
}

fn told(story: &OrderStory) -> String {
    let mut text = listed(std::slice::from_ref(&story.order));
    if let Some(dispute) = story.order.dispute {
        text += &format!("dispute {}\n", dispute.0);
    }
    text.push('\n');
    for happening in &story.history {
        text += &format!("{}  {}\n", moment(happening.at), in_words(happening));
    }
    text
}

fn in_words(happening: &Happening) -> String {
    let Happening {
        who,
        command,
        outcome,
        ..
    } = happening;
    let what = match command.as_str() {
        "new-order" => "makes the order",
        "take-sell" | "take-buy" => "takes it",
        "add-invoice" => "says where to be paid",
        "fiat-sent" => "says that the fiat is sent",
        "release" => "releases the sats",
        "cancel" => "wants to cancel",
        "dispute" => "opens a dispute",
        "rate-user" => "rates the other side",
        "trade-pubkey" => "names a key",
        "admin-take-dispute" => "takes the dispute",
        "admin-settle" => "rules for the buyer",
        "admin-cancel" => "cancels it",
        "hold-opened" => "has opened the hold invoice",
        "hold-failed" => "could not open the hold invoice",
        "hold-accepted" => "has locked the seller's sats",
        "hold-settled" => "has taken the seller's sats",
        "hold-canceled" => "has given back the seller's sats",
        "hold-found" => "was asked about the hold invoice",
        "hold-aged" => "nears the end of the hold invoice",
        "payment-succeeded" => "has paid the buyer",
        "payment-failed" => "could not pay the buyer",
        "payment-missing" => "has lost sight of the payment",
        "payment-traced" => "sees the payment again",
        "elapsed" => "has run out",
        other => other,
    };
    let whose = match who.len() {
        64 => format!("key {}…", who.chars().take(8).collect::<String>()),
        _ => who.clone(),
    };
    match outcome.as_str() {
        "done" => format!("{whose} {what}"),
        outcome => format!("{whose} {what} ({outcome})"),
    }
}

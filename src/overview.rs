//! What the operator sees of his box: how it stands, its orders with their
//! histories, its disputes and its solvers.

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use escrow_core::UnixTime;
use escrow_core::dispute::{Dispute, DisputeId};
use escrow_core::order::{Order, OrderId, Price, Side};
use escrow_core::party::{Identity, IdentityKey, Party};
use escrow_core::solver::{Permission, Solver};
use escrow_core::wire::{Initiator, Status};
use escrow_engine::EscrowHandle;
use http::StatusCode;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use serde::{Deserialize, Serialize};
use storage::ledger::{JournalEntry, StorageError, View};

use crate::operator::{self, Act, Rest};

/// Where the [operator's door](crate::operator_door) tells how the box stands.
pub const STATUS: &str = "/status";
/// Where it lists the living orders.
pub const ORDERS: &str = "/orders";
/// Where it tells an order's history; `?id=` names it.
pub const ORDER: &str = "/order";
/// Where it lists the disputes that wait for a ruling.
pub const DISPUTES: &str = "/disputes";
/// Where it lists who may judge.
pub const SOLVERS: &str = "/solvers";
/// Where it hears what the operator does.
pub const ACT: &str = "/act";

/// How the box stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxStatus {
    /// Of the node.
    pub version: String,
    /// Whether the box itself says so, or only the ledger that it has left.
    pub is_running: bool,
    /// When it last said that it is alive.
    pub alive_at: Option<UnixTime>,
    /// Height of the highest block it has seen.
    pub block_height: Option<u32>,
    /// Whether it takes new trades, and what is still open.
    pub rest: Rest,
    /// Disputes that wait for a ruling.
    pub open_disputes: usize,
    /// Whether a breach of the books stops all payments.
    pub payments_are_stopped: bool,
    /// Number of the journal's last entry.
    pub journal_entries: u64,
    /// Digest of the journal up to it, in hex.
    pub journal_head: String,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Its name.
    pub id: OrderId,
    /// Where it stands.
    pub status: Status,
    /// Since when.
    pub since: UnixTime,
    /// `buy` or `sell`: what the maker does.
    pub kind: String,
    /// What is asked for.
    pub fiat: String,
    /// Its bare sats, once they are fixed.
    pub sats: Option<u64>,
    /// Its dispute, if it has or had one.
    pub dispute: Option<DisputeId>,
}

/// An order with all that has happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStory {
    /// As it is.
    pub order: OrderLine,
    /// Oldest first.
    pub history: Vec<Happening>,
}

/// One thing that has happened to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Number in the journal.
    pub number: u64,
    /// When.
    pub at: UnixTime,
    /// Who did it: `seller`, `buyer`, `operator`, `lightning`, `time`, or a key.
    pub who: String,
    /// What was asked for or reported.
    pub command: String,
    /// What came of it.
    pub outcome: String,
}

/// A dispute that waits for a ruling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeLine {
    /// Its name.
    pub id: DisputeId,
    /// Its order.
    pub order: OrderId,
    /// `buyer` or `seller`.
    pub opened_by: String,
    /// When.
    pub opened_at: UnixTime,
    /// Who has taken it; none while nobody has.
    pub solver: Option<String>,
}

/// Somebody who may judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SolverLine {
    /// His key, as npub.
    pub key: String,
    /// `read` or `read-write`.
    pub permission: String,
    /// When he was registered.
    pub since: UnixTime,
}

impl BoxStatus {
    /// As a box that runs tells it.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn of_running_box(view: &View) -> Result<BoxStatus, StorageError> {
        Ok(BoxStatus {
            is_running: true,
            ..BoxStatus::of_ledger(view)?
        })
    }

    /// Reads it from the ledger of a box that does not run.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn of_ledger(view: &View) -> Result<BoxStatus, StorageError> {
        let head = view.journal_head()?;
        Ok(BoxStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            is_running: false,
            alive_at: view.heartbeat()?,
            block_height: view.tip()?.map(|tip| tip.height),
            rest: Rest::of_ledger(view)?,
            open_disputes: view.open_disputes()?.len(),
            payments_are_stopped: view.latch()?.is_some(),
            journal_entries: head.number,
            journal_head: faster_hex::hex_string(&head.digest),
        })
    }
}

/// The living orders, the oldest of each stage first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn orders(view: &View) -> Result<Vec<OrderLine>, StorageError> {
    let living = view.living_orders()?;
    let lines = living.map(|order| Ok(OrderLine::of(&order?)));
    let mut lines = lines.collect::<Result<Vec<_>, StorageError>>()?;
    lines.sort_by_key(|line| (line.status, line.since));
    Ok(lines)
}

/// An order and its history; none if there is no such order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn story(view: &View, id: OrderId) -> Result<Option<OrderStory>, StorageError> {
    let Some(order) = view.order(id)? else {
        return Ok(None);
    };
    let history = view.journal_of(id)?.into_iter();
    let history = history.map(|(number, entry)| Happening {
        number,
        at: entry.at,
        who: who(&order, &entry),
        command: entry.command,
        outcome: entry.outcome,
    });
    Ok(Some(OrderStory {
        order: OrderLine::of(&order),
        history: history.collect(),
    }))
}

/// The disputes that wait for a ruling, the oldest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn disputes(view: &View) -> Result<Vec<DisputeLine>, StorageError> {
    let open = view.open_disputes()?;
    let mut lines: Vec<_> = open.iter().map(DisputeLine::of).collect();
    lines.sort_by_key(|line| line.opened_at);
    Ok(lines)
}

/// Who may judge.
///
/// # Errors
/// If the ledger cannot be read.
pub fn solvers(view: &View) -> Result<Vec<SolverLine>, StorageError> {
    let solvers = view.solvers()?.into_iter();
    let line = |(key, solver): (IdentityKey, Solver)| {
        let permission = match solver.permission {
            Permission::Read => "read",
            Permission::ReadWrite => "read-write",
        };
        SolverLine {
            key: npub(key.0),
            permission: permission.into(),
            since: solver.since,
        }
    };
    Ok(solvers.map(line).collect())
}

impl OrderLine {
    fn of(order: &Order) -> OrderLine {
        let offer = &order.offer;
        let taken = order.stage.take().map(|take| take.amounts);
        let amounts = taken.or(offer.fixed());
        let fiat = match (amounts, offer.price) {
            (Some(amounts), _) | (None, Price::Fixed(amounts)) => amounts.fiat.0.to_string(),
            (None, Price::Market { min, max, .. }) if min == max => min.0.to_string(),
            (None, Price::Market { min, max, .. }) => format!("{}-{}", min.0, max.0),
        };
        OrderLine {
            id: order.id,
            status: order.stage.status(),
            since: order.stage_since,
            kind: match offer.side {
                Side::Buy => "buy".into(),
                Side::Sell => "sell".into(),
            },
            fiat: format!("{fiat} {}", offer.fiat_code),
            sats: amounts.map(|amounts| amounts.sats.0),
            dispute: order.dispute,
        }
    }
}

impl DisputeLine {
    fn of(dispute: &Dispute) -> DisputeLine {
        DisputeLine {
            id: dispute.id,
            order: dispute.order,
            opened_by: Initiator::from(dispute.opened_by).to_string(),
            opened_at: dispute.opened_at,
            solver: dispute.assigned().map(|assigned| npub(assigned.solver.0)),
        }
    }
}

fn npub(key: PublicKey) -> String {
    key.to_bech32().unwrap_or_else(|_| key.to_hex())
}

/// The journal knows people by key; in their own order they have a role. Who took an
/// order and lost it again is told by his key.
fn who(order: &Order, entry: &JournalEntry) -> String {
    let is = |party: Option<&Party>| party.is_some_and(|party| is_of(party, &entry.origin));
    if is(order.seller()) {
        "seller".into()
    } else if is(order.buyer()) {
        "buyer".into()
    } else {
        entry.origin.clone()
    }
}

fn is_of(party: &Party, origin: &str) -> bool {
    let key = match party.identity {
        Identity::Known(identity) => identity.0,
        Identity::FullPrivacy => party.trade_key.0,
    };
    key.to_hex() == origin
}

/// What the operator's door tells of the box, and hears.
pub fn routes(handle: EscrowHandle) -> Router {
    Router::new()
        .route(STATUS, get(|State(it)| told(it, BoxStatus::of_running_box)))
        .route(ORDERS, get(|State(it)| told(it, orders)))
        .route(ORDER, get(told_story))
        .route(DISPUTES, get(|State(it)| told(it, disputes)))
        .route(SOLVERS, get(|State(it)| told(it, solvers)))
        .route(ACT, post(act))
        .with_state(handle)
}

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

async fn told<T: Send + 'static>(
    handle: EscrowHandle,
    question: fn(&View) -> Result<T, StorageError>,
) -> Answer<T> {
    let answer = operator::read(&handle, question).await;
    answer.map(Json).map_err(|why| operator::refusal(&why))
}

#[derive(Deserialize)]
struct Which {
    id: OrderId,
}

async fn told_story(
    State(handle): State<EscrowHandle>,
    Query(Which { id }): Query<Which>,
) -> Answer<Option<OrderStory>> {
    let answer = operator::read(&handle, move |view| story(view, id)).await;
    answer.map(Json).map_err(|why| operator::refusal(&why))
}

async fn act(State(handle): State<EscrowHandle>, Json(act): Json<Act>) -> Answer<()> {
    let done = operator::act(&handle, act).await;
    done.map(Json).map_err(|why| operator::refusal(&why))
}

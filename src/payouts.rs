//! What buyers are owed and have not got yet, and what the house owes to the
//! development, for the operator (rules P10, J6).

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use escrow_core::amount::Sats;
use escrow_core::order::OrderId;
use escrow_core::payout::{Attempt, AttemptState, Payee, Payout, PayoutState};
use escrow_core::time::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::ledger::{StorageError, View, Views};

/// Where the [operator's door](crate::operator_door) lists them.
pub const PATH: &str = "/payouts";

/// A debt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpaidPayout {
    /// The order.
    pub order: OrderId,
    /// Whether it is the house's development fee, and not what the buyer gets.
    #[serde(default)]
    pub is_dev_fee: bool,
    /// What is owed.
    pub amount_sats: Sats,
    /// Seconds since the order came to wait for it.
    pub age_secs: u64,
    /// `wait-funds`, `ready`, `queued`, `resolving`, `paying`, `need-invoice` or
    /// `parked`.
    pub state: String,
    /// Counted tries with the present invoice or address.
    pub tries: u32,
    /// Why the last try failed, if one did.
    pub reason: Option<String>,
    /// What happens next, in plain words.
    pub next: String,
}

/// The payouts that are not paid, the oldest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unpaid(view: &View, now: UnixTime) -> Result<Vec<UnpaidPayout>, StorageError> {
    let is_latched = view.latch()?.is_some();
    let mut list = Vec::new();
    for payout in view.living_payouts()? {
        let order = view.order(payout.order)?;
        let attempt = match payout.invoice() {
            Some(invoice) => view.attempt(invoice.hash)?,
            None => None,
        };
        let reason = attempt.as_ref().and_then(trouble);
        list.push(UnpaidPayout {
            order: payout.order,
            is_dev_fee: payout.payee() == Payee::Development,
            amount_sats: payout.amount,
            age_secs: order.map_or(0, |order| now.secs_since(order.stage_since)),
            state: state_word(payout.state).into(),
            tries: payout.tries,
            reason,
            next: next_step(&payout, is_latched, now),
        });
    }
    list.sort_by_key(|payout| std::cmp::Reverse(payout.age_secs));
    Ok(list)
}

/// What the operator's door says of them.
pub fn routes(views: Views) -> Router {
    Router::new().route(PATH, get(listed)).with_state(views)
}

async fn listed(
    State(views): State<Views>,
) -> Result<Json<Vec<UnpaidPayout>>, (StatusCode, String)> {
    let listing = tokio::task::spawn_blocking(move || unpaid(&views.view()?, SystemClock.now()));
    let failed = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
    let list = listing.await.map_err(|why| failed(why.to_string()))?;
    list.map(Json).map_err(|why| failed(why.to_string()))
}

fn state_word(state: PayoutState) -> &'static str {
    match state {
        PayoutState::WaitFunds => "wait-funds",
        PayoutState::Ready { .. } => "ready",
        PayoutState::Queued { .. } => "queued",
        PayoutState::Resolving { .. } => "resolving",
        PayoutState::Paying => "paying",
        PayoutState::NeedInvoice { .. } => "need-invoice",
        PayoutState::Paid => "paid",
        PayoutState::Parked => "parked",
    }
}

/// What was the matter with the last try, if anything was.
fn trouble(attempt: &Attempt) -> Option<String> {
    match (attempt.state, attempt.missing) {
        (AttemptState::Failed { reason, .. }, _) => Some(format!("{reason:?}")),
        (AttemptState::Lost { .. }, _) => Some("Lost".into()),
        (AttemptState::Sent, Some(missing)) if missing.told => Some(format!(
            "Lost, but locked until block {}",
            missing.locked_until
        )),
        (AttemptState::Sent | AttemptState::Succeeded { .. }, _) => None,
    }
}

fn next_step(payout: &Payout, is_latched: bool, now: UnixTime) -> String {
    match payout.state {
        PayoutState::Ready { .. } | PayoutState::Queued { .. } if is_latched => {
            "paid when the ledger is cleared: see `mostro-relay ledger status`".into()
        }
        PayoutState::WaitFunds => "paid when Lightning has settled the seller's hold".into(),
        PayoutState::Ready { not_before } => match not_before.secs_since(now) {
            0 => "tried as soon as Lightning is ready".into(),
            secs => format!("tried in {secs} s"),
        },
        PayoutState::Queued { .. } => "paid when fewer payments are on their way".into(),
        PayoutState::Resolving { .. } => "its address is asked for an invoice".into(),
        PayoutState::Paying => "Lightning is paying; it says how that ends".into(),
        PayoutState::NeedInvoice { again_at, .. } => format!(
            "the buyer must send another invoice; asked again in {} s",
            again_at.secs_since(now)
        ),
        PayoutState::Paid => "nothing".into(),
        PayoutState::Parked => "nothing until the operator decides".into(),
    }
}

//! The books of the escrow, for the operator: what was given to whom, whether
//! payments are stopped, and how they go on (rules F8, X13, P14).

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use escrow_core::order::OrderId;
use escrow_core::payout::Payee;
use escrow_core::{Msat, PaymentHash, UnixTime};
use escrow_engine::submission::OperatorWord;
use escrow_engine::{EscrowHandle, contradiction};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::ledger::{StorageError, View};

use crate::operator;

/// Where the [operator's door](crate::operator_door) tells how the books stand.
pub const PATH: &str = "/ledger";
/// Where it lets payments go on.
pub const CLEAR: &str = "/ledger/clear";
/// Where it hears what an unknown payment was for.
pub const ADOPT: &str = "/payouts/adopt";
/// Where it hears that a payment can reach nobody any more.
pub const GIVE_UP: &str = "/payouts/give-up";
/// Where it hears that a debt is not to be paid by the node.
pub const WRITE_OFF: &str = "/payouts/write-off";

/// How the books stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BooksStatus {
    /// Why no payment leaves; none while they do.
    pub latch: Option<LatchStatus>,
    /// Payments of Lightning's that the operator has to explain.
    pub unknown_payments: Vec<Unexplained>,
    /// What sellers have paid beyond what was asked, trade by trade (rule H6).
    #[serde(default)]
    pub overpaid: Vec<Overpayment>,
    /// What each account has got and given in all.
    pub accounts: Vec<AccountStatus>,
    /// How many development fees are not paid.
    #[serde(default)]
    pub unpaid_dev_fees: usize,
    /// What they are together.
    #[serde(default)]
    pub unpaid_dev_fees_sats: u64,
}

/// Why no payment leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatchStatus {
    /// Since when.
    pub since: UnixTime,
    /// In plain words.
    pub why: String,
}

/// A payment that the ledger knows nothing of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unexplained {
    /// Its hash.
    pub hash: PaymentHash,
    /// What its payee got.
    pub amount_msat: Msat,
    /// When Lightning began with it.
    pub created_at: UnixTime,
}

/// What the seller of a trade has paid beyond what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overpayment {
    /// The order.
    pub order: OrderId,
    /// The hold that he paid.
    pub hash: PaymentHash,
    /// What is his.
    pub surplus_msat: Msat,
    /// When it was settled.
    pub at: UnixTime,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// Its name.
    pub account: String,
    /// What it was given in all.
    pub got_msat: Msat,
    /// What it has given in all.
    pub gave_msat: Msat,
}

/// Lets payments leave again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearOrder {
    /// Why, for the journal.
    pub reason: String,
}

/// Gives up a payment that can reach nobody any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUpOrder {
    /// Which payment.
    pub hash: PaymentHash,
    /// Why he is sure, for the journal.
    pub reason: String,
}

/// Closes what is parked of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteOffOrder {
    /// The order.
    pub order: OrderId,
    /// Why, for the journal.
    pub reason: String,
}

/// Explains an unknown payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptOrder {
    /// Which payment.
    pub hash: PaymentHash,
    /// The order whose buyer or development fee it paid; none if it was for none.
    pub order: Option<OrderId>,
}

impl BooksStatus {
    /// Reads it from the ledger.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn of_ledger(view: &View) -> Result<BooksStatus, StorageError> {
        let latch = view.latch()?.map(|latch| LatchStatus {
            since: latch.at,
            why: contradiction(latch.breach),
        });
        let unknown = view.unknown_payments()?.into_iter();
        let unknown_payments = unknown
            .map(|(hash, payment)| Unexplained {
                hash,
                amount_msat: payment.amount,
                created_at: payment.created_at,
            })
            .collect();
        let surpluses = view.surpluses()?.into_iter();
        let overpaid = surpluses
            .map(|entry| Overpayment {
                order: entry.order,
                hash: entry.hash,
                surplus_msat: entry.amount,
                at: entry.at,
            })
            .collect();
        let accounts = view.turnovers()?.into_iter();
        let accounts = accounts
            .map(|(account, turnover)| AccountStatus {
                account: account.name().into(),
                got_msat: turnover.got,
                gave_msat: turnover.gave,
            })
            .collect();
        let payouts = view.living_payouts()?.into_iter();
        let dev_fees = payouts.filter(|payout| payout.payee() == Payee::Development);
        let dev_fees: Vec<_> = dev_fees.map(|fee| fee.amount.0).collect();
        Ok(BooksStatus {
            latch,
            unknown_payments,
            overpaid,
            accounts,
            unpaid_dev_fees: dev_fees.len(),
            unpaid_dev_fees_sats: dev_fees.iter().sum(),
        })
    }
}

/// What the operator's door says of the books, and hears about them.
pub fn routes(handle: EscrowHandle) -> Router {
    Router::new()
        .route(PATH, get(told))
        .route(CLEAR, post(clear))
        .route(ADOPT, post(adopt))
        .route(GIVE_UP, post(give_up))
        .route(WRITE_OFF, post(write_off))
        .with_state(handle)
}

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

async fn told(State(handle): State<EscrowHandle>) -> Answer<BooksStatus> {
    let views = handle.views();
    let reading = tokio::task::spawn_blocking(move || BooksStatus::of_ledger(&views.view()?));
    let failed = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
    let status = reading.await.map_err(|why| failed(why.to_string()))?;
    status.map(Json).map_err(|why| failed(why.to_string()))
}

async fn clear(State(handle): State<EscrowHandle>, Json(order): Json<ClearOrder>) -> Answer<()> {
    let reason = order.reason;
    obeyed(&handle, OperatorWord::ClearLatch { reason }).await
}

async fn adopt(State(handle): State<EscrowHandle>, Json(order): Json<AdoptOrder>) -> Answer<()> {
    let hash = order.hash;
    let command = match order.order {
        Some(order) => OperatorWord::Adopt { hash, order },
        None => OperatorWord::Disown { hash },
    };
    obeyed(&handle, command).await
}

async fn give_up(
    State(handle): State<EscrowHandle>,
    Json(GiveUpOrder { hash, reason }): Json<GiveUpOrder>,
) -> Answer<()> {
    obeyed(&handle, OperatorWord::GiveUp { hash, reason }).await
}

async fn write_off(
    State(handle): State<EscrowHandle>,
    Json(WriteOffOrder { order, reason }): Json<WriteOffOrder>,
) -> Answer<()> {
    obeyed(&handle, OperatorWord::WriteOff { order, reason }).await
}

async fn obeyed(handle: &EscrowHandle, word: OperatorWord) -> Answer<()> {
    let done = operator::tell(handle, word).await;
    done.map(Json).map_err(|why| operator::refusal(&why))
}

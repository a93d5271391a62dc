//! The audit journal for the operator: whether it is as it was written, and its
//! head in the log, so that a forged one can be told from it.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use escrow_engine::EscrowHandle;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::ledger::{StorageError, View, Views};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::operator;

/// Where the [operator's door](crate::operator_door) verifies it.
pub const VERIFY: &str = "/audit";

/// How often its head is logged.
const HEAD_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Whether the journal is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// What is wrong with it; none if nothing is.
    pub broken: Option<String>,
    /// Number of the first entry that is still there.
    pub from: u64,
    /// Number of the last.
    pub to: u64,
    /// Digest of everything up to it, in hex.
    pub head: String,
}

impl AuditStatus {
    /// Verifies the whole journal.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn of_ledger(view: &View) -> Result<AuditStatus, StorageError> {
        let head = view.journal_head()?;
        let verified = view.verify_journal()?;
        let from = verified.as_ref().map_or(0, |it| it.checkpoint.number + 1);
        Ok(AuditStatus {
            broken: verified.err().map(|why| why.to_string()),
            from,
            to: head.number,
            head: faster_hex::hex_string(&head.digest),
        })
    }
}

/// What the operator's door says of the journal.
pub fn routes(handle: EscrowHandle) -> Router {
    Router::new().route(VERIFY, get(told)).with_state(handle)
}

async fn told(
    State(handle): State<EscrowHandle>,
) -> Result<Json<AuditStatus>, (StatusCode, String)> {
    let answer = operator::read(&handle, AuditStatus::of_ledger).await;
    answer.map(Json).map_err(operator::refusal)
}

/// Logs the head now and then until `stop` is cancelled.
pub async fn run(views: Views, stop: CancellationToken) {
    let mut rounds = interval(HEAD_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = rounds.tick() => log_head(views.clone()).await,
        }
    }
}

async fn log_head(views: Views) {
    let reading = tokio::task::spawn_blocking(move || views.view()?.journal_head());
    match reading.await {
        Ok(Ok(head)) => {
            let digest = faster_hex::hex_string(&head.digest);
            tracing::info!(entries = head.number, head = %digest, "the audit journal");
        }
        Ok(Err(why)) => tracing::warn!(%why, "the head of the audit journal cannot be read"),
        Err(why) => tracing::error!(%why, "the head of the audit journal was not read"),
    }
}

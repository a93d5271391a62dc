//! Every wallet of the sandbox has a Lightning address: its name at any host
//! (LUD-06, LUD-16). The box itself asks here when a trader names one.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::routing::get;
use axum::{Json, Router};
use escrow_core::Msat;
use escrow_lightning::Sandbox;
use escrow_lightning::sandbox::{CreateInvoice, World};
use serde_json::{Value, json};

/// What an address takes at once, in millisats.
const LEAST_MSAT: u64 = 1_000;
const MOST_MSAT: u64 = 100_000_000_000;

/// How long its invoices live.
const EXPIRY_SECS: u64 = 600;

/// Their final CLTV delta, in blocks.
const CLTV_DELTA_BLOCKS: u32 = 80;

pub(super) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/.well-known/lnurlp/{name}", get(pay_request))
        .route("/lnurlp/{name}", get(invoice))
}

async fn pay_request(
    State(sandbox): State<Sandbox>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Json<Value> {
    let wallet = name.clone();
    let exists = sandbox.look(move |world: &World| world.wallets().contains_key(&wallet));
    if !exists.await.unwrap_or(false) {
        return declined("there is no wallet of that name");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("localhost");
    Json(json!({
        "tag": "payRequest",
        "callback": format!("http://{host}/lnurlp/{name}"),
        "minSendable": LEAST_MSAT,
        "maxSendable": MOST_MSAT,
        "metadata": json!([["text/plain", format!("SANDBOX: simulated sats for {name}")]]).to_string(),
    }))
}

async fn invoice(
    State(sandbox): State<Sandbox>,
    Path(wallet): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let amount = query.get("amount").and_then(|amount| amount.parse().ok());
    let Some(amount) = amount.filter(|msat| (LEAST_MSAT..=MOST_MSAT).contains(msat)) else {
        return declined("the amount is missing or out of bounds");
    };
    let written = sandbox.apply(CreateInvoice {
        memo: format!("sats for {wallet}"),
        wallet,
        amount: Some(Msat(amount)),
        expiry_secs: EXPIRY_SECS,
        cltv_delta: CLTV_DELTA_BLOCKS,
    });
    match written.await {
        Ok(Ok(bolt11)) => Json(json!({ "pr": bolt11, "routes": [] })),
        Ok(Err(why)) => declined(&why.to_string()),
        Err(why) => declined(&why.to_string()),
    }
}

fn declined(why: &str) -> Json<Value> {
    Json(json!({ "status": "ERROR", "reason": why }))
}

//! The door to the sandbox of a running box, for `mostro-relay sandbox` and
//! for tests: JSON over HTTP, on this machine only.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /state` | – | [`WorldState`] |
//! | `GET /wallets` | – | balances in millisats by name |
//! | `POST /fund` | [`Fund`] | the new balance in millisats |
//! | `POST /invoice` | [`CreateInvoice`] | the BOLT11 text |
//! | `POST /pay` | [`WalletPays`] | [`WalletPayment`](escrow_lightning::sandbox::WalletPayment) |
//! | `POST /mine` | [`Mine`] | the new height |
//! | `POST /fail-payments` | [`FailPayments`] | `null` |
//! | `POST /behave` | [`Behave`] | `null` |
//! | `POST /answer-held` | [`AnswerHeld`] | `null` |
//! | `POST /lose-payments` | [`LosePayments`] | `null` |
//! | `POST /change-channels` | `null` | how many payments had never left |
//! | `POST /forget-payments` | [`ForgetPayments`] | how many are forgotten |
//! | `POST /peers` | [`Peers`] | `null` |
//! | `POST /faults` | [`Fault`] | `null` |
//! | `DELETE /faults` | – | `null`; what hangs goes on |
//! | `GET /.well-known/lnurlp/{wallet}` | – | what the wallet's Lightning address takes |
//!
//! What the sandbox refuses is answered by a status from 400 on with
//! `{"error": "the reason"}`; what is no request at all, by plain words. `/pay`
//! answers when the hold is accepted, the payment done, or refused.

mod addresses;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use escrow_core::Msat;
use escrow_lightning::sandbox::{
    Act, AnswerHeld, Behave, ChangeChannels, CreateInvoice, FailPayments, Fault, ForgetPayments,
    Fund, LosePayments, Mine, Peers, WalletPays, World, WorldState,
};
use escrow_lightning::{LnError, Sandbox};
use http::StatusCode;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections served at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 64;
/// Time for a request's head to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Largest body that is read.
const MAX_BODY_BYTES: usize = 16 * 1_024;
/// Pause after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the door on `listener` until `stop` is ready.
///
/// Whoever does not call from this machine is not served, wherever the
/// listener is bound.
pub async fn run(listener: TcpListener, sandbox: Sandbox, stop: impl Future<Output = ()>) {
    let router = routes(sandbox);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if may_enter(peer) && connections.len() < MAX_CONNECTIONS {
                        connections.spawn(serve(stream, router.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the sandbox's door cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    connections.shutdown().await;
}

/// Why a request was not granted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// In words for people.
    pub error: String,
    #[serde(skip)]
    status: StatusCode,
}

type Granted<T> = Result<Json<T>, Refusal>;

fn may_enter(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

async fn serve(stream: TcpStream, router: Router) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the sandbox's door ended early");
    }
}

fn routes(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/wallets", get(wallets))
        .route("/fund", post(judged::<Fund, _, _>))
        .route("/invoice", post(judged::<CreateInvoice, _, _>))
        .route("/pay", post(judged::<WalletPays, _, _>))
        .route("/mine", post(done::<Mine>))
        .route("/fail-payments", post(done::<FailPayments>))
        .route("/behave", post(judged::<Behave, _, _>))
        .route("/answer-held", post(judged::<AnswerHeld, _, _>))
        .route("/lose-payments", post(done::<LosePayments>))
        .route("/change-channels", post(done::<ChangeChannels>))
        .route("/forget-payments", post(done::<ForgetPayments>))
        .route("/peers", post(done::<Peers>))
        .route("/faults", post(add_fault).delete(clear_faults))
        .merge(addresses::routes())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(sandbox)
}

async fn state(State(sandbox): State<Sandbox>) -> Granted<WorldState> {
    Ok(Json(sandbox.look(World::state).await?))
}

async fn wallets(State(sandbox): State<Sandbox>) -> Granted<BTreeMap<String, Msat>> {
    Ok(Json(sandbox.look(|world| world.wallets().clone()).await?))
}

/// Does what the world may refuse.
async fn judged<A, T, E>(State(sandbox): State<Sandbox>, Json(act): Json<A>) -> Granted<T>
where
    A: Act<Reply = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let answer = sandbox.apply(act).await?;
    let refused = |error: E| Refusal {
        error: error.to_string(),
        status: StatusCode::CONFLICT,
    };
    answer.map(Json).map_err(refused)
}

/// Does what the world never refuses.
async fn done<A>(State(sandbox): State<Sandbox>, Json(act): Json<A>) -> Granted<A::Reply>
where
    A: Act + Send + 'static,
    A::Reply: Send + 'static,
{
    Ok(Json(sandbox.apply(act).await?))
}

async fn add_fault(State(sandbox): State<Sandbox>, Json(fault): Json<Fault>) -> Json<()> {
    sandbox.add_fault(fault);
    Json(())
}

async fn clear_faults(State(sandbox): State<Sandbox>) -> Json<()> {
    sandbox.clear_faults().await;
    Json(())
}

impl From<LnError> for Refusal {
    fn from(error: LnError) -> Self {
        Refusal {
            error: error.to_string(),
            status: StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_enter() {
        let table = [
            ("127.0.0.1:9", true),
            ("127.8.9.10:9", true),
            ("[::1]:9", true),
            ("[::ffff:127.0.0.1]:9", true),
            ("192.168.1.2:9", false),
            ("[::ffff:10.0.0.1]:9", false),
            ("[2001:db8::1]:9", false),
        ];
        for (peer, may) in table {
            assert_eq!(may_enter(peer.parse().unwrap()), may, "{peer}");
        }
    }
}

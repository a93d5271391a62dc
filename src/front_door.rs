//! The one port of the node: websockets for the relay, plain HTTP for everything else.
//!
//! `GET /` is a websocket when it asks for an upgrade, the NIP-11 document when it
//! accepts `application/nostr+json`, else a few words for a human. `/livez` says that
//! the process answers, `/readyz` whether it can do its work, and if not, why.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, UPGRADE,
};
use http::{HeaderMap, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use relay_policy::address_group;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::relay::{Relay, RelayLimits, RelayProfile, nip11};

/// How long a client may take to send the head of a request, and how long an idle
/// connection is kept for another one.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a refused connection has to take its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// How long to wait after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether the node can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It can, but not everything.
    ReadyBut {
        /// One line for the operator.
        why: String,
    },
    /// It cannot, for this reason.
    NotReady {
        /// One line for the operator.
        why: String,
    },
}

/// What stands behind the port.
#[derive(Debug, Clone)]
pub struct FrontDoor {
    /// The relay that serves the websockets.
    pub relay: Relay,
    /// What NIP-11 says about the relay besides its limits.
    pub profile: RelayProfile,
    /// What `/readyz` says.
    pub readiness: watch::Receiver<Readiness>,
}

/// Serves the port until `stop` is cancelled, and returns when every connection it
/// accepted and every save it began has ended.
///
/// # Errors
///
/// When the listener has no address. A connection that cannot be accepted is logged and
/// does not end the service.
pub async fn run(
    listener: TcpListener,
    door: FrontDoor,
    stop: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "the port is open");
    let limits = *door.relay.limits();
    let relay = door.relay.clone();
    let tasks = TaskTracker::new();
    let visitors = Arc::new(Visitors::default());
    let hall = Hall {
        door,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match visitors.admit(peer.ip(), &limits) {
                Ok(seat) => {
                    tasks.spawn(hall.clone().receive(stream, peer, Arc::new(seat)));
                }
                Err(why) => {
                    tasks.spawn(turn_away(stream, why));
                }
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
    relay.ended().await;
    Ok(())
}

/// What a connection is received with.
#[derive(Clone)]
struct Hall {
    door: FrontDoor,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Who is at the other end of a request, and his seat, which he keeps as long as any part
/// of the connection lives.
#[derive(Clone)]
struct Visitor {
    peer: IpAddr,
    seat: Arc<Seat>,
}

impl Hall {
    async fn receive(self, stream: TcpStream, peer: SocketAddr, seat: Arc<Seat>) {
        // Without it the last words of a burst wait for an acknowledgement.
        let _as_is = stream.set_nodelay(true);
        let visitor = Visitor {
            peer: peer.ip().to_canonical(),
            seat,
        };
        let stop = self.stop.clone();
        let routes = routes(self).map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(visitor.clone());
            request
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        let connection = http
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an http connection ended badly");
        }
    }
}

fn routes(hall: Hall) -> Router {
    Router::new()
        .route("/", get(enter).options(preflight))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .with_state(hall)
}

async fn enter(State(hall): State<Hall>, request: Request) -> Response {
    let asks_for = |header: &http::HeaderName, what: &str| {
        let values = request.headers().get_all(header);
        values.iter().any(|it| {
            it.to_str()
                .is_ok_and(|it| it.to_ascii_lowercase().contains(what))
        })
    };
    if asks_for(&UPGRADE, "websocket") {
        return upgrade(&hall, request);
    }
    if asks_for(&ACCEPT, "application/nostr+json") {
        let document = nip11(&hall.door.profile, hall.door.relay.limits());
        let kind = [(CONTENT_TYPE, "application/nostr+json")];
        return (kind, cors(), document.to_string()).into_response();
    }
    let name = &hall.door.profile.name;
    format!("{name}\nThis is a Nostr relay: open it with a Nostr client.\n").into_response()
}

async fn preflight() -> Response {
    (StatusCode::NO_CONTENT, cors()).into_response()
}

fn cors() -> HeaderMap {
    let any = http::HeaderValue::from_static("*");
    let methods = http::HeaderValue::from_static("GET, OPTIONS");
    HeaderMap::from_iter([
        (ACCESS_CONTROL_ALLOW_ORIGIN, any.clone()),
        (ACCESS_CONTROL_ALLOW_HEADERS, any),
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
    ])
}

async fn readyz(State(hall): State<Hall>) -> Response {
    let readiness = hall.door.readiness.borrow().clone();
    let (status, body) = match readiness {
        Readiness::Ready => (StatusCode::OK, serde_json::json!({ "ready": true })),
        Readiness::ReadyBut { why } => (
            StatusCode::OK,
            serde_json::json!({ "ready": true, "but": why }),
        ),
        Readiness::NotReady { why } => (
            StatusCode::SERVICE_UNAVAILABLE,
            serde_json::json!({ "ready": false, "why": why }),
        ),
    };
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        format!("{body}\n"),
    )
        .into_response()
}

/// Answers a websocket handshake and lets the relay serve what follows it.
fn upgrade(hall: &Hall, mut request: Request) -> Response {
    let answer = match create_response_with_body(&request, Body::empty) {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let Some(visitor) = request.extensions().get::<Visitor>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let (relay, stop) = (hall.door.relay.clone(), hall.stop.clone());
    hall.tasks.spawn(async move {
        let Visitor { peer, seat } = visitor;
        match upgraded.await {
            Ok(upgraded) => relay.serve(TokioIo::new(upgraded), peer, stop).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
        drop(seat);
    });
    answer
}

async fn turn_away(mut stream: TcpStream, why: &'static str) {
    let length = why.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 60\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{why}"
    );
    let answering = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let _told = timeout(REFUSAL_TIME, answering).await;
}

/// Everybody who is connected.
#[derive(Debug, Default)]
struct Visitors {
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection among those that are allowed; free again when dropped.
#[derive(Debug)]
struct Seat {
    address: IpAddr,
    visitors: Arc<Visitors>,
}

impl Visitors {
    fn admit(self: &Arc<Self>, peer: IpAddr, limits: &RelayLimits) -> Result<Seat, &'static str> {
        let address = address_group(peer);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.all >= limits.connections {
            return Err("the relay is full, come back later\n");
        }
        let here = present.by_address.entry(address).or_default();
        if *here >= limits.connections_per_address && !address.is_loopback() {
            return Err("too many connections from your address\n");
        }
        *here = here.saturating_add(1);
        present.all = present.all.saturating_add(1);
        Ok(Seat {
            address,
            visitors: self.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = self
            .visitors
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        present.all = present.all.saturating_sub(1);
        if let Some(here) = present.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                present.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_and_given_back() {
        let limits = RelayLimits {
            connections: 4,
            connections_per_address: 2,
            ..RelayLimits::default()
        };
        let visitors = Arc::new(Visitors::default());
        let admit = |address: &str| visitors.admit(address.parse().unwrap(), &limits);
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8::3").is_err(), "the same /64");
        let _third = admit("127.0.0.1").unwrap();
        let _fourth = admit("127.0.0.1").unwrap();
        assert!(admit("192.0.2.7").is_err(), "full");
        drop(first);
        assert!(admit("192.0.2.7").is_ok());
        assert!(
            admit("127.0.0.1").is_ok(),
            "loopback is not counted by address"
        );
    }
}

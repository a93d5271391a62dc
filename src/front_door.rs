//! The one port of the node: websockets for the relay, plain HTTP for everything else.
//!
//! `GET /` is a websocket when it asks for an upgrade, the NIP-11 document when it
//! accepts `application/nostr+json`, else a few words for a human. `/livez` says that
//! the process answers, `/readyz` whether it can do its work, and if not, why.

mod visitors;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::visitors::{Seat, Visitors};
use crate::relay::{Relay, RelayProfile, nip11};

/// Largest head of a request, in bytes; a longer one is answered 431.
const HEAD_BYTES: usize = 16 * 1024;

/// How long a refused connection has to take its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// Connections that may take their refusal at once; what comes beyond is dropped.
const REFUSALS: usize = 64;

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
    let relay = door.relay.clone();
    let tasks = TaskTracker::new();
    let hall = Hall {
        door,
        visitors: Arc::default(),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => hall.admit(stream, peer.ip().to_canonical()),
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
    visitors: Arc<Visitors>,
    refusals: Arc<Semaphore>,
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
    fn admit(&self, stream: TcpStream, peer: IpAddr) {
        match self.visitors.admit(peer, self.door.relay.limits()) {
            Ok(seat) => {
                let seat = Arc::new(seat);
                let visitor = Visitor { peer, seat };
                self.tasks.spawn(self.clone().receive(stream, visitor));
            }
            Err(why) => {
                if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
                    self.tasks.spawn(async move {
                        turn_away(stream, "503 Service Unavailable", why).await;
                        drop(permit);
                    });
                }
            }
        }
    }

    async fn receive(self, stream: TcpStream, visitor: Visitor) {
        // Without it the last words of a burst wait for an acknowledgement.
        let _as_is = stream.set_nodelay(true);
        // The server keeps the stream to itself and tells nobody that his time is up.
        let last_words = stream.as_fd().try_clone_to_owned();
        let _seat = visitor.seat.clone();
        let (stop, limits) = (self.stop.clone(), *self.door.relay.limits());
        let routes = routes(self).map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(visitor.clone());
            request
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(HEAD_BYTES);
        let connection = http
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
            .with_upgrades();
        tokio::pin!(connection);
        let time_is_up = timeout(limits.visit_time, stop.cancelled());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = time_is_up => {
                connection.as_mut().graceful_shutdown();
                // Who takes no answer would keep it for ever.
                timeout(limits.closing_time, connection).await.unwrap_or(Ok(()))
            }
        };
        let Err(error) = ended else { return };
        tracing::debug!(%error, "an http connection ended badly");
        if error.is_timeout()
            && let Ok(stream) = last_words.and_then(|it| TcpStream::from_std(it.into()))
        {
            let why = "the head of a request took too long\n";
            turn_away(stream, "408 Request Timeout", why).await;
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
    let RelayProfile {
        name, description, ..
    } = &hall.door.profile;
    format!("{name}\n{description}\nThis is a Nostr relay: open it with a Nostr client.\n")
        .into_response()
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

/// A socket dropped with unread input is reset by the system, and its client would lose
/// the last words: what still comes is read, and forgotten, until he has hung up.
async fn hang_up(io: &mut TcpStream) {
    let mut unheard = [0; 4 * 1024];
    let _told = io.shutdown().await;
    while let Ok(1..) = io.read(&mut unheard).await {}
}

/// Answers in place of the server, whatever was asked, and hangs up.
async fn turn_away(mut stream: TcpStream, status: &'static str, why: &'static str) {
    let length = why.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 60\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{why}"
    );
    let answering = async {
        let _told = stream.write_all(answer.as_bytes()).await;
        hang_up(&mut stream).await;
    };
    let _in_time = timeout(REFUSAL_TIME, answering).await;
}

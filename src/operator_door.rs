//! The door for the operator of a running box: JSON over HTTP, through a
//! socket file in the data directory.
//!
//! No port leads here, so no proxy can be talked into it: whoever is to be
//! served must reach the socket file, and be its owner or root. The parts of
//! the node that have something to say bring their own routes; the command
//! line [`ask`]s.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use http::{Request, StatusCode, header, request};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::http_exchange::exchange;

/// The socket file in the data directory.
const SOCKET: &str = "operator.sock";
/// Connections served at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 8;
/// Time for a request's head to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for a whole question.
const PATIENCE: Duration = Duration::from_secs(20);

/// The door, open and not served yet.
#[derive(Debug)]
pub struct OperatorDoor {
    listener: UnixListener,
    socket: PathBuf,
    owner: u32,
}

impl OperatorDoor {
    /// Opens the door in a data directory that this process has locked; what
    /// an earlier process left of its own door is removed.
    ///
    /// # Errors
    /// What the system said; a path of more than about 100 bytes is too long
    /// for a socket.
    pub fn open(data_dir: &Path) -> io::Result<OperatorDoor> {
        let socket = data_dir.join(SOCKET);
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&socket)?;
        let owner = fs::metadata(&socket)?.uid();
        Ok(OperatorDoor {
            listener,
            socket,
            owner,
        })
    }

    /// Serves `routes` until `stop` is ready.
    pub async fn run(self, routes: Router, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_ended) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if self.may_enter(&stream) && connections.len() < MAX_CONNECTIONS {
                            connections.spawn(serve(stream, routes.clone()));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the operator's door cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        connections.shutdown().await;
        // A socket file that stays is removed by the next box.
        let _left = fs::remove_file(&self.socket);
    }

    fn may_enter(&self, stream: &UnixStream) -> bool {
        let peer = stream.peer_cred().map(|peer| peer.uid());
        peer.is_ok_and(|uid| uid == self.owner || uid == 0)
    }
}

async fn serve(stream: UnixStream, routes: Router) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the operator's door ended early");
    }
}

/// Why a running box did not answer its operator.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket is there, but not for this user, or not usable.
    #[error(
        "{} cannot be used: {source}; it is there for root and for the user who runs the box",
        .socket.display()
    )]
    Closed {
        /// The socket file.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It hung up or did not answer in time.
    #[error("the box did not answer: {0}")]
    Silence(String),
    /// It answers something else.
    #[error("the box says: {0}")]
    Refused(String),
    /// What came back cannot be read: another version, perhaps.
    #[error("the answer of the box cannot be read: {0}")]
    Gibberish(serde_json::Error),
}

/// Asks the box that runs on a data directory; none if no box runs there.
///
/// # Errors
/// Why there is no answer although a box seems to run.
pub async fn ask<T: DeserializeOwned>(
    data_dir: &Path,
    question: &str,
) -> Result<Option<T>, DoorError> {
    converse(data_dir, Request::get(question), Bytes::new()).await
}

/// Tells the box that runs on a data directory to do something; none if no box
/// runs there.
///
/// # Errors
/// Why it is not done, or why there is no answer although a box seems to run.
pub async fn tell<T: DeserializeOwned, B: Serialize>(
    data_dir: &Path,
    order: &str,
    body: &B,
) -> Result<Option<T>, DoorError> {
    let body = serde_json::to_vec(body).map_err(DoorError::Gibberish)?;
    let json = Request::post(order).header(header::CONTENT_TYPE, "application/json");
    converse(data_dir, json, body.into()).await
}

async fn converse<T: DeserializeOwned>(
    data_dir: &Path,
    request: request::Builder,
    body: Bytes,
) -> Result<Option<T>, DoorError> {
    let socket = data_dir.join(SOCKET);
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(source) => return Err(DoorError::Closed { socket, source }),
    };
    let request = request
        .header(header::HOST, "operator")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|why| DoorError::Silence(why.to_string()))?;
    let (status, body) = timeout(PATIENCE, exchange(stream, request))
        .await
        .map_err(|_| DoorError::Silence("it takes too long".into()))?
        .map_err(DoorError::Silence)?;
    if status != StatusCode::OK {
        let words = String::from_utf8_lossy(&body);
        return Err(DoorError::Refused(match words.trim() {
            "" => status.to_string(),
            words => words.to_owned(),
        }));
    }
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(DoorError::Gibberish)
}

/// A box that was killed leaves a socket file at which nobody listens.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn the_operator_is_answered_while_a_box_runs_and_told_when_none_does() {
        let folder = tempfile::tempdir().unwrap();
        let asked = || ask::<u32>(folder.path(), "/answer");
        assert_eq!(asked().await.unwrap(), None);
        let routes = || Router::new().route("/answer", get(|| async { "42" }));

        let stop = CancellationToken::new();
        let door = OperatorDoor::open(folder.path()).unwrap();
        let serving = door.run(routes(), stop.cancelled());
        let asking = async {
            let known = asked().await.unwrap();
            let unknown = ask::<u32>(folder.path(), "/else").await;
            stop.cancel();
            (known, unknown)
        };
        let ((), (known, unknown)) = tokio::join!(serving, asking);
        assert_eq!(known, Some(42));
        assert!(matches!(unknown, Err(DoorError::Refused(_))), "{unknown:?}");
        assert_eq!(asked().await.unwrap(), None);

        // A box that was killed removes nothing.
        drop(OperatorDoor::open(folder.path()).unwrap());
        assert!(folder.path().join(SOCKET).exists());
        assert_eq!(asked().await.unwrap(), None);
        OperatorDoor::open(folder.path()).unwrap();
    }
}

//! One client, from the handshake to the farewell.
//!
//! Three loops share a connection: one listens, one sends what waits, one answers
//! questions from the store, one after the other. Events are saved by tasks of their own, so that
//! neither a slow disk nor a vanished client stops anything half-way.

mod allowance;
mod answering;
mod asking;
mod frame_watch;
mod judging;
mod listening;
mod proving;
mod sending;

use std::sync::Arc;

use futures_util::StreamExt;
use relay_policy::Session;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;

pub use self::frame_watch::FrameWatch;
use self::listening::Ears;
use super::Relay;
use super::auth::Challenge;
use super::outgoing::Outgoing;
use super::subscriptions::Reader;

/// Serves one client until the connection is over.
pub(super) async fn serve<Stream>(
    relay: &Relay,
    socket: WebSocketStream<Stream>,
    session: Session,
    stop: CancellationToken,
) where
    Stream: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limits = relay.limits();
    let outgoing = Arc::new(Outgoing::new(limits.waiting_bytes));
    let subscriptions = &relay.inner.subscriptions;
    let joined = subscriptions.join(session.clone(), outgoing.clone(), limits);
    let (to_answer, answers) = mpsc::channel(limits.subscriptions.max(1));
    let (sink, stream) = socket.split();
    let challenge = Challenge::default();
    let client = Client {
        relay,
        session: &session,
        outgoing: &outgoing,
        reader: &joined.reader,
        challenge: &challenge,
    };
    let ears = Ears::new(client, to_answer);
    tokio::join!(
        ears.listen(stream, stop),
        client.answer_from_store(answers),
        client.send(sink)
    );
}

/// What the three loops share.
#[derive(Clone, Copy)]
struct Client<'a> {
    relay: &'a Relay,
    session: &'a Session,
    outgoing: &'a Arc<Outgoing>,
    reader: &'a Arc<Reader>,
    challenge: &'a Challenge,
}

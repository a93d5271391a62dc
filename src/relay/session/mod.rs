//! One client, from the handshake to the farewell.
//!
//! Three loops share a connection: one listens, one answers questions from the store, one
//! after the other, and one, in a task of its own, sends what waits. Events are saved by
//! tasks of their own, so that neither a slow disk nor a vanished client stops anything
//! half-way.

mod allowance;
mod answering;
mod asking;
mod frame_watch;
mod judging;
mod listening;
mod proving;
mod sending;
mod wire;

use std::sync::Arc;

use relay_policy::Session;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::listening::Ears;
use self::sending::Writer;
use super::Relay;
use super::auth::Challenge;
use super::outgoing::Outgoing;
use super::subscriptions::Reader;

/// Questions of one client that may wait for their answer; further frames are read when
/// one has been answered. Each may be as large as a frame.
const QUESTIONS: usize = 16;

/// Serves one client until the connection is over.
pub(super) async fn serve<Stream>(
    relay: &Relay,
    stream: Stream,
    session: Session,
    stop: CancellationToken,
) where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = relay.limits();
    let seat = relay.inner.waiting_room.enter();
    let outgoing = Arc::new(Outgoing::new(limits.waiting_bytes, seat));
    let subscriptions = &relay.inner.subscriptions;
    let joined = subscriptions.join(session.clone(), outgoing.clone(), limits);
    let (to_answer, answers) = mpsc::channel(QUESTIONS);
    let (incoming, wire) = wire::directions(stream, outgoing.clone(), limits).await;
    let writer = Writer::new(wire, outgoing.clone(), limits).send();
    let writer = AbortOnDropHandle::new(relay.inner.tasks.spawn(writer));
    let challenge = Challenge::default();
    let client = Client {
        relay,
        session: &session,
        outgoing: &outgoing,
        reader: &joined.reader,
        challenge: &challenge,
    };
    let ears = Ears::new(client, to_answer);
    let (incoming, ()) = tokio::join!(
        ears.listen(incoming, stop),
        client.answer_from_store(answers),
    );
    let last_words = async { writer.await.ok().flatten() };
    wire::hang_up(incoming, last_words, limits.closing_time).await;
}

/// What the loops share.
#[derive(Clone, Copy)]
struct Client<'a> {
    relay: &'a Relay,
    session: &'a Session,
    outgoing: &'a Arc<Outgoing>,
    reader: &'a Arc<Reader>,
    challenge: &'a Challenge,
}

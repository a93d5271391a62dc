//! The two directions of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::io::{ReadBuf, ReadHalf, WriteHalf, split};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::frame_watch::FrameWatch;
use crate::relay::frame::Frame;
use crate::relay::limits::RelayLimits;
use crate::relay::outgoing::Outgoing;

/// Bytes read at once, and the least a connection holds for reading.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// A message up to this many times the frame limit is read to its end, answered and
/// forgotten; a longer one ends the connection.
const READABLE_FRAMES: usize = 2;

/// Gives the incoming direction to the websocket library and leaves the other to us.
pub(super) async fn directions<Stream>(
    stream: Stream,
    outgoing: Arc<Outgoing>,
    limits: &RelayLimits,
) -> (WebSocketStream<Incoming<Stream>>, WriteHalf<Stream>)
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let longest = limits.frame_bytes.saturating_mul(READABLE_FRAMES);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(longest))
        .max_frame_size(Some(longest));
    let (from_client, to_client) = split(stream);
    let incoming = Incoming {
        from_client: FrameWatch::new(from_client, limits),
        outgoing,
    };
    let socket = WebSocketStream::from_raw_socket(incoming, Role::Server, Some(config)).await;
    (socket, to_client)
}

/// Ends a connection that is told to close: lets the client hear the last words, and
/// reads on until he has hung up, or had `time` for it.
///
/// A socket dropped with unread input is reset by the system, and the last words are lost.
pub(super) async fn hang_up<Stream>(
    socket: WebSocketStream<Incoming<Stream>>,
    last_words: impl Future<Output = Option<WriteHalf<Stream>>>,
    time: Duration,
) where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let mut from_client = socket.into_inner().from_client.into_inner();
    let hung_up = async {
        let mut unheard = vec![0; READ_BUFFER_BYTES];
        while let Ok(1..) = from_client.read(&mut unheard).await {}
    };
    let told = async {
        if let Some(mut to_client) = last_words.await {
            let _told = to_client.shutdown().await;
        }
    };
    tokio::pin!(hung_up, told);
    tokio::select! {
        () = &mut hung_up => told.await,
        () = &mut told => {
            let _in_time = timeout(time, hung_up).await;
        }
    }
}

/// What a client says; what the websocket library answers by itself, a pong above all,
/// waits its turn among all other frames.
pub(super) struct Incoming<Stream> {
    from_client: FrameWatch<ReadHalf<Stream>>,
    outgoing: Arc<Outgoing>,
}

impl<Stream: AsyncRead + Unpin> AsyncRead for Incoming<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from_client).poll_read(context, buffer)
    }
}

impl<Stream: Unpin> AsyncWrite for Incoming<Stream> {
    /// The library hands over whole frames, and is told that all of them were taken.
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.push_live(Frame::Encoded(frames.into()));
        Poll::Ready(Ok(frames.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::duplex;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::relay::outgoing::Next;
    use crate::relay::waiting_room::WaitingRoom;

    #[tokio::test]
    async fn a_pong_waits_its_turn_among_the_other_frames() {
        let (ours, theirs) = duplex(1_024);
        let outgoing = Arc::new(Outgoing::new(1_024, WaitingRoom::new(usize::MAX).enter()));
        let limits = RelayLimits::default();
        let (mut incoming, _wire) = directions(ours, outgoing.clone(), &limits).await;
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        outgoing.push_live("an event".to_owned().into());
        client.send(Message::Ping("hey".into())).await.unwrap();
        client.send(Message::text("a question")).await.unwrap();
        for _ in ["the ping", "the question"] {
            incoming.next().await.unwrap().unwrap();
        }
        let pong = Frame::Encoded([&[0x8a, 3], &b"hey"[..]].concat().into());
        let expected = Next::Send(["an event".to_owned().into(), pong].into());
        assert_eq!(outgoing.next().await, expected);
    }
}

//! The loop that sends what waits.

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::Client;
use crate::relay::outgoing::{Farewell, Frame, Next};
use crate::relay::words;

impl Client<'_> {
    /// Sends until the connection closes, and says farewell.
    pub(super) async fn send<Stream>(self, mut sink: SplitSink<WebSocketStream<Stream>, Message>)
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = self.relay.limits();
        let first_ping = Instant::now() + limits.ping_every;
        let mut pings = interval_at(first_ping, limits.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let farewell = loop {
            let sending = tokio::select! {
                next = self.outgoing.next() => match next {
                    Next::Send(frames) => self.send_frames(&mut sink, frames).await,
                    Next::Close(farewell) => break farewell,
                },
                _ = pings.tick() => self.send_one(&mut sink, Message::Ping(Bytes::new())).await,
            };
            if let Err(farewell) = sending {
                self.outgoing.close(farewell.clone());
                break farewell;
            }
        };
        let _in_time = timeout(limits.closing_time, say_farewell(&mut sink, farewell)).await;
    }

    async fn send_frames<Stream>(
        self,
        sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
        frames: Vec<Frame>,
    ) -> Result<(), Farewell>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let bytes: usize = frames.iter().map(Frame::len).sum();
        let sending = async {
            for frame in frames {
                sink.feed(Message::text(frame.parts().concat())).await?;
            }
            sink.flush().await
        };
        self.within_time(sending).await?;
        self.outgoing.sent(bytes);
        Ok(())
    }

    async fn send_one<Stream>(
        self,
        sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
        message: Message,
    ) -> Result<(), Farewell>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        self.within_time(sink.send(message)).await
    }

    /// Gives a write the idle time, and only the closing time once the connection closes.
    async fn within_time(
        self,
        sending: impl Future<Output = Result<(), SocketError>>,
    ) -> Result<(), Farewell> {
        let limits = self.relay.limits();
        let out_of_time = async {
            tokio::select! {
                () = sleep(limits.idle_after) => (),
                () = async {
                    self.outgoing.closing().await;
                    sleep(limits.closing_time).await;
                } => (),
            }
        };
        tokio::select! {
            sent = sending => sent.map_err(|_| Farewell::new(CloseCode::Normal, "")),
            () = out_of_time => Err(Farewell::new(CloseCode::Policy, "too slow: nothing was read")),
        }
    }
}

async fn say_farewell<Stream>(
    sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
    farewell: Farewell,
) where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let Farewell { code, reason } = farewell;
    if !reason.is_empty() {
        // Many clients do not show the reason of a close frame, but all show notices.
        let notice = words::notice(&format!("closing: {reason}"));
        let _told = sink.feed(Message::Text(notice.into())).await;
    }
    let _told = sink
        .send(Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        })))
        .await;
    let _closed = sink.close().await;
}

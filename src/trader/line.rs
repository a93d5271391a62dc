//! A trader's line to the relay: one websocket, read only while somebody
//! waits for something.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Uri;
use nostr::event::Event;
use nostr::filter::Filter;
use nostr::message::{ClientMessage, RelayMessage, SubscriptionId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Why nothing comes over the line.
#[derive(Debug)]
pub(super) enum LineError {
    /// It is broken or closed.
    Broken(String),
    /// The time is up.
    Late,
}

/// A websocket to a relay.
pub(super) struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    /// Calls a `ws://` address.
    pub(super) async fn open(url: &str, patience: Duration) -> Result<Line, LineError> {
        match timeout(patience, Line::call(url)).await {
            Ok(line) => line,
            Err(_) => Err(LineError::Late),
        }
    }

    async fn call(url: &str) -> Result<Line, LineError> {
        let uri: Uri = url.parse().map_err(broken)?;
        if uri.scheme_str() != Some("ws") {
            return Err(LineError::Broken("not a ws:// address".into()));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80)))
            .await
            .map_err(broken)?;
        // Held back, a message would wait for the answer to the one before it.
        stream.set_nodelay(true).map_err(broken)?;
        let (socket, _) = client_async(url, stream).await.map_err(broken)?;
        Ok(Line { socket })
    }

    pub(super) async fn send_event(&mut self, event: &Event) -> Result<(), LineError> {
        self.send(&ClientMessage::Event(Cow::Borrowed(event))).await
    }

    pub(super) async fn subscribe(&mut self, name: &str, filter: Filter) -> Result<(), LineError> {
        let name = SubscriptionId::new(name);
        self.send(&ClientMessage::req(name, [filter])).await
    }

    pub(super) async fn unsubscribe(&mut self, name: &str) -> Result<(), LineError> {
        self.send(&ClientMessage::close(SubscriptionId::new(name)))
            .await
    }

    async fn send(&mut self, message: &ClientMessage<'_>) -> Result<(), LineError> {
        let frame = Message::text(message.as_json());
        self.socket.send(frame).await.map_err(broken)
    }

    /// The next message of the relay.
    pub(super) async fn next(
        &mut self,
        deadline: Instant,
    ) -> Result<RelayMessage<'static>, LineError> {
        loop {
            let frame = match timeout_at(deadline, self.socket.next()).await {
                Err(_) => return Err(LineError::Late),
                Ok(None) => return Err(LineError::Broken("the relay hung up".into())),
                Ok(Some(frame)) => frame.map_err(broken)?,
            };
            match frame {
                Message::Text(text) => return RelayMessage::from_json(text).map_err(broken),
                Message::Close(reason) => {
                    let reason = reason.map(|frame| frame.reason.to_string());
                    let reason = reason.unwrap_or_else(|| "no reason given".into());
                    self.close().await;
                    return Err(LineError::Broken(format!("the relay hung up: {reason}")));
                }
                // Pings are answered by the socket itself.
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Says goodbye and hangs up; whether it is heard does not matter any
    /// more. A relay waits for the other end to hang up, too.
    pub(super) async fn close(&mut self) {
        let goodbye = async {
            let _said = self.socket.close(None).await;
            self.socket.get_mut().shutdown().await
        };
        let _hung_up = timeout(Duration::from_secs(1), goodbye).await;
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn broken(why: impl ToString) -> LineError {
    LineError::Broken(why.to_string())
}

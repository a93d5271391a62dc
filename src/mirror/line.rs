//! A line to a mirror: one websocket, with a limit on every time and size.

use futures_util::{SinkExt, StreamExt};
use http::Uri;
use nostr::event::{Event, EventBuilder, EventId, FinalizeEvent, Kind, Tag};
use nostr::key::Keys;
use nostr::message::{ClientMessage, RelayMessage};
use nostr::types::RelayUrl;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Calling, Tempo};

/// Largest message that is read.
const MOST_BYTES: usize = 256 * 1024;

/// Bytes kept for reading, and collected before they are written.
const BUFFER_BYTES: usize = 16 * 1024;

/// Characters that are kept of a reason which a mirror gives.
const MOST_WORDS: usize = 200;

/// Messages without meaning that a mirror may send in a row.
const MOST_NONSENSE: u32 = 100;

/// Why a line has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("is broken: {0}")]
    Broken(String),
    #[error("was silent for too long")]
    Silent,
    #[error("does not take what is sent")]
    Stuck,
    #[error("sends nothing that could be understood")]
    Nonsense,
}

/// Any stream that carries a websocket.
trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for Stream {}

/// Whom a line leads to, and how it is kept.
#[derive(Clone)]
pub(crate) struct Number {
    pub(crate) url: RelayUrl,
    /// The node's key, for mirrors that want it proven.
    pub(crate) keys: Keys,
    pub(crate) calling: Calling,
}

impl Number {
    pub(crate) fn tempo(&self) -> Tempo {
        self.calling.tempo
    }
}

/// A websocket to a mirror.
pub(crate) struct Line {
    socket: WebSocketStream<Box<dyn Wire>>,
    number: Number,
    heard_at: Instant,
    pinged_at: Instant,
    nonsense: u32,
    proof: Proof,
}

/// How far the node has proven its key on this line (NIP-42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nobody has asked.
    None,
    /// This event was sent.
    Sent(EventId),
    /// The mirror believes it.
    Believed,
    /// The mirror does not believe it.
    Doubted,
}

impl Line {
    /// Calls a mirror.
    pub(crate) async fn open(number: &Number) -> Result<Line, LineError> {
        let call = timeout(number.tempo().call, call(number)).await;
        let socket = call
            .unwrap_or_else(|_| Err("it does not answer in time".into()))
            .map_err(LineError::Unreachable)?;
        Ok(Line {
            socket,
            number: number.clone(),
            heard_at: Instant::now(),
            pinged_at: Instant::now(),
            nonsense: 0,
            proof: Proof::None,
        })
    }

    /// Puts a message behind those that are on their way.
    pub(crate) async fn say(&mut self, json: String) -> Result<(), LineError> {
        let said = timeout(
            self.number.tempo().call,
            self.socket.feed(Message::text(json)),
        );
        said.await.map_err(|_| LineError::Stuck)?.map_err(broken)
    }

    /// Sends what was said.
    pub(crate) async fn flush(&mut self) -> Result<(), LineError> {
        let sent = timeout(self.number.tempo().call, self.socket.flush());
        sent.await.map_err(|_| LineError::Stuck)?.map_err(broken)
    }

    /// How far the node's key is proven here.
    pub(super) fn proof(&self) -> Proof {
        self.proof
    }

    /// When the mirror last said anything.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// The next message of the mirror. It answers challenges and keeps the line
    /// alive meanwhile, and may be dropped while it waits.
    pub(crate) async fn hear(&mut self) -> Result<RelayMessage<'static>, LineError> {
        loop {
            let ping_at = self.heard_at.max(self.pinged_at) + self.number.tempo().ping;
            let Ok(frame) = timeout_at(ping_at, self.socket.next()).await else {
                self.ping().await?;
                continue;
            };
            let Some(frame) = frame else {
                return Err(LineError::Broken("the mirror hung up".into()));
            };
            self.heard_at = Instant::now();
            match frame.map_err(broken)? {
                Message::Text(text) => match RelayMessage::from_json(text.as_str()) {
                    Ok(message) => {
                        let message = with_few_words(message);
                        self.nonsense = 0;
                        self.mind(&message).await?;
                        return Ok(message);
                    }
                    Err(_) => self.wonder()?,
                },
                Message::Binary(_) => self.wonder()?,
                Message::Close(_) => {
                    return Err(LineError::Broken("the mirror closed the line".into()));
                }
                // Pings are answered by the socket itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn ping(&mut self) -> Result<(), LineError> {
        if self.heard_at.elapsed() >= self.number.tempo().silence {
            return Err(LineError::Silent);
        }
        self.pinged_at = Instant::now();
        let ping = self.socket.send(Message::Ping(Vec::new().into()));
        let sent = timeout(self.number.tempo().call, ping);
        sent.await.map_err(|_| LineError::Stuck)?.map_err(broken)
    }

    fn wonder(&mut self) -> Result<(), LineError> {
        self.nonsense += 1;
        if self.nonsense > MOST_NONSENSE {
            return Err(LineError::Nonsense);
        }
        Ok(())
    }

    /// The node's key is no secret to a mirror that gets events signed by it,
    /// so whoever asks for a proof has it at once.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other messages are for whoever listens"
    )]
    async fn mind(&mut self, message: &RelayMessage<'_>) -> Result<(), LineError> {
        match message {
            RelayMessage::Auth { challenge } => {
                let proof = self.prove(challenge);
                self.proof = Proof::Sent(proof.id);
                let auth = ClientMessage::auth(proof).as_json();
                self.say(auth).await?;
                self.flush().await
            }
            RelayMessage::Ok {
                event_id, status, ..
            } if self.proof == Proof::Sent(*event_id) => {
                self.proof = if *status {
                    Proof::Believed
                } else {
                    Proof::Doubted
                };
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn prove(&self, challenge: &str) -> Event {
        let tag = |name: &str, value: &str| {
            Tag::parse([name, value]).expect("a tag with a name can be read")
        };
        EventBuilder::new(Kind::Authentication, "")
            .tag(tag("relay", self.number.url.as_str()))
            .tag(tag("challenge", challenge))
            .finalize(&self.number.keys)
            .expect("the node's key signs")
    }
}

async fn call(number: &Number) -> Result<WebSocketStream<Box<dyn Wire>>, String> {
    let url = number.url.as_str();
    let uri: Uri = url.parse().map_err(words)?;
    let is_secure = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(words)?;
    // Held back, a message would wait for the answer to the one before it.
    stream.set_nodelay(true).map_err(words)?;
    let stream: Box<dyn Wire> = if is_secure {
        let name = ServerName::try_from(host.to_owned()).map_err(words)?;
        let connector = TlsConnector::from(number.calling.tls.clone());
        Box::new(connector.connect(name, stream).await.map_err(words)?)
    } else {
        Box::new(stream)
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(2 * MOST_BYTES)
        .max_message_size(Some(MOST_BYTES))
        .max_frame_size(Some(MOST_BYTES));
    let called = client_async_with_config(url, stream, Some(limits)).await;
    called.map(|(socket, _)| socket).map_err(words)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn broken(why: impl ToString) -> LineError {
    LineError::Broken(readable(&why.to_string()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn words(why: impl ToString) -> String {
    readable(&why.to_string())
}

/// What a mirror says in words comes to logs and to the operator's terminal, so
/// it is made readable before anybody gets it.
fn with_few_words(mut message: RelayMessage<'static>) -> RelayMessage<'static> {
    if let RelayMessage::Ok { message: words, .. }
    | RelayMessage::Closed { message: words, .. }
    | RelayMessage::Notice(words) = &mut message
    {
        *words = readable(words).into();
    }
    message
}

/// The beginning of a text, without what steers a terminal or hides in a line.
fn readable(text: &str) -> String {
    let is_hidden = |c: &char| {
        matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}'
        ) || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let seen = text.chars().filter(|c| !c.is_control() && !is_hidden(c));
    seen.take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mirror_says_is_cut_and_steers_no_terminal() {
        let id = "07".repeat(32);
        let long = format!("error: \\u001b[2Jdisk\\u202e\\r\\n {}", "x".repeat(100_000));
        let reasons = [
            format!(r#"["OK","{id}",false,"{long}"]"#),
            format!(r#"["CLOSED","letters","{long}"]"#),
            format!(r#"["NOTICE","{long}"]"#),
        ];
        for json in reasons {
            let heard = RelayMessage::from_json(&json).unwrap();
            let heard = serde_json::to_value(with_few_words(heard)).unwrap();
            let words = heard.as_array().unwrap().last().unwrap().as_str().unwrap();
            assert!(words.starts_with("error: [2Jdisk x"), "{words}");
            assert_eq!(words.chars().count(), MOST_WORDS);
        }
    }
}

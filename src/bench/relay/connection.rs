//! A client's websocket, as cheap as it can be had, since the load shares the
//! machine with the relay: frames are masked before the clock starts, many
//! leave in one write, and what comes is read where it lies.

use std::io::Cursor;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Who says nothing for so long, although something is due, has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Room that is made for each read.
const READ_BYTES: usize = 64 * 1024;

/// Longest head of an answer to the handshake.
const HEAD_BYTES: usize = 16 * 1024;

/// Masking hides a page's words from proxies; a known mask does as well here.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x9e];

/// A text frame of a client, ready for the wire.
pub(super) fn text_frame(text: &str) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), text.as_bytes())
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        opcode,
        mask: Some(MASK),
        ..FrameHeader::default()
    };
    let mut frame = Vec::with_capacity(payload.len() + 14);
    header
        .format(payload.len() as u64, &mut frame)
        .expect("a Vec takes everything");
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// The relay has closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("the relay has closed the connection: {}", reason.as_deref().unwrap_or("no reason given"))]
pub(super) struct Closed {
    /// In its words, unless it just hung up.
    pub(super) reason: Option<String>,
}

/// A connection to a relay.
pub(super) struct Connection {
    stream: TcpStream,
    incoming: Vec<u8>,
    /// Everything before has been read.
    at: usize,
    /// The beginning of a message that comes in pieces.
    pieces: Vec<u8>,
    /// The last message that came in pieces.
    joined: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Connection {
    /// Calls a `ws://` address.
    pub(super) async fn open(url: &str) -> anyhow::Result<Connection> {
        Self::open_with_room(url, None).await
    }

    /// The same, with so many bytes of the system's room for what is not read
    /// yet; without a wish, what the system gives.
    pub(super) async fn open_with_room(url: &str, room: Option<u32>) -> anyhow::Result<Connection> {
        let opening = async {
            let mut connection = Connection {
                stream: dial(url, room).await?,
                incoming: Vec::new(),
                at: 0,
                pieces: Vec::new(),
                joined: Vec::new(),
                outgoing: Vec::new(),
            };
            connection.shake_hands(url).await?;
            Ok(connection)
        };
        timeout(PATIENCE, opening)
            .await
            .unwrap_or_else(|_| Err(anyhow!("it was silent for too long")))
            .with_context(|| format!("{url} cannot be reached"))
    }

    /// Puts a finished frame behind those that leave with the next
    /// [`Connection::flush`].
    pub(super) fn queue(&mut self, frame: &[u8]) {
        self.outgoing.extend_from_slice(frame);
    }

    /// Sends what was queued. What had left when the future is dropped, does
    /// not leave again.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        let leaving = timeout(PATIENCE, async {
            while !self.outgoing.is_empty() {
                let written = self.stream.write(&self.outgoing).await?;
                self.outgoing.drain(..written);
            }
            std::io::Result::Ok(())
        });
        let left = leaving
            .await
            .context("the relay takes nothing for too long")?;
        left.context(Closed { reason: None })
    }

    /// Sends one text.
    pub(super) async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.queue(&text_frame(text));
        self.flush().await
    }

    /// The next message; waits for it.
    pub(super) async fn next(&mut self) -> anyhow::Result<&[u8]> {
        let found = loop {
            if let Some(found) = self.step()? {
                break found;
            }
            self.wait().await?;
        };
        Ok(self.bytes(found))
    }

    /// The next message that has come already.
    pub(super) fn come(&mut self) -> anyhow::Result<Option<&[u8]>> {
        Ok(match self.step()? {
            Some(found) => Some(self.bytes(found)),
            None => None,
        })
    }

    /// Waits until something comes, which need not be a whole message.
    /// Nothing is lost if the future is dropped.
    pub(super) async fn wait(&mut self) -> anyhow::Result<()> {
        // Only pongs can be due here.
        self.flush().await?;
        self.incoming.drain(..self.at);
        self.at = 0;
        self.incoming.reserve(READ_BYTES);
        let reading = self.stream.read_buf(&mut self.incoming);
        let read = timeout(PATIENCE, reading).await;
        let read = read.context("the relay is silent for too long")?;
        match read.context(Closed { reason: None })? {
            0 => Err(Closed { reason: None }.into()),
            _ => Ok(()),
        }
    }

    async fn shake_hands(&mut self, url: &str) -> anyhow::Result<()> {
        let uri: Uri = url.parse()?;
        let key = generate_key();
        let host = uri.authority().context("it names no host")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let hello = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        self.queue(hello.as_bytes());
        self.flush().await?;
        let end = loop {
            if let Some(end) = position(&self.incoming, b"\r\n\r\n") {
                break end;
            }
            ensure!(self.incoming.len() < HEAD_BYTES, "its head has no end");
            self.wait().await?;
        };
        let head = self.incoming.get(..end).unwrap_or_default();
        let head = String::from_utf8_lossy(head).into_owned();
        self.at = end + 4;
        let welcome =
            head.starts_with("HTTP/1.1 101") && head.contains(&derive_accept_key(key.as_bytes()));
        ensure!(
            welcome,
            "no websocket: {}",
            head.lines().next().unwrap_or_default()
        );
        Ok(())
    }

    /// Reads on to the end of the next message, if it is there, and answers
    /// pings on the way.
    fn step(&mut self) -> anyhow::Result<Option<Found>> {
        loop {
            let unread = self.incoming.get(self.at..).unwrap_or_default();
            let mut cursor = Cursor::new(unread);
            let Some((header, length)) = FrameHeader::parse(&mut cursor)? else {
                return Ok(None);
            };
            let start = self.at + usize::try_from(cursor.position())?;
            let payload = start..start + usize::try_from(length)?;
            if payload.end > self.incoming.len() {
                return Ok(None);
            }
            self.at = payload.end;
            match header.opcode {
                OpCode::Data(_) => {
                    if let Some(found) = self.piece(header.is_final, payload) {
                        return Ok(Some(found));
                    }
                }
                OpCode::Control(control) => self.obey(control, payload)?,
            }
        }
    }

    fn piece(&mut self, is_final: bool, payload: Range<usize>) -> Option<Found> {
        if is_final && self.pieces.is_empty() {
            return Some(Found::Here(payload));
        }
        let piece = self.incoming.get(payload).unwrap_or_default();
        self.pieces.extend_from_slice(piece);
        is_final.then(|| {
            self.joined = std::mem::take(&mut self.pieces);
            Found::Joined
        })
    }

    fn obey(&mut self, control: Control, payload: Range<usize>) -> anyhow::Result<()> {
        let payload = self.incoming.get(payload).unwrap_or_default();
        match control {
            Control::Ping => {
                let pong = frame(OpCode::Control(Control::Pong), payload);
                self.outgoing.extend(pong);
                Ok(())
            }
            Control::Pong => Ok(()),
            Control::Close => {
                // Two bytes of a code come first.
                let reason = payload.get(2..).filter(|words| !words.is_empty());
                let reason = reason.map(|words| String::from_utf8_lossy(words).into_owned());
                Err(Closed { reason }.into())
            }
            Control::Reserved(code) => bail!("a frame of the unknown kind {code}"),
        }
    }

    fn bytes(&self, found: Found) -> &[u8] {
        match found {
            Found::Here(range) => self.incoming.get(range).unwrap_or_default(),
            Found::Joined => &self.joined,
        }
    }
}

/// Where a message lies.
enum Found {
    Here(Range<usize>),
    Joined,
}

async fn dial(url: &str, room: Option<u32>) -> anyhow::Result<TcpStream> {
    let uri: Uri = url.parse()?;
    ensure!(uri.scheme_str() == Some("ws"), "not a ws:// address");
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = lookup_host((host, uri.port_u16().unwrap_or(80))).await?;
    let address = addresses.next().context("its name has no address")?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(bytes) = room {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(address).await?;
    // Held back, a message would wait for the answer to the one before it.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Where `what` begins in `all`.
pub(super) fn position(all: &[u8], what: &[u8]) -> Option<usize> {
    all.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::{SinkExt, StreamExt};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

    use super::*;

    /// A ping, a message in two pieces with the client's pong awaited between
    /// them, an echo, and a goodbye.
    async fn serve(listener: TcpListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        let piece = |text: &'static str, opcode, last| {
            Message::Frame(Frame::message(text, OpCode::Data(opcode), last))
        };
        for message in [
            piece("[\"EO", Data::Text, false),
            Message::Ping("are you there".into()),
        ] {
            socket.send(message).await.unwrap();
        }
        let pong = socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
        let rest = piece("SE\"]", Data::Continue, true);
        socket.send(rest).await.unwrap();
        let said = socket.next().await.unwrap().unwrap();
        socket.send(said).await.unwrap();
        let goodbye = CloseFrame {
            code: CloseCode::Policy,
            reason: "too slow".into(),
        };
        socket.close(Some(goodbye)).await.unwrap();
    }

    #[tokio::test]
    async fn pieces_pings_and_reasons_are_understood() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let client = async {
            let mut connection = Connection::open(&url).await.unwrap();
            assert_eq!(connection.next().await.unwrap(), b"[\"EOSE\"]");
            let long = "x".repeat(70_000);
            connection.say(&long).await.unwrap();
            assert_eq!(connection.next().await.unwrap(), long.as_bytes());
            let why = connection.next().await.unwrap_err();
            let closed = why.downcast_ref::<Closed>().unwrap();
            assert_eq!(closed.reason.as_deref(), Some("too slow"));
        };
        tokio::join!(serve(listener), client);
    }
}

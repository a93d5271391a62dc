//! A client who makes his bytes himself, as no library would.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

use crate::harbour::{Harbour, soon};

/// First bytes of frames.
pub(crate) const LAST: u8 = 0x80;
pub(crate) const MORE: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Bit of the second byte.
const IS_MASKED: u8 = 0x80;

/// Time between the drops of a dribble; it paces the client and nothing else.
const PAUSE: Duration = Duration::from_millis(5);

/// A TCP connection to the relay.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

/// How the relay ended a websocket.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) notices: Vec<String>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Raw {
    pub(crate) async fn connects(harbour: &Harbour) -> Raw {
        let stream = TcpStream::connect(harbour.address).await.unwrap();
        Raw { stream }
    }

    /// Connects and opens a websocket; the head of the answer is returned too.
    pub(crate) async fn upgrades(harbour: &Harbour, headers: &str) -> (Raw, String) {
        let mut raw = Raw::connects(harbour).await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n"
        );
        raw.sends(request.as_bytes()).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(raw.stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        (raw, head)
    }

    pub(crate) async fn websocket(harbour: &Harbour) -> Raw {
        let (raw, head) = Raw::upgrades(harbour, "").await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        raw
    }

    /// Sends what the relay will take; it may have hung up.
    pub(crate) async fn sends(&mut self, bytes: &[u8]) {
        let _hung_up = soon(self.stream.write_all(bytes)).await;
    }

    /// Sends the bytes, over and over, a few at a time, until `end` comes; reads along.
    pub(crate) async fn dribbles<T>(
        self,
        drops: Vec<Vec<u8>>,
        end: impl AsyncFnOnce(Raw) -> T,
    ) -> T {
        let stream = self.stream.into_std().unwrap();
        let mut twin = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        let dribbling = async {
            let mut pauses = interval(PAUSE);
            for drop in drops.iter().cycle() {
                pauses.tick().await;
                if twin.write_all(drop).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = dribbling => unreachable!("it only stops"),
            end = end(Raw { stream }) => end,
        }
    }

    /// The next frame: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => usize::from(self.stream.read_u16().await.ok()?),
            127 => usize::try_from(self.stream.read_u64().await.ok()?).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    }

    /// Reads until the relay closes the websocket, and hangs up.
    pub(crate) async fn farewell(mut self) -> Farewell {
        let mut notices = Vec::new();
        loop {
            let frame = soon(self.frame()).await;
            let (first, payload) = frame.expect("the relay does not hang up without a word");
            if first == LAST | TEXT {
                let heard: Value = serde_json::from_slice(&payload).unwrap();
                if heard[0] == "NOTICE" {
                    notices.push(heard[1].as_str().unwrap().to_owned());
                }
            }
            if first == LAST | CLOSE {
                return Farewell {
                    notices,
                    code: u16::from_be_bytes([payload[0], payload[1]]),
                    reason: String::from_utf8(payload[2..].to_vec()).unwrap(),
                };
            }
        }
    }

    /// Reads all that the server says until it hangs up.
    pub(crate) async fn answer(mut self) -> String {
        let mut answer = Vec::new();
        // A reset after the last words does not take them back.
        let _end = soon(self.stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A masked frame; the mask is zero, so the payload is readable.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = head(first, u64::try_from(payload.len()).unwrap());
    frame.extend(payload);
    frame
}

/// The head of a masked frame that says to be so long.
pub(crate) fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => head.push(IS_MASKED + short),
        (_, Ok(medium)) => {
            head.push(IS_MASKED + 126);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(IS_MASKED + 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

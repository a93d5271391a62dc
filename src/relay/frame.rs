//! What goes over the wire to a client (RFC 6455).
//!
//! The relay writes its own frames, so that an event which many wait for is copied once,
//! from where all share it into the bytes of one system call.

use std::sync::Arc;

use storage::events::Kept;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::words;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// The longest payload whose length stands in the second byte.
const SHORT: u8 = 125;
/// The second byte before a length of two bytes.
const TWO_BYTES: u8 = 126;
/// The second byte before a length of eight bytes.
const EIGHT_BYTES: u8 = 127;

/// One frame that waits to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Words that were written for this client.
    Words(String),
    /// An event, which all who wait for it share.
    Event {
        /// The beginning of the text, see [`words::before_event`].
        head: Arc<str>,
        /// What follows it.
        kept: Arc<Kept>,
    },
    /// Whole frames in the bytes of the wire, such as the answer to a ping.
    Encoded(Box<[u8]>),
}

impl Frame {
    /// Asks the client for a sign of life.
    pub(super) fn ping() -> Self {
        Self::Encoded([PING, 0].into())
    }

    /// The last frame of a connection; the reason is cut where a close frame must end.
    pub(super) fn close(code: CloseCode, reason: &str) -> Self {
        let most = usize::from(SHORT) - size_of::<u16>();
        let end = (0..=most).rfind(|end| reason.is_char_boundary(*end));
        let reason = end.and_then(|end| reason.get(..end)).unwrap_or_default();
        let mut payload = u16::from(code).to_be_bytes().to_vec();
        payload.extend(reason.as_bytes());
        let mut frame = Vec::new();
        write_head(CLOSE, payload.len(), &mut frame);
        frame.extend(payload);
        Self::Encoded(frame.into())
    }

    /// Appends the frame to the bytes of the wire.
    pub(super) fn write(&self, wire: &mut Vec<u8>) {
        match self {
            Self::Words(words) => write_text(&[words], wire),
            Self::Event { head, kept } => {
                write_text(&[head, kept.json(), words::AFTER_EVENT], wire);
            }
            Self::Encoded(frame) => wire.extend_from_slice(frame),
        }
    }

    /// Its length in bytes, heads of frames aside.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Words(words) => words.len(),
            Self::Event { head, kept } => head.len() + kept.json().len() + words::AFTER_EVENT.len(),
            Self::Encoded(frame) => frame.len(),
        }
    }
}

impl From<String> for Frame {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

fn write_text(parts: &[&str], wire: &mut Vec<u8>) {
    write_head(TEXT, parts.iter().map(|part| part.len()).sum(), wire);
    for part in parts {
        wire.extend_from_slice(part.as_bytes());
    }
}

fn write_head(first: u8, length: usize, wire: &mut Vec<u8>) {
    wire.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=SHORT), _) => wire.push(length),
        (_, Ok(length)) => {
            wire.push(TWO_BYTES);
            wire.extend(length.to_be_bytes());
        }
        (_, Err(_)) => {
            wire.push(EIGHT_BYTES);
            wire.extend((length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocket};

    use super::*;

    fn read(frame: &Frame) -> Message {
        let mut wire = Vec::new();
        frame.write(&mut wire);
        let mut client = WebSocket::from_raw_socket(Cursor::new(wire), Role::Client, None);
        client.read().unwrap()
    }

    #[test]
    fn frames_of_every_length_are_read_as_they_were_meant() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 300_000] {
            let words = "ä".repeat(length / 2) + &"x".repeat(length % 2);
            let frame = Frame::Words(words.clone());
            assert_eq!(frame.len(), length);
            assert_eq!(read(&frame), Message::text(words));
        }
    }

    #[test]
    fn control_frames_are_read_as_they_were_meant() {
        assert_eq!(read(&Frame::ping()), Message::Ping(Vec::new().into()));
        let table = [
            (String::new(), String::new()),
            ("too slow".to_owned(), "too slow".to_owned()),
            ("ä".repeat(100), "ä".repeat(61)),
        ];
        for (reason, told) in table {
            let expected = CloseFrame {
                code: CloseCode::Policy,
                reason: told.into(),
            };
            let frame = Frame::close(CloseCode::Policy, &reason);
            assert_eq!(read(&frame), Message::Close(Some(expected)));
        }
    }
}

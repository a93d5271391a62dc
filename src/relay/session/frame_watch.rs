//! The frames of a websocket as they come in, for what the messages made of them do not
//! show: a message that is never finished, and frames that are no message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::allowance::Allowance;
use crate::relay::RelayLimits;

/// What a client does with frames that no decent client does; the text is his farewell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameAbuse {
    /// The bytes come, but the message does not.
    #[error("too slow: a message has {0:?} from its first byte to its last")]
    Unfinished(Duration),
    /// A flood of pings, pongs or fragments.
    #[error("too many frames that are no message: pings, pongs and fragments")]
    TooMany,
}

/// Lies under a websocket and reads along; an abuse is an error of its reader.
#[derive(Debug)]
pub(super) struct FrameWatch<Io> {
    io: Io,
    frames: Frames,
}

impl<Io> FrameWatch<Io> {
    /// Watches `io`, from which the first frame is the next thing to come.
    pub(super) fn new(io: Io, limits: &RelayLimits) -> Self {
        Self {
            io,
            frames: Frames {
                current: Frame::Awaited,
                message: None,
                in_fragments: false,
                message_time: limits.message_time,
                allowance: Allowance::new(limits.frames),
            },
        }
    }

    /// What was watched.
    pub(super) fn into_inner(self) -> Io {
        self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for FrameWatch<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        let news = buffer.filled().get(before..).unwrap_or_default();
        let seen = this.frames.see(news, Instant::now());
        if seen.is_err() {
            // A reader who fails has read nothing.
            buffer.set_filled(before);
        }
        Poll::Ready(seen.map_err(io::Error::other))
    }
}

/// Everything that came, as far as it matters for what comes next.
#[derive(Debug)]
struct Frames {
    current: Frame,
    /// When the message began that is not complete.
    message: Option<Instant>,
    /// Whether that message goes on in further frames.
    in_fragments: bool,
    message_time: Duration,
    allowance: Allowance,
}

/// A frame, as far as it has come (RFC 6455, 5.2).
#[derive(Debug, Clone, Copy)]
enum Frame {
    Awaited,
    /// Its first byte has come, which says what it is.
    Begun {
        first: u8,
    },
    /// So many bytes of its length and its mask are still to come.
    Head {
        first: u8,
        length: u64,
        length_bytes: u8,
        mask_bytes: u8,
    },
    /// So many bytes of its payload are still to come.
    Payload {
        first: u8,
        left: u64,
    },
}

/// Bits of the first byte: the last frame of its message; a ping, pong or close.
const IS_LAST: u8 = 0x80;
const IS_CONTROL: u8 = 0x08;

/// Bit of the second byte: a mask follows the length.
const IS_MASKED: u8 = 0x80;

impl Frames {
    fn see(&mut self, mut news: &[u8], now: Instant) -> Result<(), FrameAbuse> {
        while !news.is_empty() {
            self.message.get_or_insert(now);
            news = self.current.take(news);
            if let Frame::Payload { first, left: 0 } = self.current {
                self.current = Frame::Awaited;
                self.ends(first)?;
            }
        }
        match self.message {
            Some(begun) if now - begun > self.message_time => {
                Err(FrameAbuse::Unfinished(self.message_time))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A frame that begins with this byte is complete.
    fn ends(&mut self, first: u8) -> Result<(), FrameAbuse> {
        let is_control = first & IS_CONTROL != 0;
        let is_last = first & IS_LAST != 0;
        if !is_control {
            self.in_fragments = !is_last;
        }
        if !self.in_fragments {
            self.message = None;
        }
        let is_message = is_last && !is_control;
        if is_message || self.allowance.take() {
            Ok(())
        } else {
            Err(FrameAbuse::TooMany)
        }
    }
}

impl Frame {
    /// Takes what belongs to this frame, and returns what comes after it.
    fn take<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        loop {
            if let Frame::Payload { left, .. } = self {
                let most = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let taken = most.min(*left);
                *left -= taken;
                let taken = usize::try_from(taken).unwrap_or(usize::MAX);
                return bytes.get(taken..).unwrap_or_default();
            }
            let Some((byte, rest)) = bytes.split_first() else {
                return bytes;
            };
            *self = self.with_next(*byte);
            bytes = rest;
        }
    }

    fn with_next(self, byte: u8) -> Frame {
        match self {
            Frame::Awaited => Frame::Begun { first: byte },
            Frame::Begun { first } => {
                let (length, length_bytes) = match byte & !IS_MASKED {
                    126 => (0, 2),
                    127 => (0, 8),
                    short => (u64::from(short), 0),
                };
                let mask_bytes = if byte & IS_MASKED == 0 { 0 } else { 4 };
                Frame::head(first, length, length_bytes, mask_bytes)
            }
            Frame::Head {
                first,
                length,
                length_bytes: 0,
                mask_bytes,
            } => Frame::head(first, length, 0, mask_bytes.saturating_sub(1)),
            Frame::Head {
                first,
                length,
                length_bytes,
                mask_bytes,
            } => {
                let length = (length << 8) | u64::from(byte);
                Frame::head(first, length, length_bytes.saturating_sub(1), mask_bytes)
            }
            Frame::Payload { .. } => self,
        }
    }

    fn head(first: u8, length: u64, length_bytes: u8, mask_bytes: u8) -> Frame {
        if length_bytes == 0 && mask_bytes == 0 {
            let left = length;
            return Frame::Payload { first, left };
        }
        Frame::Head {
            first,
            length,
            length_bytes,
            mask_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_policy::Rate;
    use tokio::io::AsyncReadExt;

    use super::*;

    const TEXT: u8 = 0x1;
    const MORE: u8 = 0x0;
    const PING: u8 = 0x9;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let head = match u16::try_from(length) {
            Ok(short @ 0..=125) => vec![first, IS_MASKED | u8::try_from(short).unwrap()],
            Ok(medium) => [&[first, IS_MASKED + 126], &medium.to_be_bytes()[..]].concat(),
            Err(_) => {
                let long = u64::try_from(length).unwrap();
                [&[first, IS_MASKED + 127], &long.to_be_bytes()[..]].concat()
            }
        };
        [head, vec![7; 4 + length]].concat()
    }

    fn limits(burst: u32) -> RelayLimits {
        RelayLimits {
            message_time: Duration::from_secs(60),
            frames: Some(Rate {
                per_second: 1,
                burst,
            }),
            ..RelayLimits::default()
        }
    }

    /// What becomes of these bytes when so many come at once, a second apart.
    fn watched(bytes: &[u8], at_once: usize, burst: u32) -> Result<(), FrameAbuse> {
        let mut frames = FrameWatch::new(tokio::io::empty(), &limits(burst)).frames;
        let mut now = Instant::now();
        for part in bytes.chunks(at_once) {
            frames.see(part, now)?;
            now += Duration::from_secs(1);
        }
        Ok(())
    }

    fn of_a_message(burst: u32) -> Vec<u8> {
        let pings = frame(IS_LAST | PING, 4).repeat(usize::try_from(burst).unwrap() / 2);
        [
            frame(TEXT, 3),
            pings,
            frame(MORE, 300),
            frame(IS_LAST | MORE, 0),
        ]
        .concat()
    }

    #[test]
    fn whole_messages_are_no_concern_however_they_are_cut() {
        let long = [frame(IS_LAST | TEXT, 70_000), frame(IS_LAST | TEXT, 126)].concat();
        let short = frame(IS_LAST | TEXT, 5).repeat(100);
        for at_once in [1_500, 4_096, 100_000] {
            assert_eq!(watched(&long, at_once, 0), Ok(()), "{at_once}");
        }
        for at_once in [1, 3, 7, 1_000] {
            assert_eq!(watched(&short, at_once, 0), Ok(()), "{at_once}");
        }
        assert_eq!(watched(&of_a_message(8), 10, 8), Ok(()));
    }

    #[test]
    fn a_message_must_end_although_bytes_keep_coming() {
        let late = FrameAbuse::Unfinished(Duration::from_secs(60));
        let dribbled = frame(IS_LAST | TEXT, 200);
        assert_eq!(watched(&dribbled, 1, 0), Err(late));
        assert_eq!(watched(&dribbled, 4, 0), Ok(()));
        let pings = frame(IS_LAST | PING, 0).repeat(100);
        assert_eq!(watched(&pings, 6, 100), Ok(()));
        let never_ended = [frame(TEXT, 3), pings].concat();
        assert_eq!(watched(&never_ended, 6, 101), Err(late));
    }

    #[test]
    fn pings_and_fragments_have_an_allowance() {
        let pings = frame(IS_LAST | PING, 0);
        assert_eq!(watched(&pings.repeat(10), 1_000, 10), Ok(()));
        let too_many = Err(FrameAbuse::TooMany);
        assert_eq!(watched(&pings.repeat(11), 1_000, 10), too_many);
        let fragments = [frame(TEXT, 0), frame(MORE, 0).repeat(10)].concat();
        assert_eq!(watched(&fragments, 1_000, 10), too_many);
    }

    #[tokio::test]
    async fn an_abuse_is_an_error_of_the_reader() {
        let ping = frame(IS_LAST | PING, 0);
        let mut watch = FrameWatch::new(&ping[..], &limits(0));
        let error = watch.read_to_end(&mut Vec::new()).await.unwrap_err();
        let abuse = error.get_ref().and_then(|it| it.downcast_ref());
        assert_eq!(abuse, Some(&FrameAbuse::TooMany));
    }
}

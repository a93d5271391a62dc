//! The loop that sends what waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::relay::frame::Frame;
use crate::relay::limits::RelayLimits;
use crate::relay::outgoing::{Farewell, Next, Outgoing};
use crate::relay::words;

/// The one who writes to a client; a task of its own, so that an event on its way to many
/// wakes nothing else of their sessions.
pub(super) struct Writer<Wire> {
    wire: Wire,
    outgoing: Arc<Outgoing>,
    times: Times,
}

#[derive(Clone, Copy)]
struct Times {
    ping_every: Duration,
    idle_after: Duration,
    closing_time: Duration,
}

impl<Wire: AsyncWrite + Unpin> Writer<Wire> {
    pub(super) fn new(wire: Wire, outgoing: Arc<Outgoing>, limits: &RelayLimits) -> Self {
        let times = Times {
            ping_every: limits.ping_every,
            idle_after: limits.idle_after,
            closing_time: limits.closing_time,
        };
        Self {
            wire,
            outgoing,
            times,
        }
    }

    /// Sends until the connection closes, says farewell and returns the wire, unless
    /// nothing can follow what was sent.
    pub(super) async fn send(mut self) -> Option<Wire> {
        let ping_every = self.times.ping_every;
        let mut pings = interval_at(Instant::now() + ping_every, ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (frames, last) = tokio::select! {
                // A client who only listens must be asked for a sign of life however busy
                // his connection is.
                biased;
                _ = pings.tick() => (VecDeque::from([Frame::ping()]), false),
                next = self.outgoing.next() => match next {
                    Next::Send(frames) => (frames, false),
                    Next::Close(farewell) => (last_words(&farewell), true),
                },
            };
            // What was written of a batch may end within a frame, so nothing can follow it.
            if let Err(farewell) = self.write(&frames).await {
                self.outgoing.close(farewell);
                return None;
            }
            if last {
                return Some(self.wire);
            }
        }
    }

    /// Writes frames with one call, or a few when the client's system has little room.
    async fn write(&mut self, frames: &VecDeque<Frame>) -> Result<(), Farewell> {
        let length = frames.iter().map(Frame::len).sum();
        // Lives as long as the call, since most connections are silent most of the time.
        let mut bytes = Vec::with_capacity(length);
        for frame in frames {
            frame.write(&mut bytes);
        }
        let (wire, times, outgoing) = (&mut self.wire, self.times, &self.outgoing);
        let writing = async {
            wire.write_all(&bytes).await?;
            wire.flush().await
        };
        tokio::select! {
            // Most writes end at once and need no clock.
            biased;
            written = writing => written.map_err(|_| Farewell::new(CloseCode::Normal, ""))?,
            () = times.run_out(outgoing) => {
                return Err(Farewell::new(CloseCode::Policy, "too slow: nothing was read"));
            }
        }
        outgoing.sent(length);
        Ok(())
    }
}

impl Times {
    /// Gives a write the idle time, and only the closing time once the connection closes.
    async fn run_out(self, outgoing: &Outgoing) {
        tokio::select! {
            () = sleep(self.idle_after) => (),
            () = async {
                outgoing.closing().await;
                sleep(self.closing_time).await;
            } => (),
        }
    }
}

fn last_words(farewell: &Farewell) -> VecDeque<Frame> {
    let Farewell { code, reason } = farewell;
    let mut frames = VecDeque::new();
    if !reason.is_empty() {
        // Many clients do not show the reason of a close frame, but all show notices.
        let notice = words::notice(&format!("closing: {reason}"));
        frames.push_back(notice.into());
    }
    frames.push_back(Frame::close(*code, reason));
    frames
}

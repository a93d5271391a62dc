//! A line to a mirror that is kept up: whenever it is lost, the mirror is
//! called again, after ever longer waits, until it works.

use std::convert::Infallible;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::tempo::Backoff;
use super::{Direction, Ended, Post};

/// What a line is kept up for.
pub(super) trait Talk: Send {
    /// Talks until the line is lost.
    fn talk(&mut self, line: Line) -> impl Future<Output = Result<Infallible, Ended>> + Send;

    /// Whether the mirror has done what it is for since this was last asked.
    fn has_worked(&mut self) -> bool;
}

/// A line that is called anew whenever it is lost.
pub(super) struct KeptLine {
    post: Post,
    way: Direction,
    backoff: Backoff,
}

impl KeptLine {
    pub(super) fn new(post: Post, way: Direction) -> KeptLine {
        KeptLine {
            backoff: Backoff::new(&post.number.tempo()),
            post,
            way,
        }
    }

    /// Talks, over as many lines as it takes, until `stop`.
    pub(super) async fn keep_up(mut self, mut talk: impl Talk, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.over_one_line(&mut talk) => {}
            }
            if talk.has_worked() {
                self.backoff.reset();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(self.backoff.wait()) => {}
            }
        }
    }

    async fn over_one_line(&self, talk: &mut impl Talk) {
        let Err(why) = match Line::open(&self.post.number).await {
            Ok(line) => {
                self.post.connected(self.way);
                talk.talk(line).await
            }
            Err(why) => Err(why.into()),
        };
        self.post.lost(self.way, &why);
    }
}

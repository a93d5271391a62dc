//! A line to a mirror that is kept up: whenever it is lost, the mirror is
//! called again, after ever longer waits, until it works.
//!
//! That a mirror answers the call says little. A line that was lost is back once
//! it has shown that it does what it is for, and the waits grow until one has
//! done so for a while.

use std::convert::Infallible;
use std::future::pending;
use std::mem;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::tempo::Backoff;
use super::{Direction, Ended, Post};

/// What a line is kept up for.
pub(super) trait Talk: Send {
    /// Talks until the line is lost, and says in `trial` what it is worth.
    fn talk(
        &mut self,
        line: Line,
        trial: &mut Trial,
    ) -> impl Future<Output = Result<Infallible, Ended>> + Send;
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
            let mut trial = Trial::new(self.post.number.tempo().steady());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.over_one_line(&mut talk, &mut trial) => {}
            }
            let wait = wait_after(&trial, &mut self.backoff);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn over_one_line(&self, talk: &mut impl Talk, trial: &mut Trial) {
        let Err(why) = match Line::open(&self.post.number).await {
            Ok(line) => {
                self.post.connected(self.way);
                talk.talk(line, trial).await
            }
            Err(why) => Err(why.into()),
        };
        self.post.lost(self.way, &why);
    }
}

/// How long to wait after a line: a mirror that ends every one after a few words
/// shall not be asked for all of it every second.
fn wait_after(trial: &Trial, backoff: &mut Backoff) -> Duration {
    if trial.was_steady() {
        backoff.reset();
    }
    backoff.wait()
}

/// What one line has shown of its worth.
pub(super) struct Trial {
    steady: Duration,
    good_since: Option<Instant>,
    has_passed: bool,
}

impl Trial {
    fn new(steady: Duration) -> Trial {
        Trial {
            steady,
            good_since: None,
            has_passed: false,
        }
    }

    /// The line is as it should be.
    pub(super) fn is_good(&mut self) {
        self.good_since.get_or_insert_with(Instant::now);
    }

    /// Something is not as it should be. A line that has passed was good.
    pub(super) fn is_in_doubt(&mut self) {
        if !self.has_passed {
            self.good_since = None;
        }
    }

    /// The line has done what it is for. Returns whether that is news.
    pub(super) fn passes(&mut self) -> bool {
        self.is_good();
        !mem::replace(&mut self.has_passed, true)
    }

    /// Returns when the line has been good for so long that it passes, if it
    /// did not before. May be dropped at any time.
    pub(super) async fn lasts(&self) {
        match self.good_since {
            Some(since) if !self.has_passed => sleep_until(since + self.steady).await,
            Some(_) | None => pending().await,
        }
    }

    fn was_steady(&self) -> bool {
        self.good_since
            .is_some_and(|since| since.elapsed() >= self.steady)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;
    use crate::mirror::Tempo;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn waits_grow_while_every_line_ends_soon_after_it_has_worked() {
        let tempo = Tempo::with_longest_wait(64 * SECOND);
        let mut backoff = Backoff::new(&tempo);
        for doubled in 0..6 {
            let mut trial = Trial::new(tempo.steady());
            assert!(trial.passes());
            advance(tempo.steady().saturating_sub(SECOND)).await;
            let wait = wait_after(&trial, &mut backoff);
            assert!(wait >= SECOND * (1 << doubled) / 2, "{wait:?}");
        }
        let mut trial = Trial::new(tempo.steady());
        trial.passes();
        advance(tempo.steady()).await;
        assert!(wait_after(&trial, &mut backoff) <= SECOND);
        assert!(!Trial::new(tempo.steady()).was_steady());
    }

    #[tokio::test(start_paused = true)]
    async fn x17_a_line_without_work_passes_if_it_is_good_for_long() {
        let steady = Tempo::with_longest_wait(SECOND).steady();
        let almost = steady.saturating_sub(SECOND);
        let mut trial = Trial::new(steady);
        advance(2 * steady).await;
        assert_eq!(trial.lasts().now_or_never(), None, "it was never good");
        trial.is_good();
        advance(almost).await;
        trial.is_good();
        assert_eq!(trial.lasts().now_or_never(), None, "not for long");
        trial.is_in_doubt();
        trial.is_good();
        advance(almost).await;
        assert_eq!(trial.lasts().now_or_never(), None, "not without doubt");
        advance(SECOND).await;
        trial.lasts().await;
        assert!(trial.passes());
        assert_eq!(trial.lasts().now_or_never(), None, "that is told once");
        trial.is_in_doubt();
        assert!(!trial.passes() && trial.was_steady(), "it has passed");
    }
}

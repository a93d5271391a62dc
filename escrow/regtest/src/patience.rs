//! Waiting for something to become true, and giving up in time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{RegtestError, Result};
use crate::process::Process;

/// Longer than any step takes on a busy machine with two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks until there is something to see, and returns it.
///
/// What a look fails with counts as "not yet", because a node that starts
/// refuses everything. A process that has died ends the waiting at once.
pub(crate) async fn until<T>(
    what: &str,
    alive: &[&Process],
    mut look: impl AsyncFnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match look().await {
            Ok(Seen::There(found)) => return Ok(found),
            Ok(Seen::NotYet(instead)) => instead,
            Err(why) => why.to_string(),
        };
        for process in alive {
            process.must_run()?;
        }
        if start.elapsed() >= PATIENCE {
            return Err(RegtestError::TooSlow {
                what: what.to_owned(),
                seconds: PATIENCE.as_secs(),
                last,
            });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What a look shows.
pub(crate) enum Seen<T> {
    There(T),
    /// And what is the case instead.
    NotYet(String),
}

impl Seen<()> {
    pub(crate) fn when(so: bool, instead: impl FnOnce() -> String) -> Seen<()> {
        if so {
            Seen::There(())
        } else {
            Seen::NotYet(instead())
        }
    }
}

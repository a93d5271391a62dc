//! How long a task may hold its thread.

use std::time::{Duration, Instant};

/// The longest a task works before it lets others have the thread.
const STRIDE: Duration = Duration::from_millis(1);

/// Keeps a task with much to do from holding its thread for long.
#[derive(Debug, Default)]
pub(super) struct Pace {
    worked: Duration,
}

impl Pace {
    /// Counts the time since `began` as work, and lets others go first when it has become
    /// much.
    pub(super) async fn rest_after(&mut self, began: Instant) {
        self.worked = self.worked.saturating_add(began.elapsed());
        if self.worked >= STRIDE {
            self.worked = Duration::ZERO;
            tokio::task::yield_now().await;
        }
    }
}

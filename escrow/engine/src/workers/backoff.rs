//! Waiting longer each time something is tried again.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// Longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);

/// A wait that doubles.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn starting_at(first: Duration) -> Backoff {
        Backoff { first, next: first }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits, but not past a poke.
    pub(crate) async fn wait(&mut self, poke: &Notify) {
        // Either way it is time to look again.
        let _ = timeout(self.next, poke.notified()).await;
        self.next = self.next.saturating_mul(2).min(LONGEST);
    }
}

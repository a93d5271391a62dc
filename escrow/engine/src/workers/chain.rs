//! When the height of the chain is to be judged.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::workers::health::LightningHealth;

/// Without a new block, escrows are judged this often (rule X1).
const AT_LEAST: Duration = Duration::from_secs(60);

/// Follows the height that Lightning shows.
pub(crate) struct ChainWatch {
    health: watch::Receiver<LightningHealth>,
    minute: Interval,
    told: Option<u32>,
}

impl ChainWatch {
    pub(crate) fn new(health: watch::Receiver<LightningHealth>) -> ChainWatch {
        let mut minute = interval(AT_LEAST);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ChainWatch {
            health,
            minute,
            told: None,
        }
    }

    /// Waits for a new block, but no longer than a minute. None while
    /// Lightning cannot be reached, or does not know the newest block itself.
    pub(crate) async fn next(&mut self) -> Option<u32> {
        loop {
            let is_time = tokio::select! {
                _ = self.minute.tick() => true,
                Ok(()) = self.health.changed() => false,
            };
            let shown = self.health.borrow_and_update().synced_height();
            if is_time || shown != self.told {
                self.told = shown;
                return shown;
            }
        }
    }
}

//! Moments, as unix seconds. Nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// Unix seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// This moment and `secs` later; the end of time is not passed.
    #[must_use]
    pub fn plus(self, secs: u64) -> UnixTime {
        UnixTime(self.0.saturating_add(secs))
    }

    /// Seconds since `earlier`, zero if that lies ahead.
    #[must_use]
    pub fn secs_since(self, earlier: UnixTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

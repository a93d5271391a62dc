//! Where the time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use escrow_core::UnixTime;

/// A source of the present moment.
pub trait Clock: Send + Sync + 'static {
    /// Unix seconds.
    fn now(&self) -> UnixTime;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixTime(since_epoch.map_or(0, |elapsed| elapsed.as_secs()))
    }
}

//! How fast one client may talk.

use relay_policy::Rate;
use tokio::time::Instant;

/// How many frames a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: Option<Rate>,
    left: u32,
    filled_at: Instant,
}

impl Allowance {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            left: rate.map_or(0, |rate| rate.burst),
            filled_at: Instant::now(),
        }
    }

    /// Takes one frame from the allowance, and tells whether there was one.
    pub(super) fn take(&mut self) -> bool {
        let Some(rate) = self.rate else { return true };
        let seconds = u32::try_from(self.filled_at.elapsed().as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            let earned = seconds.saturating_mul(rate.per_second);
            self.left = self.left.saturating_add(earned).min(rate.burst);
            self.filled_at = Instant::now();
        }
        let paid = self.left.checked_sub(1);
        self.left = paid.unwrap_or(0);
        paid.is_some()
    }
}

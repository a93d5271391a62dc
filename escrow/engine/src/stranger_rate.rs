//! How many envelopes of unknown keys are opened: opening costs a core some
//! hundred microseconds, and anybody may send them.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A bucket of one second's worth of envelopes.
#[derive(Debug)]
pub(crate) struct StrangerRate {
    per_second: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl StrangerRate {
    pub(crate) fn new(per_second: u32) -> StrangerRate {
        let per_second = f64::from(per_second);
        let bucket = Bucket {
            tokens: per_second,
            filled_at: Instant::now(),
        };
        StrangerRate {
            per_second,
            bucket: Mutex::new(bucket),
        }
    }

    /// Whether one more may be opened at this moment.
    pub(crate) fn allows(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = (now - bucket.filled_at).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + gained).min(self.per_second);
        bucket.filled_at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn y4_a_burst_is_cut_and_time_gives_room_again() {
        let rate = StrangerRate::new(10);
        let allowed = (0..20).filter(|_| rate.allows()).count();
        assert_eq!(allowed, 10);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((0..20).filter(|_| rate.allows()).count(), 5);
    }
}

//! Whether a source is worth asking: one that keeps failing rests (rule Q8).

use std::time::Duration;

use tokio::time::Instant;

/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(1_800);

/// How long a failing source is left alone.
#[derive(Clone, Copy, Debug)]
pub struct BreakerTerms {
    /// Failures in a row that bring the first rest.
    pub threshold: u32,
    /// The first rest; each further failure doubles it.
    pub cooldown: Duration,
}

/// The failures of one source.
#[derive(Debug)]
pub(super) struct Breaker {
    terms: BreakerTerms,
    failures: u32,
    resting_until: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(terms: BreakerTerms) -> Breaker {
        Breaker {
            terms,
            failures: 0,
            resting_until: None,
        }
    }

    /// How long the source still rests.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let left = self.resting_until?.checked_duration_since(now)?;
        (!left.is_zero()).then_some(left)
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn succeeded(&mut self) {
        *self = Breaker::new(self.terms);
    }

    /// The source has failed, at the end of the round.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if let Some(further) = self.failures.checked_sub(self.terms.threshold) {
            let doubled = 2_u32.saturating_pow(further);
            let rest = self.terms.cooldown.saturating_mul(doubled);
            self.resting_until = Some(now + rest.min(LONGEST_REST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q8_a_source_that_keeps_failing_rests_longer_and_longer() {
        let now = Instant::now();
        let cooldown = Duration::from_secs(120);
        let mut breaker = Breaker::new(BreakerTerms {
            threshold: 3,
            cooldown,
        });
        let mut rest = || {
            breaker.failed(now);
            breaker.rest(now).map(|rest| rest.as_secs())
        };
        let rests: Vec<_> = (0..9).map(|_| rest()).collect();
        let expected = [None, None, Some(120), Some(240), Some(480), Some(960)];
        assert_eq!(rests[..6], expected);
        assert_eq!(rests[6..], [Some(1_800); 3]);
        for _ in 0..100 {
            breaker.failed(now);
        }
        assert_eq!(breaker.rest(now), Some(LONGEST_REST));
        assert_eq!(breaker.rest(now + LONGEST_REST), None);
    }

    #[test]
    fn q8_one_success_makes_everything_good() {
        let now = Instant::now();
        let cooldown = Duration::from_secs(1);
        let mut breaker = Breaker::new(BreakerTerms {
            threshold: 2,
            cooldown,
        });
        breaker.failed(now);
        breaker.succeeded();
        breaker.failed(now);
        assert_eq!((breaker.failures(), breaker.rest(now)), (1, None));
        breaker.failed(now);
        assert_eq!(breaker.rest(now), Some(cooldown));
        breaker.succeeded();
        assert_eq!(breaker.rest(now), None);
    }
}

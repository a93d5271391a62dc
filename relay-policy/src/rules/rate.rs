//! How often one address or one author may write (rule Y4).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use nostr::types::Timestamp;

use crate::{Prefix, Refusal};

/// How many senders are remembered at once; a sender who has been quiet long enough to
/// have his whole burst back is forgotten first.
const MOST_SENDERS: usize = 20_000;

/// An allowance that fills up with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events per second in the long run.
    pub per_second: u32,
    /// Events at once after a quiet time; at least `per_second`.
    pub burst: u32,
}

/// The allowances of many senders.
#[derive(Debug)]
pub(crate) struct Rates<Sender> {
    rate: Option<Rate>,
    purses: Mutex<HashMap<Sender, Purse>>,
}

#[derive(Debug, Clone, Copy)]
struct Purse {
    left: u64,
    filled_at: u64,
}

impl<Sender: Eq + Hash> Rates<Sender> {
    /// Keeps no account at all when `rate` is absent.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            purses: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one event from the sender's allowance.
    pub(crate) fn check(&self, sender: Sender, now: Timestamp) -> Result<(), Refusal> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = now.as_secs();
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        if purses.len() >= MOST_SENDERS && !purses.contains_key(&sender) {
            purses.retain(|_, purse| purse.filled(rate, now).left < full(rate));
        }
        if purses.len() >= MOST_SENDERS && !purses.contains_key(&sender) {
            return Err(too_fast());
        }
        let purse = purses.entry(sender).or_insert(Purse {
            left: full(rate),
            filled_at: now,
        });
        *purse = purse.filled(rate, now);
        purse.left = purse.left.checked_sub(1).ok_or_else(too_fast)?;
        Ok(())
    }
}

impl Purse {
    fn filled(self, rate: Rate, now: u64) -> Self {
        let seconds = now.saturating_sub(self.filled_at);
        let earned = seconds.saturating_mul(u64::from(rate.per_second));
        Self {
            left: self.left.saturating_add(earned).min(full(rate)),
            filled_at: now,
        }
    }
}

fn full(rate: Rate) -> u64 {
    u64::from(rate.burst.max(rate.per_second))
}

fn too_fast() -> Refusal {
    Refusal::new(
        Prefix::RateLimited,
        "too many events, try again in a moment",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn y4_a_burst_then_the_rate() {
        let rates = Rates::new(Some(Rate {
            per_second: 2,
            burst: 5,
        }));
        let passed = |now: u64| {
            (0..10)
                .filter(|_| rates.check("alice", Timestamp::from(now)).is_ok())
                .count()
        };
        assert_eq!(passed(100), 5);
        assert_eq!(passed(100), 0);
        assert_eq!(passed(101), 2);
        assert_eq!(passed(99), 0, "a clock that steps back earns nothing");
        assert_eq!(passed(1_000), 5);
        assert!(
            rates.check("bob", Timestamp::from(1_000)).is_ok(),
            "others have their own"
        );
    }

    #[test]
    fn y4_the_list_of_senders_is_bounded_and_forgets_the_quiet() {
        let rates = Rates::new(Some(Rate {
            per_second: 1,
            burst: 2,
        }));
        for sender in 0..MOST_SENDERS {
            rates.check(sender, Timestamp::from(10)).unwrap();
        }
        assert!(rates.check(MOST_SENDERS, Timestamp::from(10)).is_err());
        assert!(rates.check(MOST_SENDERS, Timestamp::from(11)).is_ok());
    }

    #[test]
    fn without_a_rate_everything_passes() {
        let rates = Rates::new(None);
        assert!((0..1_000).all(|_| rates.check("alice", Timestamp::from(1)).is_ok()));
    }
}

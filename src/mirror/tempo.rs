//! How long a mirror is waited for.

use std::time::Duration;

use rand_chacha::rand_core::{OsRng, TryRngCore};

/// Time limits of the lines to mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// Wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
    /// Time to reach a mirror, and to hand something over to the system.
    pub call: Duration,
    /// Time for an event to be acknowledged.
    pub acknowledge: Duration,
    /// Quiet time after which a mirror is asked whether it is there.
    pub ping: Duration,
    /// A mirror that says nothing for so long is given up.
    pub silence: Duration,
    /// How long acknowledgements are collected before they are written down.
    pub collect: Duration,
    /// How often it is written down how far a mirror was read.
    pub mark: Duration,
    /// How often a mirror is asked again for what it should have told.
    pub read_again: Duration,
}

impl Tempo {
    /// The usual times, with this longest wait between two tries.
    #[must_use]
    pub fn with_longest_wait(longest_wait: Duration) -> Tempo {
        Tempo {
            first_wait: Duration::from_secs(1).min(longest_wait),
            longest_wait,
            call: Duration::from_secs(15),
            acknowledge: Duration::from_secs(20),
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(75),
            collect: Duration::from_millis(100),
            mark: Duration::from_secs(60),
            read_again: Duration::from_secs(3_600),
        }
    }

    /// A line that was good for so long is there: a silent one ends before.
    pub(super) fn steady(&self) -> Duration {
        self.silence + self.ping
    }
}

/// A wait that doubles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(tempo: &Tempo) -> Backoff {
        Backoff {
            first: tempo.first_wait,
            longest: tempo.longest_wait,
            next: tempo.first_wait,
        }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next wait, shortened by up to half, by chance: the mirrors of a node
    /// that lost its network, or the nodes of a mirror that was down, shall not
    /// all come back in the same moment.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        let chance = OsRng.try_next_u32().unwrap_or(u32::MAX);
        let share = f64::from(chance) / f64::from(u32::MAX);
        wait.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(&Tempo::with_longest_wait(Duration::from_secs(5)));
        for whole in [1, 2, 4, 5, 5] {
            let wait = backoff.wait().as_secs_f64();
            let whole = f64::from(whole);
            assert!(wait >= whole / 2.0 && wait <= whole, "{wait} of {whole}");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_secs(1));
    }
}

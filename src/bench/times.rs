//! Durations of one thing that was done many times.

use std::time::Duration;

/// A list of durations.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Notes one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Notes all of another list.
    pub fn append(&mut self, mut other: Times) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time within which this share of them was done, from the nearest
    /// rank; zero if there are none.
    #[must_use]
    pub fn within(&self, share: Share) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * share.per_hundred()).div_ceil(100);
        let found = sorted.get(rank.saturating_sub(1));
        found.copied().unwrap_or_default()
    }
}

/// Which share of the durations is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// One of two: the median.
    Half,
    /// All but one in a hundred.
    MostAll,
    /// All of them: the longest.
    All,
}

impl Share {
    fn per_hundred(self) -> usize {
        match self {
            Share::Half => 50,
            Share::MostAll => 99,
            Share::All => 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rank_of_one_to_two_hundred() {
        let mut times = Times::default();
        for millis in (1..=200).rev() {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.within(Share::Half), Duration::from_millis(100));
        assert_eq!(times.within(Share::MostAll), Duration::from_millis(198));
        assert_eq!(times.within(Share::All), Duration::from_millis(200));
        assert_eq!(Times::default().within(Share::Half), Duration::ZERO);
    }
}

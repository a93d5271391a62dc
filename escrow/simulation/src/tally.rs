//! How often the interesting things happened, so that a simulation in which
//! nothing happens fails.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// One run's counts: each name counts once per run, and by its number.
    pub fn merge(&mut self, run: &Tally) {
        for (name, count) in &run.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// How often this happened.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

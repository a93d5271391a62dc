//! How often the interesting things happened, so that a simulation in which
//! nothing happens fails.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How trades ended.
    pub endings: BTreeMap<&'static str, u64>,
    /// Faults, and whatever else shall not be missed.
    pub events: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn ended(&mut self, how: &'static str) {
        *self.endings.entry(how).or_default() += 1;
    }

    pub(crate) fn add(&mut self, name: &'static str) {
        *self.events.entry(name).or_default() += 1;
    }

    /// Adds what happened elsewhere.
    pub fn merge(&mut self, other: &Tally) {
        for (name, count) in &other.endings {
            *self.endings.entry(name).or_default() += count;
        }
        for (name, count) in &other.events {
            *self.events.entry(name).or_default() += count;
        }
    }

    /// How often this happened, or how many trades ended so.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        let found = self.events.get(name).or_else(|| self.endings.get(name));
        found.copied().unwrap_or_default()
    }
}

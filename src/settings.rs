//! The settings: what the operator can choose.
//!
//! Built-in defaults, then the file, then the environment; the later wins.
//! Everything that is wrong is collected and reported at once, because nobody
//! likes to be told of his mistakes one by one.

mod combinations;
mod elsewhere;
mod keys;
mod operation;
mod operation_keys;
mod price;
mod price_keys;
mod problem;
mod sections;
mod source;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

pub use operation::*;
pub use price::*;
pub use problem::{Place, Problem, SettingsError};
pub use sections::*;

use combinations::COMBINATIONS;
use elsewhere::{Elsewhere, elsewhere};
use keys::Key;
use source::{Entry, Source};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "settings.toml";

/// Settings that were read, and what the operator should hear about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings, complete and checked.
    pub settings: Settings,
    /// Whole sentences, for the log; not one of them stops the start.
    pub notices: Vec<String>,
}

/// Reads the settings from `file`, or from [`DEFAULT_FILE`] if none is named,
/// and from the variables of `environment` that begin with `MOSTRO_RELAY__`.
///
/// # Errors
///
/// Everything that is wrong, at once. A file that was named and cannot be read
/// is wrong; the default file may be missing.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, SettingsError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let mut source = Source::default();
    let mut reading = Reading::default();
    match std::fs::read(path) {
        Ok(bytes) => source.read_file(path, &bytes),
        Err(why) if file.is_none() && why.kind() == ErrorKind::NotFound => reading.notices.push(
            format!("There is no {DEFAULT_FILE} here: built-in defaults are used."),
        ),
        Err(why) => {
            source.refuse(
                Place::File(path.into()),
                None,
                format!("cannot be read: {why}"),
            );
        }
    }
    source.read_environment(environment);
    reading.finish(source)
}

/// The full names of all keys, in the order of the file.
pub fn key_names() -> impl Iterator<Item = &'static str> {
    keys::all().map(|key| key.name)
}

/// Settings in the making.
#[derive(Default)]
struct Reading {
    settings: Settings,
    notices: Vec<String>,
    problems: Vec<Problem>,
    /// Where each key was last set, and whether the value was taken.
    seen: BTreeMap<&'static str, (Place, bool)>,
}

impl Reading {
    fn finish(mut self, source: Source) -> Result<Loaded, SettingsError> {
        self.problems = source.problems;
        for entry in self.in_present_words(source.entries) {
            self.take(entry);
        }
        keys::follow(&mut self.settings, |key| self.seen.contains_key(key));
        self.check_combinations();
        self.notice_private_url();
        self.notices.extend(price_keys::notices(&self.settings));
        self.problems.sort();
        if self.problems.is_empty() {
            Ok(Loaded {
                settings: self.settings,
                notices: self.notices,
            })
        } else {
            Err(SettingsError {
                problems: self.problems,
            })
        }
    }

    /// Old keys for prices are read as those that took their place, unless one of
    /// these is written too: then they have nothing to say (rule Q10).
    fn in_present_words(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let has_section = entries.iter().any(|entry| entry.key.starts_with("price."));
        let mut understood = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let moved = price_keys::OLD_KEYS.iter();
            match moved.copied().find(|(old, _)| *old == entry.key) {
                Some((old, new)) if has_section => {
                    let place = &entry.place;
                    let notice = format!("{place}: {old} has no effect beside [price]: see {new}.");
                    self.notices.push(notice);
                }
                Some((old, new)) => {
                    self.seen.insert(old, (entry.place.clone(), true));
                    new.clone_into(&mut entry.key);
                    understood.push(entry);
                }
                None => understood.push(entry),
            }
        }
        understood
    }

    fn take(&mut self, entry: Entry) {
        let Some(key) = keys::all().find(|key| key.name == entry.key) else {
            return self.take_unknown(entry);
        };
        let taken = (key.set)(&mut self.settings, &entry.value);
        self.seen
            .insert(key.name, (entry.place.clone(), taken.is_ok()));
        if let Err(reason) = taken {
            self.problems.push(Problem {
                place: entry.place,
                key: Some(entry.key),
                reason,
            });
        }
    }

    fn take_unknown(&mut self, entry: Entry) {
        let Entry { key, value, place } = entry;
        match elsewhere(&key, &value) {
            Some(Elsewhere::Unused(why)) => {
                self.notices
                    .push(format!("{place}: {key} has no effect: {why}."));
            }
            Some(Elsewhere::Refused(reason)) => {
                self.problems.push(Problem {
                    place,
                    key: Some(key),
                    reason,
                });
            }
            None => {
                let reason = format!("unknown key{}", suggestion(&key));
                self.problems.push(Problem {
                    place,
                    key: Some(key),
                    reason,
                });
            }
        }
    }

    /// A key whose own value was refused says nothing about its neighbours.
    fn check_combinations(&mut self) {
        let price = price_keys::COMBINATIONS.into_iter().flatten();
        for combination in COMBINATIONS
            .iter()
            .chain(price)
            .filter(|rule| !(rule.agrees)(&self.settings))
        {
            let mut seen = combination.keys.iter().filter_map(|key| {
                self.seen
                    .get(key)
                    .map(|(place, taken)| (key, place, *taken))
            });
            if seen.clone().any(|(_, _, taken)| !taken) {
                continue;
            }
            if let Some((key, place, _)) = seen.next() {
                self.problems.push(Problem {
                    place: place.clone(),
                    key: Some((*key).to_owned()),
                    reason: combination.reason.to_owned(),
                });
            }
        }
    }

    fn notice_private_url(&mut self) {
        let relay = &self.settings.relay;
        if relay.public_url.is_none() && !relay.listen.ip().is_loopback() {
            self.notices.push(format!(
                "relay.public_url is not set: clients are told {}, which may not reach this node.",
                relay.url()
            ));
        }
    }
}

/// `; did you mean …?` if some key looks or ends alike.
fn suggestion(unknown: &str) -> String {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let distance = |known: &Key| {
        let whole = strsim::damerau_levenshtein(unknown, known.name);
        if last(unknown) == last(known.name) {
            whole.min(1)
        } else {
            whole
        }
    };
    keys::all()
        .map(|known| (distance(known), known.name))
        .filter(|(distance, known)| *distance <= known.len() / 4)
        .min()
        .map(|(_, known)| format!("; did you mean {known}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod price_tests;
#[cfg(test)]
mod tests;

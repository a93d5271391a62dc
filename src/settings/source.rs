//! Where settings are written: the file and the environment, as one list of
//! entries, each with its place.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys;
use super::problem::{Place, Problem};
use super::value::Value;

const PREFIX: &str = "MOSTRO_RELAY__";

/// One value for one key.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) place: Place,
}

/// All that was written, in the order in which it counts.
#[derive(Default)]
pub(super) struct Source {
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

impl Source {
    pub(super) fn read_file(&mut self, path: &Path, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.read_text(&Lines { path, text }),
            Err(_) => self.refuse(
                Place::File(path.into()),
                None,
                "is not UTF-8 text".to_owned(),
            ),
        }
    }

    pub(super) fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) {
        for (name, value) in environment {
            let place = Place::Variable(name.to_string_lossy().into_owned());
            let Some(key) = variable_key(&name) else {
                continue;
            };
            match value.into_string() {
                Ok(text) => self.entries.push(Entry {
                    key,
                    value: Value::Variable(text),
                    place,
                }),
                Err(_) => self.refuse(place, Some(key), "is not UTF-8 text".to_owned()),
            }
        }
    }

    pub(super) fn refuse(&mut self, place: Place, key: Option<String>, reason: String) {
        self.problems.push(Problem { place, key, reason });
    }

    fn read_text(&mut self, lines: &Lines<'_>) {
        let (document, errors) = DeTable::parse_recoverable(lines.text);
        for error in &errors {
            let place = error
                .span()
                .map_or(Place::File(lines.path.into()), |at| lines.place(&at));
            // The first thing said about a line is the one that helps.
            if self.problems.iter().all(|problem| problem.place != place) {
                self.refuse(place, None, error.message().to_owned());
            }
        }
        for (name, value) in document.get_ref() {
            self.read_section(lines, name, value);
        }
        // A line that is not TOML has been reported; what the parser made of
        // the rest of it would only be a second complaint about the same.
        let Source { entries, problems } = self;
        entries.retain(|entry| {
            problems
                .iter()
                .all(|problem| problem.key.is_some() || problem.place != entry.place)
        });
    }

    fn read_section(
        &mut self,
        lines: &Lines<'_>,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let (section, place) = (name.get_ref(), lines.place(&name.span()));
        let DeValue::Table(keys) = value.get_ref() else {
            return self.read_loose_key(section, value.get_ref(), place);
        };
        if keys.is_empty() && !is_section(section) {
            self.refuse(
                place,
                Some(section.to_string()),
                "unknown section".to_owned(),
            );
        }
        self.read_keys(lines, section, keys);
    }

    fn read_keys(&mut self, lines: &Lines<'_>, section: &str, keys: &DeTable<'_>) {
        for (key, value) in keys {
            let name = format!("{section}.{}", key.get_ref());
            if let (DeValue::Table(inner), true) = (value.get_ref(), is_section(&name)) {
                self.read_keys(lines, &name, inner);
                continue;
            }
            self.entries.push(Entry {
                key: name,
                value: Value::from_toml(value.get_ref()),
                place: lines.place(&key.span()),
            });
        }
    }

    /// A key above the first section; every key has one, so it is in no table.
    fn read_loose_key(&mut self, name: &str, value: &DeValue<'_>, place: Place) {
        if is_section(name) {
            let reason = format!("is a section: write [{name}] and its keys below it");
            self.refuse(place, Some(name.to_owned()), reason);
        } else {
            self.entries.push(Entry {
                key: name.to_owned(),
                value: Value::from_toml(value),
                place,
            });
        }
    }
}

/// The text of the file, to find the line of a place in it.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, at: &Range<usize>) -> Place {
        let before = self.text.bytes().take(at.start);
        Place::Line(
            self.path.into(),
            before.filter(|byte| *byte == b'\n').count() + 1,
        )
    }
}

/// `MOSTRO_RELAY__RELAY__LISTEN` is `relay.listen`; other variables are not ours.
fn variable_key(name: &OsStr) -> Option<String> {
    let name = name.to_string_lossy();
    let key = name.strip_prefix(PREFIX)?;
    Some(key.to_lowercase().replace("__", "."))
}

fn is_section(name: &str) -> bool {
    keys::all().any(|key| {
        key.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

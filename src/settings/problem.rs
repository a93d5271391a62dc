//! What is wrong with the settings, and where.

use std::fmt;
use std::path::PathBuf;

/// Everything that is wrong with the settings, in the order of the file, then
/// of the environment; displayed as one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct SettingsError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong: `settings.toml:12: mostro.fee: must be …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File(PathBuf),
    /// A line of the file, counted from 1.
    Line(PathBuf, usize),
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { place, key, reason } = self;
        match (place, key) {
            // The variable's name is the key already.
            (Place::Variable(_), _) | (_, None) => write!(f, "{place}: {reason}"),
            (_, Some(key)) => write!(f, "{place}: {key}: {reason}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Place::Variable(name) => f.write_str(name),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

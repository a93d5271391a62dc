//! The settings: what the operator can choose, read from the file
//! `settings.toml` and from the environment.

mod sections;

pub use sections::*;

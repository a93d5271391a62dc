//! What can go wrong with a network of real nodes.

use std::io;
use std::path::PathBuf;

/// Why a network, or a node in it, did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum RegtestError {
    /// The nodes are built from source, and there is nothing to build with.
    #[error(
        "Go is needed to build btcd and LND, and `go version` does not run; install Go 1.25.10 \
         or newer, or name a folder with the four programs in {}",
        crate::binaries::GIVEN_FOLDER
    )]
    NoGo,
    /// The build ended without the programs.
    #[error("building btcd and LND failed; {log} ends with:\n{tail}")]
    Build {
        /// The whole output.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// The operating system refused.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// A program of the network ended by itself.
    #[error("{name} has died; {log} ends with:\n{tail}")]
    Died {
        /// Which one.
        name: String,
        /// Its output.
        log: PathBuf,
        /// The end of its output.
        tail: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not so after {seconds} s; last seen: {last}")]
    TooSlow {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was the case instead.
        last: String,
    },
    /// A node said no.
    #[error("{name} refuses `{command}`: {said}")]
    Refused {
        /// Which node.
        name: String,
        /// What it was asked.
        command: String,
        /// Its words.
        said: String,
    },
    /// A node's answer has not the form it should have.
    #[error("{name} answers `{command}` without {missing}: {said}")]
    Unreadable {
        /// Which node.
        name: String,
        /// What it was asked.
        command: String,
        /// What was looked for.
        missing: String,
        /// The answer.
        said: String,
    },
    /// There is no network to talk to.
    #[error("no network runs in {}: start it with `up`", .0.display())]
    NotUp(PathBuf),
    /// Starting a second network in the same folder would break the first.
    #[error("a network runs in {} already: end it with `down`", .0.display())]
    AlreadyUp(PathBuf),
    /// Nothing is deleted that no network has written.
    #[error("{} is not the folder of a network; name an empty or a new one", .0.display())]
    ForeignFolder(PathBuf),
    /// Nobody of this name is in the network.
    #[error("there is no node {0}: seller, operator and buyer are there")]
    NoSuchNode(String),
    /// No range of ports is free.
    #[error("no free range of {0} ports was found")]
    NoPorts(u16),
}

impl RegtestError {
    pub(crate) fn system(what: impl Into<String>) -> impl Fn(io::Error) -> RegtestError {
        let what = what.into();
        move |source| RegtestError::System {
            what: what.clone(),
            source,
        }
    }
}

/// What everything here returns.
pub type Result<T> = std::result::Result<T, RegtestError>;

//! What happened, as a hash, and in words for whoever follows one seed.

use std::fmt::Debug;

use sha2::{Digest, Sha256};

/// Takes down everything that goes in and comes out.
pub(crate) struct Trace {
    hash: Sha256,
    show: Option<fn(&str)>,
}

/// Characters of a line that are shown.
const SHOWN: usize = 40_000;

impl Trace {
    pub(crate) fn new(show: Option<fn(&str)>) -> Trace {
        Trace {
            hash: Sha256::new(),
            show,
        }
    }

    pub(crate) fn note(&mut self, what: &str, detail: &dyn Debug) {
        let line = format!("{what} {detail:?}");
        self.hash.update(&line);
        if let Some(show) = self.show {
            show(&line.chars().take(SHOWN).collect::<String>());
        }
    }

    pub(crate) fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

//! Trade keys of living orders, solvers and the node, as of the last commit
//! (rules Y3, D9).

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use nostr::key::PublicKey;

/// A set that the writer keeps and everybody may ask.
#[derive(Clone, Debug, Default)]
pub struct KnownKeys(Arc<RwLock<HashSet<PublicKey>>>);

impl KnownKeys {
    /// Whether the key is one of them.
    #[must_use]
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(key)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets all and knows these.
    pub(crate) fn replace(&self, keys: impl IntoIterator<Item = PublicKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.into_iter().collect();
    }

    /// Takes over what a commit changed: keys, each with whether it lives.
    pub(crate) fn apply(&self, changes: impl IntoIterator<Item = (PublicKey, bool)>) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, lives) in changes {
            if lives {
                keys.insert(key);
            } else {
                keys.remove(&key);
            }
        }
    }
}

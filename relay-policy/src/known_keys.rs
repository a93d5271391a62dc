//! Who the node already knows.

use std::collections::BTreeSet;

use nostr::key::PublicKey;

/// Answers whether a key takes part in something the node is busy with.
///
/// Known keys are spared the work of a first contact (rule Y3).
pub trait KnownKeys: Send + Sync {
    /// Tells whether the node knows this key.
    fn knows(&self, key: &PublicKey) -> bool;
}

impl KnownKeys for BTreeSet<PublicKey> {
    fn knows(&self, key: &PublicKey) -> bool {
        self.contains(key)
    }
}

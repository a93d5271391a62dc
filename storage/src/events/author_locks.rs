//! One lock per author, more or less.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use nostr::key::PublicKey;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A power of two, so that a stripe is picked by masking.
const STRIPES: usize = 1_024;

/// Keeps a save that must look before it writes apart from other saves of its author.
///
/// Authors share a fixed number of locks; which ones is not for a stranger to foresee.
#[derive(Debug)]
pub(super) struct AuthorLocks {
    stripes: Vec<RwLock<()>>,
    hasher: RandomState,
}

impl AuthorLocks {
    pub(super) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| RwLock::new(())).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Waits for the right to save beside other saves of this author.
    pub(super) async fn share(&self, author: &PublicKey) -> RwLockReadGuard<'_, ()> {
        self.stripe(author).read().await
    }

    /// Waits for the right to be the only writer of this author's events.
    pub(super) async fn claim(&self, author: &PublicKey) -> RwLockWriteGuard<'_, ()> {
        self.stripe(author).write().await
    }

    fn stripe(&self, author: &PublicKey) -> &RwLock<()> {
        let hash = self.hasher.hash_one(author.as_bytes()).to_le_bytes();
        let index = usize::from(u16::from_le_bytes([hash[0], hash[1]])) % STRIPES;
        self.stripes
            .get(index)
            .expect("an index below the number of stripes")
    }
}

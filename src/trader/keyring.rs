//! A trader's keys: one identity, and a fresh key for each trade.

use nostr::key::{Keys, SecretKey};
use sha2::{Digest, Sha256};

/// All keys of a trader, derived from one seed, so that he can come back.
#[derive(Clone)]
pub struct Keyring {
    seed: [u8; 32],
}

impl Keyring {
    /// The keys that follow from a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Keyring {
        Keyring { seed }
    }

    /// Who the trader is: what his reputation belongs to.
    #[must_use]
    pub fn identity(&self) -> Keys {
        self.derive(0)
    }

    /// The key of the trade with this index, from 1 on.
    #[must_use]
    pub fn trade(&self, index: u32) -> Keys {
        self.derive(index)
    }

    fn derive(&self, index: u32) -> Keys {
        let digest = Sha256::new()
            .chain_update(b"trader")
            .chain_update(self.seed)
            .chain_update(index.to_be_bytes())
            .finalize();
        let secret = SecretKey::from_slice(&digest)
            .expect("a hash is outside the group's order once in 2^128");
        Keys::new(secret)
    }
}

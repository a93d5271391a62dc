//! Fresh names, hashes and nonces, from one generator that can be seeded.

use escrow_core::wire::Seed;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use uuid::{Builder, Uuid};

/// The engine's only source of randomness. The same seed gives the same run.
#[derive(Debug)]
pub struct Entropy(ChaCha20Rng);

impl Entropy {
    /// Seeds from the operating system.
    #[must_use]
    pub fn from_os() -> Entropy {
        Entropy(ChaCha20Rng::from_os_rng())
    }

    /// Seeds from a number, for runs that must repeat.
    #[must_use]
    pub fn seeded(seed: u64) -> Entropy {
        Entropy(ChaCha20Rng::seed_from_u64(seed))
    }

    /// A random (version 4) name.
    pub fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid()
    }

    /// What one sealed message draws its nonces and keys from.
    pub fn seed(&mut self) -> Seed {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        Seed(bytes)
    }
}

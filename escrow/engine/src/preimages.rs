//! Preimages of holds, derived and never stored.
//!
//! They come from the independent `secret` of the data directory and the
//! hold's id, so a lost row can still be settled and a changed node key
//! strands nothing.

use escrow_core::facts::FreshHold;
use escrow_core::hold::HoldId;
use escrow_lightning::Preimage;
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

/// Derives preimages; its `Debug` shows nothing.
pub struct Preimages(SecretBox<[u8; 32]>);

impl Preimages {
    /// Takes the secret of the data directory.
    #[must_use]
    pub fn new(secret: SecretBox<[u8; 32]>) -> Preimages {
        Preimages(secret)
    }

    /// The preimage of a hold: HKDF-SHA256(secret, "hold" ‖ id).
    ///
    /// # Panics
    /// Never: 32 bytes are far below the longest HKDF output.
    #[must_use]
    pub fn of(&self, hold: HoldId) -> Preimage {
        let mut bytes = [0; 32];
        Hkdf::<Sha256>::new(None, self.0.expose_secret())
            .expand_multi_info(&[b"hold", hold.0.as_bytes()], &mut bytes)
            .expect("32 bytes are far below the longest HKDF output");
        Preimage::new(bytes)
    }

    /// A hold with this name and the hash of its preimage.
    #[must_use]
    pub fn fresh_hold(&self, id: HoldId) -> FreshHold {
        FreshHold {
            id,
            hash: self.of(id).hash(),
        }
    }
}

impl std::fmt::Debug for Preimages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Preimages([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_preimage_depends_on_secret_and_hold_alone() {
        let derive = |secret: u8, hold: u128| {
            let preimages = Preimages::new(SecretBox::new(Box::new([secret; 32])));
            preimages.fresh_hold(HoldId(Uuid::from_u128(hold))).hash
        };
        assert_eq!(derive(1, 1), derive(1, 1));
        assert_ne!(derive(1, 1), derive(2, 1));
        assert_ne!(derive(1, 1), derive(1, 2));
    }
}

//! Money as integers: sats, millisats and whole units of a fiat currency.
//!
//! Every sum is checked. The shares that settings give as floats meet money
//! in [`crate::fees`] alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whole satoshis.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Sats(pub u64);

/// Millisatoshis.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Msat(pub u64);

/// Whole units of the order's fiat currency.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fiat(pub u64);

impl Sats {
    /// Adds, or says that the sum does not fit.
    #[must_use]
    pub fn checked_add(self, other: Sats) -> Option<Sats> {
        self.0.checked_add(other.0).map(Sats)
    }

    /// Subtracts, or says that the difference would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Sats) -> Option<Sats> {
        self.0.checked_sub(other.0).map(Sats)
    }

    /// The same amount in millisats, if it fits.
    #[must_use]
    pub fn to_msat(self) -> Option<Msat> {
        self.0.checked_mul(1_000).map(Msat)
    }
}

impl Msat {
    /// Adds, or says that the sum does not fit.
    #[must_use]
    pub fn checked_add(self, other: Msat) -> Option<Msat> {
        self.0.checked_add(other.0).map(Msat)
    }

    /// Subtracts, or says that the difference would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Msat) -> Option<Msat> {
        self.0.checked_sub(other.0).map(Msat)
    }

    /// Whole sats, the rest cut off.
    #[must_use]
    pub fn whole_sats(self) -> Sats {
        Sats(self.0 / 1_000)
    }
}

impl fmt::Display for Sats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sat", self.0)
    }
}

impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}

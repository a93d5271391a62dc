//! What is kept of a person who trades with reputation.

use serde::{Deserialize, Serialize};

use crate::party::TradeIndex;
use crate::time::UnixTime;

/// One identity (rules G18, K5–K7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Commit of the first accepted order or take.
    pub first_seen: UnixTime,
    /// Highest trade index used; never falls.
    pub last_index: TradeIndex,
    /// The votes about this person.
    pub rating: Rating,
}

/// Aggregate of the votes about one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// How many votes.
    pub reviews: u32,
    /// The running value that is shown, 0 … 5.
    pub total: f64,
    /// The last vote.
    pub last: u8,
    /// The lowest vote.
    pub min: u8,
    /// The highest vote.
    pub max: u8,
}

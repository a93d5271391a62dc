//! The reputation of a trader: kind 38384.

use nostr::event::Tag;
use nostr::key::PublicKey;

use super::tags::{expiration, tag};
use crate::time::UnixTime;

/// Kind of a trader's reputation.
pub const RATING: u16 = 38_384;

/// A trader's reputation after he was rated.
#[derive(Clone, Debug, PartialEq)]
pub struct RatingEvent {
    /// The trade key that was rated.
    pub rated: PublicKey,
    /// When relays may drop it.
    pub expiration: UnixTime,
    /// Number of ratings.
    pub total_reviews: u64,
    /// Mean of the stars.
    pub total_rating: f64,
    /// The last stars.
    pub last_rating: u8,
    /// The most stars.
    pub max_rate: u8,
    /// The fewest stars.
    pub min_rate: u8,
    /// Day of the first trade, unix seconds at 0:00 UTC; left out when unknown.
    pub since: Option<u64>,
    /// Days since the first trade.
    pub days: u64,
}

impl RatingEvent {
    /// The tags; the content is empty. The mean is a plain number: `2.5`, `5`.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            tag("d", [self.rated.to_hex()]),
            expiration(self.expiration),
            tag("total_reviews", [self.total_reviews]),
            tag("total_rating", [self.total_rating]),
            tag("last_rating", [self.last_rating]),
            tag("max_rate", [self.max_rate]),
            tag("min_rate", [self.min_rate]),
        ];
        tags.extend(self.since.map(|since| tag("since", [since])));
        tags.extend([tag("z", ["rating"]), tag("days", [self.days])]);
        tags
    }
}

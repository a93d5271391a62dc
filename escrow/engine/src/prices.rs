//! The seam to whoever knows prices; the sources themselves are the node's.

use std::fmt::Debug;

use escrow_core::UnixTime;
use escrow_core::price::PriceAnswer;

/// Where market prices are read, in the middle of a step: an answer comes from
/// memory, at once.
pub trait PriceBoard: Debug + Send + Sync {
    /// What a bitcoin costs at `now` in the currency `code`, such as `EUR`.
    fn price(&self, code: &str, now: UnixTime) -> PriceAnswer;
}

/// The board of a node without market prices: it knows no currency at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrices;

impl PriceBoard for NoPrices {
    fn price(&self, _code: &str, _now: UnixTime) -> PriceAnswer {
        PriceAnswer::Unknown
    }
}

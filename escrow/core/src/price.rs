//! What one bitcoin costs, as far as the node knows.

/// The answer to "what does a bitcoin cost in this currency?" (rule Q12).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PriceAnswer {
    /// Units of the currency per bitcoin: fresh, finite and above zero.
    Served(f64),
    /// The currency is known but its price too old, or no source has been asked
    /// yet: the sender is told `price_too_stale`.
    Stale,
    /// No source and no kept price knows the currency: the sender is told
    /// `invalid_fiat_currency`.
    Unknown,
}

//! Prices as the settings say: for a box whose money is simulated (rule Q11).

use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;

use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// A table that never changes.
#[derive(Clone, Debug)]
pub struct FixedTable(Quotes);

impl FixedTable {
    /// The table of these codes, in units per bitcoin.
    #[must_use]
    pub fn new(rates: &[(String, f64)]) -> FixedTable {
        let mut quotes = Quotes::default();
        for (code, units) in rates {
            quotes.take(code, *units);
        }
        FixedTable(quotes)
    }
}

#[async_trait]
impl PriceSource for FixedTable {
    fn id(&self) -> SourceId {
        SourceId::Fixed
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn ask(&self, _now: UnixTime) -> Result<Answer, SourceError> {
        Ok(Answer::Observed(self.0.clone()))
    }
}

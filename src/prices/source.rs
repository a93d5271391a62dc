//! What a source of prices is, and what it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use serde::{Deserialize, Serialize};

use super::currency::{Currency, Scope};

/// The sources, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceId {
    /// blockchain.info.
    Blockchain,
    /// `CoinGecko`.
    Coingecko,
    /// The currency files of fawazahmed0.
    CurrencyApi,
    /// El Toque, the street of Cuba.
    Eltoque,
    /// The table in the settings; only with simulated Lightning.
    Fixed,
    /// What trusted nodes publish.
    Nostr,
    /// No source: an asset is worth what it is pegged to.
    Pegged,
    /// Yadio.
    Yadio,
}

impl SourceId {
    /// Its name in the settings, and in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SourceId::Blockchain => "blockchain",
            SourceId::Coingecko => "coingecko",
            SourceId::CurrencyApi => "currency_api",
            SourceId::Eltoque => "eltoque",
            SourceId::Fixed => "fixed",
            SourceId::Nostr => "nostr",
            SourceId::Pegged => "pegged",
            SourceId::Yadio => "yadio",
        }
    }
}

/// Somebody who can be asked for prices.
#[async_trait]
pub trait PriceSource: Send + Sync {
    /// Who it is.
    fn id(&self) -> SourceId;

    /// The longest that a whole answer may take (rule Q1).
    fn patience(&self) -> Duration;

    /// Asks once.
    ///
    /// # Errors
    /// Why there is no answer; half an answer is none. The next round tries again.
    async fn ask(&self, now: UnixTime) -> Result<Answer, SourceError>;
}

/// What a source has answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It looked at a market.
    Observed(Quotes),
    /// It passed on what another node had combined (rule Q4).
    Relayed {
        /// What that was.
        quotes: Quotes,
        /// When that node said it.
        said_at: UnixTime,
    },
}

/// Prices as a source gives them: finite, above zero, of known currencies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotes {
    /// Units of the currency per bitcoin.
    pub per_bitcoin: BTreeMap<Currency, f64>,
    /// Units of the second currency per unit of the first.
    pub per_base: BTreeMap<(Currency, Currency), f64>,
}

impl Quotes {
    /// Takes one price per bitcoin, if it can be believed (rule Q2).
    pub fn take(&mut self, code: &str, units: f64) {
        let currency = Currency::fiat(&code.to_ascii_uppercase());
        if let Some(currency) = currency.filter(|_| is_price(units)) {
            self.per_bitcoin.insert(currency, units);
        }
    }

    /// Takes one price per unit of `base`, if it can be believed.
    pub fn take_per(&mut self, base: Currency, code: &str, units: f64) {
        let currency = Currency::fiat(&code.to_ascii_uppercase());
        if let Some(currency) = currency.filter(|_| is_price(units)) {
            self.per_base.insert((base, currency), units);
        }
    }

    /// How many prices these are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.per_bitcoin.len() + self.per_base.len()
    }

    pub(super) fn narrow(&mut self, scope: &Scope) {
        self.per_bitcoin
            .retain(|currency, _| scope.includes(*currency));
        self.per_base
            .retain(|(_, currency), _| scope.includes(*currency));
    }
}

impl Answer {
    pub(super) fn quotes_mut(&mut self) -> &mut Quotes {
        match self {
            Answer::Observed(quotes) | Answer::Relayed { quotes, .. } => quotes,
        }
    }

    pub(super) fn quotes(&self) -> &Quotes {
        match self {
            Answer::Observed(quotes) | Answer::Relayed { quotes, .. } => quotes,
        }
    }
}

/// Why a source gave no prices. None of them shows a key or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It took too long.
    #[error("took too long")]
    Late,
    /// No connection, or one that broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Another status than success; redirects are not followed.
    #[error("answered with status {0}")]
    Status(u16),
    /// Its answer does not end where it should.
    #[error("sent more than {0} bytes")]
    TooLarge(usize),
    /// Its answer is not what it is known to send.
    #[error("sent something else than prices: {0}")]
    Unreadable(String),
    /// Its answer is readable, and says nothing about any currency it is asked for.
    #[error("gave no price that it is asked for")]
    Nothing,
}

/// Whether a number can be a price.
pub(super) fn is_price(units: f64) -> bool {
    units.is_finite() && units > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q2_only_believable_prices_of_known_money_are_taken() {
        let mut quotes = Quotes::default();
        for (code, units) in [
            ("usd", 50_000.0),
            ("EUR", 0.0),
            ("ARS", -1.0),
            ("GBP", f64::NAN),
            ("JPY", f64::INFINITY),
            ("XAU", 20.0),
            ("ETH", 20.0),
            ("BTC", 1.0),
            ("USDT", 50_000.0),
            ("VEF", 1e12),
        ] {
            quotes.take(code, units);
            quotes.take_per(Currency::USD, code, units);
        }
        assert_eq!(quotes.count(), 2, "{quotes:?}");
        assert_eq!(quotes.per_bitcoin[&Currency::USD].to_string(), "50000");
    }

    #[test]
    fn q2_a_source_gives_what_its_scope_includes() {
        let mut quotes = Quotes::default();
        quotes.take("USD", 50_000.0);
        quotes.take("CUP", 1.2e6);
        quotes.take_per(Currency::USD, "CUP", 24.0);
        quotes.narrow(&Scope::Except(vec!["CUP".to_owned()]));
        assert_eq!(quotes.count(), 1, "{quotes:?}");
    }
}

//! The currencies that prices are kept in.

use std::fmt;

/// What sources may be believed about: ISO 4217 without funds, metals and test
/// codes, and five codes of the street that sources use. Sorted.
const FIAT: [&str; 162] = [
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT",
    "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD",
    "CDF", "CHF", "CLP", "CNY", "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD",
    "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GGP", "GHS", "GIP", "GMD", "GNF",
    "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "IMP", "INR", "IQD", "IRR", "IRT",
    "ISK", "JEP", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD",
    "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MLC", "MMK",
    "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK",
    "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD",
    "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP",
    "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS",
    "UAH", "UGX", "USD", "UYU", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XCG",
    "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG",
];

/// Assets that follow the dollar (rule Q13).
const LIKE_DOLLAR: [&str; 3] = ["DOC", "USDC", "USDT"];

/// Assets that follow bitcoin; their amounts are sats of the asset.
const LIKE_BITCOIN: [&str; 3] = ["BTC", "LBTC", "RBTC"];

/// Units of an asset of [`LIKE_BITCOIN`] per bitcoin.
const SATS_PER_BITCOIN: f64 = 100_000_000.0;

/// A currency or pegged asset that the node knows by its code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static str);

/// What an asset is as good as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Peg {
    /// One unit is one dollar.
    Dollar,
    /// So many units are one bitcoin.
    Bitcoin { units: f64 },
}

impl Currency {
    /// The dollar, which other prices are derived from.
    pub const USD: Currency = Currency("USD");

    /// The currency or pegged asset of this code, in capitals.
    #[must_use]
    pub fn known(code: &str) -> Option<Currency> {
        Currency::fiat(code).or_else(|| Currency::pegged(code))
    }

    /// The money of a state, or of a street, with this code; a pegged asset is
    /// none, whoever quotes it (rule Q2).
    #[must_use]
    pub fn fiat(code: &str) -> Option<Currency> {
        let at = FIAT.binary_search(&code).ok()?;
        FIAT.get(at).copied().map(Currency)
    }

    /// The pegged asset with this code.
    #[must_use]
    pub fn pegged(code: &str) -> Option<Currency> {
        Currency::all_pegged().find(|asset| asset.0 == code)
    }

    /// All money.
    pub fn all_fiat() -> impl Iterator<Item = Currency> {
        FIAT.into_iter().map(Currency)
    }

    /// All pegged assets.
    pub fn all_pegged() -> impl Iterator<Item = Currency> {
        LIKE_DOLLAR.into_iter().chain(LIKE_BITCOIN).map(Currency)
    }

    /// Its code, such as `EUR`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0
    }

    pub(super) fn peg(self) -> Option<Peg> {
        if LIKE_DOLLAR.contains(&self.0) {
            Some(Peg::Dollar)
        } else {
            let units = SATS_PER_BITCOIN;
            let follows = LIKE_BITCOIN.contains(&self.0);
            follows.then_some(Peg::Bitcoin { units })
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// The currencies a source is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Whatever it has.
    #[default]
    All,
    /// These.
    Only(Vec<String>),
    /// All others.
    Except(Vec<String>),
}

impl Scope {
    /// Whether a source with this scope is asked for it.
    #[must_use]
    pub fn includes(&self, currency: Currency) -> bool {
        let names = |codes: &[String]| codes.iter().any(|code| code == currency.code());
        match self {
            Scope::All => true,
            Scope::Only(codes) => names(codes),
            Scope::Except(codes) => !names(codes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q2_money_is_known_and_metals_coins_and_dead_money_are_not() {
        assert!(FIAT.is_sorted(), "or nothing is found");
        for code in [
            "USD", "EUR", "ARS", "IRT", "GGP", "IMP", "JEP", "MLC", "CUP",
        ] {
            assert_eq!(Currency::fiat(code).map(Currency::code), Some(code));
        }
        for code in [
            "VEF", "XAU", "XAG", "XDR", "ETH", "BTC", "USDT", "usd", "", "US",
        ] {
            assert_eq!(Currency::fiat(code), None, "{code}");
        }
    }

    #[test]
    fn q2_pegged_codes_are_taken_from_the_peg_alone() {
        let codes: Vec<_> = Currency::all_pegged().map(Currency::code).collect();
        assert_eq!(codes, ["DOC", "USDC", "USDT", "BTC", "LBTC", "RBTC"]);
        for code in codes {
            assert_eq!(Currency::fiat(code), None);
            assert!(Currency::known(code).unwrap().peg().is_some());
        }
        assert_eq!(Currency::USD.peg(), None);
    }

    #[test]
    fn a_scope_includes_what_it_names_or_does_not_except() {
        let cup = Currency::fiat("CUP").unwrap();
        let codes = || vec!["CUP".to_owned()];
        let table = [
            (Scope::All, true, true),
            (Scope::Only(codes()), true, false),
            (Scope::Except(codes()), false, true),
        ];
        for (scope, has_cup, has_usd) in table {
            let found = (scope.includes(cup), scope.includes(Currency::USD));
            assert_eq!(found, (has_cup, has_usd), "{scope:?}");
        }
    }
}

//! What a bitcoin costs, as one node tells others: kind 30078.

use std::collections::BTreeMap;

use nostr::event::Tag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tags::{expiration, tag};
use crate::time::UnixTime;

/// Kind of the prices; others use it for all kinds of things.
pub const RATES: u16 = 30_078;
/// The `d` value by which prices are found among them.
pub const RATES_NAME: &str = "mostro-rates";

/// The prices of a node at one moment (rule Q9).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RatesEvent {
    /// When they were true.
    pub published_at: UnixTime,
    /// When they are worth nothing any more.
    pub expiration: UnixTime,
    /// Names of the sources they were made of, sorted.
    pub sources: Vec<&'static str>,
    /// Units of each currency per bitcoin, all of them finite.
    pub per_bitcoin: BTreeMap<String, f64>,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "BTC")]
    per_bitcoin: &'a BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Read {
    #[serde(rename = "BTC")]
    per_bitcoin: BTreeMap<String, Value>,
}

impl RatesEvent {
    /// The tags.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        vec![
            tag("d", [RATES_NAME]),
            tag("published_at", [self.published_at.0]),
            tag("source", [self.sources.join(",")]),
            expiration(self.expiration),
        ]
    }

    /// The content.
    ///
    /// # Panics
    ///
    /// Never: codes and numbers can always be written.
    #[must_use]
    pub fn content(&self) -> String {
        let written = Written {
            per_bitcoin: &self.per_bitcoin,
        };
        serde_json::to_string(&written).expect("codes and numbers can always be written")
    }
}

/// Reads the content of such an event: codes and units per bitcoin, as they
/// were written; what is no number is left out. None if it is something else.
#[must_use]
pub fn read_rates(content: &str) -> Option<Vec<(String, f64)>> {
    let read: Read = serde_json::from_str(content).ok()?;
    let number = |(code, value): (String, Value)| value.as_f64().map(|units| (code, units));
    Some(read.per_bitcoin.into_iter().filter_map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a node of version 0.20.2 has published it.
    const TAGS: &str = r#"[["d","mostro-rates"],["published_at","1795199371"],["source","yadio"],["expiration","1795199971"]]"#;
    const CONTENT: &str =
        r#"{"BTC":{"EUR":45000.0,"USD":50000.0,"ARS":50000000.0,"CUP":20000000.0}}"#;

    fn rates() -> RatesEvent {
        let prices = [
            ("ARS", 5e7),
            ("CUP", 2e7),
            ("EUR", 45_000.0),
            ("USD", 50_000.0),
        ];
        RatesEvent {
            published_at: UnixTime(1_795_199_371),
            expiration: UnixTime(1_795_199_971),
            sources: vec!["yadio"],
            per_bitcoin: prices.map(|(code, units)| (code.to_owned(), units)).into(),
        }
    }

    #[test]
    fn q9_rates_are_written_as_recorded() {
        let rates = rates();
        assert_eq!(serde_json::to_string(&rates.tags()).unwrap(), TAGS);
        // The recorded codes stand in the order of chance.
        let sorted = r#"{"BTC":{"ARS":50000000.0,"CUP":20000000.0,"EUR":45000.0,"USD":50000.0}}"#;
        assert_eq!(rates.content(), sorted);
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&rates.content()), value(CONTENT));
        let several = RatesEvent {
            sources: vec!["coingecko", "yadio"],
            ..rates
        };
        assert_eq!(several.tags()[2].as_slice(), ["source", "coingecko,yadio"]);
    }

    #[test]
    fn q9_recorded_rates_are_read() {
        let read: BTreeMap<_, _> = read_rates(CONTENT).unwrap().into_iter().collect();
        assert_eq!(read, rates().per_bitcoin);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_what_is_no_rates_is_not_read() {
        let read = read_rates(r#"{"BTC":{"USD":5,"EUR":null,"ARS":"7"},"at":1}"#);
        assert_eq!(read, Some(vec![("USD".to_owned(), 5.0)]));
        for content in ["", "[]", "{}", r#"{"USD":5}"#, r#"{"BTC":{"USD":1e999}}"#] {
            assert_eq!(read_rates(content), None, "{content}");
        }
    }
}

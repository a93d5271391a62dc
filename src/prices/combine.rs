//! One price out of many, without clock or network.
//!
//! The order of belief (rules Q3, Q4): what a source says of the bitcoin
//! market; what it says of another market, through the price of that one; and
//! only where nobody says anything, what a trusted node has combined.

use std::collections::BTreeMap;

use escrow_core::UnixTime;

use super::currency::Currency;
use super::source::{Answer, Quotes, SourceId, is_price};

/// One source's word about one currency, in units per bitcoin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Word {
    /// Whose.
    pub source: SourceId,
    /// Units per bitcoin.
    pub units: f64,
}

/// What the words about a currency come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreed {
    /// Units per bitcoin.
    pub units: f64,
    /// The words it was made of.
    pub kept: Vec<Word>,
    /// The words too far from the others.
    pub cut: Vec<Word>,
}

/// A price as one round found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What was agreed.
    pub agreed: Agreed,
    /// When another node said it, if it rests on that, alone or as anchor.
    pub relayed_at: Option<UnixTime>,
}

/// The prices in the answers of one round.
#[must_use]
pub fn combine(
    answers: &BTreeMap<SourceId, Answer>,
    outlier_threshold_pct: f64,
) -> BTreeMap<Currency, Found> {
    let mut observed = Vec::new();
    let mut relayed = Vec::new();
    for (source, answer) in answers {
        match answer {
            Answer::Observed(quotes) => observed.push((*source, quotes)),
            Answer::Relayed { quotes, said_at } => relayed.push((*source, quotes, *said_at)),
        }
    }
    let agreed = |words: &Words| -> BTreeMap<Currency, Agreed> {
        let agree = |(currency, words): (&Currency, &Vec<Word>)| {
            agree(words, outlier_threshold_pct).map(|agreed| (*currency, agreed))
        };
        words.iter().filter_map(agree).collect()
    };

    let mut words = direct(&observed);
    let anchors = agreed(&words);
    let anchor = |base: Currency| anchors.get(&base).map(|agreed| agreed.units);
    derive(&mut words, &observed, anchor);
    let mut found = BTreeMap::new();
    add(&mut found, agreed(&words), None);
    for (source, quotes, said_at) in relayed {
        let anchor = |base: Currency| quotes.per_bitcoin.get(&base).copied();
        let mut through = Words::new();
        derive(&mut through, &observed, anchor);
        add(&mut found, agreed(&through), Some(said_at));
        let alone = direct(&[(source, quotes)]);
        add(&mut found, agreed(&alone), Some(said_at));
    }
    found
}

/// What is agreed among words about one currency (rule Q5); none among none.
#[must_use]
pub fn agree(words: &[Word], outlier_threshold_pct: f64) -> Option<Agreed> {
    let all = |units| Agreed {
        units,
        kept: words.to_vec(),
        cut: Vec::new(),
    };
    match words {
        [] => None,
        [only] => Some(all(only.units)),
        [_, _] => Some(all(mean(words))),
        _ => {
            let median = median(words);
            let margin = median * outlier_threshold_pct / 100.0;
            let is_near = |word: &Word| (word.units - median).abs() <= margin;
            let (kept, cut): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_near(word));
            // In an even field the median may stand alone between two camps.
            if kept.is_empty() {
                return Some(all(median));
            }
            let units = mean(&kept);
            Some(Agreed { units, kept, cut })
        }
    }
}

type Words = BTreeMap<Currency, Vec<Word>>;

fn direct(answers: &[(SourceId, &Quotes)]) -> Words {
    let mut words = Words::new();
    for (source, quotes) in answers {
        for (currency, units) in &quotes.per_bitcoin {
            let word = Word {
                source: *source,
                units: *units,
            };
            words.entry(*currency).or_default().push(word);
        }
    }
    words
}

/// Adds what can be said through the price of another currency.
fn derive(
    words: &mut Words,
    answers: &[(SourceId, &Quotes)],
    anchor: impl Fn(Currency) -> Option<f64>,
) {
    for (source, quotes) in answers {
        for ((base, currency), per_base) in &quotes.per_base {
            let units = anchor(*base).map(|units| units * per_base);
            if let Some(units) = units.filter(|units| is_price(*units)) {
                let word = Word {
                    source: *source,
                    units,
                };
                words.entry(*currency).or_default().push(word);
            }
        }
    }
}

/// Adds prices of currencies that nobody more trustworthy has given.
fn add(
    found: &mut BTreeMap<Currency, Found>,
    agreed: BTreeMap<Currency, Agreed>,
    relayed_at: Option<UnixTime>,
) {
    for (currency, agreed) in agreed {
        // A sum of giants can be more than a number holds.
        if is_price(agreed.units) {
            found
                .entry(currency)
                .or_insert(Found { agreed, relayed_at });
        }
    }
}

fn mean(words: &[Word]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are eight sources")]
    let count = words.len() as f64;
    words.iter().map(|word| word.units).sum::<f64>() / count
}

fn median(words: &[Word]) -> f64 {
    let mut units: Vec<_> = words.iter().map(|word| word.units).collect();
    units.sort_by(f64::total_cmp);
    let middle = units.len() / 2;
    let at = |index: usize| units.get(index).copied().unwrap_or_default();
    if units.len().is_multiple_of(2) {
        f64::midpoint(at(middle - 1), at(middle))
    } else {
        at(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YADIO: SourceId = SourceId::Yadio;
    const GECKO: SourceId = SourceId::Coingecko;
    const TOQUE: SourceId = SourceId::Eltoque;
    const NOSTR: SourceId = SourceId::Nostr;
    const SAID_AT: UnixTime = UnixTime(700);

    fn quotes(prices: &[(&str, f64)]) -> Quotes {
        let mut quotes = Quotes::default();
        for (code, units) in prices {
            quotes.take(code, *units);
        }
        quotes
    }

    fn per_dollar(prices: &[(&str, f64)]) -> Answer {
        let mut quotes = Quotes::default();
        for (code, units) in prices {
            quotes.take_per(Currency::USD, code, *units);
        }
        Answer::Observed(quotes)
    }

    fn relayed(prices: &[(&str, f64)]) -> Answer {
        Answer::Relayed {
            quotes: quotes(prices),
            said_at: SAID_AT,
        }
    }

    /// The prices of a round, and whether each rests on what was relayed.
    fn combined<const N: usize>(
        answers: [(SourceId, Answer); N],
    ) -> Vec<(&'static str, f64, bool)> {
        combine(&answers.into(), 5.0)
            .into_iter()
            .map(|(currency, found)| {
                (
                    currency.code(),
                    found.agreed.units,
                    found.relayed_at.is_some(),
                )
            })
            .collect()
    }

    fn agreed(units: &[f64], threshold_pct: f64) -> Option<(f64, usize)> {
        let words: Vec<_> = units
            .iter()
            .map(|units| Word {
                source: YADIO,
                units: *units,
            })
            .collect();
        agree(&words, threshold_pct).map(|agreed| (agreed.units, agreed.cut.len()))
    }

    #[test]
    fn q5_the_price_is_one_a_mean_or_the_mean_of_those_near_the_median() {
        let table = [
            (&[][..], None),
            (&[50_000.0], Some((50_000.0, 0))),
            (&[50_000.0, 52_000.0], Some((51_000.0, 0))),
            // Two may differ by as much as they like.
            (&[1.0, 3.0], Some((2.0, 0))),
            (&[100.0, 101.0, 102.0], Some((101.0, 0))),
            (&[100.0, 101.0, 200.0], Some((100.5, 1))),
            // Exactly at the threshold is within it.
            (&[95.0, 100.0, 105.0], Some((100.0, 0))),
            (&[94.9, 100.0, 105.1], Some((100.0, 2))),
            // A wide even field: nobody is near its median.
            (&[100.0, 100.0, 200.0, 200.0], Some((150.0, 0))),
        ];
        for (units, expected) in table {
            assert_eq!(agreed(units, 5.0), expected, "{units:?}");
        }
        assert_eq!(
            agreed(&[100.0, 101.0, 200.0], 100.0),
            Some((401.0 / 3.0, 0))
        );
    }

    #[test]
    fn q5_one_liar_among_three_moves_nothing() {
        for lie in [f64::MIN_POSITIVE, 1.0, 47_000.0, 53_000.0, 1e300, f64::MAX] {
            assert_eq!(agreed(&[50_000.0, lie, 50_000.0], 5.0), Some((50_000.0, 1)));
        }
    }

    #[test]
    fn q3_a_quote_in_dollars_goes_through_the_dollar_and_joins_the_others() {
        let found = combined([
            (
                YADIO,
                Answer::Observed(quotes(&[("USD", 50_000.0), ("CUP", 24e6)])),
            ),
            (GECKO, Answer::Observed(quotes(&[("USD", 52_000.0)]))),
            (TOQUE, per_dollar(&[("CUP", 500.0), ("MLC", 2.0)])),
        ]);
        let expected = [
            ("CUP", f64::midpoint(24e6, 51_000.0 * 500.0), false),
            ("MLC", 102_000.0, false),
            ("USD", 51_000.0, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn q3_without_its_anchor_a_quote_drops_out() {
        let found = combined([
            (YADIO, Answer::Observed(quotes(&[("EUR", 45_000.0)]))),
            (TOQUE, per_dollar(&[("CUP", 500.0)])),
        ]);
        assert_eq!(found, [("EUR", 45_000.0, false)]);
    }

    #[test]
    fn q4_what_was_relayed_serves_where_nobody_else_does_and_as_an_anchor() {
        let found = combined([
            (YADIO, Answer::Observed(quotes(&[("EUR", 45_000.0)]))),
            (TOQUE, per_dollar(&[("CUP", 500.0), ("EUR", 1.0)])),
            (
                NOSTR,
                relayed(&[("USD", 50_000.0), ("EUR", 1.0), ("CUP", 1.0), ("ARS", 5e7)]),
            ),
        ]);
        let expected = [
            ("ARS", 5e7, true),
            ("CUP", 25e6, true),
            ("EUR", 45_000.0, false),
            ("USD", 50_000.0, true),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn q4_what_was_relayed_is_as_old_as_its_event() {
        let answers = [
            (TOQUE, per_dollar(&[("CUP", 500.0)])),
            (NOSTR, relayed(&[("USD", 50_000.0)])),
        ];
        let found = combine(&answers.into(), 5.0);
        assert!(
            found
                .values()
                .all(|found| found.relayed_at == Some(SAID_AT)),
            "{found:?}"
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn q2_what_becomes_too_large_on_the_way_is_no_price() {
        let found = combined([
            (
                YADIO,
                Answer::Observed(quotes(&[("USD", 1e200), ("EUR", f64::MAX)])),
            ),
            (GECKO, Answer::Observed(quotes(&[("EUR", f64::MAX)]))),
            (TOQUE, per_dollar(&[("CUP", 1e200)])),
        ]);
        assert_eq!(found, [("USD", 1e200, false)]);
    }
}

//! What the operator should hear of once, and again only after it was well
//! (rule Q14).

use std::collections::BTreeSet;

use super::currency::Currency;

/// Currencies named in one line of the log.
const MOST_NAMED: usize = 10;

/// What was said, and still holds.
#[derive(Debug, Default)]
pub(super) struct Worries {
    is_lonely: bool,
    old: BTreeSet<Currency>,
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Worry {
    /// Of several sources at most one has answered.
    FewSources { living: usize, of: usize },
    /// These prices were not renewed.
    OldPrices(Vec<Currency>),
}

/// How a round has ended.
pub(super) struct Outcome {
    /// Sources that are asked.
    pub(super) sources: usize,
    /// Those of them that have answered.
    pub(super) living: usize,
    /// Prices that are older than they should be.
    pub(super) old: BTreeSet<Currency>,
}

impl Worries {
    /// What is new after a round.
    pub(super) fn news(&mut self, outcome: Outcome) -> Vec<Worry> {
        let Outcome {
            sources,
            living,
            old,
        } = outcome;
        let is_lonely = sources > 1 && living <= 1;
        let mut news = Vec::new();
        if is_lonely && !self.is_lonely {
            let of = sources;
            news.push(Worry::FewSources { living, of });
        }
        let newly_old: Vec<_> = old.difference(&self.old).copied().collect();
        if !newly_old.is_empty() {
            news.push(Worry::OldPrices(newly_old));
        }
        (self.is_lonely, self.old) = (is_lonely, old);
        news
    }
}

impl Worry {
    pub(super) fn say(&self) {
        match self {
            Worry::FewSources { living, of } => {
                tracing::warn!(living, of, "few sources of prices are left");
            }
            Worry::OldPrices(currencies) => {
                let named = currencies.iter().take(MOST_NAMED);
                let named: Vec<_> = named.map(|currency| currency.code()).collect();
                let (count, named) = (currencies.len(), named.join(" "));
                tracing::warn!(count, %named, "prices are not renewed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(sources: usize, living: usize, old: &[Currency]) -> Outcome {
        Outcome {
            sources,
            living,
            old: old.iter().copied().collect(),
        }
    }

    #[test]
    fn q14_the_last_source_is_told_once_and_again_after_it_was_well() {
        let mut worries = Worries::default();
        let mut news = |living| worries.news(outcome(3, living, &[]));
        let few = |living| vec![Worry::FewSources { living, of: 3 }];
        assert_eq!(news(2), []);
        assert_eq!(news(1), few(1));
        assert_eq!(news(0), [], "no news");
        assert_eq!(news(2), []);
        assert_eq!(news(0), few(0));
        assert_eq!(
            Worries::default().news(outcome(1, 1, &[])),
            [],
            "never had more"
        );
    }

    #[test]
    fn q14_an_old_price_is_told_once_and_again_after_it_was_well() {
        let (usd, eur) = (Currency::USD, Currency::fiat("EUR").unwrap());
        let mut worries = Worries::default();
        let mut news = |old: &[Currency]| worries.news(outcome(1, 1, old));
        assert_eq!(news(&[usd]), [Worry::OldPrices(vec![usd])]);
        assert_eq!(news(&[usd, eur]), [Worry::OldPrices(vec![eur])]);
        assert_eq!(news(&[usd, eur]), []);
        assert_eq!(news(&[eur]), []);
        assert_eq!(news(&[usd, eur]), [Worry::OldPrices(vec![usd])]);
    }
}

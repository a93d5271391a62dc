//! The prices as they stand: what the writer reads in the middle of a step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::price::PriceAnswer;
use escrow_engine::prices::PriceBoard;

use super::combine::{Found, Word};
use super::currency::{Currency, Peg, Scope};
use super::source::SourceId;
use super::status::SourceStatus;

/// So far ahead of the clock a price may seem to be observed: clocks are set.
const LEEWAY_SECS: u64 = 60;

/// A price, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Units of the currency per bitcoin.
    pub units: f64,
    /// When it was true.
    pub observed_at: UnixTime,
    /// The sources it was made of.
    pub sources: Vec<SourceId>,
    /// The words that were too far from the others.
    pub cut: Vec<Word>,
    /// Whether it rests on what another node said, alone or as anchor.
    pub is_relayed: bool,
}

/// The last good price of each currency; it never loses one, but for a newer.
pub type PriceList = BTreeMap<Currency, Price>;

/// Where prices are read; clones show the same board. Reading never waits.
#[derive(Clone, Debug)]
pub struct Board {
    shown: Arc<RwLock<Arc<Shown>>>,
    max_age: Duration,
}

/// What stands on the board.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) prices: PriceList,
    /// When the last round ended, in this process.
    pub(super) asked_at: Option<UnixTime>,
    /// What sources that have never answered may yet know.
    pub(super) awaited: BTreeSet<Currency>,
    pub(super) sources: Vec<SourceStatus>,
}

impl Board {
    /// A board before the first round, with what was kept; a price older than
    /// `max_age` is not served.
    #[must_use]
    pub fn new(kept: PriceList, max_age: Duration) -> Board {
        let shown = Shown {
            prices: kept,
            ..Shown::default()
        };
        Board {
            shown: Arc::new(RwLock::new(Arc::new(shown))),
            max_age,
        }
    }

    pub(super) fn shown(&self) -> Arc<Shown> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&shown)
    }

    pub(super) fn show(&self, shown: Shown) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }

    /// Whether a price of this age is served (rule Q7).
    pub(super) fn is_fresh(&self, observed_at: UnixTime, now: UnixTime) -> bool {
        now.secs_since(observed_at) <= self.max_age.as_secs() && !is_ahead(observed_at, now)
    }
}

impl PriceBoard for Board {
    fn price(&self, code: &str, now: UnixTime) -> PriceAnswer {
        let Some(currency) = Currency::known(code) else {
            return PriceAnswer::Unknown;
        };
        let shown = self.shown();
        match shown.prices.get(&currency) {
            Some(price) if self.is_fresh(price.observed_at, now) => {
                PriceAnswer::Served(price.units)
            }
            Some(_) => PriceAnswer::Stale,
            None if shown.may_yet_know(currency) => PriceAnswer::Stale,
            None => PriceAnswer::Unknown,
        }
    }
}

impl Shown {
    /// Whether a price may still come (rule Q12). A source that has never
    /// answered is not taken to know nothing: its silence is our trouble.
    fn may_yet_know(&self, currency: Currency) -> bool {
        self.asked_at.is_none() || self.awaited.contains(&currency)
    }
}

/// Puts what a round has found over what stood before (rules Q4, Q6).
pub(super) fn renew(prices: &mut PriceList, found: BTreeMap<Currency, Found>, now: UnixTime) {
    for (currency, Found { agreed, relayed_at }) in found {
        let observed_at = relayed_at.unwrap_or(now);
        let is_newer =
            |before: &Price| before.observed_at > observed_at && !is_ahead(before.observed_at, now);
        if relayed_at.is_some() && prices.get(&currency).is_some_and(is_newer) {
            continue;
        }
        let price = Price {
            units: agreed.units,
            observed_at,
            sources: agreed.kept.iter().map(|word| word.source).collect(),
            cut: agreed.cut,
            is_relayed: relayed_at.is_some(),
        };
        prices.insert(currency, price);
    }
}

/// Sets the pegged assets in `scope` beside what they follow (rule Q13), and
/// takes all others away.
pub(super) fn peg(prices: &mut PriceList, scope: Option<&Scope>, now: UnixTime) {
    let dollar = prices.get(&Currency::USD).cloned();
    for asset in Currency::all_pegged() {
        let is_wanted = scope.is_some_and(|scope| scope.includes(asset));
        let price = match asset.peg().filter(|_| is_wanted) {
            Some(Peg::Bitcoin { units }) => Some(Price {
                units,
                observed_at: now,
                sources: vec![SourceId::Pegged],
                cut: Vec::new(),
                is_relayed: false,
            }),
            Some(Peg::Dollar) => dollar.clone().map(|dollar| Price {
                sources: vec![SourceId::Pegged],
                cut: Vec::new(),
                ..dollar
            }),
            None => None,
        };
        match price {
            Some(price) => prices.insert(asset, price),
            None => prices.remove(&asset),
        };
    }
}

fn is_ahead(observed_at: UnixTime, now: UnixTime) -> bool {
    observed_at.secs_since(now) > LEEWAY_SECS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::combine::Agreed;

    const NOW: UnixTime = UnixTime(100_000);
    const MAX_AGE: Duration = Duration::from_secs(1_800);

    fn currency(code: &str) -> Currency {
        Currency::known(code).unwrap()
    }

    fn found(units: f64, relayed_at: Option<UnixTime>) -> Found {
        let word = Word {
            source: SourceId::Yadio,
            units,
        };
        let agreed = Agreed {
            units,
            kept: vec![word],
            cut: Vec::new(),
        };
        Found { agreed, relayed_at }
    }

    fn round(prices: &mut PriceList, units: f64, relayed_at: Option<UnixTime>, now: UnixTime) {
        renew(
            prices,
            [(Currency::USD, found(units, relayed_at))].into(),
            now,
        );
    }

    fn board(prices: PriceList) -> Board {
        let board = Board::new(PriceList::new(), MAX_AGE);
        board.show(Shown {
            prices,
            asked_at: Some(NOW),
            ..Shown::default()
        });
        board
    }

    #[test]
    fn q6_a_currency_without_a_new_price_keeps_the_old_one_and_its_age() {
        let mut prices = PriceList::new();
        round(&mut prices, 50_000.0, None, NOW);
        renew(&mut prices, BTreeMap::new(), NOW.plus(300));
        assert_eq!(prices[&Currency::USD].observed_at, NOW);
        round(&mut prices, 51_000.0, None, NOW.plus(600));
        assert_eq!(prices[&Currency::USD].units.to_string(), "51000");
    }

    #[test]
    fn q7_an_old_price_is_not_served() {
        let mut prices = PriceList::new();
        round(&mut prices, 50_000.0, None, NOW);
        let board = board(prices);
        let served = PriceAnswer::Served(50_000.0);
        for (age, expected) in [
            (0, served),
            (1_800, served),
            (1_801, PriceAnswer::Stale),
            (1_000_000, PriceAnswer::Stale),
        ] {
            assert_eq!(board.price("USD", NOW.plus(age)), expected, "{age}");
        }
        // The clock was set back: by a little is nothing, by more is no age to trust.
        assert_eq!(board.price("USD", UnixTime(NOW.0 - 60)), served);
        assert_eq!(board.price("USD", UnixTime(NOW.0 - 61)), PriceAnswer::Stale);
    }

    #[test]
    fn q4_an_older_relayed_price_never_replaces_a_newer_one() {
        let mut prices = PriceList::new();
        round(&mut prices, 50_000.0, None, NOW);
        round(&mut prices, 1.0, Some(UnixTime(NOW.0 - 1)), NOW.plus(10));
        assert_eq!(prices[&Currency::USD].units.to_string(), "50000");
        round(&mut prices, 49_000.0, Some(NOW.plus(5)), NOW.plus(10));
        let price = &prices[&Currency::USD];
        assert_eq!((price.observed_at, price.is_relayed), (NOW.plus(5), true));
        // What a clock that was ahead has dated is not newer than anything.
        round(&mut prices, 50_000.0, None, NOW.plus(9_000));
        round(&mut prices, 48_000.0, Some(NOW.plus(20)), NOW.plus(30));
        assert_eq!(prices[&Currency::USD].units.to_string(), "48000");
    }

    #[test]
    fn q12_a_price_is_served_too_old_or_of_no_known_currency() {
        let mut prices = PriceList::new();
        round(&mut prices, 50_000.0, None, NOW);
        let before = Board::new(prices.clone(), MAX_AGE);
        let after = board(prices);
        let (served, stale, unknown) = (
            PriceAnswer::Served(50_000.0),
            PriceAnswer::Stale,
            PriceAnswer::Unknown,
        );
        let table = [
            ("USD", served, served),
            ("EUR", stale, unknown),
            ("USDT", stale, unknown),
            ("XAU", unknown, unknown),
            ("usd", unknown, unknown),
        ];
        for (code, first, then) in table {
            let found = (before.price(code, NOW), after.price(code, NOW));
            assert_eq!(found, (first, then), "{code}");
        }
    }

    #[test]
    fn q12_what_a_silent_source_may_know_is_not_called_unknown() {
        let board = board(PriceList::new());
        let awaited = [currency("CUP")].into();
        let asked_at = Some(NOW);
        board.show(Shown {
            asked_at,
            awaited,
            ..Shown::default()
        });
        assert_eq!(board.price("CUP", NOW), PriceAnswer::Stale);
        assert_eq!(board.price("EUR", NOW), PriceAnswer::Unknown);
    }

    #[test]
    fn q13_pegged_assets_follow_the_dollar_or_are_sats() {
        let mut prices = PriceList::new();
        round(&mut prices, 50_000.0, Some(NOW), NOW);
        peg(&mut prices, Some(&Scope::All), NOW.plus(7));
        for code in ["USDT", "USDC", "DOC"] {
            let price = &prices[&currency(code)];
            assert_eq!(price.units.to_string(), "50000");
            assert_eq!((price.observed_at, price.is_relayed), (NOW, true));
        }
        for code in ["BTC", "LBTC", "RBTC"] {
            let price = &prices[&currency(code)];
            assert_eq!(price.units.to_string(), "100000000");
            assert_eq!((price.observed_at, price.is_relayed), (NOW.plus(7), false));
        }
    }

    #[test]
    fn q13_pegs_are_off_unless_wanted_and_need_a_dollar() {
        let mut prices = PriceList::new();
        peg(
            &mut prices,
            Some(&Scope::Only(vec!["USDT".into(), "RBTC".into()])),
            NOW,
        );
        assert_eq!(
            prices.keys().copied().collect::<Vec<_>>(),
            [currency("RBTC")]
        );
        peg(&mut prices, None, NOW);
        assert!(prices.is_empty());
    }
}

//! Sats at market price.

use serde::{Deserialize, Serialize};

use crate::amount::{Fiat, Sats};
use crate::price::PriceAnswer;
use crate::wire::CantDo;

/// Percent on the market price: above −100, at most 100 (rule O5). A positive
/// one means fewer sats for the same fiat, whoever is the maker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Premium(i8);

impl Premium {
    /// The premium a maker wrote; none outside the bounds.
    #[must_use]
    pub fn new(percent: i64) -> Option<Premium> {
        let percent = i8::try_from(percent).ok()?;
        (-100 < percent && percent <= 100).then_some(Premium(percent))
    }

    /// In percent.
    #[must_use]
    pub fn percent(self) -> i64 {
        self.0.into()
    }
}

/// The sats for an amount of fiat, rounded to the nearest, half away from zero
/// (rule F4). `price` is in units of the currency per bitcoin.
#[must_use]
pub fn sats_for(fiat: Fiat, price: f64, premium: Premium) -> Sats {
    let mut sats = float(fiat) / price * 1e8;
    if premium != Premium::default() {
        sats -= f64::from(premium.0) / 100.0 * sats;
    }
    whole(sats.round())
}

/// The price, or the reason why there is none.
pub(crate) fn quoted(answer: PriceAnswer) -> Result<f64, CantDo> {
    match answer {
        PriceAnswer::Served(price) => Ok(price),
        PriceAnswer::Stale => Err(CantDo::PriceTooStale),
        PriceAnswer::Unknown => Err(CantDo::InvalidFiatCurrency),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 53 bits the sats are out of every limit"
)]
fn float(fiat: Fiat) -> f64 {
    fiat.0 as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and no amount is below zero"
)]
fn whole(sats: f64) -> Sats {
    Sats(sats as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f4_the_worked_sats() {
        let table = [
            (100, 50_000.0, 0, 200_000),
            (100, 50_000.0, 5, 190_000),
            (100, 50_000.0, -3, 206_000),
            (10, 45_000.0, 0, 22_222),
            (7, 45_000.0, 0, 15_556),
            (29, 1e8, 0, 29),
            (1, 50_000.0, 100, 0),
        ];
        for (fiat, price, premium, sats) in table {
            let premium = Premium::new(premium).unwrap();
            let found = sats_for(Fiat(fiat), price, premium);
            assert_eq!(found, Sats(sats), "{fiat} at {price}, {premium:?}");
        }
    }

    #[test]
    fn f4_half_a_sat_goes_up_and_the_absurd_saturates() {
        let none = Premium::default();
        assert_eq!(sats_for(Fiat(1), 2e8, none), Sats(1));
        assert_eq!(sats_for(Fiat(5), 2e8, none), Sats(3));
        assert_eq!(sats_for(Fiat(u64::MAX), 1e-300, none), Sats(u64::MAX));
        assert_eq!(sats_for(Fiat(1), f64::MAX, none), Sats(0));
    }

    #[test]
    fn o5_the_bounds_of_a_premium() {
        for (percent, is_one) in [(-100, false), (-99, true), (100, true), (101, false)] {
            assert_eq!(Premium::new(percent).is_some(), is_one, "{percent}");
        }
        assert_eq!(Premium::new(i64::MIN), None);
    }
}

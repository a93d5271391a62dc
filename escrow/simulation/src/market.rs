//! What a bitcoin costs in a town, and how its price moves.

use std::sync::Mutex;

use escrow_core::UnixTime;
use escrow_core::price::PriceAnswer;
use escrow_engine::prices::PriceBoard;

use crate::dice::Dice;
use crate::tally::Tally;

/// Euros per bitcoin at first.
const AT_FIRST: u32 = 50_000;

/// The board outlives the processes of the node, which only read it.
#[derive(Debug)]
pub(crate) struct Market(Mutex<Quote>);

#[derive(Clone, Copy, Debug)]
struct Quote {
    euros: u32,
    is_stale: bool,
}

impl Market {
    pub(crate) fn new() -> Market {
        Market(Mutex::new(Quote {
            euros: AT_FIRST,
            is_stale: false,
        }))
    }

    /// Up or down by up to three in a hundred; sometimes nobody knows.
    pub(crate) fn moves(&self, dice: &mut Dice, tally: &mut Tally) {
        let mut quote = self.0.lock().unwrap();
        let percent = u32::try_from(97 + dice.below(7)).unwrap();
        quote.euros = (quote.euros * percent / 100).clamp(AT_FIRST / 2, AT_FIRST * 2);
        quote.is_stale = dice.percent(10);
        tally.add(if quote.is_stale {
            "price too old"
        } else {
            "price moved"
        });
    }
}

impl PriceBoard for Market {
    fn price(&self, code: &str, _now: UnixTime) -> PriceAnswer {
        let quote = *self.0.lock().unwrap();
        match code {
            "EUR" if quote.is_stale => PriceAnswer::Stale,
            "EUR" => PriceAnswer::Served(f64::from(quote.euros)),
            _ => PriceAnswer::Unknown,
        }
    }
}

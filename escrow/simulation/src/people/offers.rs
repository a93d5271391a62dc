//! What makers offer, and how takers take it.

use escrow_core::Sats;
use escrow_core::command::{Ask, GivenInvoice, NewOrder, Request};
use escrow_core::fees::fee_per_side;
use escrow_core::order::{NextTrade, Order, Price, Side};
use escrow_core::party::{TradeIndex, TradeKey};

use super::{People, Scene};

/// Share of the amount that both sides together pay.
const FEE: f64 = 0.006;

impl People {
    pub(super) fn new_order(&mut self, scene: &mut Scene<'_>) -> Request {
        let person = self.anybody(scene.dice);
        let side = if scene.dice.percent(50) {
            Side::Sell
        } else {
            Side::Buy
        };
        let mut new = NewOrder {
            side: Some(side),
            fiat_code: "EUR".into(),
            sats: 0,
            fiat: 0,
            min_fiat: None,
            max_fiat: None,
            premium: 0,
            payment_method: "cash,bank".into(),
            expires_at: None,
            payout: None,
            names_mint: false,
        };
        match scene.dice.below(10) {
            0..5 => self.at_a_fixed_price(&mut new, person, scene),
            5..7 => {
                new.fiat = small(1 + scene.dice.below(200));
                new.premium = small(scene.dice.below(12)) - 4;
                if side == Side::Buy && scene.dice.percent(30) {
                    new.payout = Some(self.open_payout(person, scene));
                }
            }
            _ => {
                let min = 1 + scene.dice.below(40);
                new.min_fiat = Some(small(min));
                new.max_fiat = Some(small(min + 1 + scene.dice.below(100)));
                new.premium = small(scene.dice.below(12)) - 4;
            }
        }
        let life_secs = match scene.dice.below(100) {
            0..20 => Some(60 + scene.dice.below(7_200)),
            20..30 => Some(scene.dice.below(2 * 86_400)),
            30 => Some(20 * 86_400),
            _ => None,
        };
        new.expires_at = life_secs.map(|secs| small(scene.now.plus(secs).0));
        match scene.dice.below(40) {
            0 => new.side = None,
            1 => new.fiat_code = "euro".into(),
            2 => new.sats = -1,
            3 => new.sats = i64::MAX,
            4 => new.min_fiat = Some(3),
            5 => new.fiat_code = "XAF".into(),
            _ => {}
        }
        let key = self.fresh_self(person, scene.dice);
        let index = Some(self.selves[&key].index);
        self.say(key, None, Ask::NewOrder(new), index, scene)
    }

    fn at_a_fixed_price(&mut self, new: &mut NewOrder, person: usize, scene: &mut Scene<'_>) {
        let sats = 1_000 + scene.dice.below(200_000);
        new.sats = small(sats);
        new.fiat = 10;
        if new.side == Some(Side::Buy) && scene.dice.percent(30) {
            let owed = Sats(sats).checked_sub(fee_per_side(FEE, Sats(sats)));
            new.payout = Some(self.invoice(person, owed.unwrap(), scene));
        }
    }

    pub(super) fn take(&mut self, order: &Order, scene: &mut Scene<'_>) -> Request {
        let person = self.anybody(scene.dice);
        let fiat = match order.offer.range() {
            Some((min, max)) => {
                let above = scene.dice.below(max.0 - min.0 + 1);
                // Now and then more than there is.
                let above = above + if scene.dice.percent(5) { max.0 } else { 0 };
                Some(small(min.0 + above))
            }
            None => None,
        };
        let ask = match order.offer.side {
            Side::Buy => Ask::TakeBuy { fiat },
            Side::Sell => {
                let gives = scene.dice.percent(50);
                let payout = gives.then(|| self.payout_for(order, person, scene));
                Ask::TakeSell { payout, fiat }
            }
        };
        let key = self.fresh_self(person, scene.dice);
        let index = Some(self.selves[&key].index);
        self.say(key, Some(order.id), ask, index, scene)
    }

    /// At market price only the node knows the amount.
    fn payout_for(&mut self, order: &Order, buyer: usize, scene: &mut Scene<'_>) -> GivenInvoice {
        match order.offer.price {
            Price::Fixed(amounts) => {
                let owed = amounts.sats.checked_sub(amounts.fee).unwrap();
                self.invoice(buyer, owed, scene)
            }
            Price::Market { .. } => self.open_payout(buyer, scene),
        }
    }

    /// The key for the rest of a range, from its maker; most think of it.
    pub(super) fn next_trade(
        &mut self,
        order: &Order,
        key: TradeKey,
        scene: &mut Scene<'_>,
    ) -> Option<NextTrade> {
        let is_maker = order.maker.trade_key == key;
        if order.offer.range().is_none() || !is_maker || scene.dice.percent(15) {
            return None;
        }
        let next = self.fresh_self(self.selves[&key].owner, scene.dice);
        let index = u32::try_from(self.selves[&next].index).unwrap();
        Some(NextTrade {
            key: next,
            index: TradeIndex(index),
        })
    }
}

fn small(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

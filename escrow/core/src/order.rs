//! An order: what its maker offered, and at most one take.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::amount::{Fiat, Sats};
use crate::dispute::DisputeId;
use crate::lightning::Destination;
use crate::market::Premium;
use crate::party::{Party, TradeIndex, TradeKey};
use crate::stage::Stage;
use crate::time::UnixTime;
use crate::wire::Status;

/// Name of an order, on the wire and in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId(pub Uuid);

/// What the maker wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The maker buys bitcoin.
    Buy,
    /// The maker sells bitcoin.
    Sell,
}

/// What the maker wrote. A take never changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Buy or sell.
    pub side: Side,
    /// Currency code, 3–10 ASCII capitals.
    pub fiat_code: String,
    /// What for.
    pub price: Price,
    /// Comma-separated names, as the maker wrote them.
    pub payment_method: String,
    /// When the order was made.
    pub created_at: UnixTime,
    /// When a pending order ends.
    pub expires_at: UnixTime,
    /// Where the maker of a buy order wants his sats, if he has said so.
    pub payout: Option<Destination>,
}

/// How an offer names its amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Price {
    /// Both in so many words.
    Fixed(Amounts),
    /// So much fiat, and sats as the market is at the take.
    Market {
        /// Lowest amount a taker may choose; the same as `max` where there is
        /// nothing to choose.
        min: Fiat,
        /// Highest amount.
        max: Fiat,
        /// On the market price.
        premium: Premium,
    },
}

/// What is traded for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Fiat amount.
    pub fiat: Fiat,
    /// The bare sats of the trade.
    pub sats: Sats,
    /// The fee of each side (rule F3).
    pub fee: Sats,
}

impl Offer {
    /// Lowest and highest fiat amount, if a taker chooses (rule N1).
    #[must_use]
    pub fn range(&self) -> Option<(Fiat, Fiat)> {
        match self.price {
            Price::Market { min, max, .. } if min < max => Some((min, max)),
            Price::Market { .. } | Price::Fixed(_) => None,
        }
    }

    /// The amounts, if they do not depend on the market.
    #[must_use]
    pub fn fixed(&self) -> Option<Amounts> {
        match self.price {
            Price::Fixed(amounts) => Some(amounts),
            Price::Market { .. } => None,
        }
    }

    /// On the market price; 0 at a fixed one.
    #[must_use]
    pub fn premium(&self) -> Premium {
        match self.price {
            Price::Market { premium, .. } => premium,
            Price::Fixed(_) => Premium::default(),
        }
    }
}

/// What one taker added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Who took the order.
    pub taker: Party,
    /// When it was taken.
    pub taken_at: UnixTime,
    /// What is traded for what, fixed by the take.
    pub amounts: Amounts,
    /// What the house owes to the development once the buyer is paid (rule F5).
    #[serde(default)]
    pub dev_fee: Sats,
    /// Where the buyer wants his sats.
    pub payout: Option<Destination>,
    /// The key under which the maker offers what is left of his range.
    #[serde(default)]
    pub next_trade: Option<NextTrade>,
}

/// A trade key that a maker names for the rest of his range (rule N5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextTrade {
    /// The key.
    pub key: TradeKey,
    /// His number for it.
    pub index: TradeIndex,
}

impl Take {
    /// The same take, with a key for the rest of the range; the last one named
    /// counts (rule N5).
    #[must_use]
    pub fn naming(self, next: Option<NextTrade>) -> Take {
        Take {
            next_trade: next.or(self.next_trade),
            ..self
        }
    }

    /// What the seller pays: amount plus fee.
    ///
    /// # Panics
    ///
    /// Never: the sum was judged when the order was made.
    #[must_use]
    pub fn seller_pays(&self) -> Sats {
        self.amounts
            .sats
            .checked_add(self.amounts.fee)
            .expect("amount and fee are bounded by the limits at creation")
    }

    /// What the buyer gets: amount less fee.
    ///
    /// # Panics
    ///
    /// Never: the difference was judged when the order was made.
    #[must_use]
    pub fn buyer_gets(&self) -> Sats {
        self.amounts
            .sats
            .checked_sub(self.amounts.fee)
            .expect("a fee is at most a fifth of the amount")
    }

    /// What is the house's: the fees of both sides.
    #[must_use]
    pub fn house_gets(&self) -> Sats {
        let fees = self.seller_pays().checked_sub(self.buyer_gets());
        fees.unwrap_or_default()
    }
}

/// An offer with its maker, its stage and its history's last step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// Counts the commits that wrote this row; set by the writer.
    pub revision: u64,
    /// Who made it.
    pub maker: Party,
    /// What he offered.
    pub offer: Offer,
    /// Where the trade stands.
    pub stage: Stage,
    /// When it entered that stage.
    pub stage_since: UnixTime,
    /// Who has rated his counterpart.
    pub rated: Rated,
    /// The dispute it has or had; there is at most one (rule D3).
    #[serde(default)]
    pub dispute: Option<DisputeId>,
}

/// A take that ended while its order lives on (rule S8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTake {
    /// The order, which is in the book again.
    pub order: OrderId,
    /// Who took it, and the amounts.
    pub take: Take,
    /// The stage it ended in.
    pub status: Status,
    /// When.
    pub ended_at: UnixTime,
}

/// Who has given his vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rated {
    /// The buyer rated the seller.
    pub by_buyer: bool,
    /// The seller rated the buyer.
    pub by_seller: bool,
}

/// The two roles of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Gets the sats.
    Buyer,
    /// Locks the sats.
    Seller,
}

/// The two parties of a take, by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides<'a> {
    /// Gets the sats.
    pub buyer: &'a Party,
    /// Locks the sats.
    pub seller: &'a Party,
}

impl Order {
    /// The buyer, once there is one.
    #[must_use]
    pub fn buyer(&self) -> Option<&Party> {
        match self.offer.side {
            Side::Buy => Some(&self.maker),
            Side::Sell => self.stage.take().map(|take| &take.taker),
        }
    }

    /// The seller, once there is one.
    #[must_use]
    pub fn seller(&self) -> Option<&Party> {
        match self.offer.side {
            Side::Sell => Some(&self.maker),
            Side::Buy => self.stage.take().map(|take| &take.taker),
        }
    }

    /// The role of a trade key in this order.
    #[must_use]
    pub fn role_of(&self, key: TradeKey) -> Option<Role> {
        let is = |party: Option<&Party>| party.is_some_and(|party| party.trade_key == key);
        if is(self.buyer()) {
            Some(Role::Buyer)
        } else if is(self.seller()) {
            Some(Role::Seller)
        } else {
            None
        }
    }

    /// Buyer and seller of a take.
    #[must_use]
    pub fn sides<'a>(&'a self, take: &'a Take) -> Sides<'a> {
        match self.offer.side {
            Side::Buy => Sides {
                buyer: &self.maker,
                seller: &take.taker,
            },
            Side::Sell => Sides {
                buyer: &take.taker,
                seller: &self.maker,
            },
        }
    }

    /// The same order in another stage from this moment on.
    #[must_use]
    pub fn moved(&self, stage: Stage, at: UnixTime) -> Order {
        Order {
            stage,
            stage_since: at,
            ..self.clone()
        }
    }

    /// All parties there are: the maker and, while a take lasts, the taker.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        std::iter::once(&self.maker).chain(self.stage.take().map(|take| &take.taker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{active, buy_order, maker, sell_order, stranger, taker};

    #[test]
    fn w2_the_side_of_an_offer_makes_its_maker_buyer_or_seller() {
        let (sell, buy) = (sell_order(), buy_order());
        assert_eq!((sell.seller(), sell.buyer()), (Some(&maker()), None));
        assert_eq!((buy.seller(), buy.buyer()), (None, Some(&maker())));
        for (side, makers, takers) in [
            (Side::Sell, Role::Seller, Role::Buyer),
            (Side::Buy, Role::Buyer, Role::Seller),
        ] {
            let order = active(side).order;
            let role = |party: &Party| order.role_of(party.trade_key);
            assert_eq!(role(&maker()), Some(makers), "{side:?}");
            assert_eq!(role(&taker()), Some(takers), "{side:?}");
            assert_eq!(role(&stranger()), None, "{side:?}");
        }
    }
}

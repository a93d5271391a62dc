//! An order as its parties are shown it (`wire.md` §4, the variants of a small order).
//!
//! Each party sees only his own figure: the seller what he pays, the buyer
//! what he gets (rule W5).

use crate::amount::{Fiat, Sats};
use crate::order::{Order, Price, Role, Side, Take};
use crate::party::{Party, TradeKey};
use crate::time::UnixTime;
use crate::wire::{OrderKind, SmallOrder, Status};

/// **ack**: the terms as they were accepted.
#[must_use]
pub fn ack(order: &Order) -> SmallOrder {
    SmallOrder {
        status: Some(Status::Pending),
        buyer_invoice: own_invoice(order),
        ..offered(order)
    }
}

/// **back**: the offer in the book again, with its maker's key.
#[must_use]
pub fn back(order: &Order) -> SmallOrder {
    let key = Some(hex(order.maker.trade_key));
    let (buyer, seller) = match order.offer.side {
        Side::Buy => (key, None),
        Side::Sell => (None, key),
    };
    SmallOrder {
        buyer_trade_pubkey: buyer,
        seller_trade_pubkey: seller,
        ..ack(order)
    }
}

/// **inv** in the answer to `take-sell`: the buyer is asked for his invoice.
#[must_use]
pub fn inv_at_take(order: &Order, take: &Take) -> SmallOrder {
    SmallOrder {
        expires_at: None,
        ..inv_when_paid(order, take)
    }
}

/// **inv** in the push after the seller has paid; shows the deadline of the order too.
#[must_use]
pub fn inv_when_paid(order: &Order, take: &Take) -> SmallOrder {
    SmallOrder {
        status: Some(Status::WaitingBuyerInvoice),
        ..taken(order, take, take.buyer_gets())
    }
}

/// **pay**: what the seller has to lock.
#[must_use]
pub fn pay(order: &Order, take: &Take) -> SmallOrder {
    SmallOrder {
        status: Some(Status::WaitingPayment),
        ..taken(order, take, take.seller_pays())
    }
}

/// **act**: the running trade, with both keys and the figure of `role`.
#[must_use]
pub fn act(order: &Order, take: &Take, role: Role) -> SmallOrder {
    let amount = match role {
        Role::Buyer => take.buyer_gets(),
        Role::Seller => take.seller_pays(),
    };
    SmallOrder {
        status: Some(Status::Active),
        ..with_both_keys(order, take, amount)
    }
}

/// **act** in the answer to the buyer's own `add-invoice`: shows it to him.
#[must_use]
pub fn act_with_invoice(order: &Order, take: &Take) -> SmallOrder {
    let payout = take.payout.as_ref();
    SmallOrder {
        buyer_invoice: payout.map(|payout| payout.text().to_owned()),
        ..act(order, take, Role::Buyer)
    }
}

/// **retry**: the buyer is owed his sats and `failed` could not be paid.
#[must_use]
pub fn retry(order: &Order, take: &Take, failed: &str) -> SmallOrder {
    SmallOrder {
        status: Some(Status::SettledHoldInvoice),
        buyer_invoice: Some(failed.to_owned()),
        ..with_both_keys(order, take, take.buyer_gets())
    }
}

/// **full**: what a party may see of his order at any time; the bare amount.
#[must_use]
pub fn full(order: &Order) -> SmallOrder {
    let status = Some(order.stage.status());
    match order.stage.take().filter(|_| !order.stage.is_on_offer()) {
        Some(take) => SmallOrder {
            status,
            ..with_both_keys(order, take, take.amounts.sats)
        },
        None => SmallOrder {
            status,
            buyer_invoice: None,
            ..back(order)
        },
    }
}

fn with_both_keys(order: &Order, take: &Take, amount: Sats) -> SmallOrder {
    let sides = order.sides(take);
    let key = |party: &Party| Some(hex(party.trade_key));
    SmallOrder {
        buyer_trade_pubkey: key(sides.buyer),
        seller_trade_pubkey: key(sides.seller),
        ..taken(order, take, amount)
    }
}

fn taken(order: &Order, take: &Take, amount: Sats) -> SmallOrder {
    SmallOrder {
        amount: sats(amount),
        fiat_amount: fiat(take.amounts.fiat),
        ..offered(order)
    }
}

fn offered(order: &Order) -> SmallOrder {
    let offer = &order.offer;
    let (amount, fiat_amount) = match offer.price {
        Price::Fixed(amounts) => (amounts.sats, amounts.fiat),
        Price::Market { min, max, .. } if min == max => (Sats(0), min),
        Price::Market { .. } => (Sats(0), Fiat(0)),
    };
    let range = offer.range();
    SmallOrder {
        id: Some(order.id.0),
        kind: Some(match offer.side {
            Side::Buy => OrderKind::Buy,
            Side::Sell => OrderKind::Sell,
        }),
        amount: sats(amount),
        fiat_code: offer.fiat_code.clone(),
        min_amount: range.map(|(min, _)| fiat(min)),
        max_amount: range.map(|(_, max)| fiat(max)),
        fiat_amount: fiat(fiat_amount),
        payment_method: offer.payment_method.clone(),
        premium: offer.premium().percent(),
        created_at: Some(seconds(offer.created_at)),
        expires_at: Some(seconds(offer.expires_at)),
        ..SmallOrder::default()
    }
}

fn own_invoice(order: &Order) -> Option<String> {
    order
        .offer
        .payout
        .as_ref()
        .map(|payout| payout.text().to_owned())
}

fn hex(key: TradeKey) -> String {
    key.0.to_hex()
}

fn sats(amount: Sats) -> i64 {
    i64::try_from(amount.0).unwrap_or(i64::MAX)
}

fn fiat(amount: Fiat) -> i64 {
    i64::try_from(amount.0).unwrap_or(i64::MAX)
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

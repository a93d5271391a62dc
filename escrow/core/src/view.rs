//! An order as its parties are shown it (`wire.md` §4, the variants of a small order).
//!
//! Each party sees only his own figure: the seller what he pays, the buyer
//! what he gets (rule W5).

use crate::amount::{Fiat, Sats};
use crate::dispute::Dispute;
use crate::facts::TakeDisputeFacts;
use crate::hold::HoldState;
use crate::letters::user_info;
use crate::notice::Reputation;
use crate::order::{Order, Price, Role, Side, Take};
use crate::party::{Identity, Party, TradeKey};
use crate::stage::{DisputedStage, Stage};
use crate::time::UnixTime;
use crate::user::User;
use crate::wire::{OrderKind, SmallOrder, SolverDisputeInfo, Status};

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

/// What a solver needs to judge a dispute: neither hash nor preimage, which
/// would let him take the sats (rule D5).
#[must_use]
pub fn solver_info(
    order: &Order,
    take: &Take,
    dispute: &Dispute,
    facts: &TakeDisputeFacts,
) -> SolverDisputeInfo {
    let sides = order.sides(take);
    let (initiator, counterpart) = match dispute.opened_by {
        Role::Buyer => (sides.buyer, sides.seller),
        Role::Seller => (sides.seller, sides.buyer),
    };
    let is_private = |party: &Party| party.identity == Identity::FullPrivacy;
    let figures = |party: &Party, user: Option<&User>| {
        let shown = Reputation::of(user, dispute.opened_at);
        (!is_private(party)).then(|| user_info(shown))
    };
    let held_at = match facts.hold.as_ref().map(|hold| &hold.state) {
        Some(HoldState::Accepted(acceptance)) => seconds(acceptance.at),
        _ => 0,
    };
    let was_active = matches!(
        order.stage,
        Stage::Dispute {
            from: DisputedStage::Active,
            ..
        }
    );
    SolverDisputeInfo {
        id: order.id.0,
        kind: kind(order.offer.side),
        status: order.stage.status(),
        hash: None,
        preimage: None,
        order_previous_status: if was_active {
            Status::Active
        } else {
            Status::FiatSent
        },
        initiator_pubkey: hex(initiator.trade_key),
        buyer_pubkey: Some(hex(sides.buyer.trade_key)),
        seller_pubkey: Some(hex(sides.seller.trade_key)),
        initiator_full_privacy: is_private(initiator),
        counterpart_full_privacy: is_private(counterpart),
        initiator_info: figures(initiator, facts.initiator.as_ref()),
        counterpart_info: figures(counterpart, facts.counterpart.as_ref()),
        premium: order.offer.premium().percent(),
        payment_method: order.offer.payment_method.clone(),
        amount: sats(take.amounts.sats),
        fiat_amount: fiat(take.amounts.fiat),
        fee: sats(take.amounts.fee),
        routing_fee: 0,
        buyer_invoice: take.payout.as_ref().map(|payout| payout.text().to_owned()),
        invoice_held_at: held_at,
        taken_at: seconds(take.taken_at),
        created_at: seconds(order.offer.created_at),
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
        kind: Some(kind(offer.side)),
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

fn kind(side: Side) -> OrderKind {
    match side {
        Side::Buy => OrderKind::Buy,
        Side::Sell => OrderKind::Sell,
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

//! The buyer says that the fiat is on its way.

use crate::command::Request;
use crate::decision::Decision;
use crate::facts::Now;
use crate::notice::{Letter, Notice};
use crate::order::Order;
use crate::stage::Stage;
use crate::wire::CantDo;

use super::ensure;

/// Moves an active trade on and shows each side the other's key (rules M1, M3).
///
/// # Errors
///
/// `invalid_order_status` unless the trade is active, `invalid_pubkey` from
/// anybody but the buyer.
pub fn fiat_sent(order: &Order, req: &Request, now: Now) -> Result<Decision, CantDo> {
    let Stage::Active { take, hold } = &order.stage else {
        return Err(CantDo::InvalidOrderStatus);
    };
    let sides = order.sides(take);
    ensure(
        sides.buyer.trade_key == req.sender.trade_key,
        CantDo::InvalidPubkey,
    )?;
    let to_buyer = Notice::FiatSent {
        peer: sides.seller.trade_key,
    };
    let to_seller = Notice::FiatSent {
        peer: sides.buyer.trade_key,
    };
    let stage = Stage::FiatSent {
        take: take.clone(),
        hold: *hold,
    };
    Ok(Decision {
        answer: Some(Letter::answer(&req.asker(), order.id, to_buyer)),
        pushes: vec![Letter::push(sides.seller, order.id, to_seller)],
        orders: vec![order.moved(stage, now.at)],
        ..Decision::default()
    })
}

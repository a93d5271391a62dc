//! The buyer says that the fiat is on its way.

use crate::command::Request;
use crate::decision::Decision;
use crate::facts::Now;
use crate::notice::{Letter, Notice};
use crate::order::{NextTrade, Order, Role, Side};
use crate::stage::Stage;
use crate::wire::CantDo;

use super::ensure;

/// Moves an active trade on and shows each side the other's key (rules M1, M3).
/// A buyer who sends fiat does not want to cancel any more (rule C9).
///
/// # Errors
///
/// `invalid_order_status` unless the trade is active, `invalid_pubkey` from
/// anybody but the buyer.
pub fn fiat_sent(
    order: &Order,
    req: &Request,
    next: Option<NextTrade>,
    now: Now,
) -> Result<Decision, CantDo> {
    let Stage::Active {
        take,
        hold,
        cancel_asked_by,
    } = &order.stage
    else {
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
        take: take
            .clone()
            .naming(next.filter(|_| order.offer.side == Side::Buy)),
        hold: *hold,
        cancel_asked_by: cancel_asked_by.filter(|by| *by != Role::Buyer),
    };
    Ok(Decision {
        answer: Some(Letter::answer(&req.asker(), order.id, to_buyer)),
        pushes: vec![Letter::push(sides.seller, order.id, to_seller)],
        orders: vec![order.moved(stage, now.at)],
        ..Decision::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::party::Party;

    fn says(party: &Party) -> Request {
        request(party, Ask::FiatSent { next: None })
    }

    #[test]
    fn m1_fiat_sent_is_refused() {
        for scene in scenes(Side::Sell)
            .into_iter()
            .filter(|scene| scene.name != "active")
        {
            let refused = fiat_sent(&scene.order, &says(&taker()), None, now());
            assert_eq!(refused, Err(CantDo::InvalidOrderStatus), "{}", scene.name);
        }
        for party in [maker(), stranger()] {
            let refused = fiat_sent(&active(Side::Sell).order, &says(&party), None, now());
            assert_eq!(refused, Err(CantDo::InvalidPubkey));
        }
    }

    #[test]
    fn m3_each_side_learns_the_key_of_the_other() {
        let order = active(Side::Buy).order;
        let to_buyer = Notice::FiatSent { peer: trade_key(2) };
        let to_seller = Notice::FiatSent { peer: trade_key(1) };
        let expected = Decision {
            orders: vec![order.moved(after_fiat(Side::Buy).order.stage, NOW)],
            answer: Some(Letter::answer(&says(&maker()).asker(), order.id, to_buyer)),
            pushes: vec![Letter::push(&taker(), order.id, to_seller)],
            ..Decision::default()
        };
        assert_eq!(
            fiat_sent(&order, &says(&maker()), None, now()),
            Ok(expected)
        );
    }
    #[test]
    fn c9_up_s11_a_buyer_who_pays_does_not_want_to_cancel_any_more() {
        let asked_by = |role| {
            let scene = asked_to_cancel(active(Side::Sell), role);
            let decision = fiat_sent(&scene.order, &says(&taker()), None, now()).unwrap();
            decision.orders[0].stage.cancel_asked_by()
        };
        assert_eq!(asked_by(Role::Buyer), None);
        assert_eq!(asked_by(Role::Seller), Some(Role::Seller));
    }
}

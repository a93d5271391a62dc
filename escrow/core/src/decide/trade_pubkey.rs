//! A maker moves his order to another trade key.

use crate::command::Request;
use crate::decision::Decision;
use crate::notice::{Letter, Notice};
use crate::order::Order;
use crate::party::{Identity, Party};
use crate::stage::Stage;
use crate::wire::CantDo;

use super::ensure;

/// The new key is the one that signed the request; the index stays, and so does
/// the public event (rules L6, L7).
///
/// # Errors
///
/// `invalid_order_status` unless the order waits in the book, `invalid_pubkey`
/// from anybody but its maker's identity and for a key of a living order,
/// `not_allowed_by_status` while a take of it is being opened.
pub fn trade_pubkey(order: &Order, req: &Request, key_is_in_use: bool) -> Result<Decision, CantDo> {
    ensure(order.stage.is_on_offer(), CantDo::InvalidOrderStatus)?;
    let is_makers = matches!(req.sender.identity, Identity::Known(_))
        && req.sender.identity == order.maker.identity;
    ensure(is_makers && !key_is_in_use, CantDo::InvalidPubkey)?;
    ensure(order.stage == Stage::Pending, CantDo::NotAllowedByStatus)?;
    let maker = Party {
        trade_key: req.sender.trade_key,
        transport: req.sender.transport,
        ..order.maker.clone()
    };
    Ok(Decision {
        answer: Some(Letter::answer(&req.asker(), order.id, Notice::KeyMoved)),
        orders: vec![Order {
            maker,
            ..order.clone()
        }],
        ..Decision::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::Side;

    fn asks() -> Request {
        request(&maker(), Ask::TradePubkey).edit(|r| r.sender.trade_key = trade_key(8))
    }

    #[test]
    fn l6_u28_a_rotation_is_refused() {
        for scene in scenes(Side::Sell) {
            let expected = match scene.name {
                "pending" => continue,
                _ if matches!(scene.order.stage, Stage::OpeningHold { .. })
                    && scene.order.stage.is_on_offer() =>
                {
                    CantDo::NotAllowedByStatus
                }
                _ => CantDo::InvalidOrderStatus,
            };
            let refused = trade_pubkey(&scene.order, &asks(), false);
            assert_eq!(refused, Err(expected), "{}", scene.name);
        }
        let stranger = request(&stranger(), Ask::TradePubkey);
        let private = asks().edit(|r| r.sender.identity = Identity::FullPrivacy);
        for req in [stranger, private] {
            let refused = trade_pubkey(&sell_order(), &req, false);
            assert_eq!(refused, Err(CantDo::InvalidPubkey));
        }
        let refused = trade_pubkey(&sell_order(), &asks(), true);
        assert_eq!(refused, Err(CantDo::InvalidPubkey), "a key in use");
        let both_private = sell_order().edit(|o| o.maker.identity = Identity::FullPrivacy);
        let private = asks().edit(|r| r.sender.identity = Identity::FullPrivacy);
        let refused = trade_pubkey(&both_private, &private, false);
        assert_eq!(refused, Err(CantDo::InvalidPubkey), "full privacy always");
    }

    #[test]
    fn l7_the_key_moves_and_the_index_stays() {
        let order = sell_order();
        let moved = order.clone().edit(|o| o.maker.trade_key = trade_key(8));
        let expected = Decision {
            answer: Some(Letter::answer(&asks().asker(), order.id, Notice::KeyMoved)),
            orders: vec![moved],
            ..Decision::default()
        };
        assert_eq!(trade_pubkey(&order, &asks(), false), Ok(expected));
    }
}

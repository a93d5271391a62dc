//! Questions: they change nothing, so nothing of them is written down
//! (rules L1–L5).

use std::cmp::Reverse;

use crate::command::Request;
use crate::dispute::Dispute;
use crate::notice::{Letter, Notice, Reputation};
use crate::order::{Order, OrderId};
use crate::party::{Identity, IdentityKey, Party, TradeIndex};
use crate::stage::Stage;
use crate::time::UnixTime;
use crate::user::User;
use crate::view;
use crate::wire::{CantDo, Initiator, RestoreData, RestoredDispute, RestoredOrder};

/// What a trader wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where all his trades stand.
    RestoreSession,
    /// The highest index he has used.
    LastTradeIndex,
    /// Orders of his, by name.
    Orders(Vec<OrderId>),
    /// His own reputation.
    UserInfo,
}

/// Whom a question is about: the proven identity, or the key that signed it,
/// which may itself be an identity that wrote without a trade key.
#[must_use]
pub fn about(req: &Request) -> IdentityKey {
    match req.sender.identity {
        Identity::Known(identity) => identity,
        Identity::FullPrivacy => IdentityKey(req.sender.trade_key.0),
    }
}

/// The trades that fit into one envelope, also into one of two layers; the
/// newest are told, should anybody have more.
const MOST_RESTORED: usize = 160;

/// All his trades that still move, and the disputes among them (rule L1).
/// Clients of every age know this answer only without a request id.
#[must_use]
pub fn restore_session(req: &Request, mut living: Vec<(Order, Option<Dispute>)>) -> Letter {
    living.sort_by_key(|(order, _)| Reverse((order.offer.created_at, order.id)));
    living.truncate(MOST_RESTORED);
    let mut data = RestoreData::default();
    for (order, dispute) in &living {
        let Some(me) = own(order, req) else { continue };
        let trade_index = i64::from(me.trade_index.0);
        match (&order.stage, dispute) {
            (Stage::Dispute { .. }, Some(dispute)) => data.disputes.push(RestoredDispute {
                dispute_id: dispute.id.0,
                order_id: order.id.0,
                trade_index,
                status: dispute.status(),
                initiator: Some(Initiator::from(dispute.opened_by)),
                solver_pubkey: dispute.assigned().map(|had| had.solver.0.to_hex()),
            }),
            _ => data.orders.push(RestoredOrder {
                order_id: order.id.0,
                trade_index,
                status: order.stage.status(),
                counterparty_trade_pubkey: other(order, me).map(|party| party.trade_key.0.to_hex()),
            }),
        }
    }
    Letter {
        request_id: None,
        ..answer(req, Notice::Restored(Box::new(data)))
    }
}

/// The highest index used (rule L3).
///
/// # Errors
///
/// `not_found` for an unknown identity, `invalid_trade_index` if it used none.
pub fn last_trade_index(req: &Request, user: Option<&User>) -> Result<Letter, CantDo> {
    let user = user.ok_or(CantDo::NotFound)?;
    if user.last_index == TradeIndex(0) {
        return Err(CantDo::InvalidTradeIndex);
    }
    Ok(answer(req, Notice::LastTradeIndex).with_index(user.last_index))
}

/// Whether that many orders may be asked for at once (rule L4).
///
/// # Errors
///
/// `invalid_parameters` for none, `too_many_requests` above the limit.
pub fn ensure_count(asked: &[OrderId], most: usize) -> Result<(), CantDo> {
    match asked.len() {
        0 => Err(CantDo::InvalidParameters),
        count if count > most => Err(CantDo::TooManyRequests),
        _ => Ok(()),
    }
}

/// Those of the orders in which he takes part, in the order asked (rule L4).
///
/// # Errors
///
/// `not_found` if there is none.
pub fn orders(req: &Request, found: &[Order]) -> Result<Letter, CantDo> {
    let his = found.iter().filter(|order| own(order, req).is_some());
    let shown: Vec<_> = his.map(view::full).collect();
    if shown.is_empty() {
        return Err(CantDo::NotFound);
    }
    Ok(answer(req, Notice::Orders(shown)))
}

/// His own figures (rule L5).
///
/// # Errors
///
/// `reputation_identity_required` in full privacy.
pub fn user_info(req: &Request, user: Option<&User>, now: UnixTime) -> Result<Letter, CantDo> {
    if user.is_none() && req.sender.identity == Identity::FullPrivacy {
        return Err(CantDo::ReputationIdentityRequired);
    }
    Ok(answer(req, Notice::UserInfo(Reputation::of(user, now))))
}

/// An answer that names no order.
fn answer(req: &Request, notice: Notice) -> Letter {
    Letter {
        to: req.sender.trade_key,
        transport: req.sender.transport,
        request_id: req.request_id,
        trade_index: None,
        order: None,
        notice,
    }
}

/// The asker as a party of the order.
fn own<'a>(order: &'a Order, req: &Request) -> Option<&'a Party> {
    let identity = about(req);
    order.parties().find(|party| match party.identity {
        Identity::Known(known) => known == identity,
        Identity::FullPrivacy => party.trade_key.0 == identity.0,
    })
}

fn other<'a>(order: &'a Order, me: &Party) -> Option<&'a Party> {
    order
        .parties()
        .find(|party| party.trade_key != me.trade_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::wire::{DisputeStatus, Status};

    fn asks(party: &Party, question: Question) -> Request {
        request(party, Ask::Question(question)).edit(|req| req.order = None)
    }

    fn restored(party: &Party, scenes: Vec<Scene>) -> RestoreData {
        let living = scenes
            .into_iter()
            .map(|scene| (scene.order, scene.dispute))
            .collect();
        let letter = restore_session(&asks(party, Question::RestoreSession), living);
        assert_eq!((letter.to, letter.request_id), (party.trade_key, None));
        let Notice::Restored(data) = letter.notice else {
            panic!("not restored");
        };
        *data
    }

    #[test]
    fn l1_a_session_is_restored_with_its_orders_and_disputes() {
        let opened = disputed(Side::Sell).edit(|scene| scene.dispute = Some(dispute()));
        let pending = scene("pending", Side::Sell, Stage::Pending);
        let scenes = vec![pending, active(Side::Sell), opened];
        let data = restored(&maker(), scenes.clone());
        let told = |status, other: Option<&Party>| RestoredOrder {
            order_id: order_id().0,
            trade_index: 5,
            status,
            counterparty_trade_pubkey: other.map(|party| party.trade_key.0.to_hex()),
        };
        let orders = [
            told(Status::Pending, None),
            told(Status::Active, Some(&taker())),
        ];
        assert_eq!(data.orders, orders);
        let dispute = RestoredDispute {
            dispute_id: dispute_id().0,
            order_id: order_id().0,
            trade_index: 5,
            status: DisputeStatus::Initiated,
            initiator: Some(Initiator::Buyer),
            solver_pubkey: None,
        };
        assert_eq!(data.disputes, [dispute]);
        let judged = disputed(Side::Sell).edit(|scene| scene.dispute = Some(taken_dispute()));
        let told = restored(&maker(), vec![judged]).disputes.remove(0);
        let solver = solver().trade_key.0.to_hex();
        assert_eq!(told.status, DisputeStatus::InProgress);
        assert_eq!(told.solver_pubkey, Some(solver));

        let taken = restored(&taker(), scenes.clone());
        assert_eq!((taken.orders.len(), taken.disputes.len()), (1, 1));
        assert_eq!(restored(&stranger(), scenes), RestoreData::default());
    }

    #[test]
    fn l1_up_r7_whatever_lives_is_restored_to_both() {
        for scene in scenes(Side::Sell).into_iter().chain(scenes(Side::Buy)) {
            let order = scene.order.clone();
            let is_disputed = matches!(order.stage, Stage::Dispute { .. });
            let expected = if is_disputed { (0, 1) } else { (1, 0) };
            for party in order.parties().filter(|_| !order.stage.is_terminal()) {
                let data = restored(party, vec![scene.clone()]);
                let told = (data.orders.len(), data.disputes.len());
                assert_eq!(told, expected, "{}, {party:?}", scene.name);
            }
        }
    }

    #[test]
    fn l1_u29_an_order_of_unknown_index_is_restored_with_0() {
        let scene = active(Side::Sell);
        let scene = scene.edit(|scene| scene.order.maker.trade_index = TradeIndex(0));
        let data = restored(&maker(), vec![scene]);
        assert_eq!(data.orders[0].trade_index, 0);
    }

    #[test]
    fn l1_the_newest_orders_are_told_and_fit_into_an_envelope() {
        let old = UnixTime(MADE.0 - 1);
        let many = (0..200u64).map(|n| {
            active(Side::Sell).edit(|scene| {
                scene.order.id = OrderId(uuid::Uuid::from_u128(n.into()));
                scene.order.offer.created_at = if n < 40 { old } else { MADE };
            })
        });
        let data = restored(&maker(), many.collect());
        assert_eq!(data.orders.len(), MOST_RESTORED);
        let is_old = |order: &RestoredOrder| order.order_id.as_u128() < 40;
        assert!(!data.orders.iter().any(is_old));

        let letter = answer(
            &asks(&taker(), Question::RestoreSession),
            Notice::Restored(Box::new(data)),
        );
        let json = crate::letters::message(&letter).to_json();
        let node = nostr::key::Keys::new(nostr::key::SecretKey::from_slice(&[7; 32]).unwrap());
        let envelope = crate::wire::Letter {
            message_json: &json,
            to: node.public_key(),
            transport: crate::wire::Transport::GiftWrap,
            created_at: NOW,
            expiration: None,
        };
        let sealed = crate::wire::seal(&envelope, &node, &crate::wire::Seed([1; 32]));
        assert!(sealed.is_ok(), "{} bytes", json.len());
    }

    #[test]
    fn l1_without_identity_the_key_itself_is_meant() {
        let private = |req: Request| req.edit(|req| req.sender.identity = Identity::FullPrivacy);
        let by_identity_key = private(asks(&maker(), Question::RestoreSession))
            .edit(|req| req.sender.trade_key.0 = identity_key(1).0);
        let living = vec![(active(Side::Sell).order, None)];
        let Notice::Restored(data) = restore_session(&by_identity_key, living.clone()).notice
        else {
            panic!("not restored");
        };
        assert_eq!(
            data.orders.len(),
            1,
            "a client that wrote from its identity"
        );

        let nobody = private(asks(&maker(), Question::RestoreSession));
        let Notice::Restored(data) = restore_session(&nobody, living.clone()).notice else {
            panic!("not restored");
        };
        assert_eq!(data.orders.len(), 0, "a trade key does not name its owner");

        let mut order = living[0].0.clone();
        order.maker.identity = Identity::FullPrivacy;
        let Notice::Restored(data) = restore_session(&nobody, vec![(order, None)]).notice else {
            panic!("not restored");
        };
        assert_eq!(data.orders.len(), 1, "in full privacy it is all there is");
    }

    #[test]
    fn l3_the_last_index_is_told_in_its_field() {
        let req = asks(&maker(), Question::LastTradeIndex);
        let letter = last_trade_index(&req, Some(&user(&maker()))).unwrap();
        assert_eq!(letter.trade_index, Some(TradeIndex(4)));
        assert_eq!(letter.request_id, Some(77));
        assert_eq!(last_trade_index(&req, None), Err(CantDo::NotFound));
        let none = user(&maker()).edit(|user| user.last_index = TradeIndex(0));
        let refused = last_trade_index(&req, Some(&none));
        assert_eq!(refused, Err(CantDo::InvalidTradeIndex));
    }

    #[test]
    fn l4_only_own_orders_are_told_and_in_full() {
        let ids = |count: usize| vec![order_id(); count];
        assert_eq!(ensure_count(&ids(0), 10), Err(CantDo::InvalidParameters));
        assert_eq!(ensure_count(&ids(10), 10), Ok(()));
        assert_eq!(ensure_count(&ids(11), 10), Err(CantDo::TooManyRequests));

        let found = [sell_order(), paying(Side::Sell).order];
        let told = |party: &Party| orders(&asks(party, Question::Orders(ids(2))), &found);
        let Notice::Orders(shown) = told(&maker()).unwrap().notice else {
            panic!("not told");
        };
        let status: Vec<_> = shown.iter().map(|order| order.status).collect();
        assert_eq!(
            status,
            [Some(Status::Pending), Some(Status::SettledHoldInvoice)]
        );
        assert!(shown.iter().all(|order| order.buyer_invoice.is_none()));
        assert!(shown.iter().all(|order| order.amount == 10_000), "bare");
        let Notice::Orders(shown) = told(&taker()).unwrap().notice else {
            panic!("not told");
        };
        assert_eq!(shown.len(), 1);
        assert_eq!(told(&stranger()), Err(CantDo::NotFound));
    }

    #[test]
    fn l5_everybody_learns_his_own_figures_only() {
        let req = asks(&maker(), Question::UserInfo);
        let known = user_info(&req, Some(&user(&maker())), NOW).unwrap();
        let figures = Reputation::of(Some(&user(&maker())), NOW);
        assert_eq!(known.notice, Notice::UserInfo(figures));
        let unknown = user_info(&req, None, NOW).unwrap();
        assert_eq!(unknown.notice, Notice::UserInfo(Reputation::default()));
        let private = req.edit(|req| req.sender.identity = Identity::FullPrivacy);
        let refused = user_info(&private, None, NOW);
        assert_eq!(refused, Err(CantDo::ReputationIdentityRequired));
    }

    #[test]
    fn sessions_in_the_words_of_the_wire() {
        let json = |letter: &Letter| crate::letters::message(letter).to_json();
        let none = restore_session(&asks(&maker(), Question::RestoreSession), Vec::new());
        assert_eq!(
            json(&none),
            r#"{"restore":{"version":2,"request_id":null,"trade_index":null,"action":"restore-session","payload":{"restore_data":{"orders":[],"disputes":[]}}}}"#
        );
        let req = asks(&maker(), Question::LastTradeIndex);
        let index = last_trade_index(&req, Some(&user(&maker()))).unwrap();
        assert_eq!(
            json(&index),
            r#"{"restore":{"version":2,"request_id":77,"trade_index":4,"action":"last-trade-index","payload":null}}"#
        );
        let own = user_info(&req, None, NOW).unwrap();
        assert_eq!(
            json(&own),
            r#"{"restore":{"version":2,"request_id":77,"trade_index":null,"action":"user-info","payload":{"user_info":{"rating":0.0,"reviews":0,"operating_days":0}}}}"#
        );
    }
}

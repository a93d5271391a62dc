//! Taking an order from the book.

use crate::command::{GivenInvoice, Request};
use crate::decision::{Decision, Effect};
use crate::facts::{Now, TakeFacts};
use crate::lightning::PayoutInvoice;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Side, Take};
use crate::party::{Identity, Party};
use crate::stage::{BackTo, Stage};
use crate::view;
use crate::wire::CantDo;

use super::opening::{Opening, ensure_capacity, open_hold};
use super::payout_invoice::judge;
use super::{ensure, party, recorded, trade_index};

/// A buyer takes a sell order (rules T2–T12).
///
/// With a payout invoice in hand the seller is asked to fund the escrow at
/// once; without one the buyer is asked for it first, which needs no Lightning.
pub fn take_sell(
    order: &Order,
    req: &Request,
    given: Option<&GivenInvoice>,
    now: Now,
    facts: &TakeFacts,
) -> Result<Decision, CantDo> {
    let taker = taker(order, req, Side::Sell, now, facts)?;
    let Some(given) = given else {
        return Ok(ask_for_invoice(
            order,
            req,
            struck(order, taker, None, now),
            now,
            facts,
        ));
    };
    ensure_capacity(facts.capacity, now.terms)?;
    let mut take = struck(order, taker, None, now);
    take.payout = Some(judge(
        given,
        take.buyer_gets(),
        facts.invoice_hash_is_known,
        now,
    )?);
    let opening = Opening {
        take,
        asker: req.asker(),
        back_to: BackTo::Pending,
    };
    Ok(open_hold(order, opening, facts.hold, now))
}

/// A seller takes a buy order (rules T2–T9, T12): Lightning is asked for the
/// hold invoice. The maker's own payout invoice, if he gave one, goes along.
pub fn take_buy(
    order: &Order,
    req: &Request,
    now: Now,
    facts: &TakeFacts,
) -> Result<Decision, CantDo> {
    let taker = taker(order, req, Side::Buy, now, facts)?;
    ensure_capacity(facts.capacity, now.terms)?;
    let take = struck(order, taker, order.offer.payout.clone(), now);
    let opening = Opening {
        take,
        asker: req.asker(),
        back_to: BackTo::Pending,
    };
    Ok(open_hold(order, opening, facts.hold, now))
}

/// The sender as taker, if he may take this order.
fn taker(
    order: &Order,
    req: &Request,
    side: Side,
    now: Now,
    facts: &TakeFacts,
) -> Result<Party, CantDo> {
    let taker = party(req, trade_index(req, &facts.person)?);
    let is_bound = taker.identity != Identity::FullPrivacy && facts.has_unfinished_take;
    ensure(!is_bound, CantDo::PendingOrderExists)?;
    ensure(order.offer.side == side, CantDo::InvalidOrderKind)?;
    ensure(order.stage == Stage::Pending, CantDo::InvalidOrderStatus)?;
    ensure(order.offer.expires_at > now.at, CantDo::InvalidOrderStatus)?;
    ensure(!taker.is_same_person(&order.maker), CantDo::InvalidPubkey)?;
    Ok(taker)
}

fn struck(order: &Order, taker: Party, payout: Option<PayoutInvoice>, now: Now) -> Take {
    let offer = &order.offer;
    Take {
        taker,
        taken_at: now.at,
        sats: offer.sats,
        fee: offer.fee,
        fiat: offer.fiat,
        payout,
    }
}

/// Rule T11: the take counts at once, and its index with it.
fn ask_for_invoice(
    order: &Order,
    req: &Request,
    take: Take,
    now: Now,
    facts: &TakeFacts,
) -> Decision {
    let wanted = Notice::InvoiceWanted(Box::new(view::inv_at_take(order, &take)));
    let answer = Letter::answer(&req.asker(), order.id, wanted).with_index(take.taker.trade_index);
    let told = Letter::push(&order.maker, order.id, Notice::WaitingBuyerInvoice)
        .with_index(order.maker.trade_index);
    let users = recorded(&take.taker, facts.person.user.as_ref(), now.at)
        .into_iter()
        .collect();
    let stage = Stage::WaitingInvoice {
        take,
        deadline: now.at.plus(now.terms.step_secs),
    };
    Decision {
        orders: vec![order.moved(stage, now.at)],
        users,
        answer: Some(answer),
        pushes: vec![told],
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

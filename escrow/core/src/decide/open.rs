//! Putting an order into the book.

use crate::amount::{Fiat, Sats};
use crate::command::{NewOrder, Request};
use crate::decision::{Decision, Effect};
use crate::facts::{Now, OpenFacts};
use crate::fees::fee_per_side;
use crate::lightning::PayoutInvoice;
use crate::notice::{Letter, Notice};
use crate::order::{Offer, Order, Rated, Side};
use crate::party::Identity;
use crate::stage::Stage;
use crate::terms::Terms;
use crate::time::UnixTime;
use crate::view;
use crate::wire::CantDo;

use super::payout_invoice::judge;
use super::{ensure, party, recorded, trade_index};

/// The longest text of payment methods, in bytes (rule O6).
const LONGEST_PAYMENT_METHOD: usize = 500;

/// A maker offers to buy or to sell (rules O1–O15).
///
/// # Errors
///
/// The reason of the first check that fails, in the order of the rules. An
/// order at market price ends in `price_too_stale`: the node has no price.
pub fn open(
    req: &Request,
    new: &NewOrder,
    now: Now,
    facts: &OpenFacts,
) -> Result<Decision, CantDo> {
    let index = trade_index(req, &facts.person)?;
    let maker = party(req, index);
    let side = new.side.ok_or(CantDo::InvalidOrderKind)?;
    ensure(
        is_accepted_currency(&new.fiat_code, now.terms),
        CantDo::InvalidFiatCurrency,
    )?;
    let price = price(new)?;
    ensure(
        is_fair_premium(new.premium, &price),
        CantDo::InvalidParameters,
    )?;
    ensure(
        is_payment_method(&new.payment_method),
        CantDo::InvalidParameters,
    )?;
    let expires_at = deadline(new.expires_at, now)?;
    ensure(!new.names_mint, CantDo::InvalidMintUrl)?;
    let Price::Fixed { fiat, sats } = price else {
        return Err(CantDo::PriceTooStale);
    };
    let fee = fee_within_limits(sats, now.terms)?;
    ensure(
        facts.pending_orders < quota(maker.identity, now.terms),
        CantDo::TooManyRequests,
    )?;
    let payout = own_payout(new, side, sats, fee, now, facts)?;

    let offer = Offer {
        side,
        fiat_code: new.fiat_code.clone(),
        fiat,
        sats,
        fee,
        payment_method: new.payment_method.clone(),
        created_at: now.at,
        expires_at,
        payout,
    };
    let order = Order {
        id: facts.order,
        revision: 0,
        maker,
        offer,
        stage: Stage::Pending,
        stage_since: now.at,
        rated: Rated::default(),
    };
    Ok(publish(order, req, now, facts))
}

/// Rule O14, with the commit that makes a newcomer known (rule G18).
fn publish(order: Order, req: &Request, now: Now, facts: &OpenFacts) -> Decision {
    let ack = Notice::OrderPublished(Box::new(view::ack(&order)));
    let answer = Letter::answer(&req.asker(), order.id, ack).with_index(order.maker.trade_index);
    Decision {
        users: recorded(&order.maker, facts.person.user.as_ref(), now.at)
            .into_iter()
            .collect(),
        answer: Some(answer),
        effects: vec![Effect::PublishOrder(order.id)],
        orders: vec![order],
        ..Decision::default()
    }
}

/// How an offer names its amounts.
enum Price {
    /// Both in so many words.
    Fixed { fiat: Fiat, sats: Sats },
    /// Fiat, or a range of it; sats as the market is at the take.
    Market,
}

/// Rules O3 and O4: either one fiat amount, or a range at market price.
fn price(new: &NewOrder) -> Result<Price, CantDo> {
    match (new.min_fiat, new.max_fiat) {
        (Some(min), Some(max)) => {
            ensure(
                0 <= min && min < max && new.sats == 0,
                CantDo::InvalidAmount,
            )?;
            Ok(Price::Market)
        }
        (None, None) => {
            let fiat = u64::try_from(new.fiat).map_err(|_| CantDo::InvalidAmount)?;
            let sats = u64::try_from(new.sats).map_err(|_| CantDo::InvalidAmount)?;
            ensure(fiat > 0, CantDo::InvalidAmount)?;
            if sats == 0 {
                return Ok(Price::Market);
            }
            Ok(Price::Fixed {
                fiat: Fiat(fiat),
                sats: Sats(sats),
            })
        }
        (Some(_), None) | (None, Some(_)) => Err(CantDo::InvalidAmount),
    }
}

/// Rule O2.
fn is_accepted_currency(code: &str, terms: &Terms) -> bool {
    let is_code = (3..=10).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase());
    let accepted = &terms.fiat_currencies;
    is_code && (accepted.is_empty() || accepted.iter().any(|known| known == code))
}

/// Rule O5.
fn is_fair_premium(premium: i64, price: &Price) -> bool {
    match price {
        Price::Fixed { .. } => premium == 0,
        Price::Market => -100 < premium && premium <= 100,
    }
}

/// Rule O6: short, readable as it is, and not an empty list.
fn is_payment_method(text: &str) -> bool {
    text.len() <= LONGEST_PAYMENT_METHOD
        && !text.chars().any(is_unreadable)
        && text.split(',').any(|name| !name.trim().is_empty())
}

/// Control, format and line-separator characters: they can make a text look
/// like another.
fn is_unreadable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}')
}

/// Rules O7 and O12.
fn deadline(wished: Option<i64>, now: Now) -> Result<UnixTime, CantDo> {
    let Some(wished) = wished else {
        return Ok(now.at.plus(now.terms.order_life_secs));
    };
    let wished = u64::try_from(wished)
        .map(UnixTime)
        .map_err(|_| CantDo::InvalidParameters)?;
    ensure(wished > now.at, CantDo::InvalidParameters)?;
    Ok(wished.min(now.at.plus(now.terms.max_order_life_secs)))
}

/// The fee of each side, if the amount is within the limits (rule F7) and what
/// the seller pays can be said in millisats.
fn fee_within_limits(sats: Sats, terms: &Terms) -> Result<Sats, CantDo> {
    let fee = fee_per_side(terms.fee, sats);
    let is_payable = sats.checked_add(fee).and_then(Sats::to_msat).is_some() && fee <= sats;
    let is_within = (terms.min_amount..=terms.max_amount).contains(&sats);
    ensure(is_within && is_payable, CantDo::OutOfRangeSatsAmount)?;
    Ok(fee)
}

/// Rules O10, Y5 and Y7.
fn quota(identity: Identity, terms: &Terms) -> u32 {
    match identity {
        Identity::Known(_) => terms.pending_per_identity,
        Identity::FullPrivacy => terms.pending_without_identity,
    }
}

/// Rules O11 and O13: only a buyer is paid out.
fn own_payout(
    new: &NewOrder,
    side: Side,
    sats: Sats,
    fee: Sats,
    now: Now,
    facts: &OpenFacts,
) -> Result<Option<PayoutInvoice>, CantDo> {
    let (Side::Buy, Some(given)) = (side, &new.payout) else {
        return Ok(None);
    };
    let owed = sats.checked_sub(fee).ok_or(CantDo::OutOfRangeSatsAmount)?;
    judge(given, owed, facts.invoice_hash_is_known, now).map(Some)
}

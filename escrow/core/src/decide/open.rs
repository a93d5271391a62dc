//! Putting an order into the book.

use crate::amount::{Fiat, Sats};
use crate::command::{NewOrder, Request};
use crate::decision::{Decision, Effect};
use crate::facts::{Now, OpenFacts};
use crate::lightning::Destination;
use crate::market::{Premium, quoted, sats_for};
use crate::notice::{Letter, Notice};
use crate::order::{Amounts, Offer, Order, Price, Rated, Side};
use crate::party::Identity;
use crate::price::PriceAnswer;
use crate::stage::Stage;
use crate::terms::Terms;
use crate::time::UnixTime;
use crate::view;
use crate::wire::CantDo;

use super::opening::{amounts, ensure_payable};
use super::payout_invoice::{judge, judge_address};
use super::{ensure, party, recorded, trade_index};

/// The longest text of payment methods, in bytes (rule O6).
const LONGEST_PAYMENT_METHOD: usize = 500;

/// A maker offers to buy or to sell (rules O1–O15).
///
/// # Errors
///
/// The reason of the first check that fails, in the order of the rules.
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
    let wanted = wanted(new)?;
    let premium = fair_premium(new.premium, &wanted)?;
    ensure(
        is_payment_method(&new.payment_method),
        CantDo::InvalidParameters,
    )?;
    let expires_at = deadline(new.expires_at, now)?;
    ensure(!new.names_mint, CantDo::InvalidMintUrl)?;
    let (price, most) = priced(wanted, premium, facts.price, now.terms)?;
    ensure(
        facts.pending_orders < quota(maker.identity, now.terms),
        CantDo::TooManyRequests,
    )?;
    ensure_payable(facts.capacity, most)?;
    let payout = own_payout(new, side, &price, now, facts)?;

    let offer = Offer {
        side,
        fiat_code: new.fiat_code.clone(),
        price,
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
        dispute: None,
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

/// What a maker wrote of his amounts.
#[derive(Clone, Copy)]
enum Wanted {
    /// Both in so many words.
    Fixed { fiat: Fiat, sats: Sats },
    /// Fiat, or a range of it; sats as the market is at the take.
    Market { min: Fiat, max: Fiat },
}

/// Rules O3 and O4: either one fiat amount, or a range at market price.
fn wanted(new: &NewOrder) -> Result<Wanted, CantDo> {
    let amount = |given: i64| u64::try_from(given).map_err(|_| CantDo::InvalidAmount);
    match (new.min_fiat, new.max_fiat) {
        (Some(min), Some(max)) => {
            let (min, max) = (Fiat(amount(min)?), Fiat(amount(max)?));
            ensure(min < max && new.sats == 0, CantDo::InvalidAmount)?;
            Ok(Wanted::Market { min, max })
        }
        (None, None) => {
            let (fiat, sats) = (Fiat(amount(new.fiat)?), Sats(amount(new.sats)?));
            ensure(fiat > Fiat(0), CantDo::InvalidAmount)?;
            if sats == Sats(0) {
                return Ok(Wanted::Market {
                    min: fiat,
                    max: fiat,
                });
            }
            Ok(Wanted::Fixed { fiat, sats })
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
fn fair_premium(given: i64, wanted: &Wanted) -> Result<Premium, CantDo> {
    let premium = Premium::new(given).ok_or(CantDo::InvalidParameters)?;
    let is_fixed = matches!(wanted, Wanted::Fixed { .. });
    ensure(
        !is_fixed || premium == Premium::default(),
        CantDo::InvalidParameters,
    )?;
    Ok(premium)
}

/// The price of the offer, and the most sats a take of it may move: both ends
/// are within the limits, at market price as it is (rules O9, F7).
fn priced(
    wanted: Wanted,
    premium: Premium,
    market: PriceAnswer,
    terms: &Terms,
) -> Result<(Price, Sats), CantDo> {
    match wanted {
        Wanted::Fixed { fiat, sats } => {
            let amounts = amounts(fiat, sats, terms)?;
            Ok((Price::Fixed(amounts), sats))
        }
        Wanted::Market { min, max } => {
            let at = quoted(market)?;
            amounts(min, sats_for(min, at, premium), terms)?;
            let most = amounts(max, sats_for(max, at, premium), terms)?.sats;
            Ok((Price::Market { min, max, premium }, most))
        }
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
    price: &Price,
    now: Now,
    facts: &OpenFacts,
) -> Result<Option<Destination>, CantDo> {
    let (Side::Buy, Some(given)) = (side, &new.payout) else {
        return Ok(None);
    };
    let Price::Fixed(Amounts { sats, fee, .. }) = price else {
        return judge_address(given).map(Some);
    };
    let owed = sats.checked_sub(*fee).ok_or(CantDo::OutOfRangeSatsAmount)?;
    judge(given, owed, facts.invoice_hash_is_known, now).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Msat;
    use crate::command::{Ask, GivenInvoice};
    use crate::facts::PersonFacts;
    use crate::fixtures::*;
    use crate::notice::Letter;
    use crate::party::TradeIndex;
    use crate::user::{Rating, User};

    fn opening(new: &NewOrder, facts: &OpenFacts) -> Result<Decision, CantDo> {
        let req = request(&maker(), Ask::NewOrder(new.clone()));
        open(&req, new, now(), facts)
    }

    type Refusals<'a> = &'a [(&'a str, fn(&mut NewOrder), CantDo)];

    fn assert_refused(table: Refusals<'_>) {
        for (case, change, reason) in table {
            let refused = opening(&new_order(Side::Sell).edit(change), &open_facts());
            assert_eq!(refused, Err(*reason), "{case}");
        }
    }

    #[test]
    fn o1_to_o4_kind_currency_and_amounts() {
        use CantDo::{InvalidAmount, InvalidFiatCurrency, InvalidOrderKind};
        assert_refused(&[
            ("o1 no kind", |o| o.side = None, InvalidOrderKind),
            (
                "o2 small letters",
                |o| o.fiat_code = "eur".into(),
                InvalidFiatCurrency,
            ),
            (
                "o2 too short",
                |o| o.fiat_code = "EU".into(),
                InvalidFiatCurrency,
            ),
            (
                "o2 not accepted",
                |o| o.fiat_code = "CHF".into(),
                InvalidFiatCurrency,
            ),
            ("o3 no maximum", |o| o.min_fiat = Some(1), InvalidAmount),
            ("o3 no minimum", |o| o.max_fiat = Some(1), InvalidAmount),
            ("o4 no fiat", |o| o.fiat = 0, InvalidAmount),
            ("o4 negative fiat", |o| o.fiat = -1, InvalidAmount),
            ("o4 negative sats", |o| o.sats = -1, InvalidAmount),
            ("o4 empty range", |o| range(o, 5, 5), InvalidAmount),
            ("o4 below zero", |o| range(o, -1, 5), InvalidAmount),
            (
                "o4 sats",
                |o| (o.min_fiat, o.max_fiat) = (Some(1), Some(5)),
                InvalidAmount,
            ),
        ]);
    }

    #[test]
    fn o5_to_o8_up_s21_premium_methods_deadline_and_mint() {
        use CantDo::{InvalidMintUrl, InvalidParameters};
        assert_refused(&[
            ("o5 premium on sats", |o| o.premium = 1, InvalidParameters),
            (
                "o5 a gift",
                |o| (o.sats, o.premium) = (0, -100),
                InvalidParameters,
            ),
            (
                "o5 usury",
                |o| (o.sats, o.premium) = (0, 101),
                InvalidParameters,
            ),
            (
                "o6 nothing",
                |o| o.payment_method = " , ".into(),
                InvalidParameters,
            ),
            (
                "o6 too long",
                |o| o.payment_method = "x".repeat(501),
                InvalidParameters,
            ),
            (
                "o6 newline",
                |o| o.payment_method = "a\nb".into(),
                InvalidParameters,
            ),
            (
                "o6 format",
                |o| o.payment_method = "a\u{202e}b".into(),
                InvalidParameters,
            ),
            (
                "o6 separator",
                |o| o.payment_method = "a\u{2028}b".into(),
                InvalidParameters,
            ),
            (
                "o7 ends at 0",
                |o| o.expires_at = Some(0),
                InvalidParameters,
            ),
            (
                "o7 ends before",
                |o| o.expires_at = Some(i64::MIN),
                InvalidParameters,
            ),
            ("o8 a mint", |o| o.names_mint = true, InvalidMintUrl),
        ]);
    }

    #[test]
    fn o9_f7_price_and_limits() {
        assert_refused(&[
            ("market", |o| o.sats = 0, CantDo::PriceTooStale),
            ("range", |o| range(o, 5, 50), CantDo::PriceTooStale),
            ("too little", |o| o.sats = 99, CantDo::OutOfRangeSatsAmount),
            (
                "too much",
                |o| o.sats = 1_000_001,
                CantDo::OutOfRangeSatsAmount,
            ),
            (
                "far too much",
                |o| o.sats = i64::MAX,
                CantDo::OutOfRangeSatsAmount,
            ),
        ]);
    }

    fn range(order: &mut NewOrder, min: i64, max: i64) {
        (order.min_fiat, order.max_fiat, order.sats) = (Some(min), Some(max), 0);
    }

    #[test]
    fn o2_without_a_list_every_currency_is_accepted() {
        let terms = crate::terms::Terms {
            fiat_currencies: Vec::new(),
            ..terms()
        };
        let new = new_order(Side::Sell).edit(|o| o.fiat_code = "CHF".into());
        let req = request(&maker(), Ask::NewOrder(new.clone()));
        assert!(open(&req, &new, under(&terms), &open_facts()).is_ok());
    }

    #[test]
    fn g12_an_index_that_was_used_is_refused_before_all_else() {
        let new = new_order(Side::Sell).edit(|o| o.side = None);
        let facts = open_facts().edit(|f| {
            f.person.user = Some(User {
                last_index: TradeIndex(5),
                ..user(&maker())
            });
        });
        assert_eq!(opening(&new, &facts), Err(CantDo::InvalidTradeIndex));
    }

    #[test]
    fn o10_y5_y7_up_a2_the_quota_of_pending_orders() {
        let with = |pending| open_facts().edit(|f| f.pending_orders = pending);
        let new = || new_order(Side::Sell);
        assert!(opening(&new(), &with(19)).is_ok());
        assert_eq!(opening(&new(), &with(20)), Err(CantDo::TooManyRequests));

        let private = request(&maker(), Ask::NewOrder(new()))
            .edit(|r| r.sender.identity = Identity::FullPrivacy);
        assert!(open(&private, &new(), now(), &with(499)).is_ok());
        let refused = open(&private, &new(), now(), &with(500));
        assert_eq!(refused, Err(CantDo::TooManyRequests));
    }

    #[test]
    fn t7_an_order_that_could_not_be_paid_out_does_not_enter_the_book() {
        let away = open_facts().edit(|f| f.capacity.lightning_is_ready = false);
        let poor = open_facts().edit(|f| {
            f.capacity.liquidity = Some(crate::facts::Liquidity {
                outbound: Sats(9_999),
                accepted: Sats(0),
                owed: Sats(0),
                margin: Sats(0),
            });
        });
        for facts in [away, poor] {
            let refused = opening(&new_order(Side::Sell), &facts);
            assert_eq!(refused, Err(CantDo::TooManyRequests));
        }
    }

    #[test]
    fn o11_the_makers_invoice_is_over_the_amount_less_the_fee() {
        let with = |given| new_order(Side::Buy).edit(|o| o.payout = Some(given));
        let whole = invoice(50).edit(|i| i.amount = Some(Msat(10_000_000)));
        let whole = with(GivenInvoice::Readable(whole));
        assert_eq!(opening(&whole, &open_facts()), Err(CantDo::InvalidInvoice));
        let unusable = with(GivenInvoice::Unusable);
        assert_eq!(
            opening(&unusable, &open_facts()),
            Err(CantDo::InvalidInvoice)
        );
        let known = open_facts().edit(|f| f.invoice_hash_is_known = true);
        assert_eq!(
            opening(&with(readable(50)), &known),
            Err(CantDo::InvalidInvoice)
        );

        let decision = opening(&with(readable(50)), &open_facts()).unwrap();
        assert_eq!(decision.orders[0].offer.payout, Some(to_invoice(50)));
    }

    #[test]
    fn o13_an_invoice_with_a_sell_order_is_not_even_read() {
        let new = new_order(Side::Sell).edit(|o| o.payout = Some(GivenInvoice::Unusable));
        let decision = opening(&new, &open_facts()).unwrap();
        assert_eq!(decision.orders[0].offer.payout, None);
    }

    #[test]
    fn o12_up_s4_the_deadline_is_cut_to_the_longest_life() {
        let ends = |wished| {
            let new = new_order(Side::Sell).edit(|o| o.expires_at = wished);
            opening(&new, &open_facts()).unwrap().orders[0]
                .offer
                .expires_at
                .0
                - NOW.0
        };
        let in_secs = |secs: i64| Some(i64::try_from(NOW.0).unwrap() + secs);
        assert_eq!(ends(None), 86_400);
        assert_eq!(ends(in_secs(1)), 1);
        assert_eq!(ends(in_secs(15 * 86_400 + 1)), 15 * 86_400);
        assert_eq!(ends(Some(i64::MAX)), 15 * 86_400);
        let over = new_order(Side::Sell).edit(|o| o.expires_at = in_secs(0));
        let refused = opening(&over, &open_facts());
        assert_eq!(refused, Err(CantDo::InvalidParameters), "o7");
    }

    #[test]
    fn o14_f3_g18_an_order_enters_the_book() {
        let order = order(Side::Sell).edit(|o| {
            o.revision = 0;
            o.offer.created_at = NOW;
            o.offer.expires_at = UnixTime(NOW.0 + 86_400);
            o.stage_since = NOW;
        });
        let newcomer = User {
            first_seen: NOW,
            last_index: TradeIndex(5),
            rating: Rating::default(),
        };
        let published = Notice::OrderPublished(Box::new(view::ack(&order)));
        let ack = Letter::answer(&request(&maker(), Ask::Cancel).asker(), order.id, published);
        let expected = Decision {
            users: vec![(identity_key(1), newcomer)],
            answer: Some(ack.with_index(TradeIndex(5))),
            effects: vec![Effect::PublishOrder(order.id)],
            orders: vec![order],
            ..Decision::default()
        };
        let facts = open_facts().edit(|f| f.person = PersonFacts::default());
        assert_eq!(opening(&new_order(Side::Sell), &facts), Ok(expected));
    }
}

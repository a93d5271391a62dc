//! Orders at market price: how they enter the book and how they are taken.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at its first surprise"
)]

#[path = "fixtures/mod.rs"]
mod fixtures;

use escrow_core::amount::{Fiat, Sats};
use escrow_core::command::{Ask, GivenInvoice, NewOrder, Request};
use escrow_core::decide::{open, take};
use escrow_core::decision::Decision;
use escrow_core::facts::{Liquidity, OpenFacts, TakeFacts};
use escrow_core::market::Premium;
use escrow_core::order::{Amounts, Order, Price, Side};
use escrow_core::price::PriceAnswer;
use escrow_core::view;
use escrow_core::wire::CantDo;

use fixtures::*;

fn quoted(facts: OpenFacts) -> OpenFacts {
    facts.edit(|facts| facts.price = PriceAnswer::Served(PRICE))
}

fn opened(new: &NewOrder, facts: &OpenFacts) -> Result<Order, CantDo> {
    let req = request(&maker(), Ask::NewOrder(new.clone()));
    open::open(&req, new, now(), facts).map(|decision| decision.orders[0].clone())
}

fn wish(side: Side, min: i64, max: i64, premium: i64) -> NewOrder {
    new_order(side).edit(|new| {
        (new.sats, new.premium) = (0, premium);
        if min == max {
            new.fiat = min;
        } else {
            (new.min_fiat, new.max_fiat) = (Some(min), Some(max));
        }
    })
}

fn percent(premium: i64) -> Premium {
    Premium::new(premium).unwrap()
}

#[test]
fn o4_o5_o9_offers_at_market_price_keep_their_terms_and_no_sats() {
    for (min, max, premium) in [(10, 10, 0), (10, 400, 5), (10, 400, -3)] {
        let order = opened(&wish(Side::Sell, min, max, premium), &quoted(open_facts())).unwrap();
        let price = Price::Market {
            min: Fiat(min.unsigned_abs()),
            max: Fiat(max.unsigned_abs()),
            premium: percent(premium),
        };
        assert_eq!(order.offer.price, price);
        let shown = view::ack(&order);
        assert_eq!((shown.amount, shown.premium), (0, premium));
        let range = (min < max).then_some((min, max));
        assert_eq!(shown.min_amount.zip(shown.max_amount), range);
        assert_eq!(shown.fiat_amount, if min == max { min } else { 0 }, "o13");
    }
}

#[test]
fn o9_f7_both_ends_are_within_the_limits_with_the_premium() {
    // 1,000,000 sats are 500 EUR, 100 sats 0.05 EUR.
    let table = [
        (1, 500, 0, None),
        (1, 501, 0, Some(CantDo::OutOfRangeSatsAmount)),
        (1, 526, 5, None),
        (1, 527, 5, Some(CantDo::OutOfRangeSatsAmount)),
        (0, 500, 0, Some(CantDo::OutOfRangeSatsAmount)),
        (1, 1, 100, Some(CantDo::OutOfRangeSatsAmount)),
        (1, i64::MAX, 0, Some(CantDo::OutOfRangeSatsAmount)),
    ];
    for (min, max, premium, refused) in table {
        let found = opened(&wish(Side::Buy, min, max, premium), &quoted(open_facts()));
        assert_eq!(found.err(), refused, "{min} to {max} at {premium} %");
    }
}

#[test]
fn q12_o9_u11_u12_up_a9_an_order_needs_a_price() {
    let table = [
        (PriceAnswer::Stale, CantDo::PriceTooStale),
        (PriceAnswer::Unknown, CantDo::InvalidFiatCurrency),
    ];
    for (price, why) in table {
        let facts = open_facts().edit(|facts| facts.price = price);
        assert_eq!(opened(&wish(Side::Sell, 10, 10, 0), &facts), Err(why));
        assert_eq!(opened(&wish(Side::Sell, 10, 20, 0), &facts), Err(why));
        let fixed = opened(&new_order(Side::Sell), &facts);
        assert!(fixed.is_ok(), "a fixed price needs none");
    }
}

#[test]
fn t7_the_upper_end_of_a_range_must_be_payable() {
    let facts = quoted(open_facts()).edit(|facts| {
        facts.capacity.liquidity = Some(Liquidity {
            outbound: Sats(200_000),
            accepted: Sats(0),
            owed: Sats(0),
            margin: Sats(0),
        });
    });
    assert!(opened(&wish(Side::Sell, 10, 100, 0), &facts).is_ok());
    let refused = opened(&wish(Side::Sell, 10, 101, 0), &facts);
    assert_eq!(refused, Err(CantDo::TooManyRequests));
}

#[test]
fn o11_no_invoice_can_be_over_an_amount_that_nobody_knows() {
    for given in [readable(50), GivenInvoice::Unusable] {
        let new = wish(Side::Buy, 10, 10, 0).edit(|new| new.payout = Some(given));
        let refused = opened(&new, &quoted(open_facts()));
        assert_eq!(refused, Err(CantDo::InvalidInvoice));
    }
}

#[test]
fn o11_at_market_price_and_in_a_range_an_address_is_kept() {
    for (min, max) in [(10, 10), (10, 100)] {
        let new = wish(Side::Buy, min, max, 0).edit(|new| new.payout = Some(given_address()));
        let order = opened(&new, &quoted(open_facts())).unwrap();
        assert_eq!(order.offer.payout, Some(to_address()));
    }
    let new = wish(Side::Buy, 10, 100, 0)
        .edit(|new| new.payout = Some(GivenInvoice::Unasked(ADDRESS.to_owned())));
    let refused = opened(&new, &quoted(open_facts()));
    assert_eq!(refused, Err(CantDo::TooManyRequests));
}

fn offered(side: Side, price: Price) -> Order {
    order(side).edit(|order| order.offer.price = price)
}

fn single(premium: i64) -> Price {
    Price::Market {
        min: Fiat(100),
        max: Fiat(100),
        premium: percent(premium),
    }
}

fn taking(price: PriceAnswer) -> TakeFacts {
    take_facts().edit(|facts| facts.price = price)
}

fn take_sell(order: &Order, fiat: Option<i64>, facts: &TakeFacts) -> Result<Decision, CantDo> {
    take::take_sell(order, &asks(), (None, fiat), now(), facts)
}

fn asks() -> Request {
    request(
        &taker(),
        Ask::TakeSell {
            payout: None,
            fiat: None,
        },
    )
}

fn struck(found: Result<Decision, CantDo>) -> Result<Amounts, CantDo> {
    found.map(|decision| decision.orders[0].stage.take().unwrap().amounts)
}

#[test]
fn t11_f3_f4_the_take_fixes_sats_and_fee_at_the_price_of_its_moment() {
    // 100 EUR at 50,000: the fee of 0.006 is half paid by each side.
    let table = [(0, 200_000, 600), (5, 190_000, 570), (-3, 206_000, 618)];
    for (premium, sats, fee) in table {
        let expected = Amounts {
            fiat: Fiat(100),
            sats: Sats(sats),
            fee: Sats(fee),
        };
        let facts = taking(PriceAnswer::Served(PRICE));
        let sell = offered(Side::Sell, single(premium));
        assert_eq!(struck(take_sell(&sell, None, &facts)), Ok(expected));
        let ignored = struck(take_sell(&sell, Some(7), &facts));
        assert_eq!(ignored, Ok(expected), "t8 there is nothing to choose");
        let buy = offered(Side::Buy, single(premium));
        let asks = request(&taker(), Ask::TakeBuy { fiat: None });
        let found = take::take_buy(&buy, &asks, None, now(), &facts);
        assert_eq!(struck(found), Ok(expected));
    }
}

#[test]
fn n1_t8_the_taker_of_a_range_chooses_within_it() {
    let order = offered(Side::Sell, range());
    let facts = taking(PriceAnswer::Served(PRICE));
    for chosen in [10, 137, 400] {
        let found = struck(take_sell(&order, Some(chosen), &facts)).unwrap();
        assert_eq!(found.fiat, Fiat(chosen.unsigned_abs()));
        assert_eq!(found.sats, Sats(chosen.unsigned_abs() * 1_900));
    }
    for chosen in [None, Some(0), Some(9), Some(401), Some(-10), Some(i64::MAX)] {
        let refused = struck(take_sell(&order, chosen, &facts));
        assert_eq!(refused, Err(CantDo::OutOfRangeSatsAmount), "{chosen:?}");
    }
}

#[test]
fn t9_f7_u11_u12_up_s5_price_and_limits_are_tested_again_at_the_take() {
    let order = offered(Side::Sell, range());
    let take = |fiat, price| struck(take_sell(&order, Some(fiat), &taking(price))).err();
    let fallen = PriceAnswer::Served(PRICE / 2.0);
    assert_eq!(take(263, fallen), None);
    assert_eq!(take(264, fallen), Some(CantDo::OutOfRangeSatsAmount));
    let risen = PriceAnswer::Served(PRICE * 1_000.0);
    assert_eq!(take(10, risen), Some(CantDo::OutOfRangeSatsAmount));
    assert_eq!(take(10, PriceAnswer::Stale), Some(CantDo::PriceTooStale));
    let unknown = take(10, PriceAnswer::Unknown);
    assert_eq!(unknown, Some(CantDo::InvalidFiatCurrency));
}

#[test]
fn t7_comes_before_the_amounts() {
    let order = offered(Side::Buy, range());
    let facts = taking(PriceAnswer::Stale).edit(|facts| facts.capacity.lightning_is_ready = false);
    let asks = request(&taker(), Ask::TakeBuy { fiat: None });
    let refused = take::take_buy(&order, &asks, None, now(), &facts);
    assert_eq!(refused, Err(CantDo::TooManyRequests));
}

#[test]
fn s7_n1_a_taken_range_shows_one_amount_and_returns_whole() {
    let order = offered(Side::Sell, range());
    let facts = taking(PriceAnswer::Served(PRICE));
    let decision = take_sell(&order, Some(100), &facts).unwrap();
    let taken = &decision.orders[0];
    assert_eq!(taken.offer, order.offer, "the take never changes the offer");
    let shown = view::inv_at_take(taken, taken.stage.take().unwrap());
    assert_eq!((shown.amount, shown.fiat_amount), (189_430, 100));
    let back = view::back(&order);
    assert_eq!((back.amount, back.fiat_amount), (0, 0));
    assert_eq!((back.min_amount, back.max_amount), (Some(10), Some(400)));
}

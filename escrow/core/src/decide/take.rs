//! Taking an order from the book.

use crate::amount::{Fiat, Sats};
use crate::command::{GivenInvoice, Request};
use crate::decision::{Decision, Effect};
use crate::facts::{Now, TakeFacts};
use crate::fees::dev_fee;
use crate::lightning::Destination;
use crate::market::{quoted, sats_for};
use crate::notice::{Letter, Notice};
use crate::order::{Amounts, Offer, Order, Price, Side, Take};
use crate::party::{Identity, Party};
use crate::price::PriceAnswer;
use crate::stage::{BackTo, Stage};
use crate::view;
use crate::wire::CantDo;

use super::opening::{Opening, amounts, ensure_capacity, open_hold};
use super::payout_invoice::judge;
use super::{ensure, party, recorded, trade_index};

/// A buyer takes a sell order (rules T2–T12).
///
/// With a payout invoice in hand the seller is asked to fund the escrow at
/// once; without one the buyer is asked for it first, which needs no Lightning.
pub fn take_sell(
    order: &Order,
    req: &Request,
    (given, fiat): (Option<&GivenInvoice>, Option<i64>),
    now: Now,
    facts: &TakeFacts,
) -> Result<Decision, CantDo> {
    let taker = admitted(order, req, Side::Sell, now, facts)?;
    let struck = struck(&order.offer, fiat, facts.price, now);
    let Some(given) = given else {
        let take = taken(taker, struck?, None, now);
        return Ok(ask_for_invoice(order, req, take, now, facts));
    };
    ensure_carried(struck, now, facts)?;
    let mut take = taken(taker, struck?, None, now);
    take.payout = Some(judge(
        given,
        take.buyer_gets(),
        facts.invoice_hash_is_known,
        now,
    )?);
    let opening = Opening {
        take,
        asker: Some(req.asker()),
        back_to: BackTo::Pending,
    };
    Ok(open_hold(order, opening, facts.hold, now))
}

/// A seller takes a buy order (rules T2–T9, T12): Lightning is asked for the
/// hold invoice. The maker's own payout invoice, if he gave one, goes along.
pub fn take_buy(
    order: &Order,
    req: &Request,
    fiat: Option<i64>,
    now: Now,
    facts: &TakeFacts,
) -> Result<Decision, CantDo> {
    let taker = admitted(order, req, Side::Buy, now, facts)?;
    let struck = struck(&order.offer, fiat, facts.price, now);
    ensure_carried(struck, now, facts)?;
    let take = taken(taker, struck?, order.offer.payout.clone(), now);
    let opening = Opening {
        take,
        asker: Some(req.asker()),
        back_to: BackTo::Pending,
    };
    Ok(open_hold(order, opening, facts.hold, now))
}

/// The sender as taker, if he may take this order.
fn admitted(
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

/// What is traded: as offered, or as the taker chose at the market price of
/// this moment (rules T8, T9). An amount where there is no choice is ignored.
fn struck(
    offer: &Offer,
    chosen: Option<i64>,
    market: PriceAnswer,
    now: Now,
) -> Result<Amounts, CantDo> {
    let (min, max, premium) = match offer.price {
        Price::Fixed(amounts) => return Ok(amounts),
        Price::Market { min, max, premium } => (min, max, premium),
    };
    let chosen = chosen.and_then(|chosen| u64::try_from(chosen).ok());
    let fiat = match offer.range() {
        None => Some(max),
        Some(_) => chosen.map(Fiat).filter(|fiat| min <= *fiat && *fiat <= max),
    };
    let fiat = fiat.ok_or(CantDo::OutOfRangeSatsAmount)?;
    amounts(fiat, sats_for(fiat, quoted(market)?, premium), now.terms)
}

/// Rule T7 comes before the amounts: an overloaded node says so, whatever was
/// asked for.
fn ensure_carried(
    struck: Result<Amounts, CantDo>,
    now: Now,
    facts: &TakeFacts,
) -> Result<(), CantDo> {
    let sats = struck.map_or(Sats(0), |amounts| amounts.sats);
    ensure_capacity(facts.capacity, sats, now.terms)
}

fn taken(taker: Party, amounts: Amounts, payout: Option<Destination>, now: Now) -> Take {
    Take {
        taker,
        taken_at: now.at,
        amounts,
        dev_fee: dev_fee(now.terms.dev_fee_share, amounts.fee),
        payout,
        next_trade: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Msat;
    use crate::command::Ask;
    use crate::facts::Capacity;
    use crate::fixtures::*;
    use crate::hold::HoldState;
    use crate::notice::Letter;
    use crate::party::TradeIndex;
    use crate::terms::OPENING_SECS;
    use crate::time::UnixTime;
    use crate::user::User;
    use crate::wire::Transport;

    fn take_sell_request() -> Request {
        request(
            &taker(),
            Ask::TakeSell {
                payout: None,
                fiat: None,
            },
        )
    }

    fn take_buy_request() -> Request {
        request(&taker(), Ask::TakeBuy { fiat: None })
    }

    #[test]
    fn g12_a_take_without_a_fresh_index_is_refused() {
        let refused = |index, facts: &TakeFacts| {
            let req = take_sell_request().edit(|r| r.trade_index = index);
            take_sell(&sell_order(), &req, (None, None), now(), facts).err()
        };
        for index in [
            None,
            Some(0),
            Some(-1),
            Some(6),
            Some(1 << 32),
            Some(i64::MIN),
        ] {
            let reason = refused(index, &take_facts());
            assert_eq!(reason, Some(CantDo::InvalidTradeIndex), "{index:?}");
        }
        assert_eq!(refused(Some(7), &take_facts()), None);
        let reserved = take_facts().edit(|f| f.person.reserved_index = Some(TradeIndex(7)));
        assert_eq!(refused(Some(7), &reserved), Some(CantDo::InvalidTradeIndex));
        assert_eq!(refused(Some(8), &reserved), None);
    }

    #[test]
    fn t2_to_t6_a_take_is_refused() {
        let by_maker = take_sell_request()
            .edit(|r| r.sender = request(&maker(), Ask::TakeBuy { fiat: None }).sender);
        let by_his_other_key = take_sell_request().edit(|r| r.sender.identity = maker().identity);
        let bound = take_facts().edit(|f| f.has_unfinished_take = true);
        let taken = active(Side::Sell).order;
        let ended = sell_order().edit(|o| o.offer.expires_at = NOW);
        let (order, req, facts) = (sell_order, take_sell_request, take_facts);
        let table = [
            (
                "t2 while another waits",
                order(),
                req(),
                bound,
                CantDo::PendingOrderExists,
            ),
            (
                "t3 for a buy order",
                buy_order(),
                req(),
                facts(),
                CantDo::InvalidOrderKind,
            ),
            (
                "t4 t12 of a taken order",
                taken,
                req(),
                facts(),
                CantDo::InvalidOrderStatus,
            ),
            (
                "t5 after its deadline",
                ended,
                req(),
                facts(),
                CantDo::InvalidOrderStatus,
            ),
            (
                "t6 by its maker",
                order(),
                by_maker,
                facts(),
                CantDo::InvalidPubkey,
            ),
            (
                "t6 by the same person",
                order(),
                by_his_other_key,
                facts(),
                CantDo::InvalidPubkey,
            ),
        ];
        for (case, order, req, facts, reason) in table {
            assert_eq!(
                take_sell(&order, &req, (None, None), now(), &facts),
                Err(reason),
                "{case}"
            );
        }
        let refused = take_buy(
            &sell_order(),
            &take_buy_request(),
            None,
            now(),
            &take_facts(),
        );
        assert_eq!(
            refused,
            Err(CantDo::InvalidOrderKind),
            "t3 for a sell order"
        );
    }

    #[test]
    fn t7_y6_up_a2_a_take_that_lightning_cannot_carry_is_refused() {
        let full = |open_holds, opening_holds| Capacity {
            open_holds,
            opening_holds,
            ..capacity()
        };
        let away = Capacity {
            lightning_is_ready: false,
            ..capacity()
        };
        for capacity in [away, full(200, 0), full(190, 10), full(0, 16)] {
            let facts = take_facts().edit(|f| f.capacity = capacity);
            let buy = take_buy(&buy_order(), &take_buy_request(), None, now(), &facts);
            assert_eq!(buy, Err(CantDo::TooManyRequests), "{capacity:?}");
            let sell = take_sell(
                &sell_order(),
                &take_sell_request(),
                (Some(&readable(50)), None),
                now(),
                &facts,
            );
            assert_eq!(sell, Err(CantDo::TooManyRequests), "{capacity:?}");
            let patient = take_sell(
                &sell_order(),
                &take_sell_request(),
                (None, None),
                now(),
                &facts,
            );
            assert!(patient.is_ok(), "t11 needs no Lightning: {capacity:?}");
        }
    }

    #[test]
    fn t10_v3_v4_v6_up_m13_a_take_with_a_useless_invoice_is_refused() {
        let amount = |msat| invoice(50).edit(|i| i.amount = Some(Msat(msat)));
        let table = [
            ("too little", amount(9_969_000)),
            ("the price without the fee", amount(10_000_000)),
            ("a sub-sat rest", amount(9_970_001)),
            (
                "dies in the window",
                invoice(50).edit(|i| i.expires_at = UnixTime(NOW.0 + 3_599)),
            ),
            (
                "too long",
                invoice(50).edit(|i| i.bolt11 = "l".repeat(2_049)),
            ),
        ];
        let take = |given: &GivenInvoice, facts: &TakeFacts| {
            take_sell(
                &sell_order(),
                &take_sell_request(),
                (Some(given), None),
                now(),
                facts,
            )
        };
        for (case, invoice) in table {
            let refused = take(&GivenInvoice::Readable(invoice), &take_facts());
            assert_eq!(refused, Err(CantDo::InvalidInvoice), "{case}");
        }
        let known = take_facts().edit(|f| f.invoice_hash_is_known = true);
        assert_eq!(
            take(&readable(50), &known),
            Err(CantDo::InvalidInvoice),
            "hash is known"
        );
        assert_eq!(
            take(&GivenInvoice::Unusable, &take_facts()),
            Err(CantDo::InvalidInvoice)
        );
        let any_amount = GivenInvoice::Readable(invoice(50).edit(|i| i.amount = None));
        assert!(
            take(&any_amount, &take_facts()).is_ok(),
            "an invoice without amount is fine"
        );
    }

    #[test]
    fn t11_e8_up_s12_a_take_without_invoice_asks_the_buyer_for_one() {
        let order = sell_order();
        let decision = take_sell(
            &order,
            &take_sell_request(),
            (None, None),
            now(),
            &take_facts(),
        );

        let wanted = Notice::InvoiceWanted(Box::new(view::inv_at_take(&order, &take())));
        let deadline = UnixTime(NOW.0 + 900);
        let expected = Decision {
            orders: vec![order.moved(
                Stage::WaitingInvoice {
                    take: take(),
                    deadline,
                },
                NOW,
            )],
            users: vec![(
                identity_key(2),
                User {
                    last_index: TradeIndex(7),
                    ..user(&taker())
                },
            )],
            answer: Some(Letter {
                to: trade_key(2),
                transport: Transport::GiftWrap,
                request_id: Some(77),
                trade_index: Some(TradeIndex(7)),
                order: Some(order.id),
                notice: wanted,
            }),
            pushes: vec![Letter {
                to: trade_key(1),
                transport: Transport::Direct,
                request_id: None,
                trade_index: Some(TradeIndex(5)),
                order: Some(order.id),
                notice: Notice::WaitingBuyerInvoice,
            }],
            effects: vec![Effect::PublishOrder(order.id)],
            ..Decision::default()
        };
        assert_eq!(decision, Ok(expected));
    }

    #[test]
    fn b1_b2_up_m9_a_take_with_invoice_and_a_take_of_a_buy_order_open_a_hold() {
        let sell = sell_order();
        let given = readable(50);
        let by_buyer = take_sell(
            &sell,
            &take_sell_request(),
            (Some(&given), None),
            now(),
            &take_facts(),
        );
        assert_eq!(by_buyer, Ok(opened(&sell, take_with_invoice())));

        let buy = buy_order().edit(|o| o.offer.payout = Some(to_invoice(50)));
        let by_seller = take_buy(&buy, &take_buy_request(), None, now(), &take_facts());
        assert_eq!(by_seller, Ok(opened(&buy, take_with_invoice())));
    }

    /// Nobody hears anything and no index is used before Lightning has answered.
    fn opened(order: &Order, take: Take) -> Decision {
        let until = UnixTime(NOW.0 + OPENING_SECS);
        let stage = Stage::OpeningHold {
            take,
            hold: fresh_hold().id,
            asker: Some(take_buy_request().asker()),
            back_to: BackTo::Pending,
            until,
        };
        Decision {
            orders: vec![order.moved(stage, NOW)],
            holds: vec![hold(order, HoldState::New)],
            effects: vec![Effect::OpenHold(fresh_hold().hash)],
            ..Decision::default()
        }
    }

    #[test]
    fn g12_t2_o15_full_privacy_has_neither_index_nor_identity_limits() {
        let req = take_sell_request().edit(|r| {
            r.sender.identity = Identity::FullPrivacy;
            r.trade_index = None;
        });
        let facts = take_facts().edit(|f| {
            f.person = crate::facts::PersonFacts::default();
            f.has_unfinished_take = true;
        });
        let decision = take_sell(&sell_order(), &req, (None, None), now(), &facts).unwrap();
        assert_eq!(decision.users, Vec::new());
        let taker = &decision.orders[0].stage.take().unwrap().taker;
        assert_eq!(taker.trade_index, TradeIndex(0));
    }

    #[test]
    fn k7_a_newcomer_is_known_from_his_first_take_on() {
        let facts = take_facts().edit(|f| f.person.user = None);
        let decision = take_sell(
            &sell_order(),
            &take_sell_request(),
            (None, None),
            now(),
            &facts,
        )
        .unwrap();
        let newcomer = User {
            first_seen: NOW,
            last_index: TradeIndex(7),
            rating: crate::user::Rating::default(),
        };
        assert_eq!(decision.users, vec![(identity_key(2), newcomer)]);
    }
    #[test]
    fn t7_a_take_whose_buyer_could_not_be_paid_is_refused() {
        let with = |outbound, accepted, owed, margin| {
            let liquidity = crate::facts::Liquidity {
                outbound: crate::Sats(outbound),
                accepted: crate::Sats(accepted),
                owed: crate::Sats(owed),
                margin: crate::Sats(margin),
            };
            let facts = take_facts().edit(|f| f.capacity.liquidity = Some(liquidity));
            take_buy(&buy_order(), &take_buy_request(), None, now(), &facts).err()
        };
        let refused = Some(CantDo::TooManyRequests);
        assert_eq!(with(10_000, 0, 0, 0), None, "exactly the amount");
        assert_eq!(with(9_999, 0, 0, 0), refused);
        assert_eq!(with(9_999, 1, 0, 0), None, "accepted holds count");
        assert_eq!(with(10_000, 0, 1, 0), refused, "what is owed counts");
        assert_eq!(with(10_000, 0, 0, 1), refused, "and so does its routing");
        assert_eq!(with(u64::MAX, u64::MAX, u64::MAX, 1), refused);
    }
}

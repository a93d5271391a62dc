//! What is left of a range order after a trade (rules N2–N9).

use crate::amount::Fiat;
use crate::decision::{Decision, Effect};
use crate::facts::{Now, RestFacts};
use crate::notice::{Letter, Notice};
use crate::order::{NextTrade, Offer, Order, Price, Rated, Take};
use crate::party::{Asker, Party};
use crate::stage::Stage;
use crate::view;

use super::recorded;

/// Offers the rest under the key that the maker named, or tells him that it is
/// gone. `asker` released the trade; if he is the maker, the child's message
/// echoes his request (rule N8).
pub(super) fn offer_rest(
    decision: &mut Decision,
    order: &Order,
    take: &Take,
    asker: &Asker,
    facts: &RestFacts,
    now: Now,
) {
    let Some(rest) = rest_of(&order.offer, take.amounts.fiat) else {
        return;
    };
    let next = take.next_trade.filter(|_| !facts.key_is_in_use);
    let next = next.filter(|_| order.offer.expires_at > now.at);
    let Some(next) = next else {
        decision.pushes.push(rest_is_gone(order, rest));
        return;
    };
    let child = child(order, rest, next, facts, now);
    let ack = Notice::OrderPublished(Box::new(view::ack(&child)));
    let is_makers = asker.trade_key == order.maker.trade_key;
    let told = Letter::push(&child.maker, child.id, ack).with_index(next.index);
    decision.pushes.push(Letter {
        request_id: asker.request_id.filter(|_| is_makers),
        ..told
    });
    let users = recorded(&child.maker, facts.maker.as_ref(), now.at);
    decision.users.extend(users);
    decision.effects.push(Effect::PublishOrder(child.id));
    decision.orders.push(child);
}

/// Lowest and highest fiat amount of an offer.
type Range = (Fiat, Fiat);

/// Rule N2: nothing, the lowest amount alone, or a smaller range.
fn rest_of(offer: &Offer, taken: Fiat) -> Option<Range> {
    let (min, max) = offer.range()?;
    let rest = Fiat(max.0.checked_sub(taken.0)?);
    // A range from 0 that was taken whole leaves an offer of nothing.
    (rest >= min && rest > Fiat(0)).then_some((min, rest))
}

/// Rule N4: made from the offer, not from the trade.
fn child(order: &Order, (min, max): Range, next: NextTrade, facts: &RestFacts, now: Now) -> Order {
    Order {
        id: facts.order,
        revision: 0,
        maker: Party {
            trade_key: next.key,
            trade_index: next.index,
            ..order.maker.clone()
        },
        offer: Offer {
            price: Price::Market {
                min,
                max,
                premium: order.offer.premium(),
            },
            created_at: now.at,
            ..order.offer.clone()
        },
        stage: Stage::Pending,
        stage_since: now.at,
        rated: Rated::default(),
        dispute: None,
    }
}

/// Rule N7.
fn rest_is_gone(order: &Order, (min, max): Range) -> Letter {
    let code = &order.offer.fiat_code;
    let left = if min == max {
        format!("{} {code}", max.0)
    } else {
        format!("{} to {} {code}", min.0, max.0)
    };
    let text = format!(
        "The rest of your range order, {left}, is not offered any more: \
         your app named no usable key for it or its deadline has passed."
    );
    Letter::push(&order.maker, order.id, Notice::Plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::decide::hold_invoice::hold_settled;
    use crate::decide::{fiat_sent::fiat_sent, release::release};
    use crate::fixtures::*;
    use crate::order::{Amounts, Side};
    use crate::party::{Identity, TradeIndex};
    use crate::time::UnixTime;

    fn next() -> NextTrade {
        NextTrade {
            key: trade_key(9),
            index: TradeIndex(11),
        }
    }

    /// A range of 10 to 400 EUR of which `taken` is being released.
    fn released(side: Side, taken: u64, next: Option<NextTrade>) -> Scene {
        let mut scene = releasing(side);
        scene.order.offer.price = range();
        if let Stage::Releasing { take, .. } = &mut scene.order.stage {
            take.amounts = Amounts {
                fiat: Fiat(taken),
                ..take.amounts
            };
            take.next_trade = next;
        }
        scene
    }

    fn settled(scene: &Scene, rest: RestFacts) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        let facts = scene.hold_facts().edit(|facts| facts.rest = rest);
        hold_settled(&scene.order, hold, &facts, now())
    }

    #[test]
    fn n2_what_is_left_is_offered_again() {
        let table = [
            (400, None),
            (391, None),
            (390, Some((10, 10))),
            (389, Some((10, 11))),
            (10, Some((10, 390))),
        ];
        for (taken, left) in table {
            let decision = settled(&released(Side::Sell, taken, Some(next())), rest_facts());
            let child = decision.orders.get(1).map(|order| order.offer.price);
            let expected = left.map(|(min, max)| Price::Market {
                min: Fiat(min),
                max: Fiat(max),
                premium: crate::market::Premium::new(5).unwrap(),
            });
            assert_eq!(child, expected, "{taken} taken");
        }
    }

    #[test]
    fn n4_n6_up_s2_up_s7_up_s17_the_child_is_made_from_the_offer() {
        let scene = released(Side::Sell, 100, Some(next()));
        let decision = settled(&scene, rest_facts());
        let parent = &scene.order;
        let child = Order {
            id: rest_facts().order,
            revision: 0,
            maker: Party {
                trade_key: next().key,
                trade_index: TradeIndex(11),
                ..maker()
            },
            offer: Offer {
                price: Price::Market {
                    min: Fiat(10),
                    max: Fiat(300),
                    premium: parent.offer.premium(),
                },
                created_at: NOW,
                ..parent.offer.clone()
            },
            stage: Stage::Pending,
            stage_since: NOW,
            rated: Rated::default(),
            dispute: None,
        };
        assert_eq!(decision.orders[1], child);
        let published = Effect::PublishOrder(child.id);
        assert!(decision.effects.contains(&published));
        let user = &decision.users[0].1;
        assert_eq!(user.last_index, TradeIndex(11));

        let ahead = rest_facts().edit(|facts| {
            let user = facts.maker.as_mut().unwrap();
            user.last_index = TradeIndex(40);
        });
        let decision = settled(&scene, ahead);
        assert_eq!(decision.users[0].1.last_index, TradeIndex(40), "n6");
        assert_eq!(decision.orders.len(), 2, "n6 an index never blocks");
    }

    #[test]
    fn n8_the_ack_comes_last_and_echoes_the_makers_own_release() {
        let decision = settled(&released(Side::Sell, 100, Some(next())), rest_facts());
        let ack = decision.pushes.last().unwrap();
        assert_eq!((ack.to, ack.request_id), (next().key, Some(77)));
        assert_eq!(ack.trade_index, Some(TradeIndex(11)));
        assert!(matches!(ack.notice, Notice::OrderPublished(_)));
        let order: Vec<_> = decision.pushes.iter().map(|letter| letter.to).collect();
        assert_eq!(order, [taker().trade_key, maker().trade_key, next().key]);

        let by_taker = settled(&released(Side::Buy, 100, Some(next())), rest_facts());
        let ack = by_taker.pushes.last().unwrap();
        assert_eq!((ack.to, ack.request_id), (next().key, None));
    }

    #[test]
    fn n4_n5_n7_r2_u31_up_s8_without_a_usable_key_the_maker_is_told_what_is_gone() {
        let over = released(Side::Sell, 100, Some(next()))
            .edit(|scene| scene.order.offer.expires_at = NOW);
        let used = rest_facts().edit(|facts| facts.key_is_in_use = true);
        let table = [
            ("none", released(Side::Sell, 100, None), rest_facts()),
            ("in use", released(Side::Sell, 100, Some(next())), used),
            ("deadline", over, rest_facts()),
        ];
        for (case, scene, facts) in table {
            let decision = settled(&scene, facts);
            assert_eq!(decision.orders.len(), 1, "{case}");
            let stage = &decision.orders[0].stage;
            assert!(matches!(stage, Stage::PayingBuyer { .. }), "r2: {case}");
            let told = decision.pushes.last().unwrap();
            assert_eq!(told.to, maker().trade_key, "{case}");
            let Notice::Plain(text) = &told.notice else {
                panic!("{case}: {told:?}");
            };
            assert!(text.contains("10 to 300 EUR"), "{case}: {text}");
        }
    }

    #[test]
    fn n9_in_full_privacy_the_key_is_all_there_is() {
        let scene = released(Side::Sell, 100, Some(next()))
            .edit(|scene| scene.order.maker.identity = Identity::FullPrivacy);
        let facts = rest_facts().edit(|facts| facts.maker = None);
        let decision = settled(&scene, facts);
        assert_eq!(decision.orders[1].maker.identity, Identity::FullPrivacy);
        assert_eq!(decision.users, []);
    }

    #[test]
    fn n5_m2_only_the_makers_word_counts_and_the_last_one() {
        let named = |order: &Order| order.stage.take().unwrap().next_trade;
        let earlier = NextTrade {
            key: trade_key(8),
            index: TradeIndex(10),
        };
        for side in [Side::Sell, Side::Buy] {
            let by_maker = |next: Option<NextTrade>| (side == Side::Buy).then_some(next).flatten();
            let scene = active(side);
            let buyer = scene.order.buyer().unwrap().clone();
            let says = request(&buyer, Ask::FiatSent { next: None });
            let sent = fiat_sent(&scene.order, &says, Some(earlier), now()).unwrap();
            assert_eq!(named(&sent.orders[0]), by_maker(Some(earlier)), "{side:?}");

            let scene = after_fiat(side);
            let seller = scene.order.seller().unwrap().clone();
            let says = request(&seller, Ask::Release { next: None });
            let facts = scene.release_facts();
            let freed = release(&scene.order, &says, Some(next()), now(), &facts).unwrap();
            let expected = (side == Side::Sell).then(next);
            assert_eq!(named(&freed.orders[0]), expected, "{side:?}");
        }
        let take = take().naming(Some(earlier));
        assert_eq!(take.clone().naming(None).next_trade, Some(earlier));
        assert_eq!(take.naming(Some(next())).next_trade, Some(next()));
    }

    #[test]
    fn n2_nothing_is_left_of_an_order_without_a_range() {
        let scene = releasing(Side::Sell).edit(|scene| {
            if let Stage::Releasing { take, .. } = &mut scene.order.stage {
                take.next_trade = Some(next());
            }
        });
        assert_eq!(settled(&scene, rest_facts()).orders.len(), 1);
        assert_eq!(rest_of(&scene.order.offer, Fiat(1)), None);
        let whole = Offer {
            price: Price::Market {
                min: Fiat(0),
                max: Fiat(5),
                premium: crate::market::Premium::default(),
            },
            expires_at: UnixTime(0),
            ..scene.order.offer
        };
        assert_eq!(rest_of(&whole, Fiat(5)), None, "an offer of nothing");
    }
}

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
fn child(
    order: &Order,
    (min, max): Range,
    next: NextTrade,
    facts: &RestFacts,
    now: Now,
) -> Order {
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

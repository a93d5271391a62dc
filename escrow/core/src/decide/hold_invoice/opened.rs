//! Lightning has opened a hold, or could not.

use crate::decide::opening::{back, given_up};
use crate::decide::{alarm, nothing, recorded};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::Now;
use crate::hold::{Hold, HoldState};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Side, Take};
use crate::party::Asker;
use crate::stage::{BackTo, Stage};
use crate::time::UnixTime;
use crate::user::User;
use crate::view;
use crate::wire::CantDo;

use super::{cancel_again, taker_shown};

/// Lightning has opened a hold (rules B4, B5). `taker` is his row, if his
/// identity has one.
///
/// One that nobody wants any more is canceled again (rule B6).
pub fn hold_opened(
    order: &Order,
    hold: &Hold,
    taker: Option<&User>,
    bolt11: &str,
    now: Now,
) -> Decision {
    match &hold.state {
        HoldState::New => {}
        HoldState::Canceling | HoldState::Canceled => return cancel_again(hold),
        HoldState::Open { .. }
        | HoldState::Accepted(_)
        | HoldState::Settling(_)
        | HoldState::Settled(_) => return nothing(),
        HoldState::Lost => return alarm(Alarm::UnexpectedHold(hold.hash)),
    }
    match opening_of(order, hold) {
        Some(opening) if now.at <= opening.until => {
            let hold = Hold {
                state: HoldState::Open {
                    bolt11: bolt11.to_owned(),
                },
                ..hold.clone()
            };
            request_payment(order, &opening, hold, taker, bolt11, now)
        }
        Some(_) => hold_failed(order, hold, now),
        None => alarm(Alarm::UnexpectedHold(hold.hash)),
    }
}

/// Lightning could not open a hold, or took too long: the order goes back to
/// where it was, and whoever waited for the hold may try later (rule B6).
pub fn hold_failed(order: &Order, hold: &Hold, now: Now) -> Decision {
    if hold.state != HoldState::New {
        return nothing();
    }
    let Some(opening) = opening_of(order, hold) else {
        return alarm(Alarm::UnexpectedHold(hold.hash));
    };
    let mut decision = back(order, opening.take, opening.back_to, now);
    decision.holds.push(given_up(hold));
    decision.answer = opening
        .asker
        .map(|asker| Letter::refusal(asker, Some(order.id), CantDo::TooManyRequests));
    decision.effects.push(Effect::CancelHold(hold.hash));
    decision
}

/// An order that waits for this hold to open.
struct Waiting<'a> {
    take: &'a Take,
    asker: Option<&'a Asker>,
    back_to: &'a BackTo,
    until: UnixTime,
}

fn opening_of<'a>(order: &'a Order, of: &Hold) -> Option<Waiting<'a>> {
    let Stage::OpeningHold {
        take,
        hold,
        asker,
        back_to,
        until,
    } = &order.stage
    else {
        return None;
    };
    (*hold == of.id).then_some(Waiting {
        take,
        asker: asker.as_ref(),
        back_to,
        until: *until,
    })
}

/// Rules B4 and B5: the seller is asked to pay, the buyer to wait; whoever
/// caused it gets his part as the answer.
fn request_payment(
    order: &Order,
    opening: &Waiting<'_>,
    hold: Hold,
    taker: Option<&User>,
    bolt11: &str,
    now: Now,
) -> Decision {
    let Waiting { take, back_to, .. } = opening;
    let is_new_take = **back_to == BackTo::Pending;
    let user = recorded(&take.taker, taker, now.at).filter(|_| is_new_take);
    let known = user.as_ref().map(|(_, user)| user).or(taker);
    let (answer, pushes) = match (opening.asker, order.offer.side) {
        (Some(asker), Side::Buy) => words_for_buy_order(order, take, asker, bolt11),
        (Some(asker), Side::Sell) => words_for_sell_order(order, take, (asker, known), bolt11, now),
        (None, _) => (None, vec![seller_asked(order, take, bolt11)]),
    };
    let deadline = match back_to {
        BackTo::Pending | BackTo::WaitingInvoice { .. } => now.at.plus(now.terms.step_secs),
        BackTo::WaitingPayment { deadline } => *deadline,
    };
    let stage = Stage::WaitingPayment {
        take: (*take).clone(),
        hold: hold.id,
        deadline,
    };
    let published = is_new_take.then_some(Effect::PublishOrder(order.id));
    Decision {
        orders: vec![order.moved(stage, now.at)],
        holds: vec![hold],
        users: user.into_iter().collect(),
        answer,
        pushes,
        effects: published.into_iter().collect(),
        ..Decision::default()
    }
}

fn words_for_buy_order(
    order: &Order,
    take: &Take,
    asker: &Asker,
    bolt11: &str,
) -> (Option<Letter>, Vec<Letter>) {
    let answer = Letter::answer(asker, order.id, payment_wanted(order, take, bolt11));
    let maker = Letter::push(&order.maker, order.id, Notice::WaitingSellerToPay);
    (
        Some(answer.with_index(take.taker.trade_index)),
        vec![maker.with_index(order.maker.trade_index)],
    )
}

fn words_for_sell_order(
    order: &Order,
    take: &Take,
    (asker, taker): (&Asker, Option<&User>),
    bolt11: &str,
    now: Now,
) -> (Option<Letter>, Vec<Letter>) {
    let answer = Letter::answer(asker, order.id, Notice::WaitingSellerToPay);
    (
        Some(answer.with_index(take.taker.trade_index)),
        vec![
            taker_shown(order, take, taker, now),
            seller_asked(order, take, bolt11),
        ],
    )
}

/// The seller is asked to pay by a push; after a downtime he is asked again.
fn seller_asked(order: &Order, take: &Take, bolt11: &str) -> Letter {
    let seller = order.sides(take).seller;
    Letter::push(seller, order.id, payment_wanted(order, take, bolt11))
        .with_index(seller.trade_index)
}

fn payment_wanted(order: &Order, take: &Take, bolt11: &str) -> Notice {
    let order = Box::new(view::pay(order, take));
    Notice::PaymentWanted {
        order,
        bolt11: bolt11.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::notice::Reputation;
    use crate::party::TradeIndex;

    fn opened_at(scene: &Scene, secs: u64) -> Decision {
        let now = at(UnixTime(NOW.0 + secs));
        let hold = scene.hold.as_ref().unwrap();
        hold_opened(
            &scene.order,
            hold,
            Some(&user(&taker())),
            "lnbcrt-hold",
            now,
        )
    }

    fn waiting(scene: &Scene) -> Vec<Order> {
        let take = scene.order.stage.take().cloned().unwrap();
        let deadline = UnixTime(NOW.0 + 900);
        let stage = Stage::WaitingPayment {
            take,
            hold: fresh_hold().id,
            deadline,
        };
        vec![scene.order.moved(stage, NOW)]
    }

    fn with_used_index() -> User {
        User {
            last_index: TradeIndex(7),
            ..user(&taker())
        }
    }

    fn taker_asks() -> Asker {
        request(&taker(), Ask::TakeBuy { fiat: None }).asker()
    }

    #[test]
    fn b4_b5_e8_up_s12_a_taker_of_a_buy_order_is_asked_to_pay() {
        let scene = opening(Side::Buy, BackTo::Pending);
        let wanted = payment_wanted(&scene.order, &take(), "lnbcrt-hold");
        let expected = Decision {
            orders: waiting(&scene),
            holds: vec![hold(&scene.order, open_state())],
            users: vec![(identity_key(2), with_used_index())],
            answer: Some(
                Letter::answer(&taker_asks(), order_id(), wanted).with_index(TradeIndex(7)),
            ),
            pushes: vec![push(&maker(), Notice::WaitingSellerToPay).with_index(TradeIndex(5))],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(opened_at(&scene, 0), expected);
    }

    #[test]
    fn b5_the_maker_of_a_sell_order_learns_of_his_taker_and_is_asked_to_pay() {
        let scene = opening(Side::Sell, BackTo::Pending);
        let taker = Reputation {
            rating: 4.5,
            reviews: 3,
            operating_days: 12,
            since: Some((NOW.0 - 12 * 86_400) / 86_400 * 86_400),
        };
        let wanted = payment_wanted(&scene.order, &take_with_invoice(), "lnbcrt-hold");
        let expected = Decision {
            orders: waiting(&scene),
            holds: vec![hold(&scene.order, open_state())],
            users: vec![(identity_key(2), with_used_index())],
            answer: Some(
                Letter::answer(&taker_asks(), order_id(), Notice::WaitingSellerToPay)
                    .with_index(TradeIndex(7)),
            ),
            pushes: vec![
                push(
                    &maker(),
                    Notice::TakerReputation {
                        to_seller: true,
                        taker,
                    },
                ),
                push(&maker(), wanted).with_index(TradeIndex(5)),
            ],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        };
        assert_eq!(opened_at(&scene, 0), expected);
    }

    #[test]
    fn b5_s4_after_add_invoice_the_book_and_the_index_stay() {
        let deadline = deadline();
        let decision = opened_at(&opening(Side::Sell, BackTo::WaitingInvoice { deadline }), 0);
        assert_eq!(decision.effects, []);
        assert_eq!(decision.users, []);
        assert_eq!(decision.pushes.len(), 2);
    }

    #[test]
    fn b4_b6_the_eighth_second_is_in_time_and_the_ninth_is_late() {
        let scene = opening(Side::Buy, BackTo::Pending);
        assert_eq!(
            opened_at(&scene, 8).effects,
            [Effect::PublishOrder(order_id())]
        );
        assert_eq!(
            opened_at(&scene, 9).effects,
            [Effect::CancelHold(fresh_hold().hash)]
        );
    }

    #[test]
    fn b6_u13_a_hold_that_cannot_be_opened_takes_the_order_back() {
        let scene = opening(Side::Sell, BackTo::Pending);
        let hold_row = scene.hold.clone().unwrap();
        let refusal = Letter::refusal(&taker_asks(), Some(order_id()), CantDo::TooManyRequests);
        let expected = Decision {
            orders: vec![scene.order.moved(Stage::Pending, NOW)],
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            answer: Some(refusal),
            effects: vec![Effect::CancelHold(fresh_hold().hash)],
            ..Decision::default()
        };
        assert_eq!(hold_failed(&scene.order, &hold_row, now()), expected);

        let deadline = deadline();
        let waiting = opening(Side::Sell, BackTo::WaitingInvoice { deadline });
        let decision = hold_failed(&waiting.order, &hold_row, now());
        let asked_again = Stage::WaitingInvoice {
            take: take(),
            deadline,
        };
        assert_eq!(decision.orders, [waiting.order.moved(asked_again, NOW)]);
        assert_eq!(decision.answer, expected.answer, "after add-invoice");
    }

    #[test]
    fn b6_h5_a_hold_that_opens_late_is_canceled_again() {
        let order = sell_order();
        let reopened = |state| hold_opened(&order, &hold(&order, state), None, "ln", now());
        let cancel = vec![Effect::CancelHold(fresh_hold().hash)];
        let canceling = Decision {
            effects: cancel,
            ..Decision::default()
        };
        assert_eq!(reopened(HoldState::Canceling), canceling);
        let holds = vec![hold(&order, HoldState::Canceling)];
        assert_eq!(
            reopened(HoldState::Canceled),
            Decision { holds, ..canceling }
        );
    }
    #[test]
    fn e12_after_a_downtime_the_seller_is_asked_again_and_keeps_his_time() {
        for (side, seller) in [(Side::Sell, maker()), (Side::Buy, taker())] {
            let deadline = deadline();
            let scene = opening(side, BackTo::WaitingPayment { deadline });
            let take = scene.order.stage.take().cloned().unwrap();
            let wanted = payment_wanted(&scene.order, &take, "lnbcrt-hold");
            let hold_id = fresh_hold().id;
            let stage = Stage::WaitingPayment {
                take,
                hold: hold_id,
                deadline,
            };
            let expected = Decision {
                orders: vec![scene.order.moved(stage, NOW)],
                holds: vec![hold(&scene.order, open_state())],
                pushes: vec![push(&seller, wanted).with_index(seller.trade_index)],
                ..Decision::default()
            };
            assert_eq!(opened_at(&scene, 0), expected, "{side:?}");
        }
    }

    #[test]
    fn e12_without_another_hold_the_seller_is_late() {
        let deadline = deadline();
        let scene = opening(Side::Sell, BackTo::WaitingPayment { deadline });
        let decision = hold_failed(&scene.order, scene.hold.as_ref().unwrap(), now());
        let over = push(&maker(), Notice::Canceled);
        assert_eq!(decision.pushes[0], over);
        assert!(matches!(decision.orders[0].stage, Stage::Canceled { .. }));
        assert_eq!(decision.answer, None);
    }

    #[test]
    fn b7_an_opening_that_outlived_its_offer_leaves_it_expired() {
        let mut scene = opening(Side::Sell, BackTo::Pending);
        scene.order.offer.expires_at = NOW;
        let decision = hold_failed(&scene.order, scene.hold.as_ref().unwrap(), now());
        assert_eq!(decision.orders, [scene.order.moved(Stage::Expired, NOW)]);
        assert_eq!(decision.pushes, [push(&maker(), Notice::Canceled)]);
        let effects = [
            Effect::PublishOrder(order_id()),
            Effect::CancelHold(fresh_hold().hash),
        ];
        assert_eq!(decision.effects, effects);
    }
}

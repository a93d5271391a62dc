//! What Lightning reports about a hold invoice.
//!
//! A report is expected, or was seen before and gives nothing, or contradicts
//! the ledger and gives an alarm (rule H1).

use crate::amount::Msat;
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::{Now, PayoutFacts};
use crate::hold::{Acceptance, Hold, HoldState};
use crate::notice::{Letter, Notice, Reputation};
use crate::order::{Order, Role, Side, Take};
use crate::party::{Asker, Identity};
use crate::payout::PayoutId;
use crate::stage::{BackTo, Stage};
use crate::time::UnixTime;
use crate::user::User;
use crate::view;
use crate::wire::CantDo;

use super::opening::{back, given_up};
use super::payout::{Debt, start};
use super::payout_invoice::outlives_window;
use super::{alarm, nothing, recorded};

pub use super::hold_canceled::hold_canceled;

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
    Decision {
        orders: vec![back(order, opening.take, opening.back_to, now.at)],
        holds: vec![given_up(hold)],
        answer: Some(Letter::refusal(
            opening.asker,
            Some(order.id),
            CantDo::TooManyRequests,
        )),
        effects: vec![Effect::CancelHold(hold.hash)],
        ..Decision::default()
    }
}

/// The seller's sats are locked (rules H2–H6): the trade begins, or the buyer
/// is asked where he wants to be paid. `taker` is the taker's row.
pub fn hold_accepted(
    order: &Order,
    hold: &Hold,
    taker: Option<&User>,
    paid: Msat,
    expiry_height: Option<u32>,
    now: Now,
) -> Decision {
    let acceptance = Acceptance {
        paid,
        expiry_height,
        at: now.at,
    };
    match &hold.state {
        HoldState::Open { .. } => {}
        HoldState::Canceling | HoldState::Canceled => return paid_too_late(hold, acceptance),
        HoldState::Accepted(_) | HoldState::Settling(_) | HoldState::Settled(_) => {
            return nothing();
        }
        HoldState::New | HoldState::Lost => return alarm(Alarm::UnexpectedHold(hold.hash)),
    }
    let asked = hold.value.to_msat();
    let (Some(take), true) = (awaiting_payment(order, hold), Some(paid) >= asked) else {
        return alarm(Alarm::UnexpectedHold(hold.hash));
    };
    let mut decision = match &take.payout {
        Some(payout) if outlives_window(payout, now) => begin_trade(order, take, hold, now),
        Some(_) | None => ask_for_invoice(order, take, hold, taker, now),
    };
    decision.holds = vec![Hold {
        state: HoldState::Accepted(acceptance),
        ..hold.clone()
    }];
    if Some(paid) > asked {
        decision
            .effects
            .push(Effect::Alarm(Alarm::Overpaid(hold.hash)));
    }
    decision
}

/// The sats of a released escrow are ours (rules R4, B8): all are told, and
/// the buyer is paid in the same breath.
pub fn hold_settled(order: &Order, hold: &Hold, owed: &PayoutFacts, now: Now) -> Decision {
    let acceptance = match &hold.state {
        HoldState::Settling(acceptance) => *acceptance,
        HoldState::Settled(_) => return nothing(),
        HoldState::New
        | HoldState::Open { .. }
        | HoldState::Accepted(_)
        | HoldState::Canceling
        | HoldState::Canceled
        | HoldState::Lost => return alarm(Alarm::UnexpectedHold(hold.hash)),
    };
    let PayoutFacts { payout, attempt } = owed;
    let release = match release_of(order, hold) {
        Some(release) if release.payout == payout.id => release,
        Some(_) | None => return alarm(Alarm::UnexpectedHold(hold.hash)),
    };
    let Release { take, .. } = release;
    let sides = order.sides(take);
    let debt = Debt {
        order,
        take,
        payout: payout.clone(),
        attempt: attempt.as_ref(),
        inflow: hold.value,
    };
    let mut decision = start(&debt, now);
    let stage = Stage::PayingBuyer {
        take: take.clone(),
        hold: hold.id,
        payout: payout.id,
    };
    decision.orders = vec![order.moved(stage, now.at)];
    decision.holds = vec![Hold {
        state: HoldState::Settled(acceptance),
        ..hold.clone()
    }];
    decision.answer = Some(release.answer(order, Notice::EscrowSettled, now));
    let told = [
        Letter::push(sides.buyer, order.id, Notice::Released),
        Letter::push(sides.seller, order.id, Notice::Rate),
    ];
    decision.pushes.splice(0..0, told);
    decision
}

/// An order that waits for this hold to open.
struct Waiting<'a> {
    take: &'a Take,
    asker: &'a Asker,
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
        asker,
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
    let is_new_take = *back_to == &BackTo::Pending;
    let user = recorded(&take.taker, taker, now.at).filter(|_| is_new_take);
    let known = user.as_ref().map(|(_, user)| user).or(taker);
    let (answer, pushes) = match order.offer.side {
        Side::Buy => words_for_buy_order(order, opening, bolt11),
        Side::Sell => words_for_sell_order(order, opening, known, bolt11, now),
    };
    let deadline = now.at.plus(now.terms.step_secs);
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
        answer: Some(answer),
        pushes,
        effects: published.into_iter().collect(),
        ..Decision::default()
    }
}

fn words_for_buy_order(
    order: &Order,
    opening: &Waiting<'_>,
    bolt11: &str,
) -> (Letter, Vec<Letter>) {
    let Waiting { take, asker, .. } = opening;
    let answer = Letter::answer(asker, order.id, payment_wanted(order, take, bolt11));
    let maker = Letter::push(&order.maker, order.id, Notice::WaitingSellerToPay);
    (
        answer.with_index(take.taker.trade_index),
        vec![maker.with_index(order.maker.trade_index)],
    )
}

fn words_for_sell_order(
    order: &Order,
    opening: &Waiting<'_>,
    taker: Option<&User>,
    bolt11: &str,
    now: Now,
) -> (Letter, Vec<Letter>) {
    let Waiting { take, asker, .. } = opening;
    let answer = Letter::answer(asker, order.id, Notice::WaitingSellerToPay);
    let maker = Letter::push(&order.maker, order.id, payment_wanted(order, take, bolt11));
    (
        answer.with_index(take.taker.trade_index),
        vec![
            taker_shown(order, take, taker, now),
            maker.with_index(order.maker.trade_index),
        ],
    )
}

fn payment_wanted(order: &Order, take: &Take, bolt11: &str) -> Notice {
    let order = Box::new(view::pay(order, take));
    Notice::PaymentWanted {
        order,
        bolt11: bolt11.to_owned(),
    }
}

/// The maker learns with whom he trades: figures, no key. In full privacy they
/// are zeros.
fn taker_shown(order: &Order, take: &Take, user: Option<&User>, now: Now) -> Letter {
    let user = user.filter(|_| take.taker.identity != Identity::FullPrivacy);
    let taker = Reputation::of(user, now.at);
    let to_seller = order.offer.side == Side::Sell;
    Letter::push(
        &order.maker,
        order.id,
        Notice::TakerReputation { to_seller, taker },
    )
}

/// Rule H2: both have done their part.
fn begin_trade(order: &Order, take: &Take, hold: &Hold, now: Now) -> Decision {
    let sides = order.sides(take);
    let locked = Notice::EscrowLocked(Box::new(view::act(order, take, Role::Buyer)));
    let took = Notice::BuyerTookOrder(Box::new(view::act(order, take, Role::Seller)));
    let stage = Stage::Active {
        take: take.clone(),
        hold: hold.id,
    };
    Decision {
        orders: vec![order.moved(stage, now.at)],
        pushes: vec![
            Letter::push(sides.buyer, order.id, locked),
            Letter::push(sides.seller, order.id, took),
        ],
        ..Decision::default()
    }
}

/// Rules H3 and H4: an invoice that might be dead when it is needed is as good
/// as none, and the buyer is asked for another while the seller waits.
fn ask_for_invoice(
    order: &Order,
    take: &Take,
    hold: &Hold,
    taker: Option<&User>,
    now: Now,
) -> Decision {
    let sides = order.sides(take);
    let wanted = Notice::InvoiceWanted(Box::new(view::inv_when_paid(order, take)));
    let mut pushes = vec![
        Letter::push(sides.buyer, order.id, wanted),
        Letter::push(sides.seller, order.id, Notice::WaitingBuyerInvoice),
    ];
    if order.offer.side == Side::Buy {
        pushes.push(taker_shown(order, take, taker, now));
    }
    let stage = Stage::PaidWaitingInvoice {
        take: Take {
            payout: None,
            ..take.clone()
        },
        hold: hold.id,
        deadline: now.at.plus(now.terms.step_secs),
    };
    Decision {
        orders: vec![order.moved(stage, now.at)],
        pushes,
        ..Decision::default()
    }
}

/// The take whose seller is asked to pay this hold.
pub(super) fn awaiting_payment<'a>(order: &'a Order, of: &Hold) -> Option<&'a Take> {
    let Stage::WaitingPayment { take, hold, .. } = &order.stage else {
        return None;
    };
    (*hold == of.id).then_some(take)
}

/// A decided release, and who waits for it.
pub(super) struct Release<'a> {
    pub(super) take: &'a Take,
    pub(super) payout: PayoutId,
    asker: &'a Asker,
    echo_until: UnixTime,
}

pub(super) fn release_of<'a>(order: &'a Order, of: &Hold) -> Option<Release<'a>> {
    let Stage::Releasing {
        take,
        hold,
        payout,
        asker,
        echo_until,
    } = &order.stage
    else {
        return None;
    };
    let release = Release {
        take,
        payout: *payout,
        asker,
        echo_until: *echo_until,
    };
    (*hold == of.id).then_some(release)
}

impl Release<'_> {
    /// The answer to whoever released; his client has given up waiting for it
    /// after a while, and takes a late one only without a number (rule B8).
    pub(super) fn answer(&self, order: &Order, notice: Notice, now: Now) -> Letter {
        let letter = Letter::answer(self.asker, order.id, notice);
        let request_id = letter.request_id.filter(|_| now.at <= self.echo_until);
        Letter {
            request_id,
            ..letter
        }
    }
}

/// The hold of nobody: the seller hears once that his sats come back (rule H5).
fn paid_too_late(hold: &Hold, payment: Acceptance) -> Decision {
    let mut decision = cancel_again(hold);
    if hold.late_payment.is_none() {
        decision.holds = vec![Hold {
            late_payment: Some(payment),
            ..given_up(hold)
        }];
        decision.pushes = vec![Letter::push(
            &hold.seller,
            hold.order,
            Notice::EscrowCanceled,
        )];
    }
    decision
}

/// A cancel is repeated for as long as Lightning shows the hold alive.
fn cancel_again(hold: &Hold) -> Decision {
    let was_done = hold.state == HoldState::Canceled;
    Decision {
        holds: was_done.then(|| given_up(hold)).into_iter().collect(),
        effects: vec![Effect::CancelHold(hold.hash)],
        ..Decision::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::OrderId;
    use crate::party::{Party, TradeIndex};
    use crate::payout::{AttemptState, PayoutState};

    const FULL: Msat = Msat(SELLER_PAYS.0 * 1_000);

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

    fn push(party: &Party, notice: Notice) -> Letter {
        Letter::push(party, order_id(), notice)
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
        request(&taker(), Ask::TakeBuy).asker()
    }

    #[test]
    fn b4_b5_a_taker_of_a_buy_order_is_asked_to_pay() {
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
    fn b6_a_hold_that_cannot_be_opened_takes_the_order_back() {
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
    }

    #[test]
    fn h1_reports_of_what_is_known_or_over_move_nothing() {
        let order = active(Side::Sell).order;
        let accepted = HoldState::Accepted(acceptance());
        let settled = HoldState::Settled(acceptance());
        for state in [
            accepted.clone(),
            HoldState::Settling(acceptance()),
            settled.clone(),
        ] {
            let hold = hold(&order, state);
            assert_eq!(hold_opened(&order, &hold, None, "ln", now()), nothing());
            assert_eq!(
                hold_accepted(&order, &hold, None, FULL, None, now()),
                nothing()
            );
        }
        for state in [
            open_state(),
            accepted.clone(),
            HoldState::Canceling,
            settled,
        ] {
            assert_eq!(hold_failed(&order, &hold(&order, state), now()), nothing());
        }
    }

    #[test]
    fn h1_reports_that_contradict_the_ledger_are_alarms() {
        let order = active(Side::Sell).order;
        let unexpected = alarm(Alarm::UnexpectedHold(fresh_hold().hash));
        let owed = releasing(Side::Sell).owed.unwrap();
        let new = hold(&order, HoldState::New);
        assert_eq!(hold_opened(&order, &new, None, "ln", now()), unexpected);
        assert_eq!(hold_failed(&order, &new, now()), unexpected);
        for state in [HoldState::New, open_state(), HoldState::Lost] {
            let hold = hold(&order, state);
            assert_eq!(
                hold_accepted(&order, &hold, None, FULL, None, now()),
                unexpected
            );
        }
        for state in [
            open_state(),
            HoldState::Accepted(acceptance()),
            HoldState::Canceling,
        ] {
            assert_eq!(
                hold_settled(&order, &hold(&order, state), &owed, now()),
                unexpected
            );
        }
        let elsewhere = hold(&order, HoldState::Settling(acceptance()));
        assert_eq!(hold_settled(&order, &elsewhere, &owed, now()), unexpected);
    }

    #[test]
    fn h1_a_report_about_an_earlier_hold_leaves_the_present_one_alone() {
        let scene = waiting_payment(Side::Sell);
        let mut earlier = scene.hold.unwrap();
        earlier.id = crate::hold::HoldId(uuid::Uuid::from_u128(99));
        let decision = hold_accepted(&scene.order, &earlier, None, FULL, None, now());
        assert_eq!(decision, alarm(Alarm::UnexpectedHold(earlier.hash)));
    }

    fn accepted(scene: &Scene, paid: Msat) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        let taker = user(&taker());
        hold_accepted(&scene.order, hold, Some(&taker), paid, Some(900), now())
    }

    fn hold_accepted_now(order: &Order, paid: Msat) -> Vec<Hold> {
        let acceptance = Acceptance {
            paid,
            expiry_height: Some(900),
            at: NOW,
        };
        vec![hold(order, HoldState::Accepted(acceptance))]
    }

    fn in_trade(order: &Order) -> Decision {
        let take = take_with_invoice();
        let locked = Notice::EscrowLocked(Box::new(view::act(order, &take, Role::Buyer)));
        let took = Notice::BuyerTookOrder(Box::new(view::act(order, &take, Role::Seller)));
        Decision {
            orders: vec![order.moved(active(Side::Sell).order.stage, NOW)],
            holds: hold_accepted_now(order, FULL),
            pushes: vec![push(&taker(), locked), push(&maker(), took)],
            ..Decision::default()
        }
    }

    #[test]
    fn h2_h7_with_an_invoice_the_trade_begins() {
        let scene = waiting_payment(Side::Sell);
        assert_eq!(accepted(&scene, FULL), in_trade(&scene.order));
    }

    #[test]
    fn h6_what_was_overpaid_is_booked_and_listed() {
        let scene = waiting_payment(Side::Sell);
        let more = Msat(FULL.0 + 1);
        let expected = Decision {
            holds: hold_accepted_now(&scene.order, more),
            effects: vec![Effect::Alarm(Alarm::Overpaid(fresh_hold().hash))],
            ..in_trade(&scene.order)
        };
        assert_eq!(accepted(&scene, more), expected);
        let less = accepted(&scene, Msat(FULL.0 - 1));
        assert_eq!(less, alarm(Alarm::UnexpectedHold(fresh_hold().hash)));
    }

    fn paid_without_invoice(order: &Order) -> Stage {
        let deadline = UnixTime(NOW.0 + 900);
        let _ = order;
        Stage::PaidWaitingInvoice {
            take: take(),
            hold: fresh_hold().id,
            deadline,
        }
    }

    #[test]
    fn h3_without_an_invoice_the_buyer_is_asked_and_learns_of_his_taker() {
        let mut scene = waiting_payment(Side::Buy);
        if let Stage::WaitingPayment { take, .. } = &mut scene.order.stage {
            take.payout = None;
        }
        let order = &scene.order;
        let taker_figures = Reputation::of(Some(&user(&taker())), NOW);
        let wanted = Notice::InvoiceWanted(Box::new(view::inv_when_paid(order, &take())));
        let known = Notice::TakerReputation {
            to_seller: false,
            taker: taker_figures,
        };
        let expected = Decision {
            orders: vec![order.moved(paid_without_invoice(order), NOW)],
            holds: hold_accepted_now(order, FULL),
            pushes: vec![
                push(&maker(), wanted),
                push(&taker(), Notice::WaitingBuyerInvoice),
                push(&maker(), known),
            ],
            ..Decision::default()
        };
        assert_eq!(accepted(&scene, FULL), expected);
    }

    #[test]
    fn h4_an_invoice_that_will_be_dead_counts_as_missing() {
        let with_life = |secs| {
            let mut scene = waiting_payment(Side::Sell);
            if let Stage::WaitingPayment { take, .. } = &mut scene.order.stage {
                let dying = invoice(50).edit(|i| i.expires_at = UnixTime(NOW.0 + secs));
                take.payout = Some(dying);
            }
            accepted(&scene, FULL)
        };
        let order = sell_order();
        let dying = with_life(3_599);
        assert_eq!(
            dying.orders,
            [order.moved(paid_without_invoice(&order), NOW)]
        );
        assert_eq!(
            dying.pushes.len(),
            2,
            "a sell order's taker was shown before"
        );
        assert!(matches!(
            with_life(3_600).orders[0].stage,
            Stage::Active { .. }
        ));
    }

    #[test]
    fn h5_up_m6_a_payment_that_came_too_late_goes_back_and_its_payer_hears_it_once() {
        let order = buy_order();
        for state in [HoldState::Canceling, HoldState::Canceled] {
            let hold = hold(&order, state);
            let late = hold_accepted(&order, &hold, None, FULL, Some(900), now());
            let payment = Acceptance {
                paid: FULL,
                expiry_height: Some(900),
                at: NOW,
            };
            let after = Hold {
                state: HoldState::Canceling,
                late_payment: Some(payment),
                ..hold.clone()
            };
            let expected = Decision {
                holds: vec![after.clone()],
                pushes: vec![push(&taker(), Notice::EscrowCanceled)],
                effects: vec![Effect::CancelHold(hold.hash)],
                ..Decision::default()
            };
            assert_eq!(late, expected);
            let again = hold_accepted(&order, &after, None, FULL, Some(900), now());
            assert_eq!((again.pushes, again.holds), (vec![], vec![]));
        }
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

    fn settled(scene: &Scene, secs: u64) -> Decision {
        let now = at(UnixTime(NOW.0 + secs));
        let (hold, owed) = (scene.hold.as_ref().unwrap(), scene.owed.as_ref().unwrap());
        hold_settled(&scene.order, hold, owed, now)
    }

    #[test]
    fn r4_up_m3_a_settled_hold_pays_the_buyer_in_the_same_commit() {
        let scene = releasing(Side::Sell);
        let asker = request(&maker(), Ask::Release).asker();
        let expected = Decision {
            orders: vec![scene.order.moved(paying_buyer(), NOW)],
            holds: vec![hold(&scene.order, HoldState::Settled(acceptance()))],
            payouts: vec![payout(PayoutState::Paying)],
            attempts: vec![attempt(AttemptState::Sent)],
            answer: Some(Letter::answer(&asker, order_id(), Notice::EscrowSettled)),
            pushes: vec![
                push(&taker(), Notice::Released),
                push(&maker(), Notice::Rate),
            ],
            effects: vec![Effect::Pay(hash(50))],
            ..Decision::default()
        };
        assert_eq!(settled(&scene, 0), expected);
    }

    #[test]
    fn b8_a_late_answer_still_comes_but_without_a_number() {
        let scene = releasing(Side::Sell);
        assert_eq!(settled(&scene, 8).answer.unwrap().request_id, Some(77));
        let late = settled(&scene, 9).answer.unwrap();
        assert_eq!(
            (late.request_id, late.notice),
            (None, Notice::EscrowSettled)
        );
    }

    #[test]
    fn r4_p9_a_dying_invoice_is_asked_for_after_the_good_news() {
        let mut scene = releasing(Side::Sell);
        let owed = scene.owed.as_mut().unwrap();
        owed.payout.destination.expires_at = UnixTime(NOW.0 + 59);
        let decision = settled(&scene, 0);
        assert_eq!(decision.payouts[0].state, PayoutState::NeedInvoice);
        assert_eq!(decision.pushes.len(), 3);
        assert_eq!(decision.pushes[0].notice, Notice::Released);
        assert!(matches!(
            decision.pushes[2].notice,
            Notice::InvoiceWanted(_)
        ));
        let stuck = Alarm::PayoutStuck(OrderId(uuid::Uuid::from_u128(1)));
        assert_eq!(decision.effects, [Effect::Alarm(stuck)]);
    }

    #[test]
    fn f8_a_debt_above_the_escrow_is_parked_and_not_paid() {
        let mut scene = releasing(Side::Sell);
        scene.hold.as_mut().unwrap().value = crate::Sats(BUYER_GETS.0 - 1);
        let decision = settled(&scene, 0);
        assert_eq!(decision.payouts[0].state, PayoutState::Parked);
        assert_eq!(decision.attempts, []);
        let breach = Alarm::UnexpectedPayment(hash(50));
        assert_eq!(decision.effects, [Effect::Alarm(breach)]);
    }
}

//! The seller's sats are locked.

use crate::amount::Msat;
use crate::decide::opening::given_up;
use crate::decide::payout_invoice::will_be_payable;
use crate::decide::{alarm, nothing};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::Now;
use crate::hold::{Acceptance, Hold, HoldState};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role, Side, Take};
use crate::stage::Stage;
use crate::user::User;
use crate::view;

use super::{awaiting_payment, cancel_again, taker_shown};

/// The seller's sats are locked (rules H2–H6): the trade begins, or the buyer
/// is asked where he wants to be paid. `taker` is the taker's row.
pub fn hold_accepted(
    order: &Order,
    hold: &Hold,
    taker: Option<&User>,
    paid: Msat,
    expiry_height: u32,
    now: Now,
) -> Decision {
    let acceptance = Acceptance {
        paid,
        expiry_height,
        at: now.at,
    };
    match &hold.state {
        HoldState::Open { .. } => {}
        HoldState::Canceling if is_refunded(order, hold) => return cancel_again(hold),
        HoldState::Canceling | HoldState::Canceled => return paid_too_late(hold, acceptance),
        HoldState::Accepted(_) | HoldState::Settling(_) | HoldState::Settled(_) => {
            return nothing();
        }
        HoldState::New | HoldState::Lost => return alarm(Alarm::UnexpectedHold(hold.hash)),
    }
    let asked = hold.value.to_msat();
    let (Some((take, _)), true) = (awaiting_payment(order, hold), Some(paid) >= asked) else {
        return alarm(Alarm::UnexpectedHold(hold.hash));
    };
    let mut decision = match &take.payout {
        Some(payout) if will_be_payable(payout, now) => begin_trade(order, take, hold, now),
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

/// Rule H2: both have done their part.
fn begin_trade(order: &Order, take: &Take, hold: &Hold, now: Now) -> Decision {
    let sides = order.sides(take);
    let locked = Notice::EscrowLocked(Box::new(view::act(order, take, Role::Buyer)));
    let took = Notice::BuyerTookOrder(Box::new(view::act(order, take, Role::Seller)));
    let stage = Stage::Active {
        take: take.clone(),
        hold: hold.id,
        cancel_asked_by: None,
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

/// Its payment was in time, and everybody hears when it is back (rule C6).
fn is_refunded(order: &Order, of: &Hold) -> bool {
    matches!(&order.stage, Stage::Canceling { hold, .. } if *hold == of.id)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::notice::Reputation;
    use crate::stage::{CancelReason, Then};
    use crate::time::UnixTime;

    fn accepted(scene: &Scene, paid: Msat) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        let taker = user(&taker());
        hold_accepted(&scene.order, hold, Some(&taker), paid, 900, now())
    }

    fn hold_accepted_now(order: &Order, paid: Msat) -> Vec<Hold> {
        let acceptance = Acceptance {
            paid,
            expiry_height: 900,
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

    fn paid_without_invoice() -> Stage {
        Stage::PaidWaitingInvoice {
            take: take(),
            hold: fresh_hold().id,
            deadline: UnixTime(NOW.0 + 900),
        }
    }

    #[test]
    fn h3_e8_up_s12_without_an_invoice_the_buyer_is_asked_and_learns_of_his_taker() {
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
            orders: vec![order.moved(paid_without_invoice(), NOW)],
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
                take.payout = Some(dying_at(UnixTime(NOW.0 + secs)));
            }
            accepted(&scene, FULL)
        };
        let order = sell_order();
        let dying = with_life(3_599);
        assert_eq!(dying.orders, [order.moved(paid_without_invoice(), NOW)]);
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
            let late = hold_accepted(&order, &hold, None, FULL, 900, now());
            let payment = Acceptance {
                paid: FULL,
                expiry_height: 900,
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
            let again = hold_accepted(&order, &after, None, FULL, 900, now());
            assert_eq!((again.pushes, again.holds), (vec![], vec![]));
        }
    }

    #[test]
    fn h5_c6_a_payment_that_is_being_refunded_is_not_late() {
        let refunds = [
            Then::BackToBook,
            Then::Canceled(CancelReason::ByBoth),
            Then::Canceled(CancelReason::ByAdmin),
        ];
        for then in refunds {
            let scene = canceling(Side::Sell, then);
            let again = Decision {
                effects: vec![Effect::CancelHold(fresh_hold().hash)],
                ..Decision::default()
            };
            assert_eq!(accepted(&scene, FULL), again, "{then:?}");
            let mut earlier = scene.hold.unwrap();
            earlier.id = next_hold().id;
            let late = hold_accepted(&scene.order, &earlier, None, FULL, 900, now());
            assert_eq!(late.pushes.len(), 1, "one of an earlier take is");
        }
    }
}

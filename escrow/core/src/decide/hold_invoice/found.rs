//! A look-up that a decision asked for has found nothing new.

use crate::command::Found;
use crate::decide::ending::unpaid;
use crate::decide::opening::given_up;
use crate::decide::{canceling, nothing};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::{FreshHold, Now};
use crate::hold::{Hold, HoldState};
use crate::order::{Order, Side, Take};
use crate::stage::{CancelReason, Stage, Then};

use super::{awaiting_payment, reopened};

/// Lightning was asked about the hold of a step, and knows what the ledger
/// knows: then time decides (rules E3–E6, E9, E12). `fresh` is a hold that may
/// be opened in its place.
pub fn hold_found(
    order: &Order,
    hold: &Hold,
    found: Found,
    fresh: FreshHold,
    now: Now,
) -> Decision {
    match (&hold.state, found) {
        (HoldState::Open { .. }, Found::Open | Found::Missing) => {
            unpaid_as_found(order, hold, fresh, now)
        }
        (HoldState::Accepted(_), Found::Open | Found::Accepted | Found::Missing) => {
            paid_as_found(order, hold, found, now)
        }
        (HoldState::Open { .. }, Found::Accepted)
        | (
            HoldState::New
            | HoldState::Settling(_)
            | HoldState::Settled(_)
            | HoldState::Canceling
            | HoldState::Canceled
            | HoldState::Lost,
            _,
        ) => nothing(),
    }
}

/// Nobody has paid: the seller is late, or is owed another invoice.
fn unpaid_as_found(order: &Order, hold: &Hold, fresh: FreshHold, now: Now) -> Decision {
    let Some((take, deadline)) = awaiting_payment(order, hold) else {
        return nothing();
    };
    let mut decision = match reopened(order, hold, (take, deadline), fresh, now) {
        Some(decision) => decision,
        None if deadline <= now.at => unpaid(order, take, now),
        None => return nothing(),
    };
    decision.holds.insert(0, given_up(hold));
    decision.effects.push(Effect::CancelHold(hold.hash));
    decision
}

/// The seller has paid and the buyer is late: the sats go back. That Lightning
/// forgot an accepted hold changes nothing of it, but is told.
fn paid_as_found(order: &Order, hold: &Hold, found: Found, now: Now) -> Decision {
    let Some(take) = awaiting_invoice(order, hold, now) else {
        return nothing();
    };
    let then = match order.offer.side {
        Side::Buy => Then::Canceled(CancelReason::NoInvoice),
        Side::Sell => Then::BackToBook,
    };
    let mut decision = canceling::start(order, take, hold, then, None, now);
    if found != Found::Accepted {
        let contradiction = Alarm::UnexpectedHold(hold.hash);
        decision.effects.push(Effect::Alarm(contradiction));
    }
    decision
}

/// The take of a buyer whose time for his invoice is over.
fn awaiting_invoice<'a>(order: &'a Order, of: &Hold, now: Now) -> Option<&'a Take> {
    let Stage::PaidWaitingInvoice {
        take,
        hold,
        deadline,
    } = &order.stage
    else {
        return None;
    };
    (*hold == of.id && *deadline <= now.at).then_some(take)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::notice::{Letter, Notice};
    use crate::party::Party;
    use crate::stage::BackTo;
    use crate::time::UnixTime;
    use crate::view;

    /// What a look-up found at the deadline, or some seconds after it.
    fn found_at(scene: &Scene, found: Found, secs: u64) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        let now = at(UnixTime(deadline().0 + secs));
        hold_found(&scene.order, hold, found, next_hold(), now)
    }

    fn unpaid_then(scene: &Scene, stage: Stage, told: [Letter; 2]) -> Decision {
        Decision {
            orders: vec![scene.order.moved(stage, deadline())],
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            pushes: told.into(),
            effects: vec![
                Effect::PublishOrder(order_id()),
                Effect::CancelHold(fresh_hold().hash),
            ],
            ..Decision::default()
        }
    }

    #[test]
    fn e3_e9_a_seller_who_took_and_did_not_pay_is_out() {
        let scene = waiting_payment(Side::Buy);
        let back = scene.order.moved(Stage::Pending, deadline());
        let again = Notice::BackInBook(Box::new(view::back(&back)));
        let told = [push(&maker(), again), push(&taker(), Notice::Canceled)];
        let expected = Decision {
            ended_takes: vec![crate::order::EndedTake {
                ended_at: deadline(),
                ..scene.ended_take()
            }],
            ..unpaid_then(&scene, Stage::Pending, told)
        };
        for found in [Found::Open, Found::Missing] {
            assert_eq!(found_at(&scene, found, 0), expected, "{found:?}");
        }
    }

    #[test]
    fn e4_e9_a_seller_who_offered_and_did_not_pay_ends_his_order() {
        let scene = waiting_payment(Side::Sell);
        let stage = Stage::Canceled {
            why: CancelReason::NotPaid,
            take: Some(take_with_invoice()),
        };
        let over = |party: &Party| push(party, Notice::Canceled);
        let expected = unpaid_then(&scene, stage, [over(&maker()), over(&taker())]);
        for found in [Found::Open, Found::Missing] {
            assert_eq!(found_at(&scene, found, 0), expected, "{found:?}");
        }
    }

    fn refunding(scene: &Scene, then: Then) -> Decision {
        let stage = Stage::Canceling {
            take: take(),
            hold: fresh_hold().id,
            then,
            asker: None,
            echo_until: UnixTime(deadline().0 + 8),
        };
        Decision {
            orders: vec![scene.order.moved(stage, deadline())],
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            effects: vec![Effect::CancelHold(fresh_hold().hash)],
            ..Decision::default()
        }
    }

    #[test]
    fn e5_e6_a_buyer_who_gave_no_invoice_costs_the_seller_nothing() {
        let buy = paid_waiting_invoice(Side::Buy);
        let ends = Then::Canceled(CancelReason::NoInvoice);
        assert_eq!(found_at(&buy, Found::Accepted, 0), refunding(&buy, ends));
        let sell = paid_waiting_invoice(Side::Sell);
        let returns = refunding(&sell, Then::BackToBook);
        assert_eq!(found_at(&sell, Found::Accepted, 0), returns);

        let forgotten = found_at(&sell, Found::Missing, 0);
        let contradiction = Alarm::UnexpectedHold(fresh_hold().hash);
        assert_eq!(forgotten.orders, returns.orders);
        assert!(forgotten.effects.contains(&Effect::Alarm(contradiction)));
    }

    #[test]
    fn e9_before_its_time_no_step_ends() {
        let early = at(UnixTime(deadline().0 - 1));
        for scene in [
            waiting_payment(Side::Sell),
            paid_waiting_invoice(Side::Sell),
        ] {
            for found in [Found::Open, Found::Accepted, Found::Missing] {
                let hold = scene.hold.as_ref().unwrap();
                let decision = hold_found(&scene.order, hold, found, next_hold(), early);
                assert_eq!(decision, nothing(), "{}: {found:?}", scene.name);
            }
        }
    }

    #[test]
    fn e9_a_look_up_that_comes_late_finds_another_stage() {
        let paid = found_at(&waiting_payment(Side::Sell), Found::Accepted, 0);
        assert_eq!(paid, nothing(), "the news of it come as news");
        let moved_on = scenes(Side::Sell).into_iter().filter(|scene| {
            let is_step = matches!(scene.name, "waiting-payment" | "paid-waiting-invoice");
            scene.hold.is_some() && !is_step
        });
        for scene in moved_on {
            for found in [Found::Open, Found::Accepted, Found::Missing] {
                let decision = found_at(&scene, found, 0);
                assert_eq!(decision, nothing(), "{}: {found:?}", scene.name);
            }
        }
    }

    #[test]
    fn e12_an_invoice_that_ends_before_its_step_is_replaced() {
        let mut scene = waiting_payment(Side::Sell);
        scene.hold.as_mut().unwrap().expires_at = UnixTime(deadline().0 - 1);
        let (old, now) = (scene.hold.clone().unwrap(), now());
        let decision = hold_found(&scene.order, &old, Found::Open, next_hold(), now);
        let stage = Stage::OpeningHold {
            take: take_with_invoice(),
            hold: next_hold().id,
            asker: None,
            back_to: BackTo::WaitingPayment {
                deadline: deadline(),
            },
            until: UnixTime(NOW.0 + 8),
        };
        let new = Hold {
            id: next_hold().id,
            hash: next_hold().hash,
            expires_at: UnixTime(deadline().0 + 30),
            ..hold(&scene.order, HoldState::New)
        };
        let expected = Decision {
            orders: vec![scene.order.moved(stage, NOW)],
            holds: vec![given_up(&old), new],
            effects: vec![
                Effect::OpenHold(next_hold().hash),
                Effect::CancelHold(fresh_hold().hash),
            ],
            ..Decision::default()
        };
        assert_eq!(decision, expected);
    }
}

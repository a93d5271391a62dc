//! Lightning reports that a payment failed for good.

use crate::decide::{alarm, nothing};
use crate::decision::{Alarm, Decision};
use crate::facts::Now;
use crate::lightning::Destination;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::payout::{Attempt, AttemptState, Payee, PaymentFailure, Payout, PayoutState};

use super::{ask_for_another, dev_fee, own_fault, take_being_paid, try_again};

/// Lightning reports a payment as failed for good (rules P4–P7, P9); `attempt`
/// is the one of the reported hash. With the reason comes whether Lightning was
/// in trouble at any moment of the try.
pub fn payment_failed(
    order: &Order,
    payout: &Payout,
    attempt: &Attempt,
    (reason, in_trouble): (PaymentFailure, bool),
    now: Now,
) -> Decision {
    let contradiction = Alarm::UnexpectedPayment(attempt.hash);
    match attempt.state {
        AttemptState::Sent => {}
        AttemptState::Failed { .. } | AttemptState::Lost { .. } => return nothing(),
        AttemptState::Succeeded { .. } => return alarm(contradiction),
    }
    let (Some(take), PayoutState::Paying) = (take_being_paid(order, payout), payout.state) else {
        return alarm(contradiction);
    };
    let mut decision = match blame(reason, in_trouble, &payout.destination) {
        Blame::Route => count(order, take, payout, now),
        Blame::Invoice => {
            let mut decision = ask_for_another(order, take, payout, now);
            decision
                .pushes
                .insert(0, told_of_failure(order, take, 0, now));
            decision
        }
        Blame::Time => ask_for_another(order, take, payout, now),
        Blame::Nobody => try_again(payout, now),
        Blame::Node => own_fault(payout, attempt.hash, now),
    };
    let state = AttemptState::Failed {
        reason,
        at: now.at,
        tip_height: now.tip_height,
    };
    decision.attempts = vec![Attempt {
        state,
        ..attempt.clone()
    }];
    decision
}

/// What a failure is put down to, and so what follows from it.
enum Blame {
    /// Counted; the same invoice is tried again, or another from an address.
    Route,
    /// It will never be paid; another one is wanted at once.
    Invoice,
    /// It has expired; another one is wanted, nothing is counted.
    Time,
    /// An address's invoice has expired before it was tried; not counted.
    Nobody,
    /// Our own fault; not counted, tried again.
    Node,
}

/// What a node in trouble hears of routes and payees proves nothing: with a
/// stale height even the right details are refused (rule P7). An address that
/// gave a bad invoice may give a better one (rule P6e).
fn blame(reason: PaymentFailure, in_trouble: bool, destination: &Destination) -> Blame {
    let is_address = destination.invoice().is_none();
    match reason {
        PaymentFailure::NoRoute
        | PaymentFailure::Timeout
        | PaymentFailure::Error
        | PaymentFailure::WrongDetails
            if in_trouble =>
        {
            Blame::Node
        }
        PaymentFailure::NoRoute | PaymentFailure::Timeout | PaymentFailure::Error => Blame::Route,
        PaymentFailure::WrongDetails | PaymentFailure::InvoiceRefused if is_address => Blame::Route,
        PaymentFailure::WrongDetails | PaymentFailure::InvoiceRefused => Blame::Invoice,
        PaymentFailure::InvoiceExpired if is_address => Blame::Nobody,
        PaymentFailure::InvoiceExpired => Blame::Time,
        PaymentFailure::InsufficientBalance
        | PaymentFailure::Canceled
        | PaymentFailure::CltvLimit => Blame::Node,
    }
}

/// Rule P5: the buyer hears of the first counted failure, and is asked for
/// another invoice after the last. The development has no last one (rule J4).
pub(super) fn count(order: &Order, take: &Take, payout: &Payout, now: Now) -> Decision {
    let tries = payout.tries.saturating_add(1);
    let left = now.terms.payment_attempts.saturating_sub(tries);
    let payout = Payout {
        tries,
        ..payout.clone()
    };
    if payout.payee() == Payee::Development {
        return dev_fee::later(&payout, now);
    }
    let mut decision = if left == 0 {
        ask_for_another(order, take, &payout, now)
    } else {
        try_again(&payout, now)
    };
    if tries == 1 {
        decision
            .pushes
            .insert(0, told_of_failure(order, take, left, now));
    }
    decision
}

fn told_of_failure(order: &Order, take: &Take, attempts_left: u32, now: Now) -> Letter {
    let retry_secs = now.terms.payment_retry_secs;
    let failed = Notice::PaymentFailed {
        attempts_left,
        retry_secs,
    };
    Letter::push(order.sides(take).buyer, order.id, failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Msat;
    use crate::decision::Effect;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::terms::Terms;
    use crate::time::UnixTime;

    fn failing(reason: PaymentFailure, tries_before: u32) -> Decision {
        let payout = payout(PayoutState::Paying).edit(|payout| payout.tries = tries_before);
        let sent = attempt(AttemptState::Sent);
        let order = paying(Side::Sell).order;
        payment_failed(&order, &payout, &sent, (reason, false), now())
    }

    /// What every failure writes, around what it leads to.
    fn failed(reason: PaymentFailure, tries: u32, state: PayoutState) -> Decision {
        Decision {
            payouts: vec![payout(state).edit(|payout| payout.tries = tries)],
            attempts: vec![attempt(AttemptState::Failed {
                reason,
                at: NOW,
                tip_height: Some(TIP),
            })],
            ..Decision::default()
        }
    }

    fn later() -> PayoutState {
        let not_before = UnixTime(NOW.0 + 60);
        PayoutState::Ready { not_before }
    }

    fn told(attempts_left: u32) -> Letter {
        push(
            &taker(),
            Notice::PaymentFailed {
                attempts_left,
                retry_secs: 60,
            },
        )
    }

    #[test]
    fn p5_p6a_p6b_the_first_counted_failure_is_told_and_the_last_asks() {
        for reason in [
            PaymentFailure::NoRoute,
            PaymentFailure::Timeout,
            PaymentFailure::Error,
        ] {
            let first = Decision {
                pushes: vec![told(2)],
                ..failed(reason, 1, later())
            };
            assert_eq!(failing(reason, 0), first, "{reason:?}");
            let second = failed(reason, 2, later());
            assert_eq!(failing(reason, 1), second, "{reason:?}");
            let last = Decision {
                pushes: vec![asked_again()],
                effects: vec![STUCK],
                ..failed(reason, 3, need_invoice())
            };
            assert_eq!(failing(reason, 2), last, "{reason:?}");
        }
    }

    #[test]
    fn p5_up_s19_with_one_attempt_both_leave_at_once() {
        let terms = Terms {
            payment_attempts: 1,
            ..terms()
        };
        let reason = PaymentFailure::NoRoute;
        let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
        let (order, why) = (paying(Side::Sell).order, (reason, false));
        let decision = payment_failed(&order, &payout, &sent, why, under(&terms));
        let expected = Decision {
            pushes: vec![told(0), asked_again()],
            effects: vec![STUCK],
            ..failed(reason, 1, need_invoice())
        };
        assert_eq!(decision, expected);
    }

    #[test]
    fn p6c_a_refused_invoice_ends_the_count() {
        for reason in [PaymentFailure::WrongDetails, PaymentFailure::InvoiceRefused] {
            let expected = Decision {
                pushes: vec![told(0), asked_again()],
                effects: vec![STUCK],
                ..failed(reason, 0, need_invoice())
            };
            assert_eq!(failing(reason, 0), expected, "{reason:?}");
        }
    }

    #[test]
    fn p6e_a_refused_invoice_of_an_address_is_counted() {
        let mut payout = payout(PayoutState::Paying);
        payout.destination = Destination::Address(ADDRESS.to_owned());
        let (order, sent) = (paying(Side::Sell).order, attempt(AttemptState::Sent));
        let after = |reason| {
            let decision = payment_failed(&order, &payout, &sent, (reason, false), now());
            let payout = &decision.payouts[0];
            (payout.tries, payout.state)
        };
        for reason in [PaymentFailure::WrongDetails, PaymentFailure::InvoiceRefused] {
            assert_eq!(after(reason), (1, later()), "{reason:?}");
        }
        assert_eq!(after(PaymentFailure::InvoiceExpired), (0, later()));
    }

    #[test]
    fn p6d_an_expired_invoice_is_asked_for_without_blame() {
        let expected = Decision {
            pushes: vec![asked_again()],
            effects: vec![STUCK],
            ..failed(PaymentFailure::InvoiceExpired, 1, need_invoice())
        };
        assert_eq!(failing(PaymentFailure::InvoiceExpired, 1), expected);
    }

    #[test]
    fn p6f_p16_w10_up_m16_our_own_fault_costs_the_buyer_no_try() {
        for reason in [
            PaymentFailure::InsufficientBalance,
            PaymentFailure::Canceled,
            PaymentFailure::CltvLimit,
        ] {
            let expected = Decision {
                effects: vec![Effect::Alarm(Alarm::OwnFault(hash(50)))],
                ..failed(reason, 2, later())
            };
            assert_eq!(failing(reason, 2), expected, "{reason:?}");
        }
    }

    #[test]
    fn h1_p3_a_failure_reported_twice_or_of_nothing_changes_nothing() {
        let report = |scene: &Scene, payout, state| {
            let attempt = attempt(state);
            let why = (PaymentFailure::NoRoute, false);
            payment_failed(&scene.order, &payout, &attempt, why, now())
        };
        let unexpected = alarm(Alarm::UnexpectedPayment(hash(50)));
        let paying = paying(Side::Sell);
        let ready = payout(PayoutState::Ready { not_before: NOW });
        assert_eq!(report(&paying, ready.clone(), FAILED), nothing());
        assert_eq!(report(&paying, ready, AttemptState::Sent), unexpected);
        let paid = AttemptState::Succeeded {
            routing_fee: Msat(1),
        };
        assert_eq!(report(&paying, payout(PayoutState::Paid), paid), unexpected);
        let elsewhere = releasing(Side::Sell);
        let sent = AttemptState::Sent;
        assert_eq!(
            report(&elsewhere, payout(PayoutState::Paying), sent),
            unexpected
        );
    }
    #[test]
    fn p7_up_m16_a_failure_while_lightning_was_in_trouble_is_ours() {
        let blamed = |reason| {
            let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
            let order = paying(Side::Sell).order;
            payment_failed(&order, &payout, &sent, (reason, true), now())
        };
        for reason in [
            PaymentFailure::NoRoute,
            PaymentFailure::Timeout,
            PaymentFailure::Error,
            PaymentFailure::WrongDetails,
        ] {
            let expected = Decision {
                effects: vec![Effect::Alarm(Alarm::OwnFault(hash(50)))],
                ..failed(reason, 0, later())
            };
            assert_eq!(blamed(reason), expected, "{reason:?}");
        }
        let refused = blamed(PaymentFailure::InvoiceRefused);
        assert_eq!(refused.payouts[0].state, need_invoice(), "its own fault");
    }
}

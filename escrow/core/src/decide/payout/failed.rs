//! Lightning reports that a payment failed for good.

use crate::decide::{alarm, nothing};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::Now;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::payout::{Attempt, AttemptState, PaymentFailure, Payout, PayoutState};
use crate::timer::{Timer, TimerKind};

use super::{ask_for_another, take_being_paid};

/// Lightning reports a payment as failed for good (rules P4–P6, P9); `attempt`
/// is the one of the reported hash.
pub fn payment_failed(
    order: &Order,
    payout: &Payout,
    attempt: &Attempt,
    reason: PaymentFailure,
    now: Now,
) -> Decision {
    let contradiction = Alarm::UnexpectedPayment(attempt.hash);
    match attempt.state {
        AttemptState::Sent => {}
        AttemptState::Failed { .. } => return nothing(),
        AttemptState::Succeeded { .. } => return alarm(contradiction),
    }
    let (Some(take), PayoutState::Paying) = (take_being_paid(order, payout.id), payout.state)
    else {
        return alarm(contradiction);
    };
    let mut decision = match blame(reason) {
        Blame::Route => count(order, take, payout, now),
        Blame::Invoice => {
            let mut decision = ask_for_another(order, take, payout);
            decision
                .pushes
                .insert(0, told_of_failure(order, take, 0, now));
            decision
        }
        Blame::Time => ask_for_another(order, take, payout),
        Blame::Node => {
            let mut decision = try_again(payout, now);
            decision
                .effects
                .push(Effect::Alarm(Alarm::OwnFault(attempt.hash)));
            decision
        }
    };
    let state = AttemptState::Failed { reason, at: now.at };
    decision.attempts = vec![Attempt {
        state,
        ..attempt.clone()
    }];
    decision
}

/// What a failure is put down to, and so what follows from it.
enum Blame {
    /// Counted; the same invoice is tried again.
    Route,
    /// It will never be paid; another one is wanted at once.
    Invoice,
    /// It has expired; another one is wanted, nothing is counted.
    Time,
    /// Our own fault; not counted, tried again.
    Node,
}

fn blame(reason: PaymentFailure) -> Blame {
    match reason {
        PaymentFailure::NoRoute | PaymentFailure::Timeout | PaymentFailure::Error => Blame::Route,
        PaymentFailure::WrongDetails | PaymentFailure::InvoiceRefused => Blame::Invoice,
        PaymentFailure::InvoiceExpired => Blame::Time,
        PaymentFailure::InsufficientBalance | PaymentFailure::Canceled => Blame::Node,
    }
}

/// Rule P5: the buyer hears of the first counted failure, and is asked for
/// another invoice after the last.
fn count(order: &Order, take: &Take, payout: &Payout, now: Now) -> Decision {
    let tries = payout.tries.saturating_add(1);
    let left = now.terms.payment_attempts.saturating_sub(tries);
    let payout = Payout {
        tries,
        ..payout.clone()
    };
    let mut decision = if left == 0 {
        ask_for_another(order, take, &payout)
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

fn try_again(payout: &Payout, now: Now) -> Decision {
    let not_before = now.at.plus(now.terms.payment_retry_secs);
    let timer = Timer {
        at: not_before,
        order: payout.order,
        kind: TimerKind::PayoutRetry,
    };
    Decision {
        payouts: vec![Payout {
            state: PayoutState::Ready { not_before },
            ..payout.clone()
        }],
        effects: vec![Effect::WakeAt(timer)],
        ..Decision::default()
    }
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
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::terms::Terms;
    use crate::time::UnixTime;

    fn failing(reason: PaymentFailure, tries_before: u32) -> Decision {
        let payout = payout(PayoutState::Paying).edit(|payout| payout.tries = tries_before);
        let sent = attempt(AttemptState::Sent);
        payment_failed(&paying(Side::Sell).order, &payout, &sent, reason, now())
    }

    /// What every failure writes, around what it leads to.
    fn failed(reason: PaymentFailure, tries: u32, state: PayoutState) -> Decision {
        Decision {
            payouts: vec![payout(state).edit(|payout| payout.tries = tries)],
            attempts: vec![attempt(AttemptState::Failed { reason, at: NOW })],
            ..Decision::default()
        }
    }

    fn later() -> (PayoutState, Effect) {
        let at = UnixTime(NOW.0 + 60);
        let timer = Timer {
            at,
            order: order_id(),
            kind: TimerKind::PayoutRetry,
        };
        (PayoutState::Ready { not_before: at }, Effect::WakeAt(timer))
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
            let (ready, wake) = later();
            let first = Decision {
                pushes: vec![told(2)],
                effects: vec![wake],
                ..failed(reason, 1, ready)
            };
            assert_eq!(failing(reason, 0), first, "{reason:?}");
            let second = Decision {
                effects: vec![wake],
                ..failed(reason, 2, ready)
            };
            assert_eq!(failing(reason, 1), second, "{reason:?}");
            let last = Decision {
                pushes: vec![asked_again()],
                effects: vec![STUCK],
                ..failed(reason, 3, PayoutState::NeedInvoice)
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
        let now = Now {
            at: NOW,
            terms: &terms,
        };
        let reason = PaymentFailure::NoRoute;
        let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
        let decision = payment_failed(&paying(Side::Sell).order, &payout, &sent, reason, now);
        let expected = Decision {
            pushes: vec![told(0), asked_again()],
            effects: vec![STUCK],
            ..failed(reason, 1, PayoutState::NeedInvoice)
        };
        assert_eq!(decision, expected);
    }

    #[test]
    fn p6c_a_refused_invoice_ends_the_count() {
        for reason in [PaymentFailure::WrongDetails, PaymentFailure::InvoiceRefused] {
            let expected = Decision {
                pushes: vec![told(0), asked_again()],
                effects: vec![STUCK],
                ..failed(reason, 0, PayoutState::NeedInvoice)
            };
            assert_eq!(failing(reason, 0), expected, "{reason:?}");
        }
    }

    #[test]
    fn p6d_an_expired_invoice_is_asked_for_without_blame() {
        let expected = Decision {
            pushes: vec![asked_again()],
            effects: vec![STUCK],
            ..failed(PaymentFailure::InvoiceExpired, 1, PayoutState::NeedInvoice)
        };
        assert_eq!(failing(PaymentFailure::InvoiceExpired, 1), expected);
    }

    #[test]
    fn p6f_p16_up_m16_our_own_fault_costs_the_buyer_no_try() {
        let (ready, wake) = later();
        for reason in [
            PaymentFailure::InsufficientBalance,
            PaymentFailure::Canceled,
        ] {
            let expected = Decision {
                effects: vec![wake, Effect::Alarm(Alarm::OwnFault(hash(50)))],
                ..failed(reason, 2, ready)
            };
            assert_eq!(failing(reason, 2), expected, "{reason:?}");
        }
    }

    #[test]
    fn h1_p3_a_failure_reported_twice_or_of_nothing_changes_nothing() {
        let report = |scene: &Scene, payout, state| {
            let attempt = attempt(state);
            payment_failed(
                &scene.order,
                &payout,
                &attempt,
                PaymentFailure::NoRoute,
                now(),
            )
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
}

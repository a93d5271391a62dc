//! Paying the buyer: one try after the other, and only one at a time.

use sha2::{Digest, Sha256};

use crate::amount::{Msat, Sats};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::{Now, PayoutFacts};
use crate::fees::routing_cap;
use crate::lightning::PaymentHash;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::payout::{Attempt, AttemptState, PaymentFailure, Payout, PayoutId, PayoutState};
use crate::stage::Stage;
use crate::timer::{Timer, TimerKind};
use crate::view;

use super::{alarm, nothing};

/// The life an invoice must have left to be tried, in seconds (rule P9).
const LEAST_LIFE_SECS: u64 = 60;

/// What is owed to a buyer at the moment of a try.
pub(super) struct Debt<'a> {
    pub(super) order: &'a Order,
    pub(super) take: &'a Take,
    pub(super) payout: Payout,
    /// The attempt with the payout's present destination, if it was ever tried.
    pub(super) attempt: Option<&'a Attempt>,
    /// What the hold brought in.
    pub(super) inflow: Sats,
}

/// Starts a try: the attempt is stored as `Sent` in the commit that asks
/// Lightning to pay it, so a crash in between finds it and asks again (rule P3).
///
/// A debt above what came in stops for the operator (rule F8); an invoice that
/// is about to expire is not tried (rule P9).
pub(super) fn start(debt: &Debt<'_>, now: Now) -> Decision {
    let Debt {
        payout,
        attempt,
        inflow,
        ..
    } = &debt;
    let hash = payout.destination.hash;
    let limits = limits(payout, *inflow, now);
    let Some((amount, fee_limit)) = limits else {
        return park(payout, hash);
    };
    if payout.destination.expires_at < now.at.plus(LEAST_LIFE_SECS) {
        return ask_for_another(debt.order, debt.take, payout);
    }
    let sent = match attempt {
        None => first_try(payout, amount, fee_limit, now),
        Some(attempt) if matches!(attempt.state, AttemptState::Failed { .. }) => Attempt {
            tries: attempt.tries.saturating_add(1),
            state: AttemptState::Sent,
            ..(*attempt).clone()
        },
        Some(_) => return alarm(Alarm::UnexpectedPayment(hash)),
    };
    Decision {
        payouts: vec![Payout {
            state: PayoutState::Paying,
            ..payout.clone()
        }],
        attempts: vec![sent],
        effects: vec![Effect::Pay(hash)],
        ..Decision::default()
    }
}

/// The timer of a payout is due: the same invoice is tried again.
pub fn payout_due(order: &Order, owed: &PayoutFacts, now: Now) -> Decision {
    let PayoutFacts { payout, attempt } = owed;
    let Some(take) = take_being_paid(order, payout.id) else {
        return nothing();
    };
    match payout.state {
        PayoutState::Ready { not_before } if not_before <= now.at => {
            let debt = Debt {
                order,
                take,
                payout: payout.clone(),
                attempt: attempt.as_ref(),
                inflow: take.seller_pays(),
            };
            start(&debt, now)
        }
        PayoutState::Ready { .. }
        | PayoutState::WaitFunds
        | PayoutState::Paying
        | PayoutState::NeedInvoice
        | PayoutState::Paid
        | PayoutState::Parked => nothing(),
    }
}

/// Lightning reports a payment as made (rule P12); `attempt` is the one of the
/// reported hash.
///
/// A payment that had been reported as failed and succeeds after all ends the
/// trade too, unless another is under way: the buyer has his sats and must not
/// get them twice. The operator hears of it.
pub fn payment_succeeded(
    order: &Order,
    payout: &Payout,
    attempt: &Attempt,
    preimage: &[u8; 32],
    routing_fee: Msat,
    now: Now,
) -> Decision {
    let contradiction = Alarm::UnexpectedPayment(attempt.hash);
    if PaymentHash(Sha256::digest(preimage).into()) != attempt.hash {
        return alarm(contradiction);
    }
    if matches!(attempt.state, AttemptState::Succeeded { .. }) {
        return nothing();
    }
    let (Some(success), true) = (success(order, payout.id), attempt.payout == payout.id) else {
        return alarm(contradiction);
    };
    let was_sent = attempt.state == AttemptState::Sent;
    let is_only_one = match payout.state {
        PayoutState::Paying => was_sent,
        PayoutState::Ready { .. } | PayoutState::NeedInvoice => !was_sent,
        PayoutState::WaitFunds | PayoutState::Paid | PayoutState::Parked => false,
    };
    if !is_only_one {
        return alarm(contradiction);
    }
    let mut decision = paid(order, success, payout, attempt, routing_fee, now);
    if !was_sent {
        decision.effects.push(Effect::Alarm(contradiction));
    }
    decision
}

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

fn ask_for_another(order: &Order, take: &Take, payout: &Payout) -> Decision {
    let retry = view::retry(order, take, &payout.destination.bolt11);
    let wanted = Notice::InvoiceWanted(Box::new(retry));
    Decision {
        payouts: vec![Payout {
            state: PayoutState::NeedInvoice,
            ..payout.clone()
        }],
        pushes: vec![Letter::push(order.sides(take).buyer, order.id, wanted)],
        effects: vec![Effect::Alarm(Alarm::PayoutStuck(order.id))],
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

fn park(payout: &Payout, hash: PaymentHash) -> Decision {
    Decision {
        payouts: vec![Payout {
            state: PayoutState::Parked,
            ..payout.clone()
        }],
        effects: vec![Effect::Alarm(Alarm::UnexpectedPayment(hash))],
        ..Decision::default()
    }
}

/// Amount and routing cap of a try; none if the debt exceeds what came in.
fn limits(payout: &Payout, inflow: Sats, now: Now) -> Option<(Msat, Msat)> {
    let cap = routing_cap(now.terms.max_routing_fee, payout.amount);
    let amount = payout.amount.to_msat()?;
    (payout.amount <= inflow).then_some((amount, cap.to_msat()?))
}

fn first_try(payout: &Payout, amount: Msat, fee_limit: Msat, now: Now) -> Attempt {
    Attempt {
        hash: payout.destination.hash,
        payout: payout.id,
        order: payout.order,
        bolt11: payout.destination.bolt11.clone(),
        amount,
        fee_limit,
        cltv_limit_blocks: now.terms.payment_cltv_limit_blocks,
        tries: 1,
        first_sent_at: now.at,
        state: AttemptState::Sent,
    }
}

fn paid(
    order: &Order,
    success: Stage,
    payout: &Payout,
    attempt: &Attempt,
    routing_fee: Msat,
    now: Now,
) -> Decision {
    let order = order.moved(success, now.at);
    let buyer = order.buyer().expect("a paid order has a buyer");
    let told = |notice| Letter::push(buyer, order.id, notice);
    let succeeded = AttemptState::Succeeded { routing_fee };
    Decision {
        payouts: vec![Payout {
            state: PayoutState::Paid,
            ..payout.clone()
        }],
        attempts: vec![Attempt {
            state: succeeded,
            ..attempt.clone()
        }],
        pushes: vec![told(Notice::PurchaseCompleted), told(Notice::Rate)],
        effects: vec![Effect::PublishOrder(order.id)],
        orders: vec![order],
        ..Decision::default()
    }
}

/// The take of an order that is paying out this payout.
fn take_being_paid(order: &Order, id: PayoutId) -> Option<&Take> {
    match &order.stage {
        Stage::PayingBuyer { take, payout, .. } if *payout == id => Some(take),
        Stage::PayingBuyer { .. }
        | Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Releasing { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. } => None,
    }
}

fn success(order: &Order, id: PayoutId) -> Option<Stage> {
    let take = take_being_paid(order, id)?.clone();
    let Stage::PayingBuyer { hold, payout, .. } = order.stage else {
        return None;
    };
    Some(Stage::Success { take, hold, payout })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::terms::Terms;
    use crate::time::UnixTime;

    const FAILED: AttemptState = AttemptState::Failed {
        reason: PaymentFailure::NoRoute,
        at: SINCE,
    };

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

    fn to_buyer(notice: Notice) -> Letter {
        Letter::push(&taker(), order_id(), notice)
    }

    fn told(attempts_left: u32) -> Letter {
        to_buyer(Notice::PaymentFailed {
            attempts_left,
            retry_secs: 60,
        })
    }

    fn asked() -> Letter {
        let order = paying(Side::Sell).order;
        let retry = view::retry(&order, &take_with_invoice(), "lnbcrt-50");
        to_buyer(Notice::InvoiceWanted(Box::new(retry)))
    }

    const STUCK: Effect = Effect::Alarm(Alarm::PayoutStuck(crate::order::OrderId(
        uuid::Uuid::from_u128(1),
    )));

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
                pushes: vec![asked()],
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
            pushes: vec![told(0), asked()],
            effects: vec![STUCK],
            ..failed(reason, 1, PayoutState::NeedInvoice)
        };
        assert_eq!(decision, expected);
    }

    #[test]
    fn p6c_a_refused_invoice_ends_the_count() {
        for reason in [PaymentFailure::WrongDetails, PaymentFailure::InvoiceRefused] {
            let expected = Decision {
                pushes: vec![told(0), asked()],
                effects: vec![STUCK],
                ..failed(reason, 0, PayoutState::NeedInvoice)
            };
            assert_eq!(failing(reason, 0), expected, "{reason:?}");
        }
    }

    #[test]
    fn p6d_an_expired_invoice_is_asked_for_without_blame() {
        let expected = Decision {
            pushes: vec![asked()],
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

    fn succeeding(payout: &Payout, attempt: &Attempt, proof: u8) -> Decision {
        let order = paying(Side::Sell).order;
        payment_succeeded(
            &order,
            payout,
            attempt,
            &preimage(proof),
            Msat(1_500),
            now(),
        )
    }

    fn paid_out() -> Decision {
        let order = paying(Side::Sell).order;
        Decision {
            orders: vec![order.moved(success_stage(), NOW)],
            payouts: vec![payout(PayoutState::Paid)],
            attempts: vec![attempt(AttemptState::Succeeded {
                routing_fee: Msat(1_500),
            })],
            pushes: vec![to_buyer(Notice::PurchaseCompleted), to_buyer(Notice::Rate)],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        }
    }

    fn success_stage() -> Stage {
        crate::fixtures::success()
    }

    #[test]
    fn p12_k1_a_proven_payment_ends_the_trade() {
        let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
        assert_eq!(succeeding(&payout, &sent, 50), paid_out());
    }

    #[test]
    fn p12_a_wrong_proof_ends_nothing() {
        let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
        assert_eq!(
            succeeding(&payout, &sent, 51),
            alarm(Alarm::UnexpectedPayment(hash(50)))
        );
    }

    #[test]
    fn p3_up_m1_a_success_after_a_failure_ends_the_trade_unless_another_is_under_way() {
        let unexpected = Effect::Alarm(Alarm::UnexpectedPayment(hash(50)));
        for state in [
            PayoutState::NeedInvoice,
            PayoutState::Ready { not_before: NOW },
        ] {
            let late = succeeding(&payout(state), &attempt(FAILED), 50);
            let expected = Decision {
                effects: vec![Effect::PublishOrder(order_id()), unexpected],
                ..paid_out()
            };
            assert_eq!(late, expected, "{state:?}");
        }
        let other_in_flight = succeeding(&payout(PayoutState::Paying), &attempt(FAILED), 50);
        let expected = Decision {
            effects: vec![unexpected],
            ..Decision::default()
        };
        assert_eq!(other_in_flight, expected);
    }

    #[test]
    fn h1_a_success_reported_twice_counts_once() {
        let done = attempt(AttemptState::Succeeded {
            routing_fee: Msat(1_500),
        });
        assert_eq!(succeeding(&payout(PayoutState::Paid), &done, 50), nothing());
        let sent = attempt(AttemptState::Sent);
        let parked = succeeding(&payout(PayoutState::Parked), &sent, 50);
        assert_eq!(parked, alarm(Alarm::UnexpectedPayment(hash(50))));
    }

    fn due(payout: Payout, attempt: Option<Attempt>) -> Decision {
        payout_due(
            &paying(Side::Sell).order,
            &PayoutFacts { payout, attempt },
            now(),
        )
    }

    #[test]
    fn p3_p4_the_same_invoice_is_tried_again_on_the_same_row() {
        let ready = payout(PayoutState::Ready { not_before: NOW }).edit(|payout| payout.tries = 1);
        let expected = Decision {
            payouts: vec![payout(PayoutState::Paying).edit(|payout| payout.tries = 1)],
            attempts: vec![attempt(AttemptState::Sent).edit(|attempt| attempt.tries = 2)],
            effects: vec![Effect::Pay(hash(50))],
            ..Decision::default()
        };
        assert_eq!(due(ready, Some(attempt(FAILED))), expected);
    }

    #[test]
    fn p2_p11_f6_the_first_try_pins_amount_and_limits() {
        let expected = Decision {
            payouts: vec![payout(PayoutState::Paying)],
            attempts: vec![attempt(AttemptState::Sent)],
            effects: vec![Effect::Pay(hash(50))],
            ..Decision::default()
        };
        assert_eq!(
            due(payout(PayoutState::Ready { not_before: NOW }), None),
            expected
        );
    }

    #[test]
    fn p3_a_payout_that_is_not_ready_is_not_tried() {
        let too_early = PayoutState::Ready {
            not_before: UnixTime(NOW.0 + 1),
        };
        let states = [
            too_early,
            PayoutState::WaitFunds,
            PayoutState::Paying,
            PayoutState::NeedInvoice,
            PayoutState::Paid,
            PayoutState::Parked,
        ];
        for state in states {
            assert_eq!(
                due(payout(state), Some(attempt(FAILED))),
                nothing(),
                "{state:?}"
            );
        }
        let ready = payout(PayoutState::Ready { not_before: NOW });
        let in_flight = due(ready, Some(attempt(AttemptState::Sent)));
        assert_eq!(in_flight, alarm(Alarm::UnexpectedPayment(hash(50))));
    }

    #[test]
    fn p9_an_invoice_with_less_than_a_minute_is_asked_for_again() {
        let dying = |secs| {
            let ready = PayoutState::Ready { not_before: NOW };
            payout(ready).edit(|p| p.destination.expires_at = UnixTime(NOW.0 + secs))
        };
        let decision = due(dying(59), Some(attempt(FAILED)));
        let payout = Payout {
            state: PayoutState::NeedInvoice,
            ..dying(59)
        };
        let expected = Decision {
            payouts: vec![payout],
            pushes: vec![asked()],
            effects: vec![STUCK],
            ..Decision::default()
        };
        assert_eq!(decision, expected);
        assert_eq!(due(dying(60), None).effects, [Effect::Pay(hash(50))]);
    }

    #[test]
    fn f8_more_than_came_in_never_goes_out() {
        let greedy = |state| payout(state).edit(|payout| payout.amount = Sats(SELLER_PAYS.0 + 1));
        let expected = Decision {
            payouts: vec![greedy(PayoutState::Parked)],
            effects: vec![Effect::Alarm(Alarm::UnexpectedPayment(hash(50)))],
            ..Decision::default()
        };
        assert_eq!(
            due(greedy(PayoutState::Ready { not_before: NOW }), None),
            expected
        );
    }
}

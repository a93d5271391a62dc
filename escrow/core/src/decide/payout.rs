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
    let Some(take) = paying(order, payout.id) else {
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
    let (Some(take), PayoutState::Paying) = (paying(order, payout.id), payout.state) else {
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
fn paying(order: &Order, id: PayoutId) -> Option<&Take> {
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
    let take = paying(order, id)?.clone();
    let Stage::PayingBuyer { hold, payout, .. } = order.stage else {
        return None;
    };
    Some(Stage::Success { take, hold, payout })
}

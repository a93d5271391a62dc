//! Paying the buyer, and then the development: one try after the other, and
//! only one at a time.

use crate::amount::{Msat, Sats};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::{InFlight, Now, PayoutFacts};
use crate::fees::routing_cap;
use crate::lightning::{Destination, PaymentHash, PayoutInvoice};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Take};
use crate::payout::{Attempt, AttemptState, Payee, PaymentFailure, Payout, PayoutState};
use crate::stage::Stage;
use crate::time::UnixTime;
use crate::timer::{Timer, TimerKind};
use crate::view;

use super::payout_invoice::is_over;
use super::{alarm, nothing};

mod address;
mod adopted;
mod dev_fee;
mod failed;
mod given_up;
mod lost;
mod succeeded;

pub use address::address_asked;
pub use adopted::{Adoptee, adopt};
pub use failed::payment_failed;
pub use given_up::{give_up, is_in_doubt, write_off};
pub use lost::{payment_missing, payment_traced};
pub use succeeded::payment_succeeded;

/// The life an invoice must have left to be tried, in seconds (rule P9).
const LEAST_LIFE_SECS: u64 = 60;

/// How long after a request of his nothing else is said to a buyer, in seconds
/// (rule P10).
const QUIET_SECS: u64 = 60;

/// What is owed at the moment of a try.
pub(super) struct Debt<'a> {
    pub(super) order: &'a Order,
    pub(super) take: &'a Take,
    pub(super) payout: Payout,
    /// The attempt with the payout's present invoice, if it was ever tried.
    pub(super) attempt: Option<&'a Attempt>,
    /// What came in for the payee.
    pub(super) inflow: Sats,
    /// What else is on its way.
    pub(super) in_flight: InFlight,
}

/// Starts a try, or asks an address for the invoice to try (rule P2).
pub(super) fn start(debt: &Debt<'_>, now: Now) -> Decision {
    match (&debt.payout.destination, &debt.payout.resolved) {
        (Destination::Invoice(invoice), _) => try_to_pay(debt, invoice, now),
        (Destination::Address(_), Some(invoice)) if is_kept(invoice, debt.attempt, now) => {
            try_to_pay(debt, invoice, now)
        }
        (Destination::Address(_), _) if debt.in_flight.is_stopped => queue(&debt.payout, None, now),
        (Destination::Address(_), _) => resolve(&debt.payout),
    }
}

/// Whether an address's last invoice is tried again, and not another asked
/// for: when the node itself was to blame for its failure (rule P6f), and when
/// a part of the payment might still be claimed (rule P6b).
fn is_kept(invoice: &PayoutInvoice, attempt: Option<&Attempt>, now: Now) -> bool {
    let Some(attempt) = attempt else {
        return false;
    };
    if !is_over(attempt, now.at, now.tip_height) {
        return true;
    }
    let AttemptState::Failed { reason, .. } = attempt.state else {
        return false;
    };
    match reason {
        PaymentFailure::InsufficientBalance
        | PaymentFailure::Canceled
        | PaymentFailure::CltvLimit => lives_on(invoice, now),
        PaymentFailure::NoRoute
        | PaymentFailure::Timeout
        | PaymentFailure::Error
        | PaymentFailure::WrongDetails
        | PaymentFailure::InvoiceExpired
        | PaymentFailure::InvoiceRefused => false,
    }
}

/// Rule P9.
fn lives_on(invoice: &PayoutInvoice, now: Now) -> bool {
    invoice.expires_at >= now.at.plus(LEAST_LIFE_SECS)
}

/// The attempt is stored as `Sent` in the commit that asks Lightning to pay
/// it, so a crash in between finds it and asks again (rule P3).
///
/// A debt above what came in stops for the operator (rule F8); an invoice that
/// is about to expire is not tried (rule P9); where too much is on its way
/// already it waits, and nothing is counted (rule P11).
fn try_to_pay(debt: &Debt<'_>, invoice: &PayoutInvoice, now: Now) -> Decision {
    let Debt {
        payout,
        attempt,
        inflow,
        in_flight,
        ..
    } = &debt;
    let hash = invoice.hash;
    let limits = limits(payout, *inflow, now);
    let Some((amount, fee_limit)) = limits else {
        return park(payout, hash);
    };
    if !lives_on(invoice, now) {
        return ask_for_another(debt.order, debt.take, payout, now);
    }
    let sent = match attempt {
        None => first_try(payout, invoice, (amount, fee_limit), now),
        Some(attempt) => match attempt.state {
            AttemptState::Failed { reason, .. } => tried_again(attempt, reason, now),
            AttemptState::Sent | AttemptState::Succeeded { .. } | AttemptState::Lost { .. } => {
                return alarm(Alarm::UnexpectedPayment(hash));
            }
        },
    };
    if in_flight.is_stopped || is_at_cap(*in_flight, now) {
        let crowd = (!in_flight.is_stopped).then_some(Alarm::TooManyInFlight(hash));
        return queue(payout, crowd, now);
    }
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

/// The timer of a payout is due, or a place is free for one that is queued: it
/// is tried, by the same invoice as before; an address is asked for another
/// (rules P6a, P6e).
pub fn payout_due(order: &Order, owed: &PayoutFacts, now: Now) -> Decision {
    let payout = &owed.payout;
    let Some(take) = take_being_paid(order, payout) else {
        return nothing();
    };
    let is_due = match payout.state {
        PayoutState::Ready { not_before } => not_before <= now.at,
        PayoutState::Queued { .. } => true,
        PayoutState::WaitFunds
        | PayoutState::Resolving { .. }
        | PayoutState::Paying
        | PayoutState::NeedInvoice { .. }
        | PayoutState::Paid
        | PayoutState::Parked
        | PayoutState::WrittenOff => false,
    };
    if !is_due {
        return nothing();
    }
    let payout = match payout.payee() {
        Payee::Buyer => payout.clone(),
        Payee::Development => match dev_fee::redirected(owed, now) {
            Some(fee) => fee,
            None => return dev_fee::unwanted(payout, now),
        },
    };
    let debt = Debt {
        order,
        take,
        inflow: inflow(take, &payout),
        payout,
        attempt: owed.attempt.as_ref(),
        in_flight: owed.in_flight,
    };
    start(&debt, now)
}

/// The timer of a payout that wants an invoice is due: the buyer is asked
/// again (rule P10). Not right after a request of his, whose answer he has
/// just got: `buyer_heard_at`.
pub fn ask_again(
    order: &Order,
    owed: &PayoutFacts,
    buyer_heard_at: Option<UnixTime>,
    now: Now,
) -> Decision {
    let payout = &owed.payout;
    let (Some(take), PayoutState::NeedInvoice { asked, again_at }) =
        (take_being_paid(order, payout), payout.state)
    else {
        return nothing();
    };
    // What was said by a clock that was ahead tells nothing.
    let heard_at = buyer_heard_at.filter(|at| at.secs_since(now.at) < QUIET_SECS);
    let quiet_until = heard_at.map_or(UnixTime(0), |at| at.plus(QUIET_SECS));
    let not_before = again_at.max(quiet_until);
    if not_before > now.at {
        return Decision {
            effects: vec![Effect::WakeAt(Timer {
                at: not_before,
                order: order.id,
                kind: TimerKind::Reprompt,
            })],
            ..Decision::default()
        };
    }
    asked_for_invoice(order, take, payout, asked, now)
}

/// The buyer is asked for another invoice for the first time (rule P5); the
/// development's address is, when it is tried again.
fn ask_for_another(order: &Order, take: &Take, payout: &Payout, now: Now) -> Decision {
    if payout.payee() == Payee::Development {
        return dev_fee::later(payout, now);
    }
    let stuck = Effect::Alarm(Alarm::PayoutStuck(order.id));
    Decision {
        effects: vec![stuck],
        ..asked_for_invoice(order, take, payout, 0, now)
    }
}

fn asked_for_invoice(
    order: &Order,
    take: &Take,
    payout: &Payout,
    asked: u32,
    now: Now,
) -> Decision {
    let retry = view::retry(order, take, payout.destination.text());
    let wanted = Notice::InvoiceWanted(Box::new(retry));
    let state = PayoutState::NeedInvoice {
        asked: asked.saturating_add(1),
        again_at: now.at.plus(patience_secs(asked)),
    };
    Decision {
        payouts: vec![Payout {
            state,
            ..payout.clone()
        }],
        pushes: vec![Letter::push(order.sides(take).buyer, order.id, wanted)],
        ..Decision::default()
    }
}

/// Seconds from a question to the next, by how many went before it (rule P10).
fn patience_secs(asked: u32) -> u64 {
    const HOUR: u64 = 3_600;
    match asked {
        0 => HOUR,
        1 => 6 * HOUR,
        _ => 24 * HOUR,
    }
}

/// Rule P11: payees who hold payments must not bind the whole node.
fn is_at_cap(in_flight: InFlight, now: Now) -> bool {
    let is_full = |count: u32, cap: u32| cap > 0 && count >= cap;
    is_full(in_flight.to_all, now.terms.max_inflight_payouts)
        || is_full(in_flight.to_payee, now.terms.max_inflight_payouts_per_payee)
}

/// Rules P11, P14: it waits for its turn and nothing is counted. The operator
/// hears of a crowd when it comes to wait, not each time that it has to wait
/// on; of a breach of the books he has heard before. The line is the buyers'
/// alone: the development is tried again later (rule J2).
fn queue(payout: &Payout, crowd: Option<Alarm>, now: Now) -> Decision {
    if payout.payee() == Payee::Development {
        return dev_fee::later(payout, now);
    }
    let queued_since = queued_since(payout);
    let state = PayoutState::Queued {
        since: queued_since.unwrap_or(now.at),
        again_at: now.at.plus(now.terms.payment_retry_secs),
    };
    let news = crowd.filter(|_| queued_since.is_none());
    Decision {
        payouts: vec![Payout {
            state,
            ..payout.clone()
        }],
        effects: news.map(Effect::Alarm).into_iter().collect(),
        ..Decision::default()
    }
}

/// When it came to wait for its turn, if it does.
fn queued_since(payout: &Payout) -> Option<UnixTime> {
    match payout.state {
        PayoutState::Queued { since, .. } => Some(since),
        PayoutState::Resolving { queued_since } => queued_since,
        PayoutState::WaitFunds
        | PayoutState::Ready { .. }
        | PayoutState::Paying
        | PayoutState::NeedInvoice { .. }
        | PayoutState::Paid
        | PayoutState::Parked
        | PayoutState::WrittenOff => None,
    }
}

/// The address is asked while nothing is with Lightning, so a crash in between
/// costs nothing: it is asked again (rule P3).
fn resolve(payout: &Payout) -> Decision {
    let state = PayoutState::Resolving {
        queued_since: queued_since(payout),
    };
    Decision {
        payouts: vec![Payout {
            state,
            ..payout.clone()
        }],
        effects: vec![Effect::Resolve(payout.id)],
        ..Decision::default()
    }
}

/// Rules P6f, P16: not counted, and tried again.
fn own_fault(payout: &Payout, hash: PaymentHash, now: Now) -> Decision {
    Decision {
        effects: vec![Effect::Alarm(Alarm::OwnFault(hash))],
        ..try_again(payout, now)
    }
}

fn try_again(payout: &Payout, now: Now) -> Decision {
    let not_before = now.at.plus(now.terms.payment_retry_secs);
    Decision {
        payouts: vec![Payout {
            state: PayoutState::Ready { not_before },
            ..payout.clone()
        }],
        ..Decision::default()
    }
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

/// The most that may leave to a payee: to the buyer what the hold brought in,
/// to the development what is the house's (rule F8).
fn inflow(take: &Take, payout: &Payout) -> Sats {
    match payout.payee() {
        Payee::Buyer => take.seller_pays(),
        Payee::Development => take.house_gets(),
    }
}

/// Amount and routing cap of a try; none if the debt exceeds what came in.
fn limits(payout: &Payout, inflow: Sats, now: Now) -> Option<(Msat, Msat)> {
    let cap = routing_cap(now.terms.max_routing_fee, payout.amount);
    let amount = payout.amount.to_msat()?;
    (payout.amount <= inflow).then_some((amount, cap.to_msat()?))
}

fn first_try(
    payout: &Payout,
    invoice: &PayoutInvoice,
    (amount, fee_limit): (Msat, Msat),
    now: Now,
) -> Attempt {
    Attempt {
        hash: invoice.hash,
        payout: payout.id,
        order: payout.order,
        bolt11: invoice.bolt11.clone(),
        amount,
        fee_limit,
        cltv_limit_blocks: now.terms.payment_cltv_limit_blocks,
        tries: 1,
        first_sent_at: now.at,
        missing: None,
        unnamed: None,
        state: AttemptState::Sent,
    }
}

/// The same invoice on the same row (rule P3). A try that failed for the limit
/// of its time lock is repeated once without one (rule P11).
fn tried_again(attempt: &Attempt, failed: PaymentFailure, now: Now) -> Attempt {
    let was_limited = failed == PaymentFailure::CltvLimit && attempt.cltv_limit_blocks != 0;
    Attempt {
        tries: attempt.tries.saturating_add(1),
        cltv_limit_blocks: if was_limited {
            0
        } else {
            now.terms.payment_cltv_limit_blocks
        },
        missing: None,
        unnamed: attempt.last_unnamed(),
        state: AttemptState::Sent,
        ..attempt.clone()
    }
}

/// The take of an order that is paying out this payout: the buyer's while he
/// is being paid, the development's from then on.
fn take_being_paid<'a>(order: &'a Order, payout: &Payout) -> Option<&'a Take> {
    match (&order.stage, payout.payee()) {
        (
            Stage::PayingBuyer {
                take, payout: id, ..
            },
            Payee::Buyer,
        ) if *id == payout.id => Some(take),
        (Stage::Success { take, .. }, Payee::Development) if payout.order == order.id => Some(take),
        (
            Stage::PayingBuyer { .. }
            | Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Dispute { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired,
            Payee::Buyer | Payee::Development,
        ) => None,
    }
}

#[cfg(test)]
mod tests;

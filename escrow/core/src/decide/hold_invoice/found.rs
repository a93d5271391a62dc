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

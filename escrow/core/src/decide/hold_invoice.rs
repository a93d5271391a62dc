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

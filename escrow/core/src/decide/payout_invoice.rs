//! The buyer says where he wants his sats.

use crate::amount::Sats;
use crate::command::{GivenInvoice, Request};
use crate::decision::Decision;
use crate::facts::{InvoiceFacts, Now, PayoutFacts};
use crate::lightning::PayoutInvoice;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role, Take};
use crate::payout::{Attempt, AttemptState, PaymentFailure, Payout, PayoutState};
use crate::stage::{BackTo, Stage};
use crate::view;
use crate::wire::CantDo;

use super::ensure;
use super::opening::{Opening, ensure_capacity, open_hold};
use super::payout::{Debt, start};

/// The longest payment request, in bytes (rule V6).
const LONGEST_INVOICE: usize = 2_048;

/// How long after an unexplained failure no other invoice is taken, in seconds:
/// 144 blocks. Until then a part of the failed payment might still be claimed
/// (rule P6b).
const ERROR_REST_SECS: u64 = 144 * 600;

/// The buyer gives an invoice (rules V1, V7–V9, P8).
///
/// # Errors
///
/// `invalid_peer` from anybody but the buyer, `not_allowed_by_status` when none
/// is wanted, `invalid_invoice` for one that cannot be paid exactly.
pub fn add_invoice(
    order: &Order,
    req: &Request,
    given: &GivenInvoice,
    now: Now,
    facts: &InvoiceFacts,
) -> Result<Decision, CantDo> {
    let role = order.role_of(req.sender.trade_key);
    ensure(role == Some(Role::Buyer), CantDo::InvalidPeer)?;
    let judged = |take: &Take| judge(given, take.buyer_gets(), facts.invoice_hash_is_known, now);
    match &order.stage {
        Stage::WaitingInvoice { take, deadline } => {
            let take = Take {
                payout: Some(judged(take)?),
                ..take.clone()
            };
            ensure_capacity(facts.capacity, now.terms)?;
            let back_to = BackTo::WaitingInvoice {
                deadline: *deadline,
            };
            let opening = Opening {
                take,
                asker: req.asker(),
                back_to,
            };
            Ok(open_hold(order, opening, facts.hold, now))
        }
        Stage::PaidWaitingInvoice { take, hold, .. } => {
            let take = Take {
                payout: Some(judged(take)?),
                ..take.clone()
            };
            Ok(begin_trade(
                order,
                req,
                Stage::Active { take, hold: *hold },
                now,
            ))
        }
        Stage::Releasing { take, .. } | Stage::PayingBuyer { take, .. } => {
            let owed = facts.payout.as_ref().ok_or(CantDo::NotAllowedByStatus)?;
            ensure(
                no_payment_can_succeed(owed, now),
                CantDo::NotAllowedByStatus,
            )?;
            Ok(replace_destination(
                order,
                req,
                take,
                judged(take)?,
                &owed.payout,
                now,
            ))
        }
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingPayment { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. } => Err(CantDo::NotAllowedByStatus),
    }
}

/// Whether an invoice is worth `amount` to the sat, lives long enough and is
/// used nowhere else (rules V3, V4, V6); the rest was judged when it was read.
pub(super) fn judge(
    given: &GivenInvoice,
    amount: Sats,
    hash_is_known: bool,
    now: Now,
) -> Result<PayoutInvoice, CantDo> {
    let GivenInvoice::Readable(invoice) = given else {
        return Err(CantDo::InvalidInvoice);
    };
    let fits = invoice.amount.is_none() || invoice.amount == amount.to_msat();
    let lives = outlives_window(invoice, now);
    let is_short = invoice.bolt11.len() <= LONGEST_INVOICE;
    ensure(
        fits && lives && is_short && !hash_is_known,
        CantDo::InvalidInvoice,
    )?;
    Ok(invoice.clone())
}

/// Whether the invoice will live long enough for a trade to run (rules V3, H4).
pub(super) fn outlives_window(invoice: &PayoutInvoice, now: Now) -> bool {
    invoice.expires_at >= now.at.plus(now.terms.invoice_window_secs)
}

/// Rule V8: the seller has paid before; with the invoice the trade begins.
fn begin_trade(order: &Order, req: &Request, active: Stage, now: Now) -> Decision {
    let order = order.moved(active, now.at);
    let take = order.stage.take().expect("an active order has a take");
    let locked = Notice::EscrowLocked(Box::new(view::act_with_invoice(&order, take)));
    let took = Notice::BuyerTookOrder(Box::new(view::act(&order, take, Role::Seller)));
    Decision {
        answer: Some(Letter::answer(&req.asker(), order.id, locked)),
        pushes: vec![Letter::push(order.sides(take).seller, order.id, took)],
        orders: vec![order],
        ..Decision::default()
    }
}

/// Rule P8: never two invoices that could both be paid.
fn no_payment_can_succeed(owed: &PayoutFacts, now: Now) -> bool {
    let waits = match owed.payout.state {
        PayoutState::WaitFunds | PayoutState::Ready { .. } | PayoutState::NeedInvoice => true,
        PayoutState::Paying | PayoutState::Paid | PayoutState::Parked => false,
    };
    waits
        && owed
            .attempt
            .as_ref()
            .is_none_or(|attempt| is_over(attempt, now))
}

fn is_over(attempt: &Attempt, now: Now) -> bool {
    match attempt.state {
        AttemptState::Sent | AttemptState::Succeeded { .. } => false,
        AttemptState::Failed {
            reason: PaymentFailure::Error,
            at,
        } => now.at.secs_since(at) >= ERROR_REST_SECS,
        AttemptState::Failed { .. } => true,
    }
}

/// The new invoice takes the place of the old one, with all its tries ahead.
///
/// It is paid at once, or as soon as the hold is settled; until then the order
/// itself carries it, so that its hash counts as given.
fn replace_destination(
    order: &Order,
    req: &Request,
    take: &Take,
    invoice: PayoutInvoice,
    payout: &Payout,
    now: Now,
) -> Decision {
    let order = with_payout(order, &invoice);
    let payout = Payout {
        destination: invoice,
        tries: 0,
        ..payout.clone()
    };
    let mut decision = if payout.state == PayoutState::WaitFunds {
        Decision {
            payouts: vec![payout],
            ..Decision::default()
        }
    } else {
        let inflow = take.seller_pays();
        start(
            &Debt {
                order: &order,
                take,
                payout,
                attempt: None,
                inflow,
            },
            now,
        )
    };
    decision.answer = Some(Letter::answer(
        &req.asker(),
        order.id,
        Notice::InvoiceUpdated,
    ));
    decision.orders = vec![order];
    decision
}

fn with_payout(order: &Order, invoice: &PayoutInvoice) -> Order {
    let mut order = order.clone();
    if let Stage::Releasing { take, .. } | Stage::PayingBuyer { take, .. } = &mut order.stage {
        take.payout = Some(invoice.clone());
    }
    order
}

//! The buyer says where he wants his sats.

use crate::amount::Sats;
use crate::command::{GivenInvoice, Request};
use crate::decision::Decision;
use crate::facts::{InvoiceFacts, Now, PayoutFacts};
use crate::lightning::Destination;
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role, Take};
use crate::payout::{Attempt, AttemptState, PayoutState, UnnamedFailure};
use crate::stage::{BackTo, Stage};
use crate::time::UnixTime;
use crate::view;
use crate::wire::CantDo;

use super::ensure;
use super::opening::{Opening, ensure_capacity, open_hold};
use super::payout::{Debt, start};

/// The longest payment request, in bytes (rule V6).
const LONGEST_INVOICE: usize = 2_048;

/// For how many blocks after an unexplained failure no other invoice is taken:
/// until then a part of the failed payment might still be claimed (rule P6b).
const ERROR_REST_BLOCKS: u32 = 144;

/// The same by the clock, where the height of the failure was not known.
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
            ensure_capacity(facts.capacity, take.amounts.sats, now.terms)?;
            let back_to = BackTo::WaitingInvoice {
                deadline: *deadline,
            };
            let opening = Opening {
                take,
                asker: Some(req.asker()),
                back_to,
            };
            Ok(open_hold(order, opening, facts.hold, now))
        }
        Stage::PaidWaitingInvoice { take, hold, .. } => {
            let take = Take {
                payout: Some(judged(take)?),
                ..take.clone()
            };
            let active = Stage::Active {
                take,
                hold: *hold,
                cancel_asked_by: None,
            };
            Ok(begin_trade(order, req, active, now))
        }
        Stage::Releasing { take, .. } | Stage::PayingBuyer { take, .. } => {
            let owed = facts.payout.as_ref().ok_or(CantDo::NotAllowedByStatus)?;
            ensure(
                no_payment_can_succeed(owed, now),
                CantDo::NotAllowedByStatus,
            )?;
            let destination = judged(take)?;
            Ok(replace_destination(
                order,
                req,
                take,
                destination,
                owed,
                now,
            ))
        }
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingPayment { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => Err(CantDo::NotAllowedByStatus),
    }
}

/// Where `amount` can be paid: to an invoice that is worth it to the sat, lives
/// long enough and is used nowhere else, or to an address that takes it (rules
/// V3–V6); the rest was judged when it was read.
pub(super) fn judge(
    given: &GivenInvoice,
    amount: Sats,
    hash_is_known: bool,
    now: Now,
) -> Result<Destination, CantDo> {
    let destination = match given {
        GivenInvoice::Readable(invoice) => {
            let fits = invoice.amount.is_none() || invoice.amount == amount.to_msat();
            ensure(fits && !hash_is_known, CantDo::InvalidInvoice)?;
            Destination::Invoice(invoice.clone())
        }
        GivenInvoice::Address { sendable, .. } => {
            let fits = amount.to_msat().is_some_and(|it| sendable.includes(it));
            ensure(fits, CantDo::InvalidInvoice)?;
            judge_address(given)?
        }
        GivenInvoice::Unasked(_) | GivenInvoice::Unusable => judge_address(given)?,
    };
    ensure(will_be_payable(&destination, now), CantDo::InvalidInvoice)?;
    ensure(is_short(destination.text()), CantDo::InvalidInvoice)?;
    Ok(destination)
}

/// An address for an amount that nobody knows yet, where no invoice could be
/// right (rule O11).
pub(super) fn judge_address(given: &GivenInvoice) -> Result<Destination, CantDo> {
    match given {
        GivenInvoice::Address { text, .. } if is_short(text) => {
            Ok(Destination::Address(text.clone()))
        }
        GivenInvoice::Unasked(_) => Err(CantDo::TooManyRequests),
        GivenInvoice::Address { .. } | GivenInvoice::Readable(_) | GivenInvoice::Unusable => {
            Err(CantDo::InvalidInvoice)
        }
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= LONGEST_INVOICE
}

/// Whether an invoice will live long enough for a trade to run (rules V3, H4);
/// an address gives a fresh one.
pub(super) fn will_be_payable(destination: &Destination, now: Now) -> bool {
    let until = now.at.plus(now.terms.invoice_window_secs);
    destination
        .invoice()
        .is_none_or(|invoice| invoice.expires_at >= until)
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
        PayoutState::WaitFunds
        | PayoutState::Ready { .. }
        | PayoutState::Queued { .. }
        | PayoutState::Resolving { .. }
        | PayoutState::NeedInvoice { .. } => true,
        PayoutState::Paying | PayoutState::Paid | PayoutState::Parked | PayoutState::WrittenOff => {
            false
        }
    };
    waits
        && owed
            .attempt
            .as_ref()
            .is_none_or(|attempt| is_over(attempt, now.at, now.tip_height))
}

/// Whether nothing of an attempt can still be paid: it has no try under way,
/// and the last failure without a reason is long past, whatever came after it
/// (rules P6b, P8).
pub(super) fn is_over(attempt: &Attempt, at: UnixTime, tip_height: Option<u32>) -> bool {
    match attempt.state {
        AttemptState::Sent | AttemptState::Succeeded { .. } => false,
        AttemptState::Failed { .. } | AttemptState::Lost { .. } => attempt
            .last_unnamed()
            .is_none_or(|failure| has_rested(failure, at, tip_height)),
    }
}

fn has_rested(failure: UnnamedFailure, at: UnixTime, tip_height: Option<u32>) -> bool {
    match failure.tip_height {
        None => at.secs_since(failure.at) >= ERROR_REST_SECS,
        Some(height) => {
            tip_height.is_some_and(|tip| tip.saturating_sub(height) >= ERROR_REST_BLOCKS)
        }
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
    destination: Destination,
    owed: &PayoutFacts,
    now: Now,
) -> Decision {
    let order = with_payout(order, &destination);
    let payout = owed.payout.redirected(destination);
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
                in_flight: owed.in_flight,
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

fn with_payout(order: &Order, destination: &Destination) -> Order {
    let mut order = order.clone();
    if let Stage::Releasing { take, .. } | Stage::PayingBuyer { take, .. } = &mut order.stage {
        take.payout = Some(destination.clone());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Msat;
    use crate::command::Ask;
    use crate::decision::Effect;
    use crate::fixtures::*;
    use crate::hold::HoldState;
    use crate::lightning::Sendable;
    use crate::order::Side;
    use crate::party::Party;
    use crate::payout::PaymentFailure;
    use crate::time::UnixTime;

    fn giving(scene: &Scene, party: &Party) -> Result<Decision, CantDo> {
        let req = request(
            party,
            Ask::AddInvoice {
                payout: readable(60),
            },
        );
        add_invoice(
            &scene.order,
            &req,
            &readable(60),
            now(),
            &scene.invoice_facts(),
        )
    }

    #[test]
    fn v1_u14_u15_an_invoice_is_refused() {
        let wanting = [
            "waiting-invoice",
            "paid-waiting-invoice",
            "releasing",
            "paying-buyer (no invoice)",
        ];
        for scene in scenes(Side::Sell) {
            for party in [maker(), stranger()] {
                assert_eq!(
                    giving(&scene, &party),
                    Err(CantDo::InvalidPeer),
                    "{}",
                    scene.name
                );
            }
            let refused = match scene.name {
                "pending" | "expired" => Some(CantDo::InvalidPeer),
                name if wanting.contains(&name) => None,
                _ => Some(CantDo::NotAllowedByStatus),
            };
            assert_eq!(giving(&scene, &taker()).err(), refused, "{}", scene.name);
        }
        let untaken = scene("pending", Side::Buy, Stage::Pending);
        assert_eq!(giving(&untaken, &maker()), Err(CantDo::NotAllowedByStatus));
    }

    #[test]
    fn v3_v4_a_useless_invoice_is_refused_wherever_one_is_wanted() {
        let stages = [
            waiting_invoice(),
            paid_waiting_invoice(Side::Sell),
            needing_invoice(Side::Sell),
        ];
        for scene in stages {
            let req = request(&taker(), Ask::Cancel);
            let add = |given: &GivenInvoice, known| {
                let facts = scene
                    .invoice_facts()
                    .edit(|f| f.invoice_hash_is_known = known);
                add_invoice(&scene.order, &req, given, now(), &facts).err()
            };
            let refused = Some(CantDo::InvalidInvoice);
            assert_eq!(
                add(&GivenInvoice::Unusable, false),
                refused,
                "{}",
                scene.name
            );
            assert_eq!(
                add(&readable(60), true),
                refused,
                "{}: hash is known",
                scene.name
            );
            let dying = invoice(60).edit(|i| i.expires_at = UnixTime(NOW.0 + 3_599));
            assert_eq!(
                add(&GivenInvoice::Readable(dying), false),
                refused,
                "{}",
                scene.name
            );
        }
    }

    #[test]
    fn v2_v5_up_m14_an_address_is_taken_if_it_takes_the_amount() {
        let judged = |least, most| {
            let given = GivenInvoice::Address {
                text: ADDRESS.to_owned(),
                sendable: Sendable {
                    least: Msat(least),
                    most: Msat(most),
                },
            };
            judge(&given, BUYER_GETS, false, now())
        };
        assert_eq!(judged(9_970_000, 9_970_000), Ok(to_address()));
        let refused = Err(CantDo::InvalidInvoice);
        assert_eq!(judged(9_970_001, u64::MAX), refused, "too small for it");
        assert_eq!(judged(1, 9_969_999), refused, "too big for it");
    }

    #[test]
    fn v6_g19_an_address_that_is_too_long_or_that_nobody_could_ask_is_refused() {
        let GivenInvoice::Address { sendable, .. } = given_address() else {
            panic!("an address");
        };
        let text = format!("{}@wallet.example", "a".repeat(2_048));
        let long = GivenInvoice::Address { text, sendable };
        let judged = |given| judge(given, BUYER_GETS, false, now());
        assert_eq!(judged(&long), Err(CantDo::InvalidInvoice));
        let unasked = GivenInvoice::Unasked(ADDRESS.to_owned());
        assert_eq!(judged(&unasked), Err(CantDo::TooManyRequests));
    }

    #[test]
    fn p8_an_address_that_is_being_asked_can_be_replaced() {
        let mut scene = needing_invoice(Side::Sell);
        let owed = scene.owed.as_mut().unwrap();
        owed.payout.destination = to_address();
        owed.payout.state = PayoutState::Resolving { queued_since: None };
        let decision = giving(&scene, &taker()).unwrap();
        let replaced = payout(PayoutState::Paying).edit(|p| p.destination = to_invoice(60));
        assert_eq!(decision.payouts, [replaced]);
        assert_eq!(decision.effects, [Effect::Pay(hash(60))]);
    }

    fn take_to_60() -> Take {
        take().edit(|take| take.payout = Some(to_invoice(60)))
    }

    #[test]
    fn v7_b1_with_the_invoice_the_hold_is_opened() {
        let scene = waiting_invoice();
        let until = UnixTime(NOW.0 + 8);
        let stage = Stage::OpeningHold {
            take: take_to_60(),
            hold: fresh_hold().id,
            asker: Some(request(&taker(), Ask::Cancel).asker()),
            back_to: BackTo::WaitingInvoice {
                deadline: deadline(),
            },
            until,
        };
        let expected = Decision {
            orders: vec![scene.order.moved(stage, NOW)],
            holds: vec![hold(&scene.order, HoldState::New)],
            effects: vec![Effect::OpenHold(fresh_hold().hash)],
            ..Decision::default()
        };
        assert_eq!(giving(&scene, &taker()), Ok(expected));
    }

    #[test]
    fn v7_t7_without_lightning_the_buyer_may_try_again() {
        let scene = waiting_invoice();
        let req = request(&taker(), Ask::Cancel);
        let facts = scene
            .invoice_facts()
            .edit(|f| f.capacity.lightning_is_ready = false);
        let refused = add_invoice(&scene.order, &req, &readable(60), now(), &facts);
        assert_eq!(refused, Err(CantDo::TooManyRequests));
    }

    #[test]
    fn v8_with_the_invoice_a_paid_trade_begins() {
        let scene = paid_waiting_invoice(Side::Buy);
        let active = Stage::Active {
            take: take_to_60(),
            hold: fresh_hold().id,
            cancel_asked_by: None,
        };
        let order = scene.order.moved(active, NOW);
        let shown = view::act_with_invoice(&order, &take_to_60());
        let took = view::act(&order, &take_to_60(), Role::Seller);
        let asker = request(&maker(), Ask::Cancel).asker();
        let expected = Decision {
            answer: Some(Letter::answer(
                &asker,
                order_id(),
                Notice::EscrowLocked(Box::new(shown)),
            )),
            pushes: vec![Letter::push(
                &taker(),
                order_id(),
                Notice::BuyerTookOrder(Box::new(took)),
            )],
            orders: vec![order],
            ..Decision::default()
        };
        assert_eq!(giving(&scene, &maker()), Ok(expected));
    }

    #[test]
    fn v9_p8_while_the_hold_is_settled_another_invoice_takes_the_place() {
        let scene = releasing(Side::Sell);
        let decision = giving(&scene, &taker()).unwrap();
        let payout = payout(PayoutState::WaitFunds).edit(|p| p.destination = to_invoice(60));
        let asker = request(&taker(), Ask::Cancel).asker();
        let expected = Decision {
            orders: vec![with_payout(&scene.order, &to_invoice(60))],
            payouts: vec![payout],
            answer: Some(Letter::answer(&asker, order_id(), Notice::InvoiceUpdated)),
            ..Decision::default()
        };
        assert_eq!(decision, expected);
        let given = decision.orders[0]
            .stage
            .take()
            .and_then(|take| take.payout.clone());
        assert_eq!(given, Some(to_invoice(60)));
    }

    #[test]
    fn v9_p8_up_m19_a_new_invoice_is_paid_at_once_with_all_its_tries() {
        let scene = needing_invoice(Side::Sell);
        let asker = request(&taker(), Ask::Cancel).asker();
        let sent = attempt(AttemptState::Sent)
            .edit(|a| (a.hash, a.bolt11) = (hash(60), invoice(60).bolt11));
        let expected = Decision {
            orders: vec![with_payout(&scene.order, &to_invoice(60))],
            payouts: vec![payout(PayoutState::Paying).edit(|p| p.destination = to_invoice(60))],
            attempts: vec![sent],
            answer: Some(Letter::answer(&asker, order_id(), Notice::InvoiceUpdated)),
            effects: vec![Effect::Pay(hash(60))],
            ..Decision::default()
        };
        assert_eq!(giving(&scene, &taker()), Ok(expected));
    }

    #[test]
    fn p8_up_m1_no_second_invoice_while_a_payment_may_still_succeed() {
        let with = |state, attempt_state| {
            let mut scene = needing_invoice(Side::Sell);
            let owed = scene.owed.as_mut().unwrap();
            owed.payout.state = state;
            owed.attempt = Some(attempt(attempt_state));
            giving(&scene, &taker()).err()
        };
        let failed = |reason, at| AttemptState::Failed {
            reason,
            at,
            tip_height: None,
        };
        let refused = Some(CantDo::NotAllowedByStatus);
        let (need, no_route) = (need_invoice(), PaymentFailure::NoRoute);
        assert_eq!(with(PayoutState::Paying, AttemptState::Sent), refused);
        assert_eq!(with(PayoutState::Parked, failed(no_route, SINCE)), refused);
        assert_eq!(
            with(need, AttemptState::Sent),
            refused,
            "whatever the payout says"
        );
        assert_eq!(
            with(
                PayoutState::Ready { not_before: NOW },
                failed(no_route, SINCE)
            ),
            None
        );

        let a_day_ago = UnixTime(NOW.0 - 86_400);
        let error = PaymentFailure::Error;
        assert_eq!(
            with(need, failed(error, a_day_ago)),
            None,
            "p6b after 144 blocks"
        );
        let nearly = UnixTime(a_day_ago.0 + 1);
        assert_eq!(with(need, failed(error, nearly)), refused, "p6b before");
    }

    #[test]
    fn p6b_p8_after_an_unexplained_failure_144_blocks_have_to_pass() {
        let after = |attempt: Attempt, tip_height| {
            let mut scene = needing_invoice(Side::Sell);
            scene.owed.as_mut().unwrap().attempt = Some(attempt);
            let given = readable(60);
            let req = request(
                &taker(),
                Ask::AddInvoice {
                    payout: readable(60),
                },
            );
            let now = Now {
                tip_height,
                ..now()
            };
            add_invoice(&scene.order, &req, &given, now, &scene.invoice_facts()).err()
        };
        let failed = |reason, height| AttemptState::Failed {
            reason,
            at: SINCE,
            tip_height: Some(height),
        };
        let unnamed = attempt(failed(PaymentFailure::Error, 700));
        let failed_again = Attempt {
            unnamed: unnamed.last_unnamed(),
            ..attempt(failed(PaymentFailure::NoRoute, 702))
        };
        let refused = Some(CantDo::NotAllowedByStatus);
        for attempt in [unnamed, failed_again] {
            assert_eq!(after(attempt.clone(), Some(843)), refused, "{attempt:?}");
            assert_eq!(after(attempt.clone(), Some(844)), None, "{attempt:?}");
            assert_eq!(after(attempt, None), refused, "a height nobody knows");
        }
    }
}

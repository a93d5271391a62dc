//! Stage × command × sender, as `decide` sees it: printed on one page, and
//! compared with the rule book's own table.

#[path = "../fixtures/mod.rs"]
mod fixtures;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod printed;
#[cfg(test)]
mod rule_book;

use escrow_core::UnixTime;
use escrow_core::amount::Msat;
use escrow_core::command::{Ask, Found, Request};
use escrow_core::decide::{
    cancel, dispute, escrow_horizon, fiat_sent, hold_invoice, payout, payout_invoice, rate,
    release, take, timeouts, trade_pubkey,
};
use escrow_core::decision::{Decision, Effect};
use escrow_core::facts::{Now, PayoutFacts, RateFacts, TakeFacts};
use escrow_core::hold::{Hold, HoldId, HoldState};
use escrow_core::order::{Rated, Side};
use escrow_core::party::Party;
use escrow_core::payout::{PaymentFailure, PayoutState};
use escrow_core::stage::{BackTo, Stage, Then};
use escrow_core::timer::TimerKind;
use escrow_core::wire::CantDo;

use fixtures::{
    Edit, FULL, NOW, SINCE, Scene, at, deadline, dispute_facts, horizon_facts, next_hold, now,
    person_facts, preimage, readable, request, take_facts,
};

fn requests(side: Side) -> Vec<(&'static str, Ask)> {
    let take = match side {
        Side::Sell => vec![
            (
                "take-sell",
                Ask::TakeSell {
                    payout: None,
                    fiat: None,
                },
            ),
            (
                "take-sell, invoice",
                Ask::TakeSell {
                    payout: Some(readable(60)),
                    fiat: None,
                },
            ),
        ],
        Side::Buy => vec![("take-buy", Ask::TakeBuy { fiat: None })],
    };
    let rest = [
        (
            "add-invoice",
            Ask::AddInvoice {
                payout: readable(60),
            },
        ),
        ("fiat-sent", Ask::FiatSent { next: None }),
        ("release", Ask::Release { next: None }),
        ("cancel", Ask::Cancel),
        ("dispute", Ask::Dispute),
        ("rate-user", Ask::RateUser { stars: 5 }),
    ];
    take.into_iter().chain(rest).collect()
}

fn asked(scene: &Scene, sender: &Party, ask: &Ask) -> String {
    match answer(scene, &request(sender, ask.clone()), sender) {
        Ok(decision) => outcome(&decision),
        Err(why) => refusal(why).to_owned(),
    }
}

fn answer(scene: &Scene, req: &Request, sender: &Party) -> Result<Decision, CantDo> {
    let order = &scene.order;
    let taking = TakeFacts {
        person: person_facts(sender),
        ..take_facts()
    };
    match &req.ask {
        Ask::TakeSell { payout, fiat } => {
            take::take_sell(order, req, (payout.as_ref(), *fiat), now(), &taking)
        }
        Ask::TakeBuy { fiat } => take::take_buy(order, req, *fiat, now(), &taking),
        Ask::AddInvoice { payout } => {
            payout_invoice::add_invoice(order, req, payout, now(), &scene.invoice_facts())
        }
        Ask::FiatSent { next } => fiat_sent::fiat_sent(order, req, *next, now()),
        Ask::Release { next } => release::release(order, req, *next, now(), &scene.release_facts()),
        Ask::Cancel => cancel::cancel(order, req, now(), &scene.cancel_facts()),
        Ask::Dispute => dispute::dispute(order, req, now(), &dispute_facts()),
        Ask::RateUser { stars } => {
            rate::rate(order, req, *stars, now(), &RateFacts { rated: None })
        }
        Ask::TradePubkey => trade_pubkey::trade_pubkey(order, req, false),
        Ask::TakeDispute(_)
        | Ask::AdminSettle { .. }
        | Ask::AdminCancel { .. }
        | Ask::Govern(_) => unreachable!("no party asks for it"),
        Ask::NewOrder(_) | Ask::Question(_) | Ask::Refused(_) => unreachable!("not about an order"),
    }
}

type Report = fn(&Scene) -> Option<Decision>;

fn reports() -> Vec<(&'static str, Report)> {
    vec![
        ("hold opened in time", |s| opened(s, now())),
        ("hold opened too late", |s| opened(s, late())),
        ("hold not opened", |s| {
            Some(hold_invoice::hold_failed(&s.order, hold(s)?, now()))
        }),
        ("hold accepted", |s| Some(accepted(s, hold(s)?))),
        ("hold accepted, no invoice", |s| {
            let scene = s.clone().edit(without_invoice);
            Some(accepted(&scene, hold(&scene)?))
        }),
        ("hold accepted too late", |s| {
            Some(accepted(s, &given_up(s)))
        }),
        ("hold settled", |s| {
            s.owed.as_ref()?;
            let facts = s.hold_facts();
            Some(hold_invoice::hold_settled(
                &s.order,
                hold(s)?,
                &facts,
                now(),
            ))
        }),
        ("hold canceled by Lightning", |s| {
            Some(canceled(s, hold(s)?))
        }),
        ("hold canceled as decided", |s| {
            Some(canceled(s, &given_up(s)))
        }),
        ("payment succeeded", succeeded),
        ("payment failed: no route", |s| {
            failed(s, PaymentFailure::NoRoute, 0)
        }),
        ("payment failed: the last", |s| {
            failed(s, PaymentFailure::NoRoute, 2)
        }),
        ("payment failed: refused", |s| {
            failed(s, PaymentFailure::WrongDetails, 0)
        }),
        ("payment failed: no balance", |s| {
            failed(s, PaymentFailure::InsufficientBalance, 0)
        }),
        ("8 s of opening are over", |s| {
            Some(elapsed(s, TimerKind::OpeningHold))
        }),
        ("offer's deadline", |s| {
            Some(elapsed_at(
                s,
                TimerKind::OfferDeadline,
                s.order.offer.expires_at,
            ))
        }),
        ("step deadline", |s| {
            Some(elapsed_at(s, TimerKind::StepDeadline, deadline()))
        }),
        ("looked up at the deadline", looked_up),
        ("20 h on offer", |s| {
            Some(elapsed_at(s, TimerKind::Refresh, SINCE.plus(72_000)))
        }),
        ("escrow's end: 60 blocks", |s| aged(s, 60)),
        ("escrow's end: 36 blocks", |s| aged(s, 36)),
        ("payout is due", |s| {
            let scene = s.clone().edit(between_tries);
            Some(elapsed(&scene, TimerKind::PayoutRetry))
        }),
        ("invoice is asked for again", |s| {
            Some(elapsed_at(s, TimerKind::Reprompt, NOW.plus(3_600)))
        }),
    ]
}

fn reported(scene: &Scene, report: Report) -> String {
    report(scene).map_or_else(|| ".".to_owned(), |decision| outcome(&decision))
}

fn late() -> Now<'static> {
    at(UnixTime(NOW.0 + 9))
}

fn hold(scene: &Scene) -> Option<&Hold> {
    scene.hold.as_ref()
}

/// The hold of an earlier take of the same order.
fn given_up(scene: &Scene) -> Hold {
    fixtures::hold(&scene.order, HoldState::Canceling)
        .edit(|hold| hold.id = HoldId(uuid::Uuid::from_u128(99)))
}

fn owed(scene: &Scene) -> Option<PayoutFacts> {
    scene.owed.clone()
}

fn opened(scene: &Scene, now: Now) -> Option<Decision> {
    Some(hold_invoice::hold_opened(
        &scene.order,
        hold(scene)?,
        None,
        "lnbcrt-hold",
        now,
    ))
}

fn accepted(scene: &Scene, hold: &Hold) -> Decision {
    hold_invoice::hold_accepted(&scene.order, hold, None, FULL, 900, now())
}

fn without_invoice(scene: &mut Scene) {
    if let Stage::WaitingPayment { take, .. } = &mut scene.order.stage {
        take.payout = None;
    }
}

/// Where a payment was under way it has failed, and may be tried again.
fn between_tries(scene: &mut Scene) {
    if let Some(owed) = &mut scene.owed
        && owed.payout.state == PayoutState::Paying
    {
        owed.payout.state = PayoutState::Ready { not_before: NOW };
        owed.attempt = Some(fixtures::attempt(fixtures::FAILED));
    }
}

fn canceled(scene: &Scene, hold: &Hold) -> Decision {
    hold_invoice::hold_canceled(&scene.order, hold, &scene.hold_facts(), now())
}

fn succeeded(scene: &Scene) -> Option<Decision> {
    let PayoutFacts {
        payout, attempt, ..
    } = owed(scene)?;
    let (attempt, fee) = (attempt?, Msat(1_000));
    Some(payout::payment_succeeded(
        &scene.order,
        &payout,
        &attempt,
        &preimage(50),
        fee,
        now(),
    ))
}

fn failed(scene: &Scene, reason: PaymentFailure, tries: u32) -> Option<Decision> {
    let PayoutFacts {
        payout, attempt, ..
    } = owed(scene)?;
    let payout = payout.edit(|payout| payout.tries = tries);
    Some(payout::payment_failed(
        &scene.order,
        &payout,
        &attempt?,
        (reason, false),
        now(),
    ))
}

fn elapsed(scene: &Scene, kind: TimerKind) -> Decision {
    elapsed_at(scene, kind, late().at)
}

fn elapsed_at(scene: &Scene, kind: TimerKind, moment: UnixTime) -> Decision {
    timeouts::elapsed(&scene.order, kind, &scene.timer_facts(), at(moment))
}

/// A look-up that finds the hold as the ledger has it.
fn looked_up(scene: &Scene) -> Option<Decision> {
    let hold = hold(scene)?;
    let found = if matches!(hold.state, HoldState::Open { .. }) {
        Found::Open
    } else {
        Found::Accepted
    };
    let now = at(deadline());
    let (order, fresh) = (&scene.order, next_hold());
    Some(hold_invoice::hold_found(order, hold, found, fresh, now))
}

/// The fixtures' holds expire at a height of 900.
fn aged(scene: &Scene, blocks_left: u32) -> Option<Decision> {
    let facts = horizon_facts(900 - blocks_left, scene.dispute.clone());
    Some(escrow_horizon::hold_aged(
        &scene.order,
        hold(scene)?,
        &facts,
        now(),
    ))
}

fn outcome(decision: &Decision) -> String {
    let is_alarm = |effect: &Effect| matches!(effect, Effect::Alarm(_));
    let alarmed = if decision.effects.iter().any(is_alarm) {
        "!"
    } else {
        ""
    };
    let is_only_alarm = decision.effects.iter().all(is_alarm)
        && *decision
            == (Decision {
                effects: decision.effects.clone(),
                ..Decision::default()
            });
    match decision.orders.first() {
        Some(order) if !is_a_vote(decision) => {
            format!(">{}{alarmed}", stage(&order.stage, decision))
        }
        _ if *decision == Decision::default() => "=".to_owned(),
        _ if is_only_alarm => "!".to_owned(),
        _ => format!("ok{alarmed}"),
    }
}

/// A vote writes the order and leaves its stage.
fn is_a_vote(decision: &Decision) -> bool {
    decision
        .orders
        .iter()
        .any(|order| order.rated != Rated::default())
}

fn short(scene: &Scene) -> &'static str {
    let payouts = scene.owed.iter().map(|owed| owed.payout.clone()).collect();
    stage(
        &scene.order.stage,
        &Decision {
            payouts,
            ..Decision::default()
        },
    )
}

fn stage(stage: &Stage, decision: &Decision) -> &'static str {
    let wants_invoice = decision
        .payouts
        .iter()
        .any(|payout| matches!(payout.state, PayoutState::NeedInvoice { .. }));
    match stage {
        Stage::Pending => "Pe",
        Stage::OpeningHold {
            back_to: BackTo::Pending,
            ..
        } => "Op",
        Stage::OpeningHold {
            back_to: BackTo::WaitingInvoice { .. },
            ..
        } => "Ow",
        Stage::OpeningHold {
            back_to: BackTo::WaitingPayment { .. },
            ..
        } => "Oq",
        Stage::WaitingInvoice { .. } => "WI",
        Stage::WaitingPayment { .. } => "WP",
        Stage::PaidWaitingInvoice { .. } => "PW",
        Stage::Active { .. } => "Ac",
        Stage::FiatSent { .. } => "FS",
        Stage::Dispute { .. } => "Di",
        Stage::Canceling {
            then: Then::BackToBook,
            ..
        } => "Cb",
        Stage::Canceling { .. } => "Cg",
        Stage::Releasing { .. } => "Re",
        Stage::PayingBuyer { .. } if wants_invoice => "Pn",
        Stage::PayingBuyer { .. } => "PB",
        Stage::Success { .. } => "Su",
        Stage::Canceled { .. } => "Ca",
        Stage::Expired => "Ex",
    }
}

/// The sign of a refusal; one without a sign stands in full.
fn refusal(why: CantDo) -> &'static str {
    let signs = [
        (CantDo::InvalidOrderStatus, "st"),
        (CantDo::NotAllowedByStatus, "na"),
        (CantDo::InvalidPubkey, "pk"),
        (CantDo::InvalidPeer, "pe"),
        (CantDo::IsNotYourOrder, "ny"),
        (CantDo::OrderAlreadyCanceled, "ac"),
    ];
    signs
        .iter()
        .find(|(reason, _)| *reason == why)
        .map_or(why.as_str(), |(_, sign)| *sign)
}

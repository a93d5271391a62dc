//! The rule book on one page: stage × command × sender, as `decide` sees it.
//!
//! `matrix.txt` is made from the code and compared with it, so that a change of
//! the rules shows as a change of that page. `MATRIX_ACCEPT=1` writes it anew.

mod fixtures;

use std::path::Path;

use escrow_core::UnixTime;
use escrow_core::amount::Msat;
use escrow_core::command::{Ask, Request};
use escrow_core::decide::{
    cancel, dispute, fiat_sent, hold_invoice, payout, payout_invoice, rate, release, take, timeouts,
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
    Edit, FULL, NOW, Scene, at, dispute_facts, maker, now, person_facts, preimage, readable,
    request, scenes, stranger, take_facts, taker,
};

const ABOUT: &str = "\
Stage x command x sender, made from the code by `cargo test --test matrix`.

  >Xx  the order moves there          st  invalid_order_status
  ok   done, the stage stays          na  not_allowed_by_status
  =    known already, nothing         pk  invalid_pubkey
  !    an alarm (alone: only that)    pe  invalid_peer
  .    cannot happen                  ny  is_not_your_order
                                      ac  order_already_canceled

  Pe pending              PW paid-waiting-invoice   Pn paying-buyer, invoice wanted
  Op opening-hold (Pe)    Ac active                 Su success
  Ow opening-hold (WI)    FS fiat-sent              Ca canceled
  WI waiting-invoice      Re releasing
  WP waiting-payment      PB paying-buyer, payment under way

A market or range order never gets so far: its new-order ends in price_too_stale.
A take of the other kind of order is invalid_order_kind, in every stage.
";

#[test]
fn the_printed_page_is_what_the_code_does() {
    let page = [ABOUT.to_owned(), table(Side::Sell), table(Side::Buy)].join("\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix.txt");
    if std::env::var_os("MATRIX_ACCEPT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let printed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        page, printed,
        "read the change, then accept it with MATRIX_ACCEPT=1"
    );
}

fn table(side: Side) -> String {
    let (buyer, seller, title) = match side {
        Side::Sell => (taker(), maker(), "sell order (maker = seller)"),
        Side::Buy => (maker(), taker(), "buy order (maker = buyer)"),
    };
    let scenes = scenes(side);
    let mut page = String::new();
    line(
        &mut page,
        title,
        scenes.iter().map(|scene| short(scene).to_owned()),
    );
    for (name, ask) in requests(side) {
        for (who, sender) in [
            ("buyer", &buyer),
            ("seller", &seller),
            ("other", &stranger()),
        ] {
            let cells = scenes.iter().map(|scene| asked(scene, sender, &ask));
            line(&mut page, &format!("{name} · {who}"), cells);
        }
    }
    for (name, report) in reports() {
        line(
            &mut page,
            name,
            scenes.iter().map(|scene| reported(scene, report)),
        );
    }
    page
}

fn line(page: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let row = cells.fold(format!("{name:<28}"), |row, cell| {
        format!("{row} {cell:<4}")
    });
    page.push_str(row.trim_end());
    page.push('\n');
}

fn requests(side: Side) -> Vec<(&'static str, Ask)> {
    let take = match side {
        Side::Sell => vec![
            ("take-sell", Ask::TakeSell { payout: None }),
            (
                "take-sell, invoice",
                Ask::TakeSell {
                    payout: Some(readable(60)),
                },
            ),
        ],
        Side::Buy => vec![("take-buy", Ask::TakeBuy)],
    };
    let rest = [
        (
            "add-invoice",
            Ask::AddInvoice {
                payout: readable(60),
            },
        ),
        ("fiat-sent", Ask::FiatSent),
        ("release", Ask::Release),
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
        Ask::TakeSell { payout } => take::take_sell(order, req, payout.as_ref(), now(), &taking),
        Ask::TakeBuy => take::take_buy(order, req, now(), &taking),
        Ask::AddInvoice { payout } => {
            payout_invoice::add_invoice(order, req, payout, now(), &scene.invoice_facts())
        }
        Ask::FiatSent => fiat_sent::fiat_sent(order, req, now()),
        Ask::Release => release::release(order, req, now(), &scene.release_facts()),
        Ask::Cancel => cancel::cancel(order, req, now(), &scene.cancel_facts()),
        Ask::Dispute => dispute::dispute(order, req, now(), &dispute_facts()),
        Ask::RateUser { stars } => {
            rate::rate(order, req, *stars, now(), &RateFacts { rated: None })
        }
        Ask::NewOrder(_) | Ask::Refused(_) => unreachable!("not about an order"),
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
        ("payout is due", |s| {
            let scene = s.clone().edit(between_tries);
            Some(elapsed(&scene, TimerKind::PayoutRetry))
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
    timeouts::elapsed(&scene.order, kind, &scene.timer_facts(), late())
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

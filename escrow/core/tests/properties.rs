//! What holds for every command in every stage, whatever the numbers.

mod fixtures;

use std::mem::discriminant;

use escrow_core::UnixTime;
use escrow_core::amount::{Msat, Sats};
use escrow_core::command::{Ask, Found, NewOrder, Request};
use escrow_core::decide::{
    cancel, dispute, downtime, escrow_horizon, fiat_sent, hold_invoice, open, payout,
    payout_invoice, rate, release, take, timeouts, trade_pubkey,
};
use escrow_core::decision::{Decision, Effect};
use escrow_core::due::mover;
use escrow_core::facts::{Now, RateFacts, TakeFacts};
use escrow_core::fees::{dev_fee, fee_per_side, routing_cap};
use escrow_core::freshness::{Subject, check};
use escrow_core::hold::HoldState;
use escrow_core::letters::message;
use escrow_core::order::{Amounts, Order, Side, Take};
use escrow_core::party::Party;
use escrow_core::payout::{AttemptState, PaymentFailure, PayoutState};
use escrow_core::stage::Stage;
use escrow_core::terms::Terms;
use escrow_core::timer::TimerKind;
use escrow_core::wire::CantDo;
use proptest::prelude::*;
use proptest::sample::select;

use fixtures::{
    FULL, NOW, Scene, TIP, dispute_facts, horizon_facts, maker, open_facts, person_facts, preimage,
    readable, request, scenes, stranger, take_facts, taker, terms,
};

/// Whatever can happen to an order.
#[derive(Clone, Debug)]
enum Happening {
    Asked(Box<(Party, Ask)>),
    Opened,
    NotOpened,
    Accepted(Msat),
    Settled,
    Canceled,
    Succeeded,
    Failed(PaymentFailure, bool),
    Found(Found),
    Aged(u32),
    Shifted(u64),
    Elapsed(TimerKind),
}

fn happening() -> impl Strategy<Value = Happening> {
    let sender = select(vec![maker(), taker(), stranger()]);
    let ask = prop_oneof![
        Just(Ask::TakeSell {
            payout: None,
            fiat: None
        }),
        Just(Ask::TakeSell {
            fiat: None,
            payout: Some(readable(60))
        }),
        Just(Ask::TakeBuy { fiat: None }),
        Just(Ask::AddInvoice {
            payout: readable(60)
        }),
        Just(Ask::FiatSent { next: None }),
        Just(Ask::Release { next: None }),
        Just(Ask::Cancel),
        Just(Ask::Dispute),
        any::<u8>().prop_map(|stars| Ask::RateUser { stars: stars % 7 }),
    ];
    let reason = select(vec![
        PaymentFailure::NoRoute,
        PaymentFailure::Error,
        PaymentFailure::WrongDetails,
        PaymentFailure::InvoiceExpired,
        PaymentFailure::InsufficientBalance,
        PaymentFailure::CltvLimit,
    ]);
    let kinds = vec![
        TimerKind::OpeningHold,
        TimerKind::PayoutRetry,
        TimerKind::StepDeadline,
        TimerKind::OfferDeadline,
        TimerKind::Refresh,
        TimerKind::Reprompt,
        TimerKind::DevFee,
    ];
    let found = vec![Found::Open, Found::Accepted, Found::Missing];
    prop_oneof![
        5 => (sender, ask).prop_map(|(sender, ask)| Happening::Asked(Box::new((sender, ask)))),
        1 => Just(Happening::Opened),
        1 => Just(Happening::NotOpened),
        1 => prop_oneof![Just(FULL), any::<u64>().prop_map(Msat)].prop_map(Happening::Accepted),
        1 => Just(Happening::Settled),
        1 => Just(Happening::Canceled),
        1 => Just(Happening::Succeeded),
        1 => (reason, any::<bool>()).prop_map(|(why, ours)| Happening::Failed(why, ours)),
        1 => select(found).prop_map(Happening::Found),
        1 => (800_u32..950).prop_map(Happening::Aged),
        1 => (0_u64..10_000).prop_map(Happening::Shifted),
        2 => select(kinds).prop_map(Happening::Elapsed),
    ]
}

fn any_scene() -> impl Strategy<Value = Scene> {
    select(
        scenes(Side::Sell)
            .into_iter()
            .chain(scenes(Side::Buy))
            .collect::<Vec<_>>(),
    )
}

/// The terms, sometimes with a single payment attempt; seconds after [`NOW`].
fn any_now() -> impl Strategy<Value = (Terms, u64)> {
    let attempts = select(vec![1, 3]);
    let secs = prop_oneof![0_u64..10, 0_u64..100_000];
    (attempts, secs).prop_map(|(payment_attempts, secs)| {
        (
            Terms {
                payment_attempts,
                ..terms()
            },
            secs,
        )
    })
}

/// What a happening leads to; none if it is about a row that is not there.
fn decide(scene: &Scene, happening: &Happening, now: Now) -> Option<Result<Decision, CantDo>> {
    let order = &scene.order;
    let hold = scene.hold.as_ref();
    let attempt = scene.owed.as_ref().and_then(|owed| owed.attempt.as_ref());
    let payout = scene.owed.as_ref().map(|owed| &owed.payout);
    let facts = scene.hold_facts();
    let decision = match happening {
        Happening::Asked(asked) => {
            let (sender, ask) = &**asked;
            return Some(answer(scene, &request(sender, ask.clone()), sender, now));
        }
        Happening::Opened => hold_invoice::hold_opened(order, hold?, None, "lnbcrt-hold", now),
        Happening::NotOpened => hold_invoice::hold_failed(order, hold?, now),
        Happening::Accepted(paid) => {
            hold_invoice::hold_accepted(order, hold?, None, *paid, 900, now)
        }
        Happening::Settled => hold_invoice::hold_settled(order, hold?, &facts, now),
        Happening::Canceled => hold_invoice::hold_canceled(order, hold?, &facts, now),
        Happening::Succeeded => {
            // The fixtures' invoices are numbered by their preimage.
            let proof = if attempt?.hash == fixtures::hash(60) {
                60
            } else {
                50
            };
            payout::payment_succeeded(order, payout?, attempt?, &preimage(proof), Msat(7), now)
        }
        Happening::Failed(why, in_trouble) => {
            payout::payment_failed(order, payout?, attempt?, (*why, *in_trouble), now)
        }
        Happening::Found(found) => {
            hold_invoice::hold_found(order, hold?, *found, scene.another_hold(), now)
        }
        Happening::Aged(tip) => {
            let facts = horizon_facts(*tip, scene.dispute.clone());
            escrow_horizon::hold_aged(order, hold?, &facts, now)
        }
        Happening::Shifted(secs) => {
            let fresh = scene.another_hold();
            downtime::shifted(order, hold, payout, *secs, fresh, now)
        }
        Happening::Elapsed(kind) => timeouts::elapsed(order, *kind, &scene.timer_facts(), now),
    };
    Some(Ok(decision))
}

fn answer(scene: &Scene, req: &Request, sender: &Party, now: Now) -> Result<Decision, CantDo> {
    let order = &scene.order;
    let taking = TakeFacts {
        person: person_facts(sender),
        ..take_facts()
    };
    match &req.ask {
        Ask::TakeSell { payout, fiat } => {
            take::take_sell(order, req, (payout.as_ref(), *fiat), now, &taking)
        }
        Ask::TakeBuy { fiat } => take::take_buy(order, req, *fiat, now, &taking),
        Ask::AddInvoice { payout } => {
            let mut facts = scene.invoice_facts();
            let known = scene.owed.as_ref().and_then(|owed| owed.attempt.as_ref());
            facts.invoice_hash_is_known =
                known.is_some_and(|attempt| attempt.hash == fixtures::hash(60));
            payout_invoice::add_invoice(order, req, payout, now, &facts)
        }
        Ask::FiatSent { next } => fiat_sent::fiat_sent(order, req, *next, now),
        Ask::Release { next } => release::release(order, req, *next, now, &scene.release_facts()),
        Ask::Cancel => cancel::cancel(order, req, now, &scene.cancel_facts()),
        Ask::Dispute => dispute::dispute(order, req, now, &dispute_facts()),
        Ask::RateUser { stars } => rate::rate(order, req, *stars, now, &RateFacts { rated: None }),
        Ask::TradePubkey => trade_pubkey::trade_pubkey(order, req, false),
        Ask::TakeDispute(_)
        | Ask::AdminSettle { .. }
        | Ask::AdminCancel { .. }
        | Ask::Govern(_) => unreachable!("no party asks for it"),
        Ask::NewOrder(_) | Ask::Question(_) | Ask::Refused(_) => unreachable!("not about an order"),
    }
}

/// The rows as a decision leaves them, as the ledger would.
fn after(scene: &Scene, decision: &Decision, now: Now) -> Scene {
    let order = decision.orders.last().unwrap_or(&scene.order).clone();
    let hold = decision.holds.last().or(scene.hold.as_ref()).cloned();
    let payout = decision
        .payouts
        .last()
        .or(scene.owed.as_ref().map(|owed| &owed.payout));
    let owed = payout.cloned().map(|payout| {
        let earlier = scene.owed.as_ref().and_then(|owed| owed.attempt.as_ref());
        let attempt = decision
            .attempts
            .last()
            .or(earlier)
            .filter(|attempt| payout.invoice().is_some_and(|it| it.hash == attempt.hash))
            .cloned();
        fixtures::owed(payout, attempt)
    });
    Scene {
        name: scene.name,
        order,
        hold,
        owed,
        dispute: decision.disputes.last().or(scene.dispute.as_ref()).cloned(),
        shown_at: if is_published(decision) {
            now.at
        } else {
            scene.shown_at
        },
    }
}

/// Whether a decision leaves all rows as they are, pushes nobody and starts
/// nothing; an answer may be given again, a nudge or alarm repeated.
fn changes_nothing(scene: &Scene, decision: &Decision, now: Now) -> bool {
    let acts = decision.effects.iter().any(|effect| match effect {
        Effect::CancelHold(_) | Effect::LookUpHold(_) | Effect::WakeAt(_) | Effect::Alarm(_) => {
            false
        }
        Effect::OpenHold(_)
        | Effect::SettleHold(_)
        | Effect::Resolve(_)
        | Effect::Pay(_)
        | Effect::PublishOrder(_)
        | Effect::PublishDispute(_)
        | Effect::PublishRating { .. }
        | Effect::PublishDevFee(_) => true,
    });
    let next = after(scene, decision, now);
    let rows = |scene: &Scene| {
        let owed = scene.owed.clone().map(|owed| (owed.payout, owed.attempt));
        (scene.order.clone(), scene.hold.clone(), owed)
    };
    !acts && decision.pushes.is_empty() && rows(scene) == rows(&next)
}

fn is_published(decision: &Decision) -> bool {
    let is_publish = |effect: &Effect| matches!(effect, Effect::PublishOrder(_));
    decision.effects.iter().any(is_publish)
}

/// The moves of rule S3; to stay is no move.
fn is_a_move(from: &Stage, to: &Stage) -> bool {
    use Stage::{
        Active, Canceled, Canceling, Dispute, Expired, FiatSent, OpeningHold, PaidWaitingInvoice,
        PayingBuyer, Pending, Releasing, Success, WaitingInvoice, WaitingPayment,
    };
    match from {
        Pending => matches!(
            to,
            WaitingInvoice { .. } | OpeningHold { .. } | Canceled { .. } | Expired
        ),
        OpeningHold { .. } => matches!(
            to,
            WaitingPayment { .. } | Pending | WaitingInvoice { .. } | Canceled { .. } | Expired
        ),
        WaitingInvoice { .. } => {
            matches!(to, OpeningHold { .. } | Pending | Canceled { .. } | Expired)
        }
        WaitingPayment { .. } => matches!(
            to,
            Active { .. }
                | PaidWaitingInvoice { .. }
                | OpeningHold { .. }
                | Pending
                | Canceled { .. }
                | Expired
        ),
        PaidWaitingInvoice { .. } => {
            matches!(to, Active { .. } | Canceling { .. } | Canceled { .. })
        }
        Active { .. } => matches!(
            to,
            FiatSent { .. } | Dispute { .. } | Canceling { .. } | Canceled { .. }
        ),
        FiatSent { .. } => matches!(
            to,
            Releasing { .. } | Dispute { .. } | Canceling { .. } | Canceled { .. }
        ),
        Dispute { .. } => matches!(to, Releasing { .. } | Canceling { .. } | Canceled { .. }),
        Releasing { .. } => matches!(to, PayingBuyer { .. } | Canceled { .. }),
        PayingBuyer { .. } => matches!(to, Success { .. }),
        Canceling { .. } => matches!(to, Pending | Canceled { .. } | Expired),
        Success { .. } | Canceled { .. } | Expired => false,
    }
}

/// What the book says of a stage (rule S2).
fn shown(stage: &Stage) -> &'static str {
    if stage.is_on_offer() {
        "pending"
    } else if matches!(stage, Stage::Success { .. }) {
        "success"
    } else if stage.is_terminal() {
        "canceled"
    } else {
        "in-progress"
    }
}

/// Whether a decision ends a take and leaves its order in the book, or expired.
fn ends_a_take(scene: &Scene, next: &Scene) -> bool {
    let is_back = matches!(next.order.stage, Stage::Pending | Stage::Expired);
    is_back && scene.order.stage.take().is_some() && !scene.order.stage.is_on_offer()
}

fn has_both_settle_and_cancel(decision: &Decision) -> bool {
    let effects = &decision.effects;
    let is_settled = |hash| effects.contains(&Effect::SettleHold(hash));
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::CancelHold(hash) if is_settled(*hash)))
}

/// What leaves for the trade stays within what the seller locked (rule F8).
fn is_conserved(decision: &Decision, order: &Order) -> bool {
    let Some(take) = order.stage.take() else {
        return decision.attempts.is_empty();
    };
    let whole = take.seller_pays().to_msat().expect("10,030 sats are few");
    let is_sent = |state| state == AttemptState::Sent;
    decision
        .attempts
        .iter()
        .all(|attempt| !is_sent(attempt.state) || attempt.amount <= whole)
        && decision
            .payouts
            .iter()
            .all(|payout| payout.amount <= take.seller_pays())
}

/// Cases found to fail are printed, not kept in a file beside the code.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Twenty things happen to an order, each reported twice.
    #[test]
    fn s1_s3_s4_s8_s9_w4_up_s6_a_trade_keeps_its_promises_whatever_happens(
        scene in any_scene(),
        happenings in prop::collection::vec((happening(), any_now()), 20),
    ) {
        let first = scene.order.clone();
        let mut scene = scene;
        let mut moment = NOW;
        let mut payments_made = 0;
        for (happening, (terms, secs)) in happenings {
            moment = moment.plus(secs);
            let now = Now { at: moment, tip_height: Some(TIP), terms: &terms };
            let Some(Ok(decision)) = decide(&scene, &happening, now) else {
                continue;
            };
            let next = after(&scene, &decision, now);

            prop_assert!(!has_both_settle_and_cancel(&decision), "{happening:?}");
            prop_assert!(is_conserved(&decision, &next.order), "{happening:?}");
            let (from, to) = (&scene.order.stage, &next.order.stage);
            if discriminant(from) != discriminant(to) {
                prop_assert!(is_a_move(from, to), "s3: {happening:?} moved {from:?} to {to:?}");
            }
            let is_refresh = matches!(happening, Happening::Elapsed(TimerKind::Refresh));
            let changed = shown(from) != shown(to);
            prop_assert!(changed == is_published(&decision) || is_refresh, "s4: {happening:?}");
            let ended = usize::from(ends_a_take(&scene, &next));
            prop_assert_eq!(decision.ended_takes.len(), ended, "s8: {:?}", happening);
            prop_assert_eq!(&next.order.offer, &first.offer, "w4: {:?}", happening);
            if *to == Stage::Pending {
                let again = first.moved(Stage::Pending, next.order.stage_since);
                prop_assert_eq!(&next.order, &again, "up-s6: {:?}", happening);
            }
            let payout = next.owed.as_ref().map(|owed| &owed.payout);
            let is_parked = payout.is_some_and(|payout| payout.state == PayoutState::Parked);
            let moved_by = mover(&next.order, next.hold.as_ref(), payout);
            prop_assert!(
                moved_by.is_some() || to.is_terminal() || is_parked,
                "s9: {happening:?} leaves {to:?} to nobody"
            );
            let settles = decision.effects.iter().any(|e| matches!(e, Effect::SettleHold(_)));
            if settles {
                let hold = scene.hold.as_ref().map(|hold| &hold.state);
                let is_ours = |state: &HoldState| {
                    matches!(state, HoldState::Accepted(_) | HoldState::Settling(_))
                };
                prop_assert!(hold.is_some_and(is_ours), "{:?}", hold);
            }
            let pays = decision.effects.iter().any(|e| matches!(e, Effect::Pay(_)));
            if pays {
                let in_flight = scene.owed.as_ref().and_then(|owed| owed.attempt.as_ref());
                let is_sent = in_flight.is_some_and(|a| a.state == AttemptState::Sent);
                prop_assert!(!is_sent, "a second payment while one is under way");
                let hold = next.hold.as_ref().map(|hold| &hold.state);
                prop_assert!(matches!(hold, Some(HoldState::Settled(_))), "{:?}", hold);
            }
            let paid = |attempt: &&escrow_core::payout::Attempt| {
                matches!(attempt.state, AttemptState::Succeeded { .. })
            };
            payments_made += decision.attempts.iter().filter(paid).count();
            prop_assert!(payments_made <= 1, "paid twice");
            for letter in decision.answer.iter().chain(&decision.pushes) {
                prop_assert!(message(letter).to_json().len() < 24_000);
            }

            // A report is about one hold, and time passes as often as it passes.
            let hold_of = |scene: &Scene| scene.hold.as_ref().map(|hold| hold.id);
            let is_repeatable =
                hold_of(&scene) == hold_of(&next) && !matches!(happening, Happening::Shifted(_));
            if is_repeatable && let Some(Ok(again)) = decide(&next, &happening, now) {
                prop_assert!(changes_nothing(&next, &again, now), "{happening:?}: {again:?}");
            }
            scene = next;
        }
    }

    #[test]
    fn extreme_numbers_of_an_order_end_in_an_answer(
        sats in any::<i64>(),
        fiat in any::<i64>(),
        min_fiat in any::<Option<i64>>(),
        max_fiat in any::<Option<i64>>(),
        premium in any::<i64>(),
        expires_at in any::<Option<i64>>(),
        trade_index in any::<Option<i64>>(),
        at in any::<u64>(),
        fee in 0.0..=0.2,
        is_wide in any::<bool>(),
        payment_method in any::<String>(),
    ) {
        let wide = Terms { min_amount: Sats(0), max_amount: Sats(u64::MAX), fee, ..terms() };
        let terms = if is_wide { wide } else { terms() };
        let now = Now { at: UnixTime(at), tip_height: None, terms: &terms };
        let new = NewOrder {
            sats, fiat, min_fiat, max_fiat, premium, expires_at, payment_method,
            ..fixtures::new_order(Side::Sell)
        };
        let mut req = request(&maker(), Ask::NewOrder(new.clone()));
        req.trade_index = trade_index;
        if let Ok(decision) = open::open(&req, &new, now, &open_facts()) {
            let taking = take_facts();
            let take = take::take_sell(
                &decision.orders[0],
                &request(&taker(), Ask::TakeSell { payout: None, fiat: None }),
                (None, None),
                now,
                &taking,
            );
            prop_assert!(take.is_ok() || decision.orders[0].offer.expires_at <= now.at);
        }
    }

    #[test]
    fn fees_never_exceed_their_amount(amount in any::<u64>(), fee in 0.0..=0.2) {
        let sats = Sats(amount);
        prop_assert!(fee_per_side(fee, sats) <= sats);
        prop_assert!(routing_cap(0.05, sats) <= sats.max(Sats(10)));
    }

    #[test]
    fn f5_f8_the_development_never_gets_more_than_the_house_was_left(
        amount in 0..=2_100_000_000_000_000_u64,
        fee in 0.0..=0.2,
        share in 0.1..=1.0,
    ) {
        let fee = fee_per_side(fee, Sats(amount));
        let take = Take {
            amounts: Amounts { sats: Sats(amount), fee, ..fixtures::amounts() },
            ..fixtures::take()
        };
        prop_assert!(dev_fee(share, fee) <= take.house_gets());
        prop_assert_eq!(dev_fee(share, Sats(0)), Sats(0));
    }

    #[test]
    fn any_two_moments_can_be_compared(signed in any::<u64>(), now in any::<u64>(), since in any::<u64>()) {
        let subject = Subject::Existing { stage_since: UnixTime(since) };
        let outcome = check(UnixTime(signed), UnixTime(now), subject);
        prop_assert_eq!(outcome.is_ok(), {
            let age = i128::from(now) - i128::from(signed);
            (-120..=120).contains(&age) || ((121..=172_800).contains(&age) && signed > since)
        });
    }
}

use super::*;
use crate::amount::Msat;
use crate::command::AddressAnswer;
use crate::decide::nothing;
use crate::decide::payout::{
    Adoptee, address_asked, adopt, payment_failed, payment_missing, payment_succeeded, payout_due,
};
use crate::decision::{Alarm, Effect};
use crate::facts::InFlight;
use crate::fixtures::*;
use crate::lightning::PayoutInvoice;
use crate::order::Side;
use crate::payout::{Attempt, AttemptState, Missing, PaymentFailure};
use crate::terms::Terms;
use crate::time::UnixTime;

const DESTINATION: &str = "dev@wallet.example";
/// Of the fee's invoice.
const HASH: u8 = 70;

fn set() -> Terms {
    Terms {
        dev_fee_destination: Some(DESTINATION.to_owned()),
        ..terms()
    }
}

fn fee(state: PayoutState) -> Payout {
    Payout {
        id: PayoutId::of_dev_fee(order_id()),
        amount: DEV_FEE,
        destination: Destination::Address(DESTINATION.to_owned()),
        ..payout(state)
    }
}

fn ready() -> Payout {
    fee(PayoutState::Ready { not_before: NOW })
}

fn resolving() -> Payout {
    fee(PayoutState::Resolving { queued_since: None })
}

fn invoice_of_fee() -> PayoutInvoice {
    invoice(HASH).edit(|invoice| invoice.amount = DEV_FEE.to_msat())
}

/// With the invoice that the address gave.
fn resolved(state: PayoutState) -> Payout {
    fee(state).edit(|fee| fee.resolved = Some(invoice_of_fee()))
}

fn sent(state: AttemptState) -> Attempt {
    Attempt {
        hash: hash(HASH),
        payout: PayoutId::of_dev_fee(order_id()),
        bolt11: invoice_of_fee().bolt11,
        amount: Msat(DEV_FEE.0 * 1_000),
        fee_limit: Msat(10_000),
        ..attempt(state)
    }
}

/// The trade has ended: the buyer has his sats.
fn ended() -> Order {
    succeeded(Side::Sell).order
}

fn due_under(terms: &Terms, fee: Payout, attempt: Option<Attempt>) -> Decision {
    payout_due(&ended(), &owed(fee, attempt), under(terms))
}

fn due(fee: Payout, attempt: Option<Attempt>) -> Decision {
    due_under(&set(), fee, attempt)
}

fn rows(payouts: Vec<Payout>, attempts: Vec<Attempt>, effects: Vec<Effect>) -> Decision {
    Decision {
        payouts,
        attempts,
        effects,
        ..Decision::default()
    }
}

fn asked_again(fee: Payout) -> Decision {
    rows(vec![fee], Vec::new(), vec![Effect::Resolve(resolving().id)])
}

/// Seconds until the one row of a decision is tried again.
fn waits_secs(decision: &Decision) -> u64 {
    let [fee] = &*decision.payouts else {
        panic!("{decision:?}");
    };
    let PayoutState::Ready { not_before } = fee.state else {
        panic!("{fee:?}");
    };
    assert_eq!(decision.pushes, [], "no trader hears of it");
    not_before.secs_since(NOW)
}

fn buyer_is_paid(terms: &Terms, dev_fee: Sats) -> Vec<Payout> {
    let mut order = paying(Side::Sell).order;
    if let crate::stage::Stage::PayingBuyer { take, .. } = &mut order.stage {
        take.dev_fee = dev_fee;
    }
    let (paying, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
    let proof = preimage(50);
    let decision = payment_succeeded(&order, &paying, &sent, &proof, Msat(0), under(terms));
    decision.payouts
}

#[test]
fn j2_the_fee_is_due_in_the_commit_in_which_the_buyer_is_paid() {
    let paid = payout(PayoutState::Paid);
    let both = buyer_is_paid(&set(), DEV_FEE);
    assert_eq!(both, [paid.clone(), ready()]);
    assert_eq!(buyer_is_paid(&set(), Sats(0)), [paid], "F5: no fee");
}

#[test]
fn j1_up_a16_nothing_is_due_or_paid_unless_the_operator_has_set_where() {
    let paid = [payout(PayoutState::Paid)];
    assert_eq!(buyer_is_paid(&terms(), DEV_FEE), paid);
    let unset = due_under(&terms(), ready(), None);
    assert_eq!(unset.effects, []);
    assert_eq!(waits_secs(&unset), LONGEST_WAIT_SECS);
    let late = AddressAnswer::Invoice(invoice_of_fee());
    let asked = (DESTINATION, &late);
    let decision = address_asked(&ended(), &owed(resolving(), None), asked, false, now());
    assert_eq!(
        decision.effects,
        [],
        "it was unset while the address was asked"
    );
}

#[test]
fn j2_p2_p3_it_is_resolved_and_pinned_before_it_is_paid() {
    assert_eq!(due(ready(), None), asked_again(resolving()));
    let answer = AddressAnswer::Invoice(invoice_of_fee());
    let asked = (DESTINATION, &answer);
    let facts = owed(resolving(), None);
    let decision = address_asked(&ended(), &facts, asked, false, under(&set()));
    let expected = rows(
        vec![resolved(PayoutState::Paying)],
        vec![sent(AttemptState::Sent)],
        vec![Effect::Pay(hash(HASH))],
    );
    assert_eq!(decision, expected);
    let wrong_amount = AddressAnswer::Invoice(invoice(HASH));
    for (answer, is_known) in [(&wrong_amount, false), (&answer, true)] {
        let asked = (DESTINATION, answer);
        let refused = address_asked(&ended(), &facts, asked, is_known, under(&set()));
        assert_eq!(refused.payouts[0].tries, 1);
        assert_eq!(refused.effects, []);
    }
}

#[test]
fn j2_nothing_is_paid_before_the_trade_has_ended() {
    for scene in scenes(Side::Sell) {
        let owed = owed(ready(), None);
        let decision = payout_due(&scene.order, &owed, under(&set()));
        let has_ended = scene.name == "success";
        assert_eq!(decision != nothing(), has_ended, "{}", scene.name);
    }
}

#[test]
fn j2_f8_the_development_never_gets_more_than_the_fees() {
    let greedy = resolving().edit(|fee| fee.amount = Sats(2 * FEE.0 + 1));
    let answer = AddressAnswer::Invoice(
        invoice_of_fee().edit(|invoice| invoice.amount = greedy.amount.to_msat()),
    );
    let asked = (DESTINATION, &answer);
    let facts = owed(greedy, None);
    let decision = address_asked(&ended(), &facts, asked, false, under(&set()));
    assert_eq!(decision.payouts[0].state, PayoutState::Parked);
    assert_eq!(decision.attempts, []);
}

#[test]
fn j2_p11_at_a_cap_it_waits_by_its_own_clock_and_never_in_the_buyers_line() {
    let full = InFlight {
        to_all: 100,
        ..InFlight::default()
    };
    let stopped = InFlight {
        is_stopped: true,
        ..InFlight::default()
    };
    let bound = resolved(PayoutState::Ready { not_before: NOW });
    let own_fault = AttemptState::Failed {
        reason: PaymentFailure::InsufficientBalance,
        at: SINCE,
        tip_height: Some(TIP),
    };
    for in_flight in [full, stopped] {
        let facts = PayoutFacts {
            in_flight,
            ..owed(bound.clone(), Some(sent(own_fault)))
        };
        let decision = payout_due(&ended(), &facts, under(&set()));
        assert!(waits_secs(&decision) >= 60);
        assert_eq!((decision.attempts, decision.effects), (vec![], vec![]));
    }
}

fn failing(tries: u32, reason: PaymentFailure) -> Decision {
    let paying = resolved(PayoutState::Paying).edit(|fee| fee.tries = tries);
    let sent = sent(AttemptState::Sent);
    payment_failed(&ended(), &paying, &sent, (reason, false), under(&set()))
}

#[test]
fn j4_after_a_failure_it_waits_a_minute_then_twice_as_long_up_to_an_hour() {
    let table = [
        (0, 60),
        (1, 120),
        (2, 240),
        (5, 1_920),
        (6, 3_600),
        (7, 3_600),
        (1_000, 3_600),
        (u32::MAX, 3_600),
    ];
    for (failed_before, least) in table {
        let decision = failing(failed_before, PaymentFailure::NoRoute);
        let waits = waits_secs(&decision);
        let most = least + least / 4;
        assert!((least..=most).contains(&waits), "{failed_before}: {waits}");
        let tries = decision.payouts[0].tries;
        assert_eq!(tries, failed_before.saturating_add(1));
    }
}

#[test]
fn j4_the_waits_of_different_orders_differ() {
    let wait_of = |n: u128| {
        let mut fee = ready();
        fee.id = PayoutId(uuid::Uuid::from_u128(n));
        fee.tries = 7;
        wait_secs(&fee)
    };
    let waits: std::collections::BTreeSet<_> = (0..100).map(wait_of).collect();
    assert!(waits.len() > 50, "{waits:?}");
}

#[test]
fn j4_p7_own_faults_do_not_count() {
    let own = [
        PaymentFailure::InsufficientBalance,
        PaymentFailure::Canceled,
    ];
    for reason in own {
        let decision = failing(3, reason);
        assert_eq!(decision.payouts[0].tries, 3, "{reason:?}");
        let told = Effect::Alarm(Alarm::OwnFault(hash(HASH)));
        assert_eq!(decision.effects, [told]);
    }
    let (paying, sent) = (resolved(PayoutState::Paying), sent(AttemptState::Sent));
    let shaken = (PaymentFailure::NoRoute, true);
    let decision = payment_failed(&ended(), &paying, &sent, shaken, under(&set()));
    assert_eq!(decision.payouts[0].tries, 0, "Lightning was in trouble");
}

#[test]
fn j4_up_m2_what_failed_is_resolved_anew_and_what_may_yet_arrive_is_sent_as_it_is() {
    let ready = || resolved(PayoutState::Ready { not_before: NOW });
    let fell = |reason, blocks_ago| {
        let state = AttemptState::Failed {
            reason,
            at: SINCE,
            tip_height: Some(TIP - blocks_ago),
        };
        due(ready(), Some(sent(state)))
    };
    let resolved_anew = asked_again(resolved(PayoutState::Resolving { queued_since: None }));
    assert_eq!(fell(PaymentFailure::NoRoute, 0), resolved_anew);
    assert_eq!(fell(PaymentFailure::Error, 144), resolved_anew);
    let as_it_is = fell(PaymentFailure::Error, 143);
    assert_eq!(as_it_is.effects, [Effect::Pay(hash(HASH))]);
    assert_eq!(as_it_is.attempts[0].hash, hash(HASH));
    let on_its_way = due(ready(), Some(sent(AttemptState::Sent)));
    assert_eq!(on_its_way.attempts, [], "never beside one that is sent");
    assert_eq!(on_its_way.payouts, []);
}

#[test]
fn j4_p9_an_invoice_that_may_yet_arrive_is_not_replaced_when_it_expires() {
    let mut bound = resolved(PayoutState::Ready { not_before: NOW });
    bound.resolved = Some(invoice_of_fee().edit(|it| it.expires_at = UnixTime(NOW.0 + 59)));
    let state = AttemptState::Failed {
        reason: PaymentFailure::Error,
        at: SINCE,
        tip_height: Some(TIP),
    };
    let decision = due(bound, Some(sent(state)));
    assert!(waits_secs(&decision) >= 60);
    assert_eq!(decision.effects, []);
}

#[test]
fn j4_p13_a_lost_attempt_ends_and_the_fee_is_tried_again() {
    let lost = sent(AttemptState::Sent).edit(|attempt| {
        attempt.missing = Some(Missing {
            since: UnixTime(NOW.0 - 600),
            locked_until: TIP - 7,
            told: true,
            given_up: false,
        });
    });
    let paying = resolved(PayoutState::Paying);
    let decision = payment_missing(&ended(), &paying, &lost, TIP - 7, under(&set()));
    assert_eq!(decision.attempts[0].state, AttemptState::Lost { at: NOW });
    assert!(waits_secs(&decision) >= 60);
    assert_eq!(decision.effects, [], "no buyer is asked for anything");
}

#[test]
fn up_a11_it_goes_where_the_operator_wants_it_at_present() {
    let elsewhere = Terms {
        dev_fee_destination: Some("new@wallet.example".to_owned()),
        ..set()
    };
    let bound = resolved(PayoutState::Ready { not_before: NOW });
    let moved = due_under(&elsewhere, bound.clone(), Some(sent(FAILED)));
    let expected = resolving().redirected(Destination::Address("new@wallet.example".to_owned()));
    assert_eq!(moved, asked_again(expected));

    let error = AttemptState::Failed {
        reason: PaymentFailure::Error,
        at: SINCE,
        tip_height: Some(TIP),
    };
    let bound = due_under(&elsewhere, bound, Some(sent(error)));
    assert_eq!(
        bound.effects,
        [Effect::Pay(hash(HASH))],
        "it may yet arrive"
    );

    let answer = AddressAnswer::Invoice(invoice_of_fee());
    let asked = (DESTINATION, &answer);
    let facts = owed(resolving(), None);
    let late = address_asked(&ended(), &facts, asked, false, under(&elsewhere));
    assert_eq!(late.effects, [], "the old address answers too late");
}

fn succeeding(fee: &Payout, attempt: &Attempt) -> Decision {
    let proof = preimage(HASH);
    payment_succeeded(&ended(), fee, attempt, &proof, Msat(3), under(&set()))
}

#[test]
fn j5_a_payment_is_published_in_the_commit_that_believes_it_and_once() {
    let succeeded = sent(AttemptState::Succeeded {
        routing_fee: Msat(3),
    });
    let paid = resolved(PayoutState::Paid);
    let published = Effect::PublishDevFee(hash(HASH));
    let in_flight = (resolved(PayoutState::Paying), sent(AttemptState::Sent));
    let expected = rows(vec![paid.clone()], vec![succeeded.clone()], vec![published]);
    assert_eq!(succeeding(&in_flight.0, &in_flight.1), expected);
    assert_eq!(succeeding(&paid, &succeeded), nothing(), "told twice");

    let alarm = Effect::Alarm(Alarm::UnexpectedPayment(hash(HASH)));
    let late = succeeding(&ready(), &sent(FAILED));
    assert_eq!(late.effects, [published, alarm]);
    assert_eq!(late.payouts[0].state, PayoutState::Paid);
    let second = succeeding(&paid, &sent(FAILED));
    assert_eq!(second.effects, [published, alarm]);
    assert_eq!((second.payouts, second.attempts), (vec![], vec![succeeded]));
}

#[test]
fn j5_nothing_but_a_success_is_published() {
    let decisions = [
        due(ready(), None),
        failing(0, PaymentFailure::NoRoute),
        failing(0, PaymentFailure::WrongDetails),
    ];
    for decision in decisions {
        let publishes = |effect: &Effect| matches!(effect, Effect::PublishDevFee(_));
        assert!(!decision.effects.iter().any(publishes), "{decision:?}");
    }
}

#[test]
fn j6_x13_an_unknown_payment_can_be_explained_as_the_fee_of_an_order() {
    let adoptee = Adoptee {
        hash: hash(71),
        amount: Msat(DEV_FEE.0 * 1_000),
        created_at: SINCE,
    };
    let now = now();
    let decision = adopt(&ended(), &ready(), None, adoptee, now).expect("it is owed");
    assert_eq!(decision.effects, [Effect::Pay(hash(71))]);
    assert_eq!(
        decision.attempts[0].payee(),
        crate::payout::Payee::Development
    );
    let paid = fee(PayoutState::Paid);
    assert_eq!(adopt(&ended(), &paid, None, adoptee, now), None);
}

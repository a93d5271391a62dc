use super::*;
use crate::fixtures::*;
use crate::order::Side;
use crate::terms::Terms;

fn due(payout: Payout, attempt: Option<Attempt>) -> Decision {
    payout_due(&paying(Side::Sell).order, &owed(payout, attempt), now())
}

#[test]
fn p3_p4_the_same_invoice_is_tried_again_on_the_same_row() {
    let ready = payout(PayoutState::Ready { not_before: NOW }).edit(|payout| payout.tries = 1);
    let expected = Decision {
        payouts: vec![payout(PayoutState::Paying).edit(|payout| payout.tries = 1)],
        attempts: vec![attempt(AttemptState::Sent).edit(|attempt| attempt.tries = 2)],
        effects: vec![Effect::Pay(hash(50))],
        ..Decision::default()
    };
    assert_eq!(due(ready, Some(attempt(FAILED))), expected);
}

#[test]
fn p6b_a_failure_without_a_reason_is_remembered_through_all_later_tries() {
    let ready = || payout(PayoutState::Ready { not_before: NOW });
    let erred = attempt(AttemptState::Failed {
        reason: PaymentFailure::Error,
        at: NOW,
        tip_height: Some(TIP),
    });
    let mut row = due(ready(), Some(erred.clone())).attempts.remove(0);
    assert_eq!(row.unnamed, erred.last_unnamed());
    row.state = FAILED;
    let row = due(ready(), Some(row)).attempts.remove(0);
    assert_eq!(row.last_unnamed(), erred.last_unnamed());
}

#[test]
fn p2_p11_f6_the_first_try_pins_amount_and_limits() {
    let expected = Decision {
        payouts: vec![payout(PayoutState::Paying)],
        attempts: vec![attempt(AttemptState::Sent)],
        effects: vec![Effect::Pay(hash(50))],
        ..Decision::default()
    };
    assert_eq!(
        due(payout(PayoutState::Ready { not_before: NOW }), None),
        expected
    );
}

#[test]
fn p3_a_payout_that_is_not_ready_is_not_tried() {
    let too_early = PayoutState::Ready {
        not_before: UnixTime(NOW.0 + 1),
    };
    let states = [
        too_early,
        PayoutState::WaitFunds,
        PayoutState::Paying,
        need_invoice(),
        PayoutState::Paid,
        PayoutState::Parked,
    ];
    for state in states {
        assert_eq!(
            due(payout(state), Some(attempt(FAILED))),
            nothing(),
            "{state:?}"
        );
    }
    let ready = payout(PayoutState::Ready { not_before: NOW });
    let in_flight = due(ready, Some(attempt(AttemptState::Sent)));
    assert_eq!(in_flight, alarm(Alarm::UnexpectedPayment(hash(50))));
}

#[test]
fn p9_an_invoice_with_less_than_a_minute_is_asked_for_again() {
    let dying = |secs| {
        let ready = PayoutState::Ready { not_before: NOW };
        payout(ready).edit(|p| p.destination = dying_at(UnixTime(NOW.0 + secs)))
    };
    let decision = due(dying(59), Some(attempt(FAILED)));
    let payout = Payout {
        state: need_invoice(),
        ..dying(59)
    };
    let expected = Decision {
        payouts: vec![payout],
        pushes: vec![asked_again()],
        effects: vec![STUCK],
        ..Decision::default()
    };
    assert_eq!(decision, expected);
    assert_eq!(due(dying(60), None).effects, [Effect::Pay(hash(50))]);
}

#[test]
fn f8_more_than_came_in_never_goes_out() {
    let greedy = |state| payout(state).edit(|payout| payout.amount = Sats(SELLER_PAYS.0 + 1));
    let expected = Decision {
        payouts: vec![greedy(PayoutState::Parked)],
        effects: vec![Effect::Alarm(Alarm::UnexpectedPayment(hash(50)))],
        ..Decision::default()
    };
    assert_eq!(
        due(greedy(PayoutState::Ready { not_before: NOW }), None),
        expected
    );
}
fn wake(at: UnixTime) -> Effect {
    let (order, kind) = (order_id(), TimerKind::Reprompt);
    Effect::WakeAt(Timer { at, order, kind })
}

fn asked(asked: u32, again_at: UnixTime) -> Payout {
    payout(PayoutState::NeedInvoice { asked, again_at }).edit(|payout| payout.tries = 3)
}

fn reprompt(payout: Payout, buyer_heard_at: Option<UnixTime>) -> Decision {
    let order = paying(Side::Sell).order;
    ask_again(&order, &owed(payout, None), buyer_heard_at, now())
}

#[test]
fn p10_up_m4_the_question_comes_again_after_1_6_and_then_every_24_hours() {
    for (before, hours) in [(1, 6), (2, 24), (3, 24), (40, 24)] {
        let expected = Decision {
            payouts: vec![asked(before + 1, NOW.plus(hours * 3_600))],
            pushes: vec![asked_again()],
            ..Decision::default()
        };
        assert_eq!(reprompt(asked(before, NOW), None), expected, "{before}");
    }
    let dying = payout(PayoutState::Ready { not_before: NOW })
        .edit(|payout| payout.destination = dying_at(NOW));
    let first = due(dying, None);
    assert_eq!(first.payouts[0].state, need_invoice(), "1 hour");
}

#[test]
fn p10_a_buyer_who_has_just_asked_something_is_left_in_peace() {
    let decision = reprompt(asked(1, NOW), Some(UnixTime(NOW.0 - 59)));
    let expected = Decision {
        effects: vec![wake(UnixTime(NOW.0 + 1))],
        ..Decision::default()
    };
    assert_eq!(decision, expected);
    let quiet = reprompt(asked(1, NOW), Some(UnixTime(NOW.0 - 60)));
    assert_eq!(quiet.pushes, [asked_again()]);
    let ahead = reprompt(asked(1, NOW), Some(UnixTime(NOW.0 + 86_400)));
    assert_eq!(ahead, quiet, "said by a clock that was ahead");
}

#[test]
fn p10_s9_a_question_is_not_asked_before_its_time_nor_without_need() {
    let later = UnixTime(NOW.0 + 1);
    assert_eq!(reprompt(asked(1, later), None).effects, [wake(later)]);
    assert_eq!(reprompt(payout(PayoutState::Paying), None), nothing());
}

fn ready() -> Payout {
    payout(PayoutState::Ready { not_before: NOW })
}

fn crowded(in_flight: InFlight, now: Now) -> Decision {
    let facts = PayoutFacts {
        in_flight,
        ..owed(ready(), None)
    };
    payout_due(&paying(Side::Sell).order, &facts, now)
}

#[test]
fn p11_p16_up_m12_at_a_cap_a_payout_waits_and_nothing_is_counted() {
    let expected = Decision {
        payouts: vec![payout(queued(NOW))],
        effects: vec![Effect::Alarm(Alarm::TooManyInFlight(hash(50)))],
        ..Decision::default()
    };
    let in_flight = |to_all, to_payee| InFlight {
        to_all,
        to_payee,
        is_stopped: false,
    };
    for full in [in_flight(100, 0), in_flight(10, 10)] {
        assert_eq!(crowded(full, now()), expected, "{full:?}");
    }
    let pays = [Effect::Pay(hash(50))];
    assert_eq!(crowded(in_flight(99, 9), now()).effects, pays);
    let open = Terms {
        max_inflight_payouts: 0,
        max_inflight_payouts_per_payee: 0,
        ..terms()
    };
    let uncapped = crowded(in_flight(1_000, 1_000), under(&open));
    assert_eq!(uncapped.effects, pays);
}

#[test]
fn p14_x13_while_the_ledger_is_latched_no_payment_leaves() {
    let stopped = InFlight {
        is_stopped: true,
        ..InFlight::default()
    };
    let waits = Decision {
        payouts: vec![payout(queued(NOW))],
        ..Decision::default()
    };
    assert_eq!(crowded(stopped, now()), waits);
}

fn queued(since: UnixTime) -> PayoutState {
    let again_at = UnixTime(NOW.0 + 60);
    PayoutState::Queued { since, again_at }
}

#[test]
fn p11_who_is_queued_goes_on_when_a_place_is_free_and_keeps_his_turn_until_then() {
    let order = paying(Side::Sell).order;
    let waiting = |in_flight| PayoutFacts {
        in_flight,
        ..owed(payout(queued(SINCE)), None)
    };
    let full = InFlight {
        to_all: 100,
        ..InFlight::default()
    };
    let waits_on = Decision {
        payouts: vec![payout(queued(SINCE))],
        ..Decision::default()
    };
    assert_eq!(payout_due(&order, &waiting(full), now()), waits_on);
    let goes_on = payout_due(&order, &waiting(InFlight::default()), now());
    assert_eq!(goes_on.effects, [Effect::Pay(hash(50))]);
}

#[test]
fn p11_a_payment_refused_for_its_time_lock_is_tried_once_without_a_limit() {
    let failed_at = |limit| {
        let state = AttemptState::Failed {
            reason: PaymentFailure::CltvLimit,
            at: SINCE,
            tip_height: None,
        };
        attempt(state).edit(|attempt| attempt.cltv_limit_blocks = limit)
    };
    let limit_after = |limit| due(ready(), Some(failed_at(limit))).attempts[0].cltv_limit_blocks;
    assert_eq!((limit_after(1_008), limit_after(0)), (0, 1_008));
}

//! The address that a payee wants to be paid to was asked for an invoice.

use crate::command::AddressAnswer;
use crate::decide::nothing;
use crate::decision::Decision;
use crate::facts::{Now, PayoutFacts};
use crate::lightning::{Destination, PayoutInvoice};
use crate::order::Order;
use crate::payout::{Payee, Payout, PayoutState};

use super::failed::count;
use super::{Debt, dev_fee, inflow, lives_on, take_being_paid, try_again, try_to_pay};

/// What an address answered (rules P2, P6e).
///
/// An invoice is paid in the same breath: its hash and its bytes are in the
/// attempt's row before Lightning hears of them. What is no invoice for
/// exactly the debt counts as a try, and so does one whose hash is known
/// (`hash_is_known`), from an attempt, a hold or another order: somebody else
/// might be paid by it, or nobody. `owed` is told with the payee of the answer.
///
/// An answer that comes late, when the buyer has named another destination or
/// the address was asked again, means nothing.
pub fn address_asked(
    order: &Order,
    owed: &PayoutFacts,
    (address, answer): (&str, &AddressAnswer),
    hash_is_known: bool,
    now: Now,
) -> Decision {
    let payout = &owed.payout;
    let waits = matches!(payout.state, PayoutState::Resolving { .. });
    let is_its_own = payout.destination == Destination::Address(address.to_owned());
    let Some(take) = take_being_paid(order, payout).filter(|_| waits && is_its_own) else {
        return nothing();
    };
    if payout.payee() == Payee::Development
        && dev_fee::redirected(owed, now).as_ref() != Some(payout)
    {
        // The operator wants it elsewhere since it was asked.
        return dev_fee::later(payout, now);
    }
    match answer {
        AddressAnswer::Invoice(invoice)
            if is_owed(payout, invoice) && lives_on(invoice, now) && !hash_is_known =>
        {
            let payout = Payout {
                resolved: Some(invoice.clone()),
                ..payout.clone()
            };
            let debt = Debt {
                order,
                take,
                inflow: inflow(take, &payout),
                payout,
                attempt: None,
                in_flight: owed.in_flight,
            };
            try_to_pay(&debt, invoice, now)
        }
        AddressAnswer::Invoice(_) | AddressAnswer::Refused => count(order, take, payout, now),
        AddressAnswer::Unasked => try_again(payout, now),
    }
}

fn is_owed(payout: &Payout, invoice: &PayoutInvoice) -> bool {
    invoice.amount.is_some() && invoice.amount == payout.amount.to_msat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{Msat, Sats};
    use crate::decide::payout::payout_due;
    use crate::decision::{Alarm, Effect};
    use crate::facts::InFlight;
    use crate::fixtures::*;
    use crate::notice::Notice;
    use crate::order::Side;
    use crate::payout::{Attempt, AttemptState, PaymentFailure};
    use crate::time::UnixTime;

    fn to_pay(state: PayoutState) -> Payout {
        payout(state).edit(|payout| payout.destination = to_address())
    }

    fn resolving() -> Payout {
        to_pay(PayoutState::Resolving { queued_since: None })
    }

    fn ready() -> Payout {
        to_pay(PayoutState::Ready { not_before: NOW })
    }

    /// With the invoice that the address gave.
    fn resolved(state: PayoutState) -> Payout {
        to_pay(state).edit(|payout| payout.resolved = Some(invoice(50)))
    }

    fn due(payout: Payout, attempt: Option<Attempt>) -> Decision {
        payout_due(&paying(Side::Sell).order, &owed(payout, attempt), now())
    }

    fn answered(payout: Payout, answer: &AddressAnswer) -> Decision {
        let order = paying(Side::Sell).order;
        address_asked(&order, &owed(payout, None), (ADDRESS, answer), false, now())
    }

    fn asked(payout: Payout) -> Decision {
        Decision {
            effects: vec![Effect::Resolve(payout.id)],
            payouts: vec![payout],
            ..Decision::default()
        }
    }

    fn failed(reason: PaymentFailure, blocks_ago: u32) -> AttemptState {
        AttemptState::Failed {
            reason,
            at: SINCE,
            tip_height: Some(TIP - blocks_ago),
        }
    }

    #[test]
    fn p2_an_address_is_asked_before_each_try() {
        assert_eq!(due(ready(), None), asked(resolving()));
        let waits = due(resolving(), None);
        assert_eq!(waits, nothing(), "it is being asked");
    }

    #[test]
    fn p2_p3_its_invoice_is_in_the_attempt_before_lightning_hears_of_it() {
        let expected = Decision {
            payouts: vec![resolved(PayoutState::Paying)],
            attempts: vec![attempt(AttemptState::Sent)],
            effects: vec![Effect::Pay(hash(50))],
            ..Decision::default()
        };
        let answer = AddressAnswer::Invoice(invoice(50));
        assert_eq!(answered(resolving(), &answer), expected);
    }

    #[test]
    fn p6e_up_a19_a_bad_answer_counts_and_the_address_is_asked_again() {
        let with =
            |change: fn(&mut PayoutInvoice)| AddressAnswer::Invoice(invoice(50).edit(change));
        let table = [
            ("none", AddressAnswer::Refused),
            ("inflated", with(|it| it.amount = Some(Msat(9_970_001)))),
            ("without amount", with(|it| it.amount = None)),
            ("dying", with(|it| it.expires_at = UnixTime(NOW.0 + 59))),
        ];
        let later = PayoutState::Ready {
            not_before: UnixTime(NOW.0 + 60),
        };
        for (case, answer) in table {
            let decision = answered(resolving(), &answer);
            let counted = to_pay(later).edit(|payout| payout.tries = 1);
            assert_eq!(decision.payouts, [counted], "{case}");
            assert!(decision.attempts.is_empty(), "{case}");
            let told = Notice::PaymentFailed {
                attempts_left: 2,
                retry_secs: 60,
            };
            assert_eq!(decision.pushes, [push(&taker(), told)], "{case}");
        }
        let last = resolving().edit(|payout| payout.tries = 2);
        let last = answered(last, &AddressAnswer::Refused);
        assert_eq!(last.payouts[0].state, need_invoice());
        assert_eq!(last.effects, [STUCK]);
    }

    #[test]
    fn v4_p6e_an_invoice_whose_hash_is_known_is_not_paid() {
        let order = paying(Side::Sell).order;
        let answer = AddressAnswer::Invoice(invoice(50));
        let facts = owed(resolving(), None);
        let decision = address_asked(&order, &facts, (ADDRESS, &answer), true, now());
        assert!(decision.attempts.is_empty());
        assert_eq!(decision.payouts[0].tries, 1);
    }

    #[test]
    fn p6f_what_the_node_could_not_ask_is_not_counted() {
        let decision = answered(resolving(), &AddressAnswer::Unasked);
        let later = PayoutState::Ready {
            not_before: UnixTime(NOW.0 + 60),
        };
        assert_eq!(decision.payouts, [to_pay(later)]);
        assert!(decision.pushes.is_empty());
    }

    #[test]
    fn p3_up_m1_an_answer_that_nobody_waits_for_pays_nothing() {
        let answer = AddressAnswer::Invoice(invoice(50));
        let elsewhere = resolving()
            .edit(|payout| payout.destination = Destination::Address("b@other.example".into()));
        let states = [
            ready(),
            resolved(PayoutState::Paying),
            to_pay(PayoutState::WaitFunds),
            to_pay(need_invoice()),
            to_pay(PayoutState::Paid),
            to_pay(PayoutState::Parked),
            elsewhere,
        ];
        for payout in states {
            assert_eq!(answered(payout.clone(), &answer), nothing(), "{payout:?}");
        }
    }

    #[test]
    fn p6a_p6e_after_a_failure_the_address_gives_another_invoice() {
        for reason in [
            PaymentFailure::NoRoute,
            PaymentFailure::Timeout,
            PaymentFailure::WrongDetails,
            PaymentFailure::InvoiceExpired,
        ] {
            let ready = resolved(PayoutState::Ready { not_before: NOW });
            let state = PayoutState::Resolving { queued_since: None };
            let again = due(ready, Some(attempt(failed(reason, 0))));
            assert_eq!(again, asked(resolved(state)), "{reason:?}");
        }
    }

    #[test]
    fn p6b_p6f_the_same_invoice_is_kept_where_it_might_yet_be_paid_or_we_are_to_blame() {
        let ready = || resolved(PayoutState::Ready { not_before: NOW });
        let next = |state| due(ready(), Some(attempt(state))).effects;
        let same = [Effect::Pay(hash(50))];
        let another = [Effect::Resolve(payout_id())];
        assert_eq!(next(failed(PaymentFailure::Error, 143)), same);
        assert_eq!(next(failed(PaymentFailure::Error, 144)), another);
        for reason in [
            PaymentFailure::InsufficientBalance,
            PaymentFailure::Canceled,
            PaymentFailure::CltvLimit,
        ] {
            assert_eq!(next(failed(reason, 0)), same, "{reason:?}");
            let dying = ready().edit(|payout| {
                payout.resolved = Some(invoice(50).edit(|it| it.expires_at = UnixTime(NOW.0 + 59)));
            });
            let decision = due(dying, Some(attempt(failed(reason, 0))));
            assert_eq!(decision.effects, another, "{reason:?}");
        }
    }

    #[test]
    fn p6b_a_dying_invoice_that_might_yet_be_paid_gets_no_successor() {
        let dying = resolved(PayoutState::Ready { not_before: NOW }).edit(|payout| {
            payout.resolved = Some(invoice(50).edit(|it| it.expires_at = NOW));
        });
        let unnamed = attempt(failed(PaymentFailure::Error, 1));
        let failed_again = Attempt {
            unnamed: unnamed.last_unnamed(),
            ..attempt(failed(PaymentFailure::InsufficientBalance, 0))
        };
        for attempt in [unnamed, failed_again] {
            let decision = due(dying.clone(), Some(attempt));
            assert_eq!(decision.payouts[0].state, need_invoice());
            assert_eq!(decision.effects, [STUCK]);
        }
    }

    #[test]
    fn p11_an_address_keeps_its_turn_while_it_is_asked() {
        let since = UnixTime(NOW.0 - 500);
        let queued = to_pay(PayoutState::Queued {
            since,
            again_at: NOW,
        });
        let state = PayoutState::Resolving {
            queued_since: Some(since),
        };
        assert_eq!(due(queued, None), asked(to_pay(state)));

        let full = PayoutFacts {
            in_flight: InFlight {
                to_all: 100,
                ..InFlight::default()
            },
            ..owed(to_pay(state), None)
        };
        let order = paying(Side::Sell).order;
        let answer = AddressAnswer::Invoice(invoice(50));
        let decision = address_asked(&order, &full, (ADDRESS, &answer), false, now());
        let waits = PayoutState::Queued {
            since,
            again_at: UnixTime(NOW.0 + 60),
        };
        assert_eq!(decision.payouts, [resolved(waits)]);
        assert!(decision.effects.is_empty(), "the operator has heard of it");
    }

    #[test]
    fn p14_while_payments_are_stopped_no_address_is_asked() {
        let stopped = PayoutFacts {
            in_flight: InFlight {
                is_stopped: true,
                ..InFlight::default()
            },
            ..owed(ready(), None)
        };
        let decision = payout_due(&paying(Side::Sell).order, &stopped, now());
        let waits = PayoutState::Queued {
            since: NOW,
            again_at: UnixTime(NOW.0 + 60),
        };
        let expected = Decision {
            payouts: vec![to_pay(waits)],
            ..Decision::default()
        };
        assert_eq!(decision, expected);
    }

    #[test]
    fn f8_more_than_came_in_never_goes_to_an_address() {
        let greedy = resolving().edit(|payout| {
            payout.amount = Sats(SELLER_PAYS.0 + 1);
        });
        let answer =
            AddressAnswer::Invoice(invoice(50).edit(|it| it.amount = Some(Msat(10_031_000))));
        let decision = answered(greedy, &answer);
        assert_eq!(decision.payouts[0].state, PayoutState::Parked);
        let stopped = Effect::Alarm(Alarm::UnexpectedPayment(hash(50)));
        assert_eq!(decision.effects, [stopped]);
    }
}

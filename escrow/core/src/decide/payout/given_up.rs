//! The operator ends what only he can end.

use crate::decision::Decision;
use crate::facts::Now;
use crate::order::Order;
use crate::payout::{Attempt, AttemptState, Missing, Payout, PayoutState};
use crate::time::UnixTime;

use super::lost::noting;
use super::{ask_for_another, is_over, take_being_paid};

/// The operator answers for it that nobody can claim a payment any more. None
/// if [nothing is in doubt](is_in_doubt), or the order waits for no payment.
///
/// After a failure its payee is asked for another invoice at once. One that is
/// missing is given up when Lightning has been asked once more, and still does
/// not carry it: it may have been sent again since he looked.
#[must_use]
pub fn give_up(order: &Order, payout: &Payout, attempt: &Attempt, now: Now) -> Option<Decision> {
    let take = take_being_paid(order, payout)?;
    if !is_in_doubt(payout, attempt, now.at, now.tip_height) {
        return None;
    }
    if attempt.state == AttemptState::Sent {
        let given_up = |missing| Missing {
            given_up: true,
            ..missing
        };
        return Some(noting(attempt, attempt.missing.map(given_up)));
    }
    Some(Decision {
        attempts: vec![Attempt {
            state: AttemptState::Lost { at: now.at },
            unnamed: None,
            ..attempt.clone()
        }],
        ..ask_for_another(order, take, payout, now)
    })
}

/// Whether a payment that nobody may claim any more keeps its payee from giving
/// another invoice: it is certain to be lost, and its time lock has not passed
/// (rule P13), or it has failed without a reason, and 144 blocks have not (rule
/// P6b).
#[must_use]
pub fn is_in_doubt(
    payout: &Payout,
    attempt: &Attempt,
    at: UnixTime,
    tip_height: Option<u32>,
) -> bool {
    match (attempt.state, payout.state) {
        (AttemptState::Sent, PayoutState::Paying) => attempt
            .missing
            .is_some_and(|missing| missing.told && !missing.given_up),
        (
            AttemptState::Failed { .. },
            PayoutState::Ready { .. }
            | PayoutState::Queued { .. }
            | PayoutState::NeedInvoice { .. },
        ) => {
            let present = payout.invoice().map(|invoice| invoice.hash);
            present == Some(attempt.hash) && !is_over(attempt, at, tip_height)
        }
        (
            AttemptState::Sent
            | AttemptState::Failed { .. }
            | AttemptState::Succeeded { .. }
            | AttemptState::Lost { .. },
            _,
        ) => false,
    }
}

/// The operator closes a debt that the node will not pay, of an order that has
/// ended (rule P14). None for any other: it may yet be paid.
#[must_use]
pub fn write_off(order: &Order, payout: &Payout) -> Option<Decision> {
    let is_left = payout.state == PayoutState::Parked && order.stage.is_terminal();
    is_left.then(|| Decision {
        payouts: vec![Payout {
            state: PayoutState::WrittenOff,
            ..payout.clone()
        }],
        ..Decision::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::payout::{PaymentFailure, UnnamedFailure};
    use crate::stage::{CancelReason, Stage};

    fn giving_up(state: PayoutState, attempt: &Attempt) -> Option<Decision> {
        let order = paying(Side::Sell).order;
        give_up(&order, &payout(state), attempt, now())
    }

    fn failed(reason: PaymentFailure) -> Attempt {
        attempt(AttemptState::Failed {
            reason,
            at: NOW,
            tip_height: Some(TIP),
        })
    }

    fn missing(told: bool, given_up: bool) -> Attempt {
        let missing = Missing {
            since: SINCE,
            locked_until: TIP + 40,
            told,
            given_up,
        };
        attempt(AttemptState::Sent).edit(|attempt| attempt.missing = Some(missing))
    }

    fn given_up(attempt: &Attempt) -> Decision {
        let lost = attempt.clone().edit(|attempt| {
            attempt.state = AttemptState::Lost { at: NOW };
            attempt.unnamed = None;
        });
        Decision {
            payouts: vec![payout(need_invoice())],
            attempts: vec![lost],
            pushes: vec![asked_again()],
            effects: vec![STUCK],
            ..Decision::default()
        }
    }

    #[test]
    fn p13_a_lost_payment_is_given_up_earlier_by_the_operator_alone() {
        let noted = Decision {
            attempts: vec![missing(true, true)],
            ..Decision::default()
        };
        let decision = giving_up(PayoutState::Paying, &missing(true, false));
        assert_eq!(decision, Some(noted));
        let others = [
            attempt(AttemptState::Sent),
            missing(false, false),
            missing(true, true),
        ];
        for other in others {
            assert_eq!(giving_up(PayoutState::Paying, &other), None, "{other:?}");
        }
    }

    #[test]
    fn p6b_after_a_failure_without_a_reason_the_operator_lets_another_invoice_be_given() {
        let unnamed = failed(PaymentFailure::Error);
        let later_named = failed(PaymentFailure::NoRoute).edit(|attempt| {
            attempt.unnamed = Some(UnnamedFailure {
                at: SINCE,
                tip_height: Some(TIP - 143),
            });
        });
        let waiting = [
            PayoutState::Ready { not_before: NOW },
            PayoutState::Queued {
                since: SINCE,
                again_at: NOW,
            },
            need_invoice(),
        ];
        for attempt in [unnamed, later_named] {
            for state in waiting {
                let decision = giving_up(state, &attempt);
                assert_eq!(decision, Some(given_up(&attempt)), "{state:?}");
            }
            let elsewhere = attempt.clone().edit(|attempt| attempt.hash = hash(77));
            assert_eq!(giving_up(need_invoice(), &elsewhere), None);
            assert_eq!(giving_up(PayoutState::Paying, &attempt), None);
        }
    }

    #[test]
    fn p8_what_is_over_needs_no_operator() {
        let named = failed(PaymentFailure::NoRoute);
        let paid = attempt(AttemptState::Succeeded {
            routing_fee: crate::amount::Msat(1),
        });
        let lost = attempt(AttemptState::Lost { at: SINCE });
        for attempt in [named, paid, lost] {
            assert_eq!(giving_up(need_invoice(), &attempt), None, "{attempt:?}");
        }
    }

    #[test]
    fn p14_a_debt_is_written_off_once_its_order_has_ended() {
        let living = paying(Side::Sell).order;
        let parked = payout(PayoutState::Parked);
        assert_eq!(write_off(&living, &parked), None, "it may yet be paid");
        let ended = living.edit(|order| {
            order.stage = Stage::Canceled {
                take: Some(take()),
                why: CancelReason::EscrowLost,
            }
        });
        let closed = Decision {
            payouts: vec![payout(PayoutState::WrittenOff)],
            ..Decision::default()
        };
        assert_eq!(write_off(&ended, &parked), Some(closed));
        let paid = payout(PayoutState::Paid);
        assert_eq!(write_off(&ended, &paid), None);
    }
}

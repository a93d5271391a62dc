//! Lightning calls a payment in flight, but no channel of its carries it.
//!
//! A node that dies between recording a part and sending it never sends it and
//! never fails it either. Its buyer would wait for ever.

use crate::decide::{alarm, nothing};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::Now;
use crate::order::Order;
use crate::payout::{Attempt, AttemptState, Missing, Payout, PayoutState};

use super::{ask_for_another, take_being_paid};

/// A part is recorded a moment before it is sent, and a peer may be away for a
/// while: only what is missing for so long is lost.
const CONFIRMED_SECS: u64 = 600;

/// Blocks after its last time lock before which a payment is not given up.
const LOCK_MARGIN_BLOCKS: u32 = 6;

/// A payment is missing (rule P13); `attempt` is the one of the reported hash.
///
/// The operator hears of it once it is certain. Until its time locks have ended
/// some peer might yet claim a part, so only then may the buyer give another
/// invoice; earlier if the operator [gives it up](super::give_up).
pub fn payment_missing(
    order: &Order,
    payout: &Payout,
    attempt: &Attempt,
    locked_until: u32,
    now: Now,
) -> Decision {
    if attempt.state != AttemptState::Sent {
        return nothing();
    }
    let (Some(take), PayoutState::Paying) = (take_being_paid(order, payout), payout.state) else {
        return alarm(Alarm::UnexpectedPayment(attempt.hash));
    };
    let seen = attempt.missing.unwrap_or(Missing {
        since: now.at,
        locked_until,
        told: false,
        given_up: false,
    });
    let is_certain = now.at.secs_since(seen.since) >= CONFIRMED_SECS;
    let locked_until = seen.locked_until.max(locked_until);
    let ends_at = locked_until.saturating_add(LOCK_MARGIN_BLOCKS);
    let missing = Missing {
        locked_until,
        told: is_certain,
        ..seen
    };
    let is_over = seen.given_up || now.tip_height.is_some_and(|tip| tip > ends_at);
    let mut decision = if is_certain && is_over {
        let mut given_up = ask_for_another(order, take, payout, now);
        given_up.attempts = vec![Attempt {
            state: AttemptState::Lost { at: now.at },
            ..noted(attempt, Some(missing))
        }];
        given_up
    } else if attempt.missing == Some(missing) {
        nothing()
    } else {
        noting(attempt, Some(missing))
    };
    if is_certain && !seen.told {
        let lost = Effect::Alarm(Alarm::PaymentLost(attempt.hash));
        decision.effects.push(lost);
    }
    decision
}

/// A channel carries the payment after all.
pub fn payment_traced(attempt: &Attempt) -> Decision {
    match attempt.missing {
        Some(_) if attempt.state == AttemptState::Sent => noting(attempt, None),
        Some(_) | None => nothing(),
    }
}

pub(super) fn noting(attempt: &Attempt, missing: Option<Missing>) -> Decision {
    Decision {
        attempts: vec![noted(attempt, missing)],
        ..Decision::default()
    }
}

fn noted(attempt: &Attempt, missing: Option<Missing>) -> Attempt {
    Attempt {
        missing,
        ..attempt.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::time::UnixTime;

    const LOCK: u32 = TIP + 40;

    fn missing(secs: u64, told: bool) -> Missing {
        Missing {
            since: UnixTime(NOW.0 - secs),
            locked_until: LOCK,
            told,
            given_up: false,
        }
    }

    fn sent(missing: Option<Missing>) -> Attempt {
        attempt(AttemptState::Sent).edit(|attempt| attempt.missing = missing)
    }

    fn reported(attempt: &Attempt, tip: u32) -> Decision {
        let order = paying(Side::Sell).order;
        let now = Now {
            tip_height: Some(tip),
            ..now()
        };
        payment_missing(&order, &payout(PayoutState::Paying), attempt, LOCK, now)
    }

    fn notes(missing: Missing) -> Decision {
        noting(&sent(None), Some(missing))
    }

    const ALARM: fn() -> Effect = || Effect::Alarm(Alarm::PaymentLost(hash(50)));

    #[test]
    fn p13_a_missing_payment_is_lost_only_after_ten_minutes() {
        assert_eq!(reported(&sent(None), TIP), notes(missing(0, false)));
        let waiting = sent(Some(missing(599, false)));
        assert_eq!(reported(&waiting, LOCK + 100), nothing());
        let certain = Decision {
            effects: vec![ALARM()],
            ..notes(missing(600, true))
        };
        assert_eq!(reported(&sent(Some(missing(600, false))), TIP), certain);
        assert_eq!(reported(&sent(Some(missing(900, true))), TIP), nothing());
    }

    #[test]
    fn p13_a_lost_payment_ends_when_its_time_lock_has_passed() {
        let told = sent(Some(missing(7_000, true)));
        assert_eq!(reported(&told, LOCK + 6), nothing());
        let lost = attempt(AttemptState::Lost { at: NOW })
            .edit(|attempt| attempt.missing = Some(missing(7_000, true)));
        let given_up = Decision {
            payouts: vec![payout(need_invoice())],
            attempts: vec![lost],
            pushes: vec![asked_again()],
            effects: vec![STUCK],
            ..Decision::default()
        };
        assert_eq!(reported(&told, LOCK + 7), given_up);
        let unheard = reported(&sent(Some(missing(7_000, false))), LOCK + 7);
        assert_eq!(unheard.effects, [STUCK, ALARM()]);
    }

    /// What Lightning says now counts, not what the operator knew when he said so.
    #[test]
    fn p13_what_the_operator_gave_up_is_lost_at_the_next_look_that_does_not_find_it() {
        let given_up = sent(Some(Missing {
            given_up: true,
            ..missing(700, true)
        }));
        let decision = reported(&given_up, TIP);
        assert_eq!(decision.payouts, [payout(need_invoice())]);
        assert_eq!(decision.pushes, [asked_again()]);
        assert_eq!(decision.attempts[0].state, AttemptState::Lost { at: NOW });
        assert_eq!(payment_traced(&given_up).attempts, [sent(None)]);
    }

    #[test]
    fn p13_a_payment_that_turns_up_again_counts_from_the_beginning() {
        let traced = payment_traced(&sent(Some(missing(599, false))));
        assert_eq!(traced.attempts, [sent(None)]);
        assert_eq!(payment_traced(&sent(None)), nothing());
    }

    #[test]
    fn p13_only_a_payment_on_its_way_can_be_lost() {
        let failed = attempt(FAILED).edit(|attempt| attempt.missing = Some(missing(900, true)));
        assert_eq!(reported(&failed, LOCK + 7), nothing());
        assert_eq!(payment_traced(&failed), nothing());
    }
}

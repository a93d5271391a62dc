//! Lightning reports that a payee is paid.

use sha2::{Digest, Sha256};

use crate::amount::Msat;
use crate::decide::{alarm, nothing};
use crate::decision::{Alarm, Decision, Effect};
use crate::facts::Now;
use crate::lightning::PaymentHash;
use crate::notice::{Letter, Notice};
use crate::order::Order;
use crate::payout::{Attempt, AttemptState, Payee, Payout, PayoutState};
use crate::stage::Stage;

use super::{dev_fee, take_being_paid};

/// Lightning reports a payment as made (rules P12, J5); `attempt` is the one of the
/// reported hash.
///
/// A payment that had been reported as failed and succeeds after all ends the
/// trade too, unless another is under way: the buyer has his sats and must not
/// get them twice. The operator hears of it.
pub fn payment_succeeded(
    order: &Order,
    payout: &Payout,
    attempt: &Attempt,
    preimage: &[u8; 32],
    routing_fee: Msat,
    now: Now,
) -> Decision {
    let contradiction = Alarm::UnexpectedPayment(attempt.hash);
    if PaymentHash(Sha256::digest(preimage).into()) != attempt.hash {
        return alarm(contradiction);
    }
    if matches!(attempt.state, AttemptState::Succeeded { .. }) {
        return nothing();
    }
    let was_sent = attempt.state == AttemptState::Sent;
    let is_only_one = match payout.state {
        PayoutState::Paying => was_sent,
        PayoutState::Ready { .. }
        | PayoutState::Queued { .. }
        | PayoutState::Resolving { .. }
        | PayoutState::NeedInvoice { .. } => !was_sent,
        PayoutState::WaitFunds
        | PayoutState::Paid
        | PayoutState::Parked
        | PayoutState::WrittenOff => false,
    };
    let decision = match payout.payee() {
        Payee::Buyer => success(order, payout).map(|success| ended(order, success, now)),
        Payee::Development => take_being_paid(order, payout).map(|_| published(attempt)),
    };
    let Some(mut decision) = decision.filter(|_| is_only_one) else {
        return gone(attempt, routing_fee);
    };
    let paid = Payout {
        state: PayoutState::Paid,
        ..payout.clone()
    };
    decision.payouts.insert(0, paid);
    decision.attempts = vec![succeeded(attempt, routing_fee)];
    if !was_sent {
        decision.effects.push(Effect::Alarm(contradiction));
    }
    decision
}

/// The sats have left although no decision expected it: the books must know,
/// and so must the operator (rule F8).
fn gone(attempt: &Attempt, routing_fee: Msat) -> Decision {
    let mut decision = match attempt.payee() {
        Payee::Buyer => nothing(),
        Payee::Development => published(attempt),
    };
    decision.attempts = vec![succeeded(attempt, routing_fee)];
    let contradiction = Alarm::UnexpectedPayment(attempt.hash);
    decision.effects.push(Effect::Alarm(contradiction));
    decision
}

fn succeeded(attempt: &Attempt, routing_fee: Msat) -> Attempt {
    Attempt {
        state: AttemptState::Succeeded { routing_fee },
        ..attempt.clone()
    }
}

/// The buyer has his sats: the trade has ended, and the house owes its fee to
/// the development.
fn ended(order: &Order, success: Stage, now: Now) -> Decision {
    let order = order.moved(success, now.at);
    let buyer = order.buyer().expect("a paid order has a buyer");
    let told = |notice| Letter::push(buyer, order.id, notice);
    Decision {
        payouts: dev_fee::fee_of(&order, now).into_iter().collect(),
        pushes: vec![told(Notice::PurchaseCompleted), told(Notice::Rate)],
        effects: vec![Effect::PublishOrder(order.id)],
        orders: vec![order],
        ..Decision::default()
    }
}

fn success(order: &Order, payout: &Payout) -> Option<Stage> {
    let take = take_being_paid(order, payout)?.clone();
    let Stage::PayingBuyer { hold, payout, .. } = order.stage else {
        return None;
    };
    Some(Stage::Success { take, hold, payout })
}

/// The public hears of each payment that was really made (rule J5).
fn published(attempt: &Attempt) -> Decision {
    Decision {
        effects: vec![Effect::PublishDevFee(attempt.hash)],
        ..Decision::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;

    fn succeeding(payout: &Payout, attempt: &Attempt, proof: u8) -> Decision {
        let order = paying(Side::Sell).order;
        payment_succeeded(
            &order,
            payout,
            attempt,
            &preimage(proof),
            Msat(1_500),
            now(),
        )
    }

    fn paid_out() -> Decision {
        let order = paying(Side::Sell).order;
        Decision {
            orders: vec![order.moved(success_stage(), NOW)],
            payouts: vec![payout(PayoutState::Paid)],
            attempts: vec![attempt(AttemptState::Succeeded {
                routing_fee: Msat(1_500),
            })],
            pushes: vec![
                push(&taker(), Notice::PurchaseCompleted),
                push(&taker(), Notice::Rate),
            ],
            effects: vec![Effect::PublishOrder(order_id())],
            ..Decision::default()
        }
    }

    /// The row tells the books of it, and nothing else follows.
    fn gone_unexpected() -> Decision {
        Decision {
            attempts: vec![attempt(AttemptState::Succeeded {
                routing_fee: Msat(1_500),
            })],
            effects: vec![Effect::Alarm(Alarm::UnexpectedPayment(hash(50)))],
            ..Decision::default()
        }
    }

    fn success_stage() -> Stage {
        crate::fixtures::success()
    }

    #[test]
    fn p12_k1_a_proven_payment_ends_the_trade() {
        let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
        assert_eq!(succeeding(&payout, &sent, 50), paid_out());
    }

    #[test]
    fn p12_a_wrong_proof_ends_nothing() {
        let (payout, sent) = (payout(PayoutState::Paying), attempt(AttemptState::Sent));
        assert_eq!(
            succeeding(&payout, &sent, 51),
            alarm(Alarm::UnexpectedPayment(hash(50)))
        );
    }

    #[test]
    fn p3_up_m1_a_success_after_a_failure_ends_the_trade_unless_another_is_under_way() {
        let unexpected = Effect::Alarm(Alarm::UnexpectedPayment(hash(50)));
        let (since, again_at) = (NOW, NOW);
        let queued = PayoutState::Queued { since, again_at };
        let ready = PayoutState::Ready { not_before: NOW };
        for state in [need_invoice(), ready, queued] {
            let late = succeeding(&payout(state), &attempt(FAILED), 50);
            let expected = Decision {
                effects: vec![Effect::PublishOrder(order_id()), unexpected],
                ..paid_out()
            };
            assert_eq!(late, expected, "{state:?}");
        }
        let other_in_flight = succeeding(&payout(PayoutState::Paying), &attempt(FAILED), 50);
        assert_eq!(other_in_flight, gone_unexpected());
    }

    #[test]
    fn h1_a_success_reported_twice_counts_once() {
        let done = attempt(AttemptState::Succeeded {
            routing_fee: Msat(1_500),
        });
        assert_eq!(succeeding(&payout(PayoutState::Paid), &done, 50), nothing());
        let sent = attempt(AttemptState::Sent);
        let parked = succeeding(&payout(PayoutState::Parked), &sent, 50);
        assert_eq!(parked, gone_unexpected());
    }
}

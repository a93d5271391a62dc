//! The operator says which trade an unknown payment was for.

use crate::amount::Msat;
use crate::decision::{Decision, Effect};
use crate::facts::Now;
use crate::lightning::PaymentHash;
use crate::order::Order;
use crate::payout::{Attempt, AttemptState, PaymentFailure, Payout, PayoutState};
use crate::time::UnixTime;

use super::take_being_paid;

/// A payment that Lightning knows and the ledger does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoptee {
    /// Its hash.
    pub hash: PaymentHash,
    /// What its payee gets.
    pub amount: Msat,
    /// When Lightning began with it.
    pub created_at: UnixTime,
}

/// Makes an unknown payment the one that pays this order; none if the order
/// does not wait to be paid exactly that.
///
/// Lightning is then asked how it stands, and what it says goes the way of
/// every payment. An attempt of which the ledger believed that it was under way
/// has been replaced by the unknown one before the ledger was set back.
#[must_use]
pub fn adopt(
    order: &Order,
    payout: &Payout,
    sent: Option<&Attempt>,
    adoptee: Adoptee,
    now: Now,
) -> Option<Decision> {
    take_being_paid(order, payout)?;
    let waits = match payout.state {
        PayoutState::Ready { .. }
        | PayoutState::Queued { .. }
        | PayoutState::Resolving { .. }
        | PayoutState::Paying
        | PayoutState::NeedInvoice { .. }
        | PayoutState::Parked => true,
        PayoutState::WaitFunds | PayoutState::Paid | PayoutState::WrittenOff => false,
    };
    if !waits || payout.amount.to_msat() != Some(adoptee.amount) {
        return None;
    }
    let replaced = sent.map(|sent| Attempt {
        state: AttemptState::Failed {
            reason: PaymentFailure::Canceled,
            at: now.at,
            tip_height: now.tip_height,
        },
        ..sent.clone()
    });
    let attempt = Attempt {
        hash: adoptee.hash,
        payout: payout.id,
        order: order.id,
        // Nobody knows it any more; should it be asked for, Lightning refuses
        // it, and the buyer is asked for another.
        bolt11: String::new(),
        amount: adoptee.amount,
        fee_limit: Msat(0),
        cltv_limit_blocks: 0,
        tries: 1,
        first_sent_at: adoptee.created_at,
        missing: None,
        unnamed: None,
        state: AttemptState::Sent,
    };
    Some(Decision {
        payouts: vec![Payout {
            state: PayoutState::Paying,
            ..payout.clone()
        }],
        attempts: replaced.into_iter().chain([attempt]).collect(),
        effects: vec![Effect::Pay(adoptee.hash)],
        ..Decision::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;

    fn adoptee(msat: u64) -> Adoptee {
        Adoptee {
            hash: hash(70),
            amount: Msat(msat),
            created_at: SINCE,
        }
    }

    fn adopting(state: PayoutState, sent: Option<&Attempt>, msat: u64) -> Option<Decision> {
        let order = paying(Side::Sell).order;
        adopt(&order, &payout(state), sent, adoptee(msat), now())
    }

    #[test]
    fn p14_an_unknown_payment_becomes_the_one_attempt_of_the_payout_it_was_for() {
        let exact = BUYER_GETS.0 * 1_000;
        let decision = adopting(PayoutState::Parked, None, exact).unwrap();
        assert_eq!(decision.payouts, [payout(PayoutState::Paying)]);
        assert_eq!(decision.effects, [Effect::Pay(hash(70))]);
        let [adopted] = &decision.attempts[..] else {
            panic!("{decision:?}");
        };
        assert_eq!(
            (adopted.hash, adopted.state),
            (hash(70), AttemptState::Sent)
        );

        let stale = attempt(AttemptState::Sent);
        let decision = adopting(PayoutState::Paying, Some(&stale), exact).unwrap();
        let states: Vec<_> = decision.attempts.iter().map(|one| one.hash).collect();
        assert_eq!(states, [hash(50), hash(70)]);
        assert_ne!(
            decision.attempts[0].state,
            AttemptState::Sent,
            "at most one"
        );
    }

    #[test]
    fn p14_a_payment_of_another_amount_or_of_a_paid_order_is_not_taken() {
        let exact = BUYER_GETS.0 * 1_000;
        assert_eq!(adopting(PayoutState::Parked, None, exact + 1), None);
        for state in [PayoutState::Paid, PayoutState::WaitFunds] {
            assert_eq!(adopting(state, None, exact), None, "{state:?}");
        }
    }
}

//! What the node has promised to pay, beside what it can (rule T7).
//!
//! The sums are kept, not counted anew: a take must not become slower with
//! each trade that runs. They change with the rows of each commit.

use escrow_core::Sats;
use escrow_core::facts::Liquidity;
use escrow_core::fees::routing_cap;
use escrow_core::hold::{Hold, HoldState};
use escrow_core::payout::{Payee, Payout, PayoutState};
use storage::ledger::{StorageError, View};

/// Sums over all holds and payouts of the ledger, or over their changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promises {
    accepted: i128,
    owed: i128,
    margin: i128,
}

impl Promises {
    /// Counts the ledger; `routing_share` is what routing may cost at most.
    pub(crate) fn count(view: &View, routing_share: f64) -> Result<Promises, StorageError> {
        let mut all = Promises::default();
        for hold in view.living_holds()? {
            all = all.plus(Promises::of_hold(&hold, routing_share));
        }
        for payout in view.living_payouts()? {
            all = all.plus(Promises::of_payout(&payout, routing_share));
        }
        Ok(all)
    }

    /// A hold that may still be paid out counts whole, a little more than its
    /// buyer will get; once it is being settled its payout has a row of its own.
    pub(crate) fn of_hold(hold: &Hold, routing_share: f64) -> Promises {
        match hold.state {
            HoldState::New | HoldState::Open { .. } => owed(hold.value, routing_share),
            HoldState::Accepted(_) => Promises {
                accepted: hold.value.0.into(),
                ..owed(hold.value, routing_share)
            },
            HoldState::Settling(_) => Promises {
                accepted: hold.value.0.into(),
                ..Promises::default()
            },
            HoldState::Settled(_)
            | HoldState::Canceling
            | HoldState::Canceled
            | HoldState::Lost => Promises::default(),
        }
    }

    /// A payment on its way counts too: it may fail and be made again. What the
    /// house owes to the development keeps no trader from trading (rule J2), nor
    /// does what is parked: the operator may never pay it, and counted, one lost
    /// escrow would take its sats from all later trades.
    pub(crate) fn of_payout(payout: &Payout, routing_share: f64) -> Promises {
        if payout.payee() == Payee::Development {
            return Promises::default();
        }
        match payout.state {
            PayoutState::WaitFunds
            | PayoutState::Ready { .. }
            | PayoutState::Queued { .. }
            | PayoutState::Resolving { .. }
            | PayoutState::Paying
            | PayoutState::NeedInvoice { .. } => owed(payout.amount, routing_share),
            PayoutState::Paid | PayoutState::Parked | PayoutState::WrittenOff => {
                Promises::default()
            }
        }
    }

    pub(crate) fn plus(self, other: Promises) -> Promises {
        Promises {
            accepted: self.accepted + other.accepted,
            owed: self.owed + other.owed,
            margin: self.margin + other.margin,
        }
    }

    /// These, after a row changed from one to another.
    pub(crate) fn moved(self, before: Promises, after: Promises) -> Promises {
        Promises {
            accepted: self.accepted + after.accepted - before.accepted,
            owed: self.owed + after.owed - before.owed,
            margin: self.margin + after.margin - before.margin,
        }
    }

    /// Beside what Lightning can send.
    pub(crate) fn beside(self, outbound: Sats) -> Liquidity {
        Liquidity {
            outbound,
            accepted: sats(self.accepted),
            owed: sats(self.owed),
            margin: sats(self.margin),
        }
    }
}

fn owed(amount: Sats, routing_share: f64) -> Promises {
    Promises {
        accepted: 0,
        owed: amount.0.into(),
        margin: routing_cap(routing_share, amount).0.into(),
    }
}

fn sats(sum: i128) -> Sats {
    Sats(u64::try_from(sum.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use escrow_core::Destination;
    use escrow_core::order::OrderId;
    use escrow_core::payout::PayoutId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn t7_p14_what_is_parked_takes_no_liquidity() {
        let promised = |state| {
            let payout = Payout {
                id: PayoutId(Uuid::from_u128(1)),
                order: OrderId(Uuid::from_u128(2)),
                amount: Sats(10_000),
                destination: Destination::Address("bob@wallet.example".into()),
                resolved: None,
                tries: 0,
                state,
            };
            let liquidity = Promises::of_payout(&payout, 0.01).beside(Sats(0));
            (liquidity.owed, liquidity.margin)
        };
        let ready = PayoutState::Ready {
            not_before: escrow_core::UnixTime(0),
        };
        assert_eq!(promised(ready), (Sats(10_000), Sats(100)));
        assert_eq!(promised(PayoutState::Parked), (Sats(0), Sats(0)));
    }
}

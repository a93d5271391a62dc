//! Who has given what to whom: the double entries of a trade.
//!
//! Each entry takes an amount from one account and gives it to another, so the
//! sums always balance. They are written in the commit that believes what
//! they say, and judged there: a trade whose entries contradict each other is
//! a [`Breach`], after which no payment leaves until the operator has looked
//! (rules F8, X13).

use serde::{Deserialize, Serialize};

use crate::amount::Msat;
use crate::hold::{Hold, HoldState};
use crate::lightning::PaymentHash;
use crate::order::OrderId;
use crate::payout::{Attempt, AttemptState, Payee, Payout};
use crate::time::UnixTime;

/// An account of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Account {
    /// The sellers, outside.
    Sellers,
    /// What is held for trades: it belongs to the buyers.
    Escrow,
    /// Paid by sellers beyond what was asked: it goes back to them (rule H6).
    Surplus,
    /// The house: the fees, less what it spends of them.
    House,
    /// The buyers, outside.
    Buyers,
    /// Those who forward payments, outside.
    Routers,
    /// Those who develop the software, outside: the house gives them of its fees.
    Development,
}

impl Account {
    /// Every account.
    pub const ALL: [Account; 7] = [
        Account::Sellers,
        Account::Escrow,
        Account::Surplus,
        Account::House,
        Account::Buyers,
        Account::Routers,
        Account::Development,
    ];

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Account::Sellers => "sellers",
            Account::Escrow => "escrow",
            Account::Surplus => "surplus",
            Account::House => "house",
            Account::Buyers => "buyers",
            Account::Routers => "routers",
            Account::Development => "development",
        }
    }
}

/// One amount, from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was believed.
    pub at: UnixTime,
    /// The trade.
    pub order: OrderId,
    /// The hold or the payment that moved it.
    pub hash: PaymentHash,
    /// Who gives.
    pub from: Account,
    /// Who gets.
    pub to: Account,
    /// How much; never zero.
    pub amount: Msat,
}

/// What the books contradict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breach {
    /// More has left, or is about to leave, for a trade than came in.
    Overdrawn(OrderId),
    /// The buyer of a trade was paid twice.
    PaidTwice(OrderId),
    /// The development fee of a trade was paid twice.
    DevFeePaidTwice(OrderId),
    /// All entries together do not balance: the ledger file is damaged.
    Unbalanced,
    /// Lightning has paid the amount of a trade, and the ledger knows nothing
    /// of it: it may be an old backup.
    UnknownPayment(PaymentHash),
    /// Lightning's history of payments ends before what the ledger has seen of
    /// it: an old backup of Lightning, perhaps.
    HistoryCutShort,
}

/// What a hold that is settled has brought in; nothing for any other. What
/// its buyer is not owed is the house's.
#[must_use]
pub fn of_settlement(hold: &Hold, payout: Option<&Payout>, at: UnixTime) -> Vec<Entry> {
    let HoldState::Settled(acceptance) = &hold.state else {
        return Vec::new();
    };
    let entry = |from, to, amount| Entry {
        at,
        order: hold.order,
        hash: hold.hash,
        from,
        to,
        amount,
    };
    let asked = hold.value.to_msat().unwrap_or(acceptance.paid);
    let owed = payout.and_then(|payout| payout.amount.to_msat());
    let surplus = acceptance.paid.checked_sub(asked).unwrap_or_default();
    let fees = asked.checked_sub(owed.unwrap_or_default());
    let mut entries = vec![
        entry(Account::Sellers, Account::Escrow, acceptance.paid),
        entry(Account::Escrow, Account::Surplus, surplus),
        entry(Account::Escrow, Account::House, fees.unwrap_or_default()),
    ];
    entries.retain(|entry| entry.amount != Msat(0));
    entries
}

/// What a payment that has succeeded has cost; nothing for any other.
#[must_use]
pub fn of_payment(attempt: &Attempt, at: UnixTime) -> Vec<Entry> {
    let AttemptState::Succeeded { routing_fee } = attempt.state else {
        return Vec::new();
    };
    let entry = |from, to, amount| Entry {
        at,
        order: attempt.order,
        hash: attempt.hash,
        from,
        to,
        amount,
    };
    let (from, to) = match attempt.payee() {
        Payee::Buyer => (Account::Escrow, Account::Buyers),
        Payee::Development => (Account::House, Account::Development),
    };
    let mut entries = vec![
        entry(from, to, attempt.amount),
        entry(Account::House, Account::Routers, routing_fee),
    ];
    entries.retain(|entry| entry.amount != Msat(0));
    entries
}

/// What is about to leave for a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// To its buyer.
    pub to_buyer: Msat,
    /// To the development, out of the house's share.
    pub to_development: Msat,
}

/// Judges all entries of one trade, and what is about to leave for it (rule
/// F8): the buyer gets no more than came in, and the development no more than
/// the house was left of it.
#[must_use]
pub fn judge(order: OrderId, entries: &[Entry], leaving: Leaving) -> Option<Breach> {
    let sum = |of: &dyn Fn(&&Entry) -> bool| -> u128 {
        let amounts = entries.iter().filter(of).map(|entry| entry.amount.0);
        amounts.map(u128::from).sum()
    };
    let came_in = sum(&|entry| entry.to == Account::Escrow);
    let left = sum(&|entry| entry.from == Account::Escrow);
    let kept = sum(&|entry| entry.to == Account::House);
    let given = sum(&|entry| entry.to == Account::Development);
    if came_in < left.saturating_add(leaving.to_buyer.0.into())
        || kept < given.saturating_add(leaving.to_development.0.into())
    {
        return Some(Breach::Overdrawn(order));
    }
    let payments = |to| entries.iter().filter(|entry| entry.to == to).count();
    if payments(Account::Buyers) > 1 {
        Some(Breach::PaidTwice(order))
    } else {
        (payments(Account::Development) > 1).then_some(Breach::DevFeePaidTwice(order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Sats;
    use crate::fixtures::*;
    use crate::hold::Acceptance;
    use crate::order::Side;
    use crate::payout::{PayoutId, PayoutState};

    fn settled(paid: Msat) -> Vec<Entry> {
        let acceptance = Acceptance {
            paid,
            ..acceptance()
        };
        let order = paying(Side::Sell).order;
        let hold = hold(&order, HoldState::Settled(acceptance));
        of_settlement(&hold, Some(&payout(PayoutState::Paying)), NOW)
    }

    fn paid(fee: u64) -> Vec<Entry> {
        let routing_fee = Msat(fee);
        of_payment(&attempt(AttemptState::Succeeded { routing_fee }), NOW)
    }

    fn flows(entries: &[Entry]) -> Vec<(Account, Account, u64)> {
        let flow = |entry: &Entry| (entry.from, entry.to, entry.amount.0);
        entries.iter().map(flow).collect()
    }

    #[test]
    fn f8_h6_p12_what_comes_in_is_the_buyers_the_houses_and_the_sellers_surplus() {
        use Account::{Buyers, Escrow, House, Routers, Sellers, Surplus};
        let exact = [(Sellers, Escrow, 10_030_000), (Escrow, House, 60_000)];
        assert_eq!(flows(&settled(FULL)), exact);
        let overpaid = [
            (Sellers, Escrow, 10_037_000),
            (Escrow, Surplus, 7_000),
            (Escrow, House, 60_000),
        ];
        assert_eq!(flows(&settled(Msat(FULL.0 + 7_000))), overpaid);
        let payment = [(Escrow, Buyers, 9_970_000), (House, Routers, 1_500)];
        assert_eq!(flows(&paid(1_500)), payment);
        assert_eq!(flows(&paid(0)), payment[..1]);
    }

    #[test]
    fn f8_a_trade_is_judged_by_all_its_entries() {
        let judged = |entries: &[Entry], to_buyer| {
            let leaving = Leaving {
                to_buyer,
                ..Leaving::default()
            };
            judge(order_id(), entries, leaving)
        };
        let whole = [settled(FULL), paid(1_500)].concat();
        let gets = BUYER_GETS.to_msat().unwrap();
        let overdrawn = Some(Breach::Overdrawn(order_id()));
        assert_eq!(judged(&settled(FULL), gets), None);
        assert_eq!(judged(&settled(FULL), Msat(gets.0 + 1)), overdrawn);
        assert_eq!(judged(&whole, Msat(0)), None);
        assert_eq!(judged(&whole, Msat(1)), overdrawn);
        assert_eq!(judged(&paid(0), Msat(0)), overdrawn, "nothing came in");
        let twice = [whole, paid(0)].concat();
        assert_eq!(judged(&twice, Msat(0)), overdrawn);
        let rich = settled(Sats(30_000).to_msat().unwrap());
        let mut rich: Vec<_> = [rich, paid(0), paid(0)].concat();
        rich.retain(|entry| entry.to != Account::Surplus);
        assert_eq!(judged(&rich, Msat(0)), Some(Breach::PaidTwice(order_id())));
    }

    fn dev_fee_paid() -> Vec<Entry> {
        let paid = attempt(AttemptState::Succeeded {
            routing_fee: Msat(1),
        });
        let paid = paid.edit(|attempt| {
            attempt.payout = PayoutId::of_dev_fee(order_id());
            attempt.amount = Msat(18_000);
        });
        of_payment(&paid, NOW)
    }

    #[test]
    fn f8_the_development_is_given_what_is_the_houses_and_no_more() {
        use Account::{Development, House, Routers};
        let expected = [(House, Development, 18_000), (House, Routers, 1)];
        assert_eq!(flows(&dev_fee_paid()), expected);
        let whole = [settled(FULL), paid(1_500), dev_fee_paid()].concat();
        let judged = |entries: &[Entry], to_development| {
            let leaving = Leaving {
                to_development,
                ..Leaving::default()
            };
            judge(order_id(), entries, leaving)
        };
        let overdrawn = Some(Breach::Overdrawn(order_id()));
        assert_eq!(judged(&settled(FULL), Msat(60_000)), None);
        assert_eq!(judged(&settled(FULL), Msat(60_001)), overdrawn);
        assert_eq!(judged(&whole, Msat(0)), None);
        assert_eq!(judged(&whole, Msat(42_001)), overdrawn);
        assert_eq!(
            judged(&dev_fee_paid(), Msat(0)),
            overdrawn,
            "no fee came in"
        );
        let twice = [whole, dev_fee_paid()].concat();
        let breach = Some(Breach::DevFeePaidTwice(order_id()));
        assert_eq!(judged(&twice, Msat(0)), breach);
    }

    #[test]
    fn f8_only_what_is_final_is_booked() {
        let order = paying(Side::Sell).order;
        let open = hold(&order, HoldState::Settling(acceptance()));
        assert_eq!(of_settlement(&open, None, NOW), []);
        assert_eq!(of_payment(&attempt(AttemptState::Sent), NOW), []);
    }
}

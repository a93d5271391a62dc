//! The books: every commit that believes in a payment enters it and judges the
//! trade it belongs to, and a breach stops all payments (rules F8, X13).

use std::collections::BTreeSet;

use escrow_core::Msat;
use escrow_core::books::{self, Breach, Entry, Leaving};
use escrow_core::command::Command;
use escrow_core::decision::{Alarm, Decision, Effect};
use escrow_core::hold::{Hold, HoldState};
use escrow_core::maintenance::{BegunBy, Maintenance};
use escrow_core::order::{Order, OrderId};
use escrow_core::payout::{Attempt, AttemptState, Payee};
use escrow_core::timer::{Timer, TimerKind};
use escrow_core::{PaymentHash, UnixTime};
use storage::ledger::{Latch, StorageError, UnknownPayment};

use super::turn::Turn;
use crate::submission::{ListedPayment, PaymentHistory};

/// Queued payouts that are called when one payment ends. One place is free; the
/// first in line may yet have to wait for their own payee.
const CALLED_AT_ONCE: usize = 16;

/// By how much Lightning's clock may be behind ours when it says that it began
/// with a payment before the trade was made.
const CLOCK_SLACK_SECS: u64 = 120;

/// The reason of a maintenance that begins because the books are contradicted.
const LEDGER_BREACH: &str = "ledger_breach";

/// What of a decision the books have to learn, found before its rows are
/// written over those of before.
#[derive(Debug, Default)]
pub(super) struct News {
    settled: Vec<Hold>,
    paid: Vec<Attempt>,
    orders: BTreeSet<OrderId>,
}

impl Turn<'_, '_> {
    /// What is new for the books in rows that are not written yet.
    pub(super) fn news(&self, decision: &Decision) -> Result<News, StorageError> {
        let mut news = News::default();
        for hold in &decision.holds {
            let is_settled = |hold: &Hold| matches!(hold.state, HoldState::Settled(_));
            let was_settled = self.page.hold(hold.id)?.as_ref().is_some_and(is_settled);
            if is_settled(hold) && !was_settled {
                news.settled.push(hold.clone());
            }
        }
        for attempt in &decision.attempts {
            let is_paid = |one: &Attempt| matches!(one.state, AttemptState::Succeeded { .. });
            let was_paid = self
                .page
                .attempt(attempt.hash)?
                .as_ref()
                .is_some_and(is_paid);
            if is_paid(attempt) && !was_paid {
                news.paid.push(attempt.clone());
            }
            news.orders.insert(attempt.order);
        }
        news.orders
            .extend(news.settled.iter().map(|hold| hold.order));
        Ok(news)
    }

    /// Enters what is new and judges the trades it belongs to; their rows are
    /// written.
    pub(super) fn keep_books(&mut self, news: &News) -> Result<(), StorageError> {
        let mut entries: Vec<Entry> = Vec::new();
        for hold in &news.settled {
            let mut payouts = self.page.payouts_of(hold.order)?.into_iter();
            let payout = payouts.rfind(|payout| payout.payee() == Payee::Buyer);
            entries.extend(books::of_settlement(hold, payout.as_ref(), self.now));
        }
        for attempt in &news.paid {
            entries.extend(books::of_payment(attempt, self.now));
        }
        for entry in &entries {
            self.page.push_entry(entry)?;
        }
        for order in &news.orders {
            let leaving = self.leaving(*order)?;
            if let Some(breach) = books::judge(*order, &self.page.entries_of(*order)?, leaving) {
                self.latch(breach)?;
            }
        }
        if !entries.is_empty() && !self.books_balance()? {
            self.latch(Breach::Unbalanced)?;
        }
        Ok(())
    }

    /// What is on its way for an order.
    fn leaving(&self, order: OrderId) -> Result<Leaving, StorageError> {
        let mut leaving = Leaving::default();
        for payout in self.page.payouts_of(order)? {
            if let Some(sent) = self.page.sent_attempt_of(payout.id)? {
                let sum = match payout.payee() {
                    Payee::Buyer => &mut leaving.to_buyer,
                    Payee::Development => &mut leaving.to_development,
                };
                *sum = sum.checked_add(sent.amount).unwrap_or(Msat(u64::MAX));
            }
        }
        Ok(leaving)
    }

    fn books_balance(&self) -> Result<bool, StorageError> {
        let turnovers = self.page.turnovers()?;
        let got: u128 = turnovers.iter().map(|(_, it)| u128::from(it.got.0)).sum();
        let gave: u128 = turnovers.iter().map(|(_, it)| u128::from(it.gave.0)).sum();
        Ok(got == gave)
    }

    /// From this commit on no payment leaves. The first breach is kept: what
    /// follows may follow from it.
    fn latch(&mut self, breach: Breach) -> Result<(), StorageError> {
        if self.page.latch()?.is_none() {
            let at = self.now;
            self.page.put_latch(&Latch { at, breach })?;
        }
        if self.page.maintenance()?.is_none() {
            self.page.put_maintenance(Some(&Maintenance {
                reason: Some(LEDGER_BREACH.to_owned()),
                since: self.now,
                by: BegunBy::Books,
            }))?;
        }
        let alarm = Effect::Alarm(Alarm::LedgerBreach(breach));
        self.draft.effects.push(alarm);
        Ok(())
    }

    /// Compares what Lightning has paid with what the ledger knows. A payment
    /// over the amount of a trade that has no attempt here was made by a ledger
    /// that is newer than this one: another would pay its buyer twice.
    pub(super) fn payments(&mut self, history: &PaymentHistory) -> Result<(), StorageError> {
        if history.is_cut_short {
            // What is left is compared again from the beginning.
            self.page.put_payment_index(0)?;
            return self.latch(Breach::HistoryCutShort);
        }
        let compared = self.page.payment_index()?;
        let is_new = |payment: &&ListedPayment| payment.index > compared;
        let mut owed = None;
        for payment in history.payments.iter().filter(is_new) {
            if !payment.is_live || self.is_explained(payment.hash)? {
                continue;
            }
            if owed.is_none() {
                owed = Some((self.amounts_of_trades()?, self.amounts_of_dev_fees()?));
            }
            let Some((trades, dev_fees)) = &owed else {
                continue;
            };
            if is_one_of(trades, payment) {
                self.keep_unknown(payment)?;
                self.latch(Breach::UnknownPayment(payment.hash))?;
            } else if is_one_of(dev_fees, payment) {
                // Small amounts are met by chance: no trade waits until it is
                // known what this was, only the fee does.
                self.keep_unknown(payment)?;
                let alarm = Effect::Alarm(Alarm::UnexpectedPayment(payment.hash));
                self.draft.effects.push(alarm);
            }
        }
        let seen = history.payments.iter().map(|payment| payment.index).max();
        match seen {
            Some(index) if index > compared => self.page.put_payment_index(index),
            Some(_) | None => Ok(()),
        }
    }

    fn is_explained(&self, hash: PaymentHash) -> Result<bool, StorageError> {
        Ok(self.page.attempt(hash)?.is_some() || self.page.unknown_payment(hash)?.is_some())
    }

    /// What the buyers of living trades get, and since when.
    fn amounts_of_trades(&self) -> Result<Vec<(Msat, UnixTime)>, StorageError> {
        let mut amounts = Vec::new();
        for order in self.page.living_orders()? {
            let order = order?;
            let Some(take) = order.stage.take() else {
                continue;
            };
            let amount = take.buyer_gets().to_msat();
            amounts.extend(amount.map(|amount| (amount, take.taken_at)));
        }
        Ok(amounts)
    }

    /// What the house owes to the development, or will, and since when.
    fn amounts_of_dev_fees(&self) -> Result<Vec<(Msat, UnixTime)>, StorageError> {
        let fee_of = |order: &Order| {
            let take = order.stage.take()?;
            Some((take.dev_fee.to_msat()?, take.taken_at))
        };
        let mut amounts = Vec::new();
        if self.desk.terms.dev_fee_destination.is_some() {
            for order in self.page.living_orders()? {
                amounts.extend(fee_of(&order?));
            }
        }
        for payout in self.page.living_payouts()? {
            if payout.payee() == Payee::Development {
                amounts.extend(self.page.order(payout.order)?.as_ref().and_then(fee_of));
            }
        }
        Ok(amounts)
    }

    fn keep_unknown(&mut self, payment: &ListedPayment) -> Result<(), StorageError> {
        let ListedPayment {
            hash,
            amount,
            created_at,
            ..
        } = *payment;
        let unknown = UnknownPayment { amount, created_at };
        self.page.put_unknown_payment(hash, &unknown)
    }

    /// A payment has ended, or payments may leave again: those who wait for a
    /// place are tried (rules P11, P16).
    pub(super) fn call_queue(&mut self) -> Result<(), StorageError> {
        for payout in self.page.queued_payouts(CALLED_AT_ONCE)? {
            self.report(&Command::Elapsed(Timer {
                at: self.now,
                order: payout.order,
                kind: TimerKind::PayoutRetry,
            }))?;
        }
        Ok(())
    }
}

/// Whether a payment may have paid one of these amounts, owed since then.
fn is_one_of(owed: &[(Msat, UnixTime)], payment: &ListedPayment) -> bool {
    let began_by = payment.created_at.plus(CLOCK_SLACK_SECS);
    let fits = |(amount, since): &(Msat, UnixTime)| *amount == payment.amount && *since <= began_by;
    owed.iter().any(fits)
}

//! What buyers are owed, and what became of the attempts to pay it.

use escrow_core::PaymentHash;
use escrow_core::command::AddressAnswer;
use escrow_core::decide::payout;
use escrow_core::decision::{Alarm, Decision};
use escrow_core::facts::{InFlight, PayoutFacts};
use escrow_core::order::Order;
use escrow_core::payout::{Attempt, Payee, Payout, PayoutId};
use escrow_core::timer::TimerKind;
use storage::ledger::StorageError;

use super::{Gather, alarm, clamp};

impl Gather<'_, '_> {
    pub(super) fn payment_report(
        &mut self,
        hash: PaymentHash,
        decide: impl FnOnce(&mut Self, (&Order, &Payout, &Attempt)) -> Decision,
    ) -> Result<Decision, StorageError> {
        let unexpected = || Ok(alarm(Alarm::UnexpectedPayment(hash)));
        let Some(attempt) = self.page.attempt(hash)? else {
            return unexpected();
        };
        let Some(payout) = self.page.payout(attempt.payout)? else {
            return unexpected();
        };
        match self.page.order(attempt.order)? {
            Some(order) => Ok(decide(self, (&order, &payout, &attempt))),
            None => unexpected(),
        }
    }

    pub(super) fn address_asked(
        &self,
        payout: PayoutId,
        address: &str,
        answer: &AddressAnswer,
    ) -> Result<Decision, StorageError> {
        let Some(payout) = self.page.payout(payout)? else {
            return Ok(Decision::default());
        };
        let own = Some(payout.order);
        let (payee, hash_is_known) = match answer {
            AddressAnswer::Invoice(invoice) => {
                (Some(&*invoice.payee), self.hash_is_known(invoice, own)?)
            }
            AddressAnswer::Refused | AddressAnswer::Unasked => (None, false),
        };
        let Some(order) = self.page.order(payout.order)? else {
            return Ok(Decision::default());
        };
        let owed = self.facts_of(payout, payee)?;
        let asked = (address, answer);
        Ok(payout::address_asked(
            &order,
            &owed,
            asked,
            hash_is_known,
            self.now(),
        ))
    }

    pub(super) fn owed(&self, order: &Order) -> Result<Option<PayoutFacts>, StorageError> {
        self.owed_to(order, None)
    }

    /// What is owed for an order, should it be paid to another payee than before.
    pub(super) fn owed_to(
        &self,
        order: &Order,
        payee: Option<&str>,
    ) -> Result<Option<PayoutFacts>, StorageError> {
        let payout = self.payout_of(order)?;
        let facts = payout.map(|payout| self.facts_of(payout, payee));
        facts.transpose()
    }

    /// What is owed that a timer of an order is about.
    pub(super) fn owed_at(
        &self,
        order: &Order,
        kind: TimerKind,
    ) -> Result<Option<PayoutFacts>, StorageError> {
        if kind != TimerKind::DevFee {
            return self.owed(order);
        }
        let fee = self.page.payout(PayoutId::of_dev_fee(order.id))?;
        fee.map(|fee| self.facts_of(fee, None)).transpose()
    }

    fn facts_of(&self, payout: Payout, payee: Option<&str>) -> Result<PayoutFacts, StorageError> {
        let present = payout.invoice();
        let attempt = match present {
            Some(invoice) => self.page.attempt(invoice.hash)?,
            None => None,
        };
        let payee = payee.or(present.map(|invoice| &*invoice.payee));
        let in_flight = self.in_flight(&payout, payee)?;
        Ok(PayoutFacts {
            payout,
            attempt,
            in_flight,
        })
    }

    /// Rule P11, without the payout that is asked for. Development fees keep no
    /// place from a buyer, so for him they do not count (rule J2). Where all
    /// together are fewer than any cap, nobody counts one by one.
    fn in_flight(&self, own: &Payout, payee: Option<&str>) -> Result<InFlight, StorageError> {
        let is_stopped = self.is_stopped(own)?;
        let all = clamp(self.page.sent_attempt_count()?);
        let terms = &self.desk.terms;
        let caps = [
            terms.max_inflight_payouts,
            terms.max_inflight_payouts_per_payee,
        ];
        if caps.iter().all(|cap| *cap == 0 || all < *cap) {
            return Ok(InFlight {
                to_all: all,
                to_payee: 0,
                is_stopped,
            });
        }
        let mut in_flight = InFlight {
            is_stopped,
            ..InFlight::default()
        };
        for attempt in self.page.sent_attempts()? {
            let gives_way = own.payee() == Payee::Buyer && attempt.payee() == Payee::Development;
            if attempt.payout == own.id || gives_way {
                continue;
            }
            in_flight.to_all = in_flight.to_all.saturating_add(1);
            let other = self.page.payout(attempt.payout)?;
            let other = other.as_ref().and_then(Payout::invoice);
            if other.is_some_and(|other| Some(&*other.payee) == payee) {
                in_flight.to_payee = in_flight.to_payee.saturating_add(1);
            }
        }
        Ok(in_flight)
    }

    /// Whether it has to wait for a word of the operator's: all do while the
    /// books are contradicted, and a development fee while a payment of its
    /// amount is unexplained (rule X13).
    fn is_stopped(&self, payout: &Payout) -> Result<bool, StorageError> {
        if self.page.latch()?.is_some() {
            return Ok(true);
        }
        if payout.payee() == Payee::Buyer {
            return Ok(false);
        }
        let unknown = self.page.unknown_payments()?;
        let amount = payout.amount.to_msat();
        Ok(unknown.iter().any(|(_, it)| Some(it.amount) == amount))
    }
}

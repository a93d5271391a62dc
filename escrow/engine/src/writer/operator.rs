//! What the operator says with his own tools about the books and the payouts
//! (rules X13, P13, P14).

use escrow_core::PaymentHash;
use escrow_core::decide::payout::{Adoptee, adopt, give_up, write_off};
use escrow_core::decision::Decision;
use escrow_core::maintenance::BegunBy;
use escrow_core::order::OrderId;
use storage::ledger::{JournalEntry, StorageError, UnknownPayment};

use super::turn::Turn;
use crate::submission::{OperatorWord, Receipt};

/// It is done, or in plain words why not; the outer error is the ledger's.
type Done = Result<Result<(), String>, StorageError>;

impl Turn<'_, '_> {
    /// Does what the operator says, or tells him why not.
    pub(super) fn operator(&mut self, word: &OperatorWord) -> Result<Receipt, StorageError> {
        if word.reason().is_some_and(|reason| reason.trim().is_empty()) {
            return Ok(Receipt::invalid("a reason is needed"));
        }
        let done = match word {
            OperatorWord::Asks { ask, order } => return self.operator_asks(ask, *order),
            OperatorWord::ClearLatch { reason } => self.clear_latch(reason)?,
            OperatorWord::Adopt { hash, order } => self.adopt(*hash, *order)?,
            OperatorWord::Disown { hash } => self.disown(*hash)?,
            OperatorWord::GiveUp { hash, reason } => self.give_up(*hash, reason)?,
            OperatorWord::WriteOff { order, reason } => self.write_off(*order, reason)?,
        };
        Ok(match done {
            Ok(()) => Receipt::Decided,
            Err(why) => Receipt::invalid(why),
        })
    }

    fn clear_latch(&mut self, reason: &str) -> Done {
        let Some(latch) = self.page.latch()? else {
            return Ok(Err("the ledger is not latched".into()));
        };
        let unknown = self.page.unknown_payments()?.len();
        if unknown > 0 {
            return Ok(Err(format!(
                "{unknown} payments have to be explained before: `mostro-relay ledger status` \
                 lists them, `mostro-relay payouts adopt` explains them"
            )));
        }
        self.page.remove_latch()?;
        let maintenance = self.page.maintenance()?;
        if maintenance.is_some_and(|present| present.by == BegunBy::Books) {
            self.page.put_maintenance(None)?;
        }
        let breach = latch.breach;
        self.note_operator("ledger-clear", None, &format!("{breach:?}: {reason}"))?;
        self.call_queue()?;
        Ok(Ok(()))
    }

    fn adopt(&mut self, hash: PaymentHash, order: OrderId) -> Done {
        let Some(UnknownPayment { amount, created_at }) = self.page.unknown_payment(hash)? else {
            return Ok(Err(format!("{hash} is no payment that is to be explained")));
        };
        let adoptee = Adoptee {
            hash,
            amount,
            created_at,
        };
        let Some(decision) = self.adopted(order, adoptee)? else {
            return Ok(Err(format!(
                "order {} does not wait for a payment of {amount} to its buyer or to the \
                 development",
                order.0
            )));
        };
        self.page.remove_unknown_payment(hash)?;
        self.apply(decision)?;
        self.note_operator("payout-adopt", Some(order), &hash.to_string())?;
        Ok(Ok(()))
    }

    /// Makes an unknown payment the one that pays what is owed for this order.
    fn adopted(
        &mut self,
        order: OrderId,
        adoptee: Adoptee,
    ) -> Result<Option<Decision>, StorageError> {
        let Some(order) = self.page.order(order)? else {
            return Ok(None);
        };
        for payout in self.page.payouts_of(order.id)? {
            let sent = self.page.sent_attempt_of(payout.id)?;
            let gather = self.gather();
            let decided = adopt(&order, &payout, sent.as_ref(), adoptee, gather.now());
            if decided.is_some() {
                return Ok(decided);
            }
        }
        Ok(None)
    }

    fn disown(&mut self, hash: PaymentHash) -> Done {
        if self.page.unknown_payment(hash)?.is_none() {
            return Ok(Err(format!("{hash} is no payment that is to be explained")));
        }
        self.page.remove_unknown_payment(hash)?;
        self.note_operator("payout-disown", None, &hash.to_string())?;
        Ok(Ok(()))
    }

    /// Ends a payment that he answers for; its payee is asked for another invoice.
    fn give_up(&mut self, hash: PaymentHash, reason: &str) -> Done {
        let Some(decision) = self.given_up(hash)? else {
            return Ok(Err(format!(
                "{hash} is no payment to be given up: `mostro-relay payouts` names those which \
                 are lost, or have failed without a reason; any other goes on by itself"
            )));
        };
        let order = decision.attempts.first().map(|attempt| attempt.order);
        self.apply(decision)?;
        self.note_operator("payout-give-up", order, &format!("{hash}: {reason}"))?;
        Ok(Ok(()))
    }

    fn given_up(&mut self, hash: PaymentHash) -> Result<Option<Decision>, StorageError> {
        let Some(attempt) = self.page.attempt(hash)? else {
            return Ok(None);
        };
        let order = self.page.order(attempt.order)?;
        let payout = self.page.payout(attempt.payout)?;
        let (Some(order), Some(payout)) = (order, payout) else {
            return Ok(None);
        };
        let gather = self.gather();
        Ok(give_up(&order, &payout, &attempt, gather.now()))
    }

    /// Closes what is parked of an order: its buyer's sats, or a development fee.
    fn write_off(&mut self, order: OrderId, reason: &str) -> Done {
        let mut written_off = 0;
        if let Some(order) = self.page.order(order)? {
            for payout in self.page.payouts_of(order.id)? {
                if let Some(decision) = write_off(&order, &payout) {
                    self.apply(decision)?;
                    written_off += 1;
                }
            }
        }
        if written_off == 0 {
            return Ok(Err(format!(
                "nothing is parked of order {}, or it has not ended: `mostro-relay payouts` tells",
                order.0
            )));
        }
        self.note_operator("payout-write-off", Some(order), reason)?;
        Ok(Ok(()))
    }

    fn note_operator(
        &mut self,
        command: &str,
        order: Option<OrderId>,
        outcome: &str,
    ) -> Result<(), StorageError> {
        self.page.push_journal(&JournalEntry {
            at: self.now,
            origin: "operator".into(),
            order,
            command: command.into(),
            outcome: outcome.into(),
        })?;
        Ok(())
    }
}

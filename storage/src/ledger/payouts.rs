//! Payouts and the attempts to pay them.

use std::collections::BTreeSet;

use escrow_core::order::OrderId;
use escrow_core::payout::{Attempt, AttemptState, Payout, PayoutId, PayoutState};
use escrow_core::{PaymentHash, PayoutInvoice, UnixTime};
use serde_json::{Value, json};

use super::error::StorageError;
use super::invoices::{InvoiceOwner, invoice_mark};
use super::key::{KeyPart, key, read_key};
use super::page::{Mark, Page};
use super::record::Record;
use super::table::Table;
use super::view::View;

impl Record for Payout {
    const VERSION: u8 = 2;

    /// Version 1 did not know when a buyer was to be asked again for an
    /// invoice: he is, at once.
    fn upgrade(_: u8, mut json: Value) -> Value {
        if let Some(state) = json.get_mut("state")
            && state == "NeedInvoice"
        {
            *state = json!({ "NeedInvoice": { "asked": 0, "again_at": 0 } });
        }
        json
    }
}
impl Record for Attempt {}

impl View {
    /// A payout.
    pub fn payout(&self, id: PayoutId) -> Result<Option<Payout>, StorageError> {
        self.record(Table::Payouts, &id)
    }

    /// The payouts of an order, by id.
    pub fn payouts_of(&self, order: OrderId) -> Result<Vec<Payout>, StorageError> {
        let ids: Vec<PayoutId> = self.names(Table::PayoutsOfOrder, &key(&order))?;
        self.named(Table::Payouts, ids)
    }

    /// The payouts that are owed, unpaid development fees among them.
    pub fn living_payouts(&self) -> Result<Vec<Payout>, StorageError> {
        let ids: Vec<PayoutId> = self.names(Table::LivingPayouts, &[])?;
        self.named(Table::Payouts, ids)
    }

    /// The payouts that wait for a place among the payments on their way, at
    /// most `limit`, who came first first.
    pub fn queued_payouts(&self, limit: usize) -> Result<Vec<Payout>, StorageError> {
        let mut ids = Vec::new();
        for row in self.rows(Table::QueuedPayouts)?.take(limit) {
            let (_, id): (UnixTime, PayoutId) = read_key(Table::QueuedPayouts, &row?.0)?;
            ids.push(id);
        }
        self.named(Table::Payouts, ids)
    }

    /// The attempt with a payment hash.
    pub fn attempt(&self, hash: PaymentHash) -> Result<Option<Attempt>, StorageError> {
        self.record(Table::Attempts, &hash)
    }

    /// The attempts of a payout, by hash.
    pub fn attempts_of(&self, payout: PayoutId) -> Result<Vec<Attempt>, StorageError> {
        let hashes: Vec<PaymentHash> = self.names(Table::AttemptsOfPayout, &key(&payout))?;
        self.named(Table::Attempts, hashes)
    }

    /// The attempts that are with Lightning, or about to be.
    pub fn sent_attempts(&self) -> Result<Vec<Attempt>, StorageError> {
        let mut hashes = Vec::new();
        for row in self.rows(Table::SentAttempts)? {
            hashes.push(read_key(Table::SentAttempts, &row?.1)?);
        }
        self.named::<PaymentHash, _>(Table::Attempts, hashes)
    }

    /// How many attempts are with Lightning; costs the same for one and for a
    /// thousand.
    pub fn sent_attempt_count(&self) -> Result<u64, StorageError> {
        self.count(Table::SentAttempts)
    }

    /// The attempt of a payout that is with Lightning, or about to be.
    pub fn sent_attempt_of(&self, payout: PayoutId) -> Result<Option<Attempt>, StorageError> {
        let Some(hash) = self.get(Table::SentAttempts, &key(&payout))? else {
            return Ok(None);
        };
        self.attempt(read_key(Table::SentAttempts, &hash)?)
    }

    fn named<K: KeyPart, R: Record>(
        &self,
        table: Table,
        names: Vec<K>,
    ) -> Result<Vec<R>, StorageError> {
        names
            .into_iter()
            .map(|name| {
                self.record(table, &name)?
                    .ok_or_else(|| StorageError::Damaged {
                        table: table.name(),
                        what: "an index names a row that is not there".into(),
                    })
            })
            .collect()
    }
}

impl Page<'_> {
    /// Writes a payout.
    ///
    /// # Errors
    /// `Conflict` if its destination is the invoice of another order;
    /// `Invariant` if a stored payout would change its order.
    pub fn put_payout(&mut self, payout: &Payout) -> Result<(), StorageError> {
        let before = self.payout(payout.id)?;
        if before
            .as_ref()
            .is_some_and(|before| before.order != payout.order)
        {
            return Err(StorageError::Invariant {
                table: Table::Payouts.name(),
                what: format!("payout {} would change its order", payout.id.0),
            });
        }
        if !payout.state.is_closed() {
            for invoice in invoices(payout) {
                self.refuse_foreign_invoice(invoice.hash, payout.order)?;
            }
        }
        self.reindex(
            &before.as_ref().map(marks).unwrap_or_default(),
            marks(payout),
        )?;
        self.put_record(Table::Payouts, &payout.id, payout)
    }

    /// Writes an attempt. Where one attempt of a payout ends and another is
    /// sent in the same page, the ended one must be written first.
    ///
    /// # Errors
    /// `Conflict` if its hash is that of a hold or of another payout's
    /// attempt; `Invariant` if another attempt of its payout is `Sent`: two
    /// live hashes could both be paid.
    pub fn put_attempt(&mut self, attempt: &Attempt) -> Result<(), StorageError> {
        self.refuse_foreign_hash(attempt)?;
        let sent = self.get(Table::SentAttempts, &key(&attempt.payout))?;
        let is_its_own = sent.as_deref() == Some(key(&attempt.hash).as_slice());
        match (attempt.state, sent) {
            (AttemptState::Sent, Some(_)) if !is_its_own => {
                return Err(StorageError::Invariant {
                    table: Table::Attempts.name(),
                    what: format!("payout {} would have two live hashes", attempt.payout.0),
                });
            }
            (AttemptState::Sent, _) => {
                self.put(
                    Table::SentAttempts,
                    key(&attempt.payout),
                    key(&attempt.hash),
                )?;
            }
            (
                AttemptState::Succeeded { .. }
                | AttemptState::Failed { .. }
                | AttemptState::Lost { .. },
                _,
            ) => {
                if is_its_own {
                    self.remove(Table::SentAttempts, key(&attempt.payout))?;
                }
            }
        }
        let of_payout = key(&(attempt.payout, attempt.hash));
        self.put(Table::AttemptsOfPayout, of_payout, Vec::new())?;
        self.put_record(Table::Attempts, &attempt.hash, attempt)
    }

    fn refuse_foreign_hash(&self, attempt: &Attempt) -> Result<(), StorageError> {
        let conflict = |table: Table| {
            let what = format!("payment hash {}", attempt.hash);
            Err(StorageError::Conflict {
                table: table.name(),
                what,
            })
        };
        if self.has(Table::HoldHashes, &key(&attempt.hash))? {
            return conflict(Table::HoldHashes);
        }
        match self.attempt(attempt.hash)? {
            Some(before) if before.payout != attempt.payout => conflict(Table::Attempts),
            Some(_) | None => Ok(()),
        }
    }
}

/// The invoice it is to be paid to, if there is one yet.
fn invoices(payout: &Payout) -> impl Iterator<Item = &PayoutInvoice> {
    payout.invoice().into_iter()
}

/// The index rows of a payout.
fn marks(payout: &Payout) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    marks.insert((Table::PayoutsOfOrder, key(&(payout.order, payout.id))));
    if !payout.state.is_closed() {
        marks.insert((Table::LivingPayouts, key(&payout.id)));
        let owner = InvoiceOwner::Payout(payout.id);
        for invoice in invoices(payout) {
            marks.insert(invoice_mark(invoice.hash, payout.order, owner));
        }
    }
    if let PayoutState::Queued { since, .. } = payout.state {
        marks.insert((Table::QueuedPayouts, key(&(since, payout.id))));
    }
    marks
}

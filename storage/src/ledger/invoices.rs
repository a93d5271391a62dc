//! Which invoice belongs to which order: one that is paid twice pays once.

use escrow_core::PaymentHash;
use escrow_core::order::OrderId;
use escrow_core::payout::PayoutId;

use super::error::StorageError;
use super::key::{KeyPart, key};
use super::page::{Mark, Page};
use super::table::Table;
use super::view::View;

/// The row that carries an invoice. Several carry the same one for a while;
/// each has an index row of its own, so that none removes another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvoiceOwner {
    /// The living order itself, for its maker or its taker.
    Order,
    /// A payout of it that is not paid.
    Payout(PayoutId),
}

impl KeyPart for InvoiceOwner {
    fn write(&self, key: &mut Vec<u8>) {
        match self {
            InvoiceOwner::Order => 1_u8.write(key),
            InvoiceOwner::Payout(id) => (2_u8, *id).write(key),
        }
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        match u8::read(key)? {
            1 => Some(InvoiceOwner::Order),
            2 => PayoutId::read(key).map(InvoiceOwner::Payout),
            _ => None,
        }
    }
}

/// The index row of an invoice.
pub(super) fn invoice_mark(hash: PaymentHash, order: OrderId, owner: InvoiceOwner) -> Mark {
    (Table::InvoiceHashes, key(&(hash, order, owner)))
}

impl View {
    /// The living order, or the order of an unpaid payout, whose buyer wants
    /// to be paid to an invoice with this hash.
    pub fn order_with_invoice(&self, hash: PaymentHash) -> Result<Option<OrderId>, StorageError> {
        let names: Vec<(OrderId, InvoiceOwner)> = self.names(Table::InvoiceHashes, &key(&hash))?;
        Ok(names.first().map(|(order, _)| *order))
    }

    /// Whether a hash is that of a hold or was ever handed to Lightning for a
    /// payout: then no buyer can be paid to it any more.
    pub fn invoice_hash_is_known(&self, hash: PaymentHash) -> Result<bool, StorageError> {
        Ok(self.has(Table::HoldHashes, &key(&hash))? || self.has(Table::Attempts, &key(&hash))?)
    }
}

impl Page<'_> {
    /// Refuses an invoice that another order's buyer has given.
    pub(super) fn refuse_foreign_invoice(
        &self,
        hash: PaymentHash,
        order: OrderId,
    ) -> Result<(), StorageError> {
        match self.order_with_invoice(hash)? {
            Some(other) if other != order => Err(StorageError::Conflict {
                table: Table::InvoiceHashes.name(),
                what: format!("payment hash {hash}"),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

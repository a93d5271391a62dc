//! Which invoice belongs to which order: one that is paid twice pays once.

use escrow_core::PaymentHash;
use escrow_core::order::OrderId;

use super::error::StorageError;
use super::key::{KeyPart, key};
use super::page::{Mark, Page};
use super::table::Table;
use super::view::View;

/// The row that carries an invoice. An order and its payout carry the same
/// one for a while; each has its own index row, so neither removes the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvoiceOf {
    /// The maker's or the taker's invoice of a living order.
    Order,
    /// The destination of a payout that is not paid.
    Payout,
}

impl KeyPart for InvoiceOf {
    fn write(&self, key: &mut Vec<u8>) {
        key.push(match self {
            InvoiceOf::Order => 1,
            InvoiceOf::Payout => 2,
        });
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        match u8::read(key)? {
            1 => Some(InvoiceOf::Order),
            2 => Some(InvoiceOf::Payout),
            _ => None,
        }
    }
}

/// The index row of an invoice.
pub(super) fn invoice_mark(hash: PaymentHash, order: OrderId, of: InvoiceOf) -> Mark {
    (Table::InvoiceHashes, key(&(hash, order, of)))
}

impl View {
    /// The living order, or the order of an unpaid payout, whose buyer wants
    /// to be paid to an invoice with this hash.
    pub fn order_with_invoice(&self, hash: PaymentHash) -> Result<Option<OrderId>, StorageError> {
        let names: Vec<(OrderId, InvoiceOf)> = self.names(Table::InvoiceHashes, &key(&hash))?;
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

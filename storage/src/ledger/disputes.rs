//! Disputes.

use escrow_core::dispute::{Dispute, DisputeId};

use super::error::StorageError;
use super::page::Page;
use super::record::Record;
use super::table::Table;
use super::view::View;

impl Record for Dispute {}

impl View {
    /// A dispute, open or closed.
    pub fn dispute(&self, id: DisputeId) -> Result<Option<Dispute>, StorageError> {
        self.record(Table::Disputes, &id)
    }
}

impl Page<'_> {
    /// Writes a dispute.
    pub fn put_dispute(&mut self, dispute: &Dispute) -> Result<(), StorageError> {
        self.put_record(Table::Disputes, &dispute.id, dispute)
    }
}

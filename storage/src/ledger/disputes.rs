//! Disputes, and who may judge them.

use std::collections::BTreeSet;

use escrow_core::dispute::{Dispute, DisputeId};
use escrow_core::party::IdentityKey;
use escrow_core::solver::Solver;

use super::error::StorageError;
use super::key::{key, read_key};
use super::page::{Mark, Page};
use super::record::{Record, decode};
use super::table::Table;
use super::view::View;

impl Record for Dispute {}
impl Record for Solver {}

impl View {
    /// A dispute, open or closed.
    pub fn dispute(&self, id: DisputeId) -> Result<Option<Dispute>, StorageError> {
        self.record(Table::Disputes, &id)
    }

    /// All disputes that wait for a ruling.
    pub fn open_disputes(&self) -> Result<Vec<Dispute>, StorageError> {
        let ids: Vec<DisputeId> = self.names(Table::OpenDisputes, &[])?;
        let mut open = Vec::with_capacity(ids.len());
        for id in ids {
            open.extend(self.dispute(id)?);
        }
        Ok(open)
    }

    /// What is known of a solver.
    pub fn solver(&self, solver: IdentityKey) -> Result<Option<Solver>, StorageError> {
        self.record(Table::Solvers, &solver)
    }

    /// All solvers, by key.
    pub fn solvers(&self) -> Result<Vec<(IdentityKey, Solver)>, StorageError> {
        self.rows(Table::Solvers)?
            .map(|row| {
                let (key, bytes) = row?;
                Ok((
                    read_key(Table::Solvers, &key)?,
                    decode(Table::Solvers, &bytes)?,
                ))
            })
            .collect()
    }
}

impl Page<'_> {
    /// Writes a dispute.
    pub fn put_dispute(&mut self, dispute: &Dispute) -> Result<(), StorageError> {
        let before = self.dispute(dispute.id)?;
        self.reindex(
            &before.as_ref().map(marks).unwrap_or_default(),
            marks(dispute),
        )?;
        self.put_record(Table::Disputes, &dispute.id, dispute)
    }

    /// Writes a solver; none removes him.
    pub fn put_solver(
        &mut self,
        solver: IdentityKey,
        row: Option<&Solver>,
    ) -> Result<(), StorageError> {
        match row {
            Some(row) => self.put_record(Table::Solvers, &solver, row),
            None => self.remove(Table::Solvers, key(&solver)),
        }
    }
}

fn marks(dispute: &Dispute) -> BTreeSet<Mark> {
    let mark = (Table::OpenDisputes, key(&dispute.id));
    dispute.is_open().then_some(mark).into_iter().collect()
}

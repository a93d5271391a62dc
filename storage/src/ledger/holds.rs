//! Hold invoices.

use std::collections::BTreeSet;

use escrow_core::PaymentHash;
use escrow_core::hold::{Hold, HoldId, HoldState};
use escrow_core::order::OrderId;

use super::error::StorageError;
use super::key::{key, read_key};
use super::page::{Mark, Page};
use super::record::Record;
use super::table::Table;
use super::view::View;

impl Record for Hold {}

/// How many holds Lightning has, or will have, to do with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldCounts {
    /// Stored; Lightning is asked to open them.
    pub opening: u64,
    /// Open or accepted.
    pub open: u64,
    /// Being settled or canceled.
    pub closing: u64,
}

impl View {
    /// A hold.
    pub fn hold(&self, id: HoldId) -> Result<Option<Hold>, StorageError> {
        self.record(Table::Holds, &id)
    }

    /// The hold with a payment hash.
    pub fn hold_by_hash(&self, hash: PaymentHash) -> Result<Option<Hold>, StorageError> {
        let Some(id) = self.get(Table::HoldHashes, &key(&hash))? else {
            return Ok(None);
        };
        self.hold(read_key(Table::HoldHashes, &id)?)
    }

    /// The holds of an order, by id: one per opening.
    pub fn holds_of(&self, order: OrderId) -> Result<Vec<Hold>, StorageError> {
        self.named_holds(Table::HoldsOfOrder, &key(&order))
    }

    /// The holds that are not settled, canceled or lost.
    pub fn living_holds(&self) -> Result<Vec<Hold>, StorageError> {
        let mut holds = self.named_holds(Table::OpeningHolds, &[])?;
        holds.extend(self.named_holds(Table::OpenHolds, &[])?);
        holds.extend(self.named_holds(Table::ClosingHolds, &[])?);
        Ok(holds)
    }

    /// How many holds are living; costs the same for one and for a thousand.
    pub fn hold_counts(&self) -> Result<HoldCounts, StorageError> {
        Ok(HoldCounts {
            opening: self.count(Table::OpeningHolds)?,
            open: self.count(Table::OpenHolds)?,
            closing: self.count(Table::ClosingHolds)?,
        })
    }

    /// The accepted and settling holds that expire at `height` or below, the
    /// first to expire first.
    pub fn holds_expiring_by(&self, height: u32) -> Result<Vec<Hold>, StorageError> {
        let mut holds = Vec::new();
        for row in self.rows(Table::HoldExpiries)? {
            let (expires, id): (u32, HoldId) = read_key(Table::HoldExpiries, &row?.0)?;
            if expires > height {
                break;
            }
            holds.push(self.indexed_hold(Table::HoldExpiries, id)?);
        }
        Ok(holds)
    }

    fn named_holds(&self, index: Table, front: &[u8]) -> Result<Vec<Hold>, StorageError> {
        let ids: Vec<HoldId> = self.names(index, front)?;
        ids.into_iter()
            .map(|id| self.indexed_hold(index, id))
            .collect()
    }

    fn indexed_hold(&self, index: Table, id: HoldId) -> Result<Hold, StorageError> {
        self.hold(id)?.ok_or_else(|| StorageError::Damaged {
            table: index.name(),
            what: format!("it names hold {}, which is not there", id.0),
        })
    }
}

impl Page<'_> {
    /// Writes a hold.
    ///
    /// # Errors
    /// `Conflict` if its hash is that of another hold or of an attempt;
    /// `Invariant` if a stored hold would change its hash or its order.
    pub fn put_hold(&mut self, hold: &Hold) -> Result<(), StorageError> {
        let before = self.hold(hold.id)?;
        match &before {
            Some(before) => refuse_another_name(before, hold)?,
            None => self.refuse_known_hash(hold.hash)?,
        }
        self.reindex(&before.as_ref().map(marks).unwrap_or_default(), marks(hold))?;
        self.put(Table::HoldHashes, key(&hold.hash), key(&hold.id))?;
        self.put_record(Table::Holds, &hold.id, hold)
    }

    fn refuse_known_hash(&self, hash: PaymentHash) -> Result<(), StorageError> {
        for table in [Table::HoldHashes, Table::Attempts] {
            if self.has(table, &key(&hash))? {
                let what = format!("payment hash {hash}");
                return Err(StorageError::Conflict {
                    table: table.name(),
                    what,
                });
            }
        }
        Ok(())
    }
}

fn refuse_another_name(before: &Hold, hold: &Hold) -> Result<(), StorageError> {
    if before.hash == hold.hash && before.order == hold.order {
        return Ok(());
    }
    Err(StorageError::Invariant {
        table: Table::Holds.name(),
        what: format!("hold {} would change its hash or its order", hold.id.0),
    })
}

/// The index rows of a hold.
fn marks(hold: &Hold) -> BTreeSet<Mark> {
    let living = match hold.state {
        HoldState::New => Some(Table::OpeningHolds),
        HoldState::Open { .. } | HoldState::Accepted(_) => Some(Table::OpenHolds),
        HoldState::Settling(_) | HoldState::Canceling => Some(Table::ClosingHolds),
        HoldState::Settled(_) | HoldState::Canceled | HoldState::Lost => None,
    };
    let living = living.map(|table| (table, key(&hold.id)));
    let of_order = (Table::HoldsOfOrder, key(&(hold.order, hold.id)));
    living
        .into_iter()
        .chain(expiry(hold))
        .chain([of_order])
        .collect()
}

/// The index row of a hold that locks sats which Lightning gives back at some
/// height, whatever the node does.
pub(super) fn expiry(hold: &Hold) -> Option<Mark> {
    match &hold.state {
        HoldState::Accepted(acceptance) | HoldState::Settling(acceptance) => {
            let expires = (acceptance.expiry_height, hold.id);
            Some((Table::HoldExpiries, key(&expires)))
        }
        HoldState::New
        | HoldState::Open { .. }
        | HoldState::Settled(_)
        | HoldState::Canceling
        | HoldState::Canceled
        | HoldState::Lost => None,
    }
}

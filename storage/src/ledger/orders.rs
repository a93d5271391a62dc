//! Orders, and who takes part in those that still move.

use std::collections::BTreeSet;

use escrow_core::order::{Order, OrderId};
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::stage::Stage;
use escrow_core::{Destination, PaymentHash};

use super::error::StorageError;
use super::invoices::{InvoiceOwner, invoice_mark};
use super::key::{key, read_key};
use super::page::{Mark, Page};
use super::record::{Record, decode};
use super::table::Table;
use super::view::View;

impl Record for Order {}

impl View {
    /// An order, living or ended.
    pub fn order(&self, id: OrderId) -> Result<Option<Order>, StorageError> {
        match self.record(Table::Orders, &id)? {
            Some(order) => Ok(Some(order)),
            None => self.record(Table::OrdersArchive, &id),
        }
    }

    /// The orders that still move, by id.
    pub fn living_orders(
        &self,
    ) -> Result<impl Iterator<Item = Result<Order, StorageError>> + '_, StorageError> {
        let rows = self.rows(Table::Orders)?;
        Ok(rows.map(|row| row.and_then(|(_, bytes)| decode(Table::Orders, &bytes))))
    }

    /// At most `limit` of the orders that still move, by id, from the one after
    /// `after` on.
    pub fn living_orders_after(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, StorageError> {
        let front = after.map(|order| key(&order)).unwrap_or_default();
        let rows = self.rows_from(Table::Orders, &front)?;
        rows.filter(|row| !matches!(row, Ok((key, _)) if *key == front))
            .take(limit)
            .map(|row| decode(Table::Orders, &row?.1))
            .collect()
    }

    /// How many orders still move.
    pub fn living_order_count(&self) -> Result<u64, StorageError> {
        self.count(Table::Orders)
    }

    /// The living orders in which an identity takes part, as maker or taker.
    pub fn living_orders_of(&self, identity: IdentityKey) -> Result<Vec<Order>, StorageError> {
        self.living_named(Table::LivingIdentities, &key(&identity))
    }

    /// The living orders in which a trade key takes part.
    pub fn living_orders_with(&self, trade_key: TradeKey) -> Result<Vec<Order>, StorageError> {
        self.living_named(Table::LivingTradeKeys, &key(&trade_key))
    }

    /// Whether a trade key is a party of a living order (rule Y3).
    pub fn trade_key_is_living(&self, trade_key: TradeKey) -> Result<bool, StorageError> {
        let front = key(&trade_key);
        let first = self
            .rows_from(Table::LivingTradeKeys, &front)?
            .next()
            .transpose()?;
        Ok(first.is_some_and(|(key, _)| key.starts_with(&front)))
    }

    /// The trade keys of all parties of living orders, each once.
    pub fn living_trade_keys(&self) -> Result<BTreeSet<TradeKey>, StorageError> {
        let mut keys = BTreeSet::new();
        for row in self.rows(Table::LivingTradeKeys)? {
            let (trade_key, _): (TradeKey, OrderId) = read_key(Table::LivingTradeKeys, &row?.0)?;
            keys.insert(trade_key);
        }
        Ok(keys)
    }

    /// How many pending orders have a maker without identity.
    pub fn pending_without_identity(&self) -> Result<u64, StorageError> {
        self.count(Table::PendingPrivate)
    }

    fn living_named(&self, index: Table, front: &[u8]) -> Result<Vec<Order>, StorageError> {
        let ids: Vec<OrderId> = self.names(index, front)?;
        ids.into_iter()
            .map(|id| {
                self.record(Table::Orders, &id)?
                    .ok_or_else(|| StorageError::Damaged {
                        table: index.name(),
                        what: format!("it names order {}, which is not living", id.0),
                    })
            })
            .collect()
    }
}

impl Page<'_> {
    /// Writes an order with the revision after the one that is stored, and
    /// returns it as stored. An order that has ended moves to the archive and
    /// out of all indexes.
    ///
    /// # Errors
    /// `Conflict` if a buyer's invoice is that of another living order;
    /// `Invariant` if an order that has ended would live again.
    pub fn put_order(&mut self, mut order: Order) -> Result<Order, StorageError> {
        let before = self.order(order.id)?;
        let is_terminal = order.stage.is_terminal();
        if before
            .as_ref()
            .is_some_and(|before| before.stage.is_terminal())
            && !is_terminal
        {
            return Err(StorageError::Invariant {
                table: Table::Orders.name(),
                what: format!("order {} has ended and would live again", order.id.0),
            });
        }
        for hash in invoices(&order) {
            self.refuse_foreign_invoice(hash, order.id)?;
        }
        order.revision = before
            .as_ref()
            .map_or(0, |before| before.revision)
            .saturating_add(1);
        self.reindex(
            &before.as_ref().map(marks).unwrap_or_default(),
            marks(&order),
        )?;
        if is_terminal {
            self.remove(Table::Orders, key(&order.id))?;
            self.put_record(Table::OrdersArchive, &order.id, &order)?;
        } else {
            self.put_record(Table::Orders, &order.id, &order)?;
        }
        Ok(order)
    }
}

/// The index rows of an order; none once it has ended.
fn marks(order: &Order) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    if order.stage.is_terminal() {
        return marks;
    }
    for party in order.parties() {
        marks.insert((Table::LivingTradeKeys, key(&(party.trade_key, order.id))));
        if let Identity::Known(identity) = party.identity {
            marks.insert((Table::LivingIdentities, key(&(identity, order.id))));
        }
    }
    for hash in invoices(order) {
        marks.insert(invoice_mark(hash, order.id, InvoiceOwner::Order));
    }
    if order.stage == Stage::Pending && order.maker.identity == Identity::FullPrivacy {
        marks.insert((Table::PendingPrivate, key(&order.id)));
    }
    marks
}

/// The invoices to which the buyer of a living order wants to be paid.
fn invoices(order: &Order) -> Vec<PaymentHash> {
    if order.stage.is_terminal() {
        return Vec::new();
    }
    let taken = order.stage.take().and_then(|take| take.payout.as_ref());
    let both = order.offer.payout.iter().chain(taken);
    both.filter_map(Destination::invoice)
        .map(|invoice| invoice.hash)
        .collect()
}

//! Takes that ended while their order lives on (rule S8).

use escrow_core::UnixTime;
use escrow_core::order::{EndedTake, OrderId};
use escrow_core::party::TradeKey;

use super::error::StorageError;
use super::key::key;
use super::page::Page;
use super::record::{Record, decode};
use super::table::Table;
use super::view::View;

impl Record for EndedTake {}

impl View {
    /// The ended takes of an order, earliest first.
    pub fn ended_takes_of(&self, order: OrderId) -> Result<Vec<EndedTake>, StorageError> {
        let front = key(&order);
        let mut takes = Vec::new();
        for row in self.rows_from(Table::EndedTakes, &front)? {
            let (name, bytes) = row?;
            if !name.starts_with(&front) {
                break;
            }
            takes.push(decode(Table::EndedTakes, &bytes)?);
        }
        Ok(takes)
    }
}

impl Page<'_> {
    /// Keeps an ended take.
    pub fn put_ended_take(&mut self, ended: &EndedTake) -> Result<(), StorageError> {
        let name: (OrderId, UnixTime, TradeKey) =
            (ended.order, ended.ended_at, ended.take.taker.trade_key);
        self.put_record(Table::EndedTakes, &name, ended)
    }
}

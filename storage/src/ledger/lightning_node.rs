//! The Lightning node that holds the money of what is open.

use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::page::Page;
use super::record::{Record, decode, encode};
use super::table::Table;
use super::view::View;

const LIGHTNING_KEY: &[u8] = b"lightning";

/// A Lightning node by its name in the world. Another one knows nothing of the holds
/// and payments that are open on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightningNode {
    /// Identity key, 66 hex digits.
    pub pubkey: String,
    /// The chain it is on: `mainnet`, `regtest` …
    pub network: String,
}

impl Record for LightningNode {}

impl View {
    /// The Lightning node of the last start; none before the first.
    pub fn lightning_node(&self) -> Result<Option<LightningNode>, StorageError> {
        let row = self.get(Table::Node, LIGHTNING_KEY)?;
        row.map(|bytes| decode(Table::Node, &bytes)).transpose()
    }
}

impl Page<'_> {
    /// Writes which Lightning node holds the money from now on.
    pub fn put_lightning_node(&mut self, node: &LightningNode) -> Result<(), StorageError> {
        self.put(Table::Node, LIGHTNING_KEY.to_vec(), encode(node))
    }
}

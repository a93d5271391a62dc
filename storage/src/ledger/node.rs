//! Whose ledger it is, when its node was last alive, and how high the chain
//! was then.

use escrow_core::UnixTime;
use escrow_core::maintenance::Maintenance;
use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key::{key, read_key};
use super::page::Page;
use super::record::{Record, decode, encode};
use super::series::Series;
use super::table::Table;
use super::view::View;

/// The format of the file that this version of the node writes.
pub(super) const FORMAT: u32 = 7;

/// Where the format stands: 4 bytes, big-endian. This never moves.
pub(super) const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";
const HEARTBEAT_KEY: &[u8] = b"heartbeat";
const TIP_KEY: &[u8] = b"tip";
const MAINTENANCE_KEY: &[u8] = b"maintenance";

/// The node a ledger belongs to. The caller compares it with his settings
/// before he trades: another key or network would strand what is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// The node's key on Nostr.
    pub public_key: PublicKey,
    /// The Lightning network: `bitcoin`, `regtest` …
    pub network: String,
}

impl Record for NodeIdentity {}
impl Record for Maintenance {}

/// The highest block of the chain that the node has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u32,
    /// When Lightning last said that it is the newest.
    pub seen_at: UnixTime,
}

impl View {
    /// The node this ledger belongs to; none before its first start.
    pub fn node_identity(&self) -> Result<Option<NodeIdentity>, StorageError> {
        let row = self.get(Table::Node, IDENTITY_KEY)?;
        row.map(|bytes| decode(Table::Node, &bytes)).transpose()
    }

    /// The time of the last commit in which the node was alive: how long it was
    /// down, and what its time must not fall behind.
    pub fn heartbeat(&self) -> Result<Option<UnixTime>, StorageError> {
        let row = self.get(Table::Node, HEARTBEAT_KEY)?;
        row.map(|bytes| read_key(Table::Node, &bytes)).transpose()
    }

    /// Why the node takes no new trades; none while it does.
    pub fn maintenance(&self) -> Result<Option<Maintenance>, StorageError> {
        let row = self.get(Table::Node, MAINTENANCE_KEY)?;
        row.map(|bytes| decode(Table::Node, &bytes)).transpose()
    }

    /// The highest tip ever seen; none before the first.
    pub fn tip(&self) -> Result<Option<Tip>, StorageError> {
        let Some(bytes) = self.get(Table::Node, TIP_KEY)? else {
            return Ok(None);
        };
        let (height, seen_at) = read_key(Table::Node, &bytes)?;
        Ok(Some(Tip { height, seen_at }))
    }
}

impl Page<'_> {
    /// Writes whose ledger it is.
    pub fn put_node_identity(&mut self, node: &NodeIdentity) -> Result<(), StorageError> {
        self.put(Table::Node, IDENTITY_KEY.to_vec(), encode(node))
    }

    /// Writes that the node takes no new trades, and why; none says that it does.
    pub fn put_maintenance(
        &mut self,
        maintenance: Option<&Maintenance>,
    ) -> Result<(), StorageError> {
        match maintenance {
            Some(maintenance) => {
                self.put(Table::Node, MAINTENANCE_KEY.to_vec(), encode(maintenance))
            }
            None => self.remove(Table::Node, MAINTENANCE_KEY.to_vec()),
        }
    }

    /// The number of the next health event; never given out again once the page is
    /// committed.
    pub fn next_health_number(&mut self) -> Result<u64, StorageError> {
        self.next_number(Series::Health)
    }

    /// Writes that the node is alive at this time.
    pub fn put_heartbeat(&mut self, now: UnixTime) -> Result<(), StorageError> {
        self.put(Table::Node, HEARTBEAT_KEY.to_vec(), key(&now))
    }

    /// Writes how high the chain is; a lower tip than the one before is no
    /// news, and is left out.
    pub fn put_tip(&mut self, tip: Tip) -> Result<(), StorageError> {
        if self.tip()?.is_some_and(|before| before.height > tip.height) {
            return Ok(());
        }
        let value = key(&(tip.height, tip.seen_at));
        self.put(Table::Node, TIP_KEY.to_vec(), value)
    }
}

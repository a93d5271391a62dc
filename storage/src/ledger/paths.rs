//! Through which mirrors a trade key has asked, so that its letters go there too.

use escrow_core::UnixTime;
use escrow_core::party::TradeKey;

use super::error::StorageError;
use super::key::{key, read_key};
use super::mirrors::MirrorNo;
use super::page::Page;
use super::table::Table;
use super::view::View;

impl View {
    /// The mirrors through which a trade key has asked.
    pub fn paths_of(&self, trade_key: TradeKey) -> Result<Vec<MirrorNo>, StorageError> {
        self.names(Table::Paths, &key(&trade_key))
    }

    /// When a trade key last asked through a mirror.
    pub fn path(
        &self,
        trade_key: TradeKey,
        mirror: MirrorNo,
    ) -> Result<Option<UnixTime>, StorageError> {
        let at = self.get(Table::Paths, &key(&(trade_key, mirror)))?;
        at.map(|bytes| read_key(Table::Paths, &bytes)).transpose()
    }
}

impl Page<'_> {
    /// Remembers that a trade key asked through a mirror at a moment.
    pub fn put_path(
        &mut self,
        trade_key: TradeKey,
        mirror: MirrorNo,
        at: UnixTime,
    ) -> Result<(), StorageError> {
        if let Some(before) = self.path(trade_key, mirror)? {
            self.remove(Table::PathTimes, key(&(before, (trade_key, mirror))))?;
        }
        self.put(
            Table::PathTimes,
            key(&(at, (trade_key, mirror))),
            Vec::new(),
        )?;
        self.put(Table::Paths, key(&(trade_key, mirror)), key(&at))
    }

    /// Forgets paths not used since `older_than`, oldest first and at most
    /// `limit`; returns how many.
    pub fn purge_paths(
        &mut self,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<usize, StorageError> {
        let old = self.keys_before::<(TradeKey, MirrorNo)>(Table::PathTimes, older_than, limit)?;
        for (at, path) in &old {
            self.remove(Table::PathTimes, key(&(*at, *path)))?;
            self.remove(Table::Paths, key(path))?;
        }
        Ok(old.len())
    }
}

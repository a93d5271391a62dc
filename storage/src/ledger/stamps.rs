//! The last `created_at` of what the node publishes (rule S5).

use escrow_core::UnixTime;
use escrow_core::party::TradeKey;

use super::error::StorageError;
use super::key::{key, read_key};
use super::page::Page;
use super::table::Table;
use super::view::View;

impl View {
    /// The last `created_at` of a public address (`kind:pubkey:d`).
    pub fn stamp(&self, address: &str) -> Result<Option<UnixTime>, StorageError> {
        let stamp = self.get(Table::Stamps, address.as_bytes())?;
        stamp
            .map(|bytes| read_key(Table::Stamps, &bytes))
            .transpose()
    }

    /// The last `created_at` of the letters to a trade key.
    pub fn letter_stamp(&self, to: TradeKey) -> Result<Option<UnixTime>, StorageError> {
        let stamp = self.get(Table::LetterStamps, &key(&to))?;
        stamp
            .map(|bytes| read_key(Table::LetterStamps, &bytes))
            .transpose()
    }
}

impl Page<'_> {
    /// The `created_at` of the next event of a public address: `now`, or one
    /// second after the last if that is later. Kept for ever.
    pub fn next_stamp(&mut self, address: &str, now: UnixTime) -> Result<UnixTime, StorageError> {
        let stamp = after(self.stamp(address)?, now);
        self.put(Table::Stamps, address.as_bytes().to_vec(), key(&stamp))?;
        Ok(stamp)
    }

    /// The `created_at` of the next letter to a trade key, by the same rule.
    pub fn next_letter_stamp(
        &mut self,
        to: TradeKey,
        now: UnixTime,
    ) -> Result<UnixTime, StorageError> {
        let last = self.letter_stamp(to)?;
        if let Some(last) = last {
            self.remove(Table::LetterStampTimes, key(&(last, to)))?;
        }
        let stamp = after(last, now);
        self.put(Table::LetterStampTimes, key(&(stamp, to)), Vec::new())?;
        self.put(Table::LetterStamps, key(&to), key(&stamp))?;
        Ok(stamp)
    }

    /// Forgets letter stamps before `older_than`, oldest first and at most
    /// `limit`; returns how many. A stamp in the past binds no later letter:
    /// `now` is after it anyway.
    pub fn purge_letter_stamps(
        &mut self,
        older_than: UnixTime,
        limit: usize,
    ) -> Result<usize, StorageError> {
        let old = self.keys_before::<TradeKey>(Table::LetterStampTimes, older_than, limit)?;
        for (at, to) in &old {
            self.remove(Table::LetterStampTimes, key(&(*at, *to)))?;
            self.remove(Table::LetterStamps, key(to))?;
        }
        Ok(old.len())
    }
}

fn after(last: Option<UnixTime>, now: UnixTime) -> UnixTime {
    last.map_or(now, |last| last.plus(1).max(now))
}

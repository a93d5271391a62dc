//! External relays that get a copy of what the node publishes, and how far
//! each of them has been read.

use std::collections::BTreeMap;

use escrow_core::UnixTime;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key::{KeyPart, key, read_key};
use super::outbox::{Lane, OutboxRow, OutboxSeq};
use super::page::Page;
use super::record::{Record, decode};
use super::series::Series;
use super::table::Table;
use super::view::View;

/// The number of a mirror: its address in keys. Never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorNo(pub u64);

/// An external relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Its address.
    pub url: String,
    /// Every message that was on it before this moment has been decided; none
    /// before it was read for the first time.
    pub read_until: Option<UnixTime>,
    /// When it last acknowledged an event.
    pub acknowledged_at: Option<UnixTime>,
    /// Events it has refused for good.
    pub given_up: u64,
    /// What of the time before it was listed has come into its backlog.
    #[serde(default)]
    pub filled: Filled,
}

/// How much of what was published before a mirror was listed, and still stands,
/// has come into its backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filled {
    /// Nothing yet.
    #[default]
    Nothing,
    /// All that was made after this second.
    After(UnixTime),
    /// All.
    All,
}

impl Record for Mirror {}

impl KeyPart for MirrorNo {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        u64::read(key).map(MirrorNo)
    }
}

impl View {
    /// A mirror, as long as it is configured.
    pub fn mirror(&self, mirror: MirrorNo) -> Result<Option<Mirror>, StorageError> {
        self.record(Table::Mirrors, &mirror)
    }

    /// All mirrors, the longest configured first.
    pub fn mirrors(&self) -> Result<Vec<(MirrorNo, Mirror)>, StorageError> {
        let read = |(number, bytes): (Vec<u8>, Vec<u8>)| {
            let number = read_key(Table::Mirrors, &number)?;
            Ok((number, decode(Table::Mirrors, &bytes)?))
        };
        self.rows(Table::Mirrors)?
            .map(|row| row.and_then(read))
            .collect()
    }
}

impl Page<'_> {
    /// Makes these the mirrors, and returns their numbers in the same order.
    /// One that was there keeps what waits for it; of one that is gone nothing
    /// is left, save the paths through it, which end by their age.
    pub fn set_mirrors(&mut self, urls: &[String]) -> Result<Vec<MirrorNo>, StorageError> {
        let there = self.mirrors()?;
        let there: BTreeMap<String, MirrorNo> = there
            .into_iter()
            .map(|(number, mirror)| (mirror.url, number))
            .collect();
        for (url, number) in &there {
            if !urls.contains(url) {
                self.drop_backlog(*number)?;
                self.remove(Table::Mirrors, key(number))?;
            }
        }
        let mut numbers = Vec::with_capacity(urls.len());
        for url in urls {
            numbers.push(match there.get(url) {
                Some(number) => *number,
                None => self.add_mirror(url)?,
            });
        }
        Ok(numbers)
    }

    /// Writes what is known of a mirror; of one that is gone nothing is written.
    pub fn put_mirror(&mut self, number: MirrorNo, mirror: &Mirror) -> Result<(), StorageError> {
        if self.mirror(number)?.is_some() {
            self.put_record(Table::Mirrors, &number, mirror)?;
        }
        Ok(())
    }

    /// Adds an event from before the mirror was listed to what waits for it,
    /// unless one of its address waits already: that one is as new.
    pub fn fill_backlog(&mut self, mirror: MirrorNo, row: &OutboxRow) -> Result<(), StorageError> {
        if self.address_waits(mirror, &row.lane)? {
            return Ok(());
        }
        let seq = OutboxSeq(self.next_number(Series::Outbox)?);
        self.push_backlog(mirror, seq, row)
    }

    /// A new mirror gets the public events that are still on their way to the
    /// own relay, which does not have them yet, as if it had always been there.
    fn add_mirror(&mut self, url: &str) -> Result<MirrorNo, StorageError> {
        let number = MirrorNo(self.next_number(Series::Mirrors)?);
        let mirror = Mirror {
            url: url.to_owned(),
            read_until: None,
            acknowledged_at: None,
            given_up: 0,
            filled: Filled::Nothing,
        };
        self.put_record(Table::Mirrors, &number, &mirror)?;
        for (seq, row) in self.outbox_from(OutboxSeq(0), usize::MAX)? {
            if let Lane::Address(_) = row.lane {
                self.push_backlog(number, seq, &row)?;
            }
        }
        Ok(number)
    }
}

//! A disk for tests: in memory, and its power can be cut.
//!
//! Nothing in the node uses it except [`Ledger::in_memory`](crate::ledger::Ledger::in_memory).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// A disk in memory that knows what was synced and what was only written.
///
/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct PowerCutDisk(Arc<Mutex<Platters>>);

/// What goes wrong with a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Every write and every sync fails and does nothing.
    Refuses,
    /// Every sync does its work and then reports a failure.
    SyncsAndComplains,
    /// Every call fails; what was not synced is lost.
    NoPower,
}

/// What a disk has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Calls that wrote bytes.
    pub writes: u64,
    /// Bytes they wrote.
    pub written_bytes: u64,
    /// Syncs that did their work.
    pub syncs: u64,
}

#[derive(Debug, Default)]
struct Platters {
    /// What a reader sees.
    seen: Image,
    /// What is left without power.
    synced: Image,
    /// What leads from `synced` to `seen`.
    unsynced: Vec<Change>,
    trouble: Trouble,
    /// Syncs to go until the power is cut.
    syncs_left: Option<u64>,
    counts: DiskCounts,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Bytes { offset: usize, bytes: Vec<u8> },
}

impl PowerCutDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> PowerCutDisk {
        PowerCutDisk::default()
    }

    /// The disk that a power cut at this moment leaves: only what was synced.
    #[must_use]
    pub fn after_power_cut(&self) -> PowerCutDisk {
        PowerCutDisk::holding(self.platters().synced.clone())
    }

    /// As [`PowerCutDisk::after_power_cut`], but the disk was at work: of the
    /// writes after the last sync each is kept or lost, as `seed` has it.
    #[must_use]
    pub fn after_messy_power_cut(&self, seed: u64) -> PowerCutDisk {
        let platters = self.platters();
        let mut image = platters.synced.clone();
        let mut dice = seed;
        for change in &platters.unsynced {
            if roll(&mut dice) {
                change.apply(&mut image);
            }
        }
        PowerCutDisk::holding(image)
    }

    /// Cuts the power in the sync after the next `syncs`; that sync does nothing.
    pub fn cut_power_after(&self, syncs: u64) {
        self.platters().syncs_left = Some(syncs);
    }

    /// Lets the disk fail from here on, or heals it.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.platters().trouble = trouble;
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn has_no_power(&self) -> bool {
        self.platters().trouble == Trouble::NoPower
    }

    /// What the disk has done so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        self.platters().counts
    }

    fn holding(image: Image) -> PowerCutDisk {
        let platters = Platters {
            seen: image.clone(),
            synced: image,
            ..Platters::default()
        };
        PowerCutDisk(Arc::new(Mutex::new(platters)))
    }

    fn platters(&self) -> MutexGuard<'_, Platters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platters {
    fn write(&mut self, change: Change) -> io::Result<()> {
        match self.trouble {
            Trouble::Refuses | Trouble::NoPower => return Err(self.refusal()),
            Trouble::None | Trouble::SyncsAndComplains => {}
        }
        if let Change::Bytes { bytes, .. } = &change {
            self.counts.writes += 1;
            self.counts.written_bytes += bytes.len() as u64;
        }
        change.apply(&mut self.seen);
        self.unsynced.push(change);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.syncs_left {
            Some(0) => {
                self.trouble = Trouble::NoPower;
                self.syncs_left = None;
            }
            Some(left) => self.syncs_left = Some(left - 1),
            None => {}
        }
        if matches!(self.trouble, Trouble::Refuses | Trouble::NoPower) {
            return Err(self.refusal());
        }
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.synced);
        }
        self.counts.syncs += 1;
        match self.trouble {
            Trouble::SyncsAndComplains => Err(self.refusal()),
            Trouble::None | Trouble::Refuses | Trouble::NoPower => Ok(()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.trouble == Trouble::NoPower {
            return Err(self.refusal());
        }
        self.seen.read(position(offset)?, out)
    }

    fn refusal(&self) -> io::Error {
        io::Error::other(format!("the disk has trouble: {:?}", self.trouble))
    }
}

impl Change {
    fn apply(&self, image: &mut Image) {
        match self {
            Change::Length(len) => image.resize(*len),
            Change::Bytes { offset, bytes } => image.write(*offset, bytes),
        }
    }
}

/// Bytes of a sector of an [`Image`].
const SECTOR: usize = 4_096;

/// The bytes of a disk. Clones share the sectors that none of them has written
/// since, so that a power cut costs next to nothing.
#[derive(Clone, Debug, Default)]
struct Image {
    len: usize,
    sectors: Vec<Arc<[u8; SECTOR]>>,
}

impl Image {
    /// What is added is zero, and so is what is cut off and added again.
    fn resize(&mut self, len: usize) {
        let blank = || Arc::new([0; SECTOR]);
        self.sectors.resize_with(len.div_ceil(SECTOR), blank);
        if len < self.len
            && let Some(last) = self.sectors.get_mut(len / SECTOR)
        {
            let cut_off = Arc::make_mut(last).get_mut(len % SECTOR..);
            cut_off.unwrap_or_default().fill(0);
        }
        self.len = len;
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if self.len < offset + bytes.len() {
            self.resize(offset + bytes.len());
        }
        let (mut at, mut rest) = (offset, bytes);
        while let Some(sector) = self
            .sectors
            .get_mut(at / SECTOR)
            .filter(|_| !rest.is_empty())
        {
            let room = Arc::make_mut(sector).get_mut(at % SECTOR..);
            let room = room.unwrap_or_default();
            let count = room.len().min(rest.len());
            let (part, later) = rest.split_at(count);
            let place = room.get_mut(..count).unwrap_or_default();
            place.copy_from_slice(part);
            (at, rest) = (at + count, later);
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len());
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (offset, out);
        while let Some(sector) = self.sectors.get(at / SECTOR).filter(|_| !rest.is_empty()) {
            let there = sector.get(at % SECTOR..).unwrap_or_default();
            let count = there.len().min(rest.len());
            let (part, later) = std::mem::take(&mut rest).split_at_mut(count);
            part.copy_from_slice(there.get(..count).unwrap_or_default());
            (at, rest) = (at + count, later);
        }
        Ok(())
    }
}

impl StorageBackend for PowerCutDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platters().seen.len as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.platters().read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platters().write(Change::Length(position(len)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.platters().sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        self.platters().write(Change::Bytes {
            offset,
            bytes: data.to_vec(),
        })
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The next toss of a coin, by the generator `SplitMix64`.
fn roll(dice: &mut u64) -> bool {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *dice;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) & 1 == 1
}

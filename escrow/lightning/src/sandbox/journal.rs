//! The sandbox's memory on disk: its own file, because a node that forgot
//! with us would prove nothing about a crash.
//!
//! One line per commit: 16 hex digits of the SHA-256 of the rest, a space,
//! JSON. The first line is a whole world, each later one what was done since.
//! A power cut can only tear the last line, whose callers were never
//! answered; it is cut off when the file is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use escrow_core::{PaymentHash, UnixTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::acts::Command;
use super::world::World;

/// Where the lines lie. Given by tests to cut the power.
pub trait Journal: Send + 'static {
    /// Everything that is there.
    fn load(&mut self) -> io::Result<Vec<u8>>;

    /// Adds a line; it is durable when this returns.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// Puts `whole` in the place of everything, or leaves everything as it
    /// was; durable when this returns.
    fn replace(&mut self, whole: &[u8]) -> io::Result<()>;
}

/// What one line says.
#[derive(Serialize, Deserialize)]
pub(super) enum Line {
    /// The world as it was.
    World(Box<World>),
    /// What was done to it, and when.
    Done(Vec<(UnixTime, Command)>),
}

/// What a journal held.
pub(super) struct Recalled {
    pub(super) world: Option<World>,
    /// Lines beyond the first.
    pub(super) later_lines: usize,
    /// The last line was torn by a crash and does not count.
    pub(super) torn: bool,
}

/// The journal is damaged in a way that no power cut explains.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the sandbox's journal is damaged, and more follows it")]
pub struct Damaged {
    line: usize,
}

/// Turns a line into its bytes.
pub(super) fn encode(line: &Line) -> Vec<u8> {
    let json = serde_json::to_vec(line).expect("keys are text and nothing refuses to be written");
    let mut bytes = checksum(&json).into_bytes();
    bytes.push(b' ');
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    bytes
}

/// Does again what a journal tells of.
pub(super) fn recall(bytes: &[u8]) -> Result<Recalled, Damaged> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let mut world: Option<World> = None;
    let mut torn = false;
    for (index, bytes) in lines.iter().enumerate() {
        match (decode(bytes), &mut world) {
            (Some(Line::World(whole)), _) => world = Some(*whole),
            (Some(Line::Done(commands)), Some(world)) => {
                for (now, command) in commands {
                    world.apply(now, command);
                }
            }
            // The first line is written whole or not at all, so only a later
            // one can be torn.
            (None, Some(_)) if index + 1 == lines.len() => torn = true,
            (Some(Line::Done(_)), None) | (None, _) => return Err(Damaged { line: index + 1 }),
        }
    }
    Ok(Recalled {
        world,
        later_lines: lines.len().saturating_sub(1),
        torn,
    })
}

fn decode(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    if sum != checksum(json).as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(bytes: &[u8]) -> String {
    let mut hex = PaymentHash(Sha256::digest(bytes).into()).to_string();
    hex.truncate(16);
    hex
}

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    file: File,
}

impl FileJournal {
    /// Opens the file at `path`, or makes it, readable by its owner only.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(FileJournal {
            path: path.to_owned(),
            file: private_file(path)?,
        })
    }
}

impl Journal for FileJournal {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.file.sync_data()
    }

    /// The new file takes the old one's name when it is complete on disk, so
    /// a crash finds the one or the other.
    fn replace(&mut self, whole: &[u8]) -> io::Result<()> {
        let mut draft = self.path.clone().into_os_string();
        draft.push(".new");
        let mut file = private_file(&draft)?;
        file.set_len(0)?;
        file.write_all(whole)?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        self.file = file;
        Ok(())
    }
}

fn private_file(path: impl AsRef<Path>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A journal in memory that outlives its sandbox: clones share the bytes.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<Mutex<Vec<u8>>>);

impl MemoryJournal {
    /// The bytes as they lie there.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl From<Vec<u8>> for MemoryJournal {
    fn from(bytes: Vec<u8>) -> Self {
        MemoryJournal(Arc::new(Mutex::new(bytes)))
    }
}

impl Journal for MemoryJournal {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.bytes())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(line);
        Ok(())
    }

    fn replace(&mut self, whole: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = whole.to_vec();
        Ok(())
    }
}

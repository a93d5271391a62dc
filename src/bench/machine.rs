//! What the machine can do, without which no number means anything.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nostr::key::{Keys, SecretKey};
use secp256k1::Secp256k1;

use super::times::Times;

/// So often a file is synced, and for so long signatures are checked.
const SYNCS: usize = 50;
const VERIFYING: Duration = Duration::from_millis(300);

/// The machine, measured.
#[derive(Debug)]
pub struct Machine {
    /// Threads that can really run at once.
    pub cores: usize,
    /// A small write with everything on disk before it returns.
    pub sync: Times,
    /// Signatures that one core checks in a second.
    pub verified_per_second: f64,
    /// Signatures that all cores together check in a second.
    pub verified_by_all_cores: f64,
}

impl Machine {
    /// Measures the machine and the disk under `folder`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn measure(folder: &Path) -> io::Result<Machine> {
        Ok(Machine {
            cores: cores(),
            sync: syncs(folder)?,
            verified_per_second: verify_rate(),
            verified_by_all_cores: verified_by_all_cores(),
        })
    }
}

/// Signatures that all cores together check in a second, measured anew.
#[must_use]
pub fn verified_by_all_cores() -> f64 {
    thread::scope(|scope| {
        let verifiers: Vec<_> = (0..cores()).map(|_| scope.spawn(verify_rate)).collect();
        let rates = verifiers.into_iter().filter_map(|core| core.join().ok());
        rates.sum()
    })
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What a process holds in memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it that is in RAM.
    pub resident: u64,
    /// What of it is no page of a file, such as a database.
    pub anonymous: u64,
}

impl Memory {
    /// What the system says of another process; none where it does not say.
    #[must_use]
    pub fn of(pid: u32) -> Option<Memory> {
        Memory::read(&format!("/proc/{pid}/status"))
    }

    fn read(path: &str) -> Option<Memory> {
        let status = fs::read_to_string(path).ok()?;
        let bytes = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
            Some(kib * 1_024)
        };
        Some(Memory {
            resident: bytes("VmRSS:")?,
            anonymous: bytes("RssAnon:")?,
        })
    }
}

/// What this process holds in memory, in bytes; none where the system does not say.
#[must_use]
pub fn resident_memory() -> Option<u64> {
    Some(Memory::read("/proc/self/status")?.resident)
}

fn syncs(folder: &Path) -> io::Result<Times> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let mut times = Times::default();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
        times.add(began.elapsed());
    }
    fs::remove_file(path)?;
    Ok(times)
}

fn verify_rate() -> f64 {
    let secp = Secp256k1::new();
    let secret = SecretKey::from_slice(&[1; 32]).expect("one is a secret key");
    let keys = Keys::new(secret);
    let digest = [7; 32];
    let signature = keys.sign_schnorr_with_aux_rand(&secp, digest, &[0; 32]);
    let signature = secp256k1::schnorr::Signature::from_byte_array(signature.to_bytes());
    let key = keys
        .public_key()
        .xonly()
        .expect("it was made from a secret key");
    let (began, mut done) = (Instant::now(), 0.0);
    while began.elapsed() < VERIFYING {
        let good = secp.verify_schnorr(black_box(&signature), &digest, &key);
        debug_assert!(good.is_ok(), "it was just signed");
        black_box(good.is_ok());
        done += 1.0;
    }
    done / began.elapsed().as_secs_f64()
}

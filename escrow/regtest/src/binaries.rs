//! The four programs, built once from the pinned Go modules.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::time::sleep;

use crate::error::{RegtestError, Result};
use crate::process::last_lines;

/// Names a folder that holds the four programs already; nothing is built then.
pub const GIVEN_FOLDER: &str = "REGTEST_BINARIES";
/// Names the folder in which builds are kept.
const CACHE_FOLDER: &str = "REGTEST_CACHE";

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/regtest/go");
const GO_MOD: &str = include_str!("../../../deploy/regtest/go/go.mod");
const GO_SUM: &str = include_str!("../../../deploy/regtest/go/go.sum");

/// The parts of LND that the escrow talks to, and what lncli needs.
const TAGS: &str = "invoicesrpc signrpc walletrpc chainrpc peersrpc";

const PROGRAMS: [(&str, &str); 4] = [
    ("btcd", "github.com/btcsuite/btcd"),
    ("btcctl", "github.com/btcsuite/btcd/cmd/btcctl"),
    ("lncli", "github.com/lightningnetwork/lnd/cmd/lncli"),
    ("lnd", "github.com/lightningnetwork/lnd/cmd/lnd"),
];

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A folder with `btcd`, `btcctl`, `lnd` and `lncli`.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The programs of the versions in `deploy/regtest/go`.
    ///
    /// The first call on a machine builds them, which takes six to twelve
    /// minutes on two cores; later ones find them in the cache. Of several
    /// calls at once, one builds and the others wait for it.
    ///
    /// # Errors
    /// [`RegtestError::NoGo`] if they have to be built and cannot.
    pub async fn ready(say: &(dyn Fn(&str) + Sync)) -> Result<Binaries> {
        if let Some(folder) = env::var_os(GIVEN_FOLDER) {
            return Ok(Binaries::in_folder(folder));
        }
        let found = Binaries::in_folder(cache_folder().join(recipe()));
        if !found.folder.is_dir() {
            found.build_alone(say).await?;
        }
        Ok(found)
    }

    /// The programs in a folder that somebody else has filled.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Binaries {
        Binaries {
            folder: folder.into(),
        }
    }

    /// Where the programs lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    async fn build_alone(&self, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let failed = RegtestError::system(format!("write to {}", self.folder.display()));
        let lock = self.folder.with_extension("lock");
        let lock = fs::create_dir_all(cache_folder()).and_then(|()| File::create(lock));
        let lock = lock.map_err(failed)?;
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            sleep(LOOK_EVERY).await;
        }
        if self.folder.is_dir() {
            return Ok(());
        }
        self.build(say).await
    }

    /// Builds beside the final folder, which so appears as a whole or not at all.
    async fn build(&self, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
        if !go()
            .arg("version")
            .status()
            .await
            .is_ok_and(|end| end.success())
        {
            return Err(RegtestError::NoGo);
        }
        let log = self.folder.with_extension("log");
        say(&format!(
            "building btcd and LND, once on this machine: 6 to 12 minutes; output in {}",
            log.display()
        ));
        let unfinished = self.folder.with_extension("unfinished");
        let failed = RegtestError::system(format!("build in {}", self.folder.display()));
        let output = File::create(&log).map_err(&failed)?;
        let errors = output.try_clone().map_err(&failed)?;
        let mut build = go();
        build
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"])
            .arg(format!("-tags={TAGS}"))
            .arg("-o")
            .arg(unfinished.join(""))
            .args(PROGRAMS.map(|(_, package)| package))
            .stdout(output)
            .stderr(errors);
        let end = build.status().await.map_err(&failed)?;
        if !end.success() {
            let tail = last_lines(&log);
            return Err(RegtestError::Build { log, tail });
        }
        fs::rename(&unfinished, &self.folder).map_err(&failed)
    }
}

/// Go with nothing of the user's settings that would change the programs.
fn go() -> Command {
    let mut go = Command::new("go");
    go.current_dir(MODULE)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    go
}

/// The name of a build: other modules or tags, another folder.
fn recipe() -> String {
    let mut digest = Sha256::new();
    for part in [GO_MOD, GO_SUM, TAGS, env::consts::OS, env::consts::ARCH] {
        digest.update(part);
        digest.update([0]);
    }
    let name = digest.finalize();
    faster_hex::hex_string(name.get(..8).unwrap_or_default())
}

fn cache_folder() -> PathBuf {
    if let Some(folder) = env::var_os(CACHE_FOLDER) {
        return folder.into();
    }
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(home).unwrap_or_else(env::temp_dir);
    cache.join("mostro-relay-regtest")
}

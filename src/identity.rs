//! Who the node is: its data directory, its key and its secret.
//!
//! The key signs and names the node. The secret is independent of it: the
//! preimages of all hold invoices are derived from it, so whoever loses it can
//! settle nothing, and a node key that changes strands no sats.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nostr::key::{Keys, SecretKey};
use rand_chacha::rand_core::{OsRng, TryRngCore};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};

const LOCK_FILE: &str = "lock";
const KEY_FILE: &str = "node.key";
const SECRET_FILE: &str = "secret";

/// What the node is on this machine, for as long as it runs.
#[derive(Debug)]
pub struct Identity {
    /// The key that signs for the node.
    pub keys: Keys,
    /// From which preimages are derived; `Debug` does not show it.
    pub secret: SecretBox<[u8; 32]>,
    /// Keeps other processes off the data directory until it is dropped.
    pub lock: DataLock,
}

/// The exclusive use of a data directory; the operating system gives it back
/// when the process ends, however it ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Why the node has no identity; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another process uses the data directory.
    #[error(
        "{} is locked: another process is running on this data directory. \
         Stop it first, or set node.data_dir to another folder.", .0.display()
    )]
    Locked(PathBuf),
    /// Others than the owner could read a secret file.
    #[error(
        "{} can be read by others (mode {mode:03o}). If nobody else has read it, run \
         `chmod 600 {}`.", .path.display(), .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file that holds something else.
    #[error(
        "{} does not hold 64 hexadecimal digits of a valid key. Restore it from your backup.",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The ledger is there and the secret is gone.
    #[error(
        "{} is missing, but there is a ledger in this data directory: its hold invoices cannot \
         be settled without it. Restore the file from your backup.", .0.display()
    )]
    SecretLost(PathBuf),
    /// The file system said no.
    #[error("cannot {action} {}: {source}", .path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Identity {
    /// Makes `data_dir` this process's own and finds out who the node is.
    ///
    /// The key is the `configured` one, or the one in `node.key`, which is made
    /// on the first start. The secret is made on the first start only: once the
    /// file `ledger` exists in the directory, a missing one is an error. When
    /// this returns, new files are on disk.
    ///
    /// # Errors
    ///
    /// Nothing that is there already is changed or replaced.
    pub fn open(
        data_dir: &Path,
        configured: Option<&Keys>,
        ledger: &Path,
    ) -> Result<Identity, IdentityError> {
        create_private_folder(data_dir)?;
        let lock = lock(&data_dir.join(LOCK_FILE))?;
        let secret = secret(&data_dir.join(SECRET_FILE), &data_dir.join(ledger))?;
        let keys = match configured {
            Some(keys) => keys.clone(),
            None => node_key(&data_dir.join(KEY_FILE))?,
        };
        Ok(Identity { keys, secret, lock })
    }
}

/// A folder that is there keeps its mode: the operator may share it on purpose,
/// and the files inside that matter are private by themselves.
fn create_private_folder(path: &Path) -> Result<(), IdentityError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(disk("create the folder", path))
}

fn lock(path: &Path) -> Result<DataLock, IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(disk("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(IdentityError::Locked(path.into())),
        Err(TryLockError::Error(source)) => Err(disk("lock", path)(source)),
    }
}

fn secret(path: &Path, ledger: &Path) -> Result<SecretBox<[u8; 32]>, IdentityError> {
    if let Some(secret) = read_secret_file(path)? {
        return Ok(secret);
    }
    if ledger.try_exists().map_err(disk("look for", ledger))? {
        return Err(IdentityError::SecretLost(path.into()));
    }
    let secret = random_bytes(path)?;
    write_secret_file(path, &secret)?;
    Ok(secret)
}

fn node_key(path: &Path) -> Result<Keys, IdentityError> {
    if let Some(bytes) = read_secret_file(path)? {
        let key = SecretKey::from_slice(bytes.expose_secret());
        return key
            .map(Keys::new)
            .map_err(|_| IdentityError::Damaged(path.into()));
    }
    let keys = Keys::generate();
    let bytes = SecretBox::new(Box::new(keys.secret_key().to_secret_bytes()));
    write_secret_file(path, &bytes)?;
    Ok(keys)
}

fn random_bytes(path: &Path) -> Result<SecretBox<[u8; 32]>, IdentityError> {
    let mut bytes = SecretBox::new(Box::new([0; 32]));
    let drawn = OsRng.try_fill_bytes(bytes.expose_secret_mut());
    drawn.map_err(|why| disk("draw random bytes for", path)(io::Error::other(why)))?;
    Ok(bytes)
}

/// The bytes of a file of 64 hexadecimal digits; `None` if there is no file.
fn read_secret_file(path: &Path) -> Result<Option<SecretBox<[u8; 32]>>, IdentityError> {
    let text = match std::fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(disk("read", path)(why)),
    };
    let mode = std::fs::metadata(path)
        .map_err(disk("read", path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed {
            path: path.into(),
            mode,
        });
    }
    let mut bytes = SecretBox::new(Box::new([0; 32]));
    let target = bytes.expose_secret_mut();
    faster_hex::hex_decode(text.trim_ascii(), target)
        .map_err(|_| IdentityError::Damaged(path.into()))?;
    Ok(Some(bytes))
}

/// Writes the file beside its place and moves it there when it is on disk.
///
/// The power may fail at any moment: before the move there is no file and the
/// next start draws again; after it, the file is whole. What was drawn is used
/// only once the folder is on disk too.
fn write_secret_file(path: &Path, bytes: &SecretBox<[u8; 32]>) -> Result<(), IdentityError> {
    let text = Zeroizing::new(faster_hex::hex_string(bytes.expose_secret()) + "\n");
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let write = || {
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(disk("write", path))
}

fn disk<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> IdentityError + 'a {
    move |source| IdentityError::Disk {
        action,
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    const LEDGER: &str = "ledger.redb";

    fn open(folder: &Path) -> Result<Identity, IdentityError> {
        Identity::open(folder, None, Path::new(LEDGER))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_start_is_the_same_node() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("some").join("data");
        let first = open(&data).unwrap();
        let (key, secret) = (first.keys.public_key(), *first.secret.expose_secret());
        drop(first);
        let second = open(&data).unwrap();
        assert_eq!(second.keys.public_key(), key);
        assert_eq!(*second.secret.expose_secret(), secret);
        assert_ne!(second.keys.secret_key().to_secret_bytes(), secret);
    }

    #[test]
    fn what_is_made_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let identity = open(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        for file in [KEY_FILE, SECRET_FILE, LOCK_FILE] {
            assert_eq!(mode(&data.join(file)), 0o600, "{file}");
        }
        let key = fs::read_to_string(data.join(KEY_FILE)).unwrap();
        assert_eq!(key, identity.keys.secret_key().to_secret_hex() + "\n");
        assert!(!format!("{identity:?}").contains(key.trim()));
    }

    #[test]
    fn z2_a_second_process_is_told_which_lock_keeps_it_out() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert!(matches!(&refused, IdentityError::Locked(path) if path.ends_with(LOCK_FILE)));
        drop(first);
        open(folder.path()).unwrap();
    }

    #[test]
    fn a_configured_key_goes_before_the_file_and_leaves_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let configured = Keys::generate();
        let identity = Identity::open(folder.path(), Some(&configured), Path::new(LEDGER)).unwrap();
        assert_eq!(identity.keys, configured);
        assert!(!folder.path().join(KEY_FILE).exists());
    }

    #[test]
    fn a_lost_secret_is_never_replaced_beside_a_ledger() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LEDGER), "").unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert!(matches!(refused, IdentityError::SecretLost(_)), "{refused}");
        assert!(!folder.path().join(SECRET_FILE).exists());
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        for file in [KEY_FILE, SECRET_FILE] {
            let folder = tempfile::tempdir().unwrap();
            drop(open(folder.path()).unwrap());
            let path = folder.path().join(file);
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let refused = open(folder.path()).unwrap_err();
            assert!(
                matches!(refused, IdentityError::Exposed { mode: 0o640, .. }),
                "{refused}"
            );
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        for (file, text) in [
            (KEY_FILE, "short"),
            (SECRET_FILE, ""),
            (
                KEY_FILE,
                "0000000000000000000000000000000000000000000000000000000000000000\n",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            drop(open(folder.path()).unwrap());
            let path = folder.path().join(file);
            fs::write(&path, text).unwrap();
            let refused = open(folder.path()).unwrap_err();
            assert!(matches!(refused, IdentityError::Damaged(_)), "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}

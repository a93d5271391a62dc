//! How a record becomes bytes: one version byte, then JSON.
//!
//! JSON, because a person can read a ledger with nothing but a hex dump; a
//! version in front of each record, because rows are rewritten one by one
//! and never all at once.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::StorageError;
use super::table::Table;

/// Something that is kept in a table of its own kind.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The version that is written.
    const VERSION: u8 = 1;

    /// Turns the JSON of version `from` into that of the version after it.
    /// Overridden by a kind whose shape has changed; see `FORMAT.md`.
    fn upgrade(from: u8, json: Value) -> Value {
        let _ = from;
        json
    }
}

/// The bytes of a record.
pub(crate) fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = vec![R::VERSION];
    serde_json::to_writer(&mut bytes, record)
        .expect("our records are plain data: string keys, finite numbers, memory that grows");
    bytes
}

/// The record of these bytes, whichever version wrote them.
///
/// # Errors
/// `NewerRecord` for a version from the future, `Damaged` for anything else
/// that cannot be read.
pub(crate) fn decode<R: Record>(table: Table, bytes: &[u8]) -> Result<R, StorageError> {
    let damaged = |what: String| StorageError::Damaged {
        table: table.name(),
        what,
    };
    let (&version, json) = bytes
        .split_first()
        .ok_or_else(|| damaged("it is empty".into()))?;
    // As a whole this is checked in no time, string by string it is not.
    let json = || std::str::from_utf8(json).map_err(|e| damaged(e.to_string()));
    match version {
        0 => Err(damaged("its version is 0".into())),
        v if v == R::VERSION => serde_json::from_str(json()?).map_err(|e| damaged(e.to_string())),
        v if v < R::VERSION => {
            let old = serde_json::from_str(json()?).map_err(|e| damaged(e.to_string()))?;
            let json = (v..R::VERSION).fold(old, |json, from| R::upgrade(from, json));
            serde_json::from_value(json).map_err(|e| damaged(e.to_string()))
        }
        found => Err(StorageError::NewerRecord {
            table: table.name(),
            found,
            known: R::VERSION,
        }),
    }
}

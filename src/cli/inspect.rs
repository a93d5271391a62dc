//! What the operator asks of a box, whether it runs or not.
//!
//! A running box is asked through its [operator's door](crate::operator_door);
//! of one that is stopped, the ledger is read.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use storage::ledger::{Ledger, StorageError, View};
use uuid::Uuid;

use crate::node::LEDGER;
use crate::operator_door::{self, DoorError};
use crate::overview;
use crate::prices::KeptError;

/// Which box, and how its answer is printed.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Data directory of the box; without it, that of the settings.
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No box was ever started on this folder.
    #[error(
        "{} does not exist: no box has run with this data directory; --settings or --data-dir \
         names another",
        .0.display()
    )]
    NoLedger(PathBuf),
    /// Only a running box can do it.
    #[error("no box runs with the data directory {}: start it first", .0.display())]
    NotRunning(PathBuf),
    /// There is no folder.
    #[error(
        "{} does not exist: no box has run with this data directory; --settings or --data-dir \
         names another",
        .0.display()
    )]
    NoBox(PathBuf),
    /// The rules are against it.
    #[error("{advice} ({word})")]
    Unwilling {
        /// What he can do.
        advice: &'static str,
        /// The word of the protocol.
        word: String,
    },
    /// He was not sure.
    #[error("nothing is done: answer y, or add --yes")]
    NotConfirmed,
    /// There is none.
    #[error("there is no order {0}")]
    NoSuchOrder(Uuid),
    /// Somebody has changed it.
    #[error("the audit journal is not as it was written: {0}")]
    BrokenJournal(String),
    /// The prices of a stopped box cannot be read.
    #[error(transparent)]
    Prices(#[from] KeptError),
    /// The ledger of a stopped box cannot be read.
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] StorageError),
    /// The running box does not say.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Nowhere to print.
    #[error("cannot print: {0}")]
    Io(#[from] io::Error),
}

/// Asks the box under `path`, or its ledger, and prints the answer. It is the one whose
/// folder `args` name, or else that of the settings.
pub(super) async fn print<T>(
    args: &InspectArgs,
    data_dir_of_settings: &Path,
    path: &str,
    of_ledger: impl FnOnce(&View) -> Result<T, StorageError>,
    in_words: impl FnOnce(&T) -> String,
) -> Result<(), InspectError>
where
    T: Serialize + DeserializeOwned,
{
    let answer = asked(args, data_dir_of_settings, path, of_ledger).await?;
    show(args, &answer, in_words)
}

/// What the box answers under `path`, or its ledger.
pub(super) async fn asked<T: DeserializeOwned>(
    args: &InspectArgs,
    data_dir_of_settings: &Path,
    path: &str,
    of_ledger: impl FnOnce(&View) -> Result<T, StorageError>,
) -> Result<T, InspectError> {
    let data_dir = args.data_dir.as_deref().unwrap_or(data_dir_of_settings);
    match operator_door::ask(data_dir, path).await? {
        Some(answer) => Ok(answer),
        None => of_stopped_box(&data_dir.join(LEDGER), of_ledger),
    }
}

/// Prints an answer.
pub(super) fn show<T: Serialize>(
    args: &InspectArgs,
    answer: &T,
    in_words: impl FnOnce(&T) -> String,
) -> Result<(), InspectError> {
    let text = if args.json {
        let json = serde_json::to_string(answer).map_err(io::Error::other)?;
        format!("{json}\n")
    } else {
        in_words(answer)
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// The same, of a box whose answer is not in the ledger while it is stopped.
pub(super) async fn print_of<T>(
    args: &InspectArgs,
    data_dir_of_settings: &Path,
    path: &str,
    of_stopped_box: impl FnOnce(&Path) -> Result<T, InspectError>,
    in_words: impl FnOnce(&T) -> String,
) -> Result<(), InspectError>
where
    T: Serialize + DeserializeOwned,
{
    let data_dir = args.data_dir.as_deref().unwrap_or(data_dir_of_settings);
    let answer = match operator_door::ask(data_dir, path).await? {
        Some(answer) => answer,
        None => of_stopped_box(data_dir)?,
    };
    show(args, &answer, in_words)
}

/// Sees that the box runs.
pub(super) async fn must_run(
    args: &InspectArgs,
    data_dir_of_settings: &Path,
) -> Result<(), InspectError> {
    let data_dir = args.data_dir.as_deref().unwrap_or(data_dir_of_settings);
    match operator_door::ask::<IgnoredAny>(data_dir, overview::STATUS).await? {
        Some(_status) => Ok(()),
        None => Err(InspectError::NotRunning(data_dir.into())),
    }
}

/// Tells the running box under `path` to do something.
pub(super) async fn order<B: Serialize>(
    args: &InspectArgs,
    data_dir_of_settings: &Path,
    path: &str,
    body: &B,
) -> Result<(), InspectError> {
    let data_dir = args.data_dir.as_deref().unwrap_or(data_dir_of_settings);
    match operator_door::tell::<(), B>(data_dir, path, body).await? {
        Some(()) => Ok(io::stdout().write_all(b"done\n")?),
        None => Err(InspectError::NotRunning(data_dir.into())),
    }
}

/// Reads the ledger of a box that does not run; a view is good only while it is open.
fn of_stopped_box<T>(
    ledger: &Path,
    question: impl FnOnce(&View) -> Result<T, StorageError>,
) -> Result<T, InspectError> {
    // To open a ledger that is not there would make one.
    if !ledger.try_exists()? {
        return Err(InspectError::NoLedger(ledger.into()));
    }
    let ledger = Ledger::open(ledger)?;
    Ok(question(&ledger.views().view()?)?)
}

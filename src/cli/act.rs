//! What the operator does to a running box: he is asked first where it cannot be
//! taken back.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Args;

use super::inspect::{self, InspectArgs, InspectError};
use crate::operator::Act;
use crate::overview;

/// Whether he is sure.
#[derive(Clone, Copy, Debug, Args)]
pub struct SureArgs {
    /// Do not ask whether it is meant.
    #[arg(long)]
    yes: bool,
}

/// Does it, once he has said that he is sure of what `question` asks.
pub(super) async fn surely(
    sure: SureArgs,
    question: &str,
    args: &InspectArgs,
    data_dir: &Path,
    act: &Act,
) -> Result<(), InspectError> {
    if sure.yes || confirms(question)? {
        at_once(args, data_dir, act).await
    } else {
        Err(InspectError::NotConfirmed)
    }
}

/// Does what can be taken back.
pub(super) async fn at_once(
    args: &InspectArgs,
    data_dir: &Path,
    act: &Act,
) -> Result<(), InspectError> {
    inspect::order(args, data_dir, overview::ACT, act).await
}

/// A script has nobody who could answer: it says `--yes`.
fn confirms(question: &str) -> io::Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

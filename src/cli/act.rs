//! What the operator does to a running box: he is asked first where it cannot be
//! taken back.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Args;

use super::inspect::{self, InspectArgs, InspectError};
use crate::operator::Act;
use crate::operator_door::DoorError;
use crate::overview;

/// Whether he is sure.
#[derive(Clone, Copy, Debug, Args)]
pub struct SureArgs {
    /// Do not ask whether it is meant.
    #[arg(long)]
    yes: bool,
}

/// Does it, once he has said that he is sure of what `question` asks. Nobody is asked
/// for something that cannot be done.
pub(super) async fn surely(
    sure: SureArgs,
    question: &str,
    args: &InspectArgs,
    data_dir: &Path,
    act: &Act,
) -> Result<(), InspectError> {
    inspect::must_run(args, data_dir).await?;
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
    let done = inspect::order(args, data_dir, overview::ACT, act).await;
    done.map_err(|why| explained(why, act))
}

/// A refusal is a word of the protocol; the operator is told what he can do.
fn explained(why: InspectError, act: &Act) -> InspectError {
    let InspectError::Door(DoorError::Refused(word)) = why else {
        return why;
    };
    match advice(act, &word) {
        Some(advice) => InspectError::Unwilling { advice, word },
        None => DoorError::Refused(word).into(),
    }
}

fn advice(act: &Act, word: &str) -> Option<&'static str> {
    match act {
        Act::TakeDispute(_) => match word {
            "not_found" => Some("there is no such dispute: `disputes` lists the open ones"),
            "invalid_pubkey" => Some("the dispute is over: `order ID` tells how it ended"),
            _ => None,
        },
        Act::Settle(_) | Act::Cancel { .. } => match word {
            "not_found" => Some("there is no such order: `orders` lists those that are not over"),
            "is_not_your_dispute" => Some(
                "no dispute of yours is open about it: `disputes` lists the open ones, and \
                 `dispute take ID` makes one yours; without one it is for its parties to end",
            ),
            "invalid_order_status" | "not_allowed_by_status" => {
                Some("there is nothing left to rule: `order ID` tells what has happened to it")
            }
            _ => None,
        },
        Act::AddSolver(_) => match word {
            "invalid_text_message" => {
                Some("that is no key: it must be npub1… or 64 hexadecimal digits")
            }
            "invalid_parameters" => Some("after the key comes nothing, :read or :read-write"),
            _ => None,
        },
        Act::RemoveSolver(_) => match word {
            "not_found" => Some("he is no solver: `solver list` tells who is"),
            _ => None,
        },
        Act::Maintenance { .. } => match word {
            "invalid_parameters" => {
                Some("the node gives this reason when Lightning is away: say it in other words")
            }
            _ => None,
        },
    }
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

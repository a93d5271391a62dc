//! `mostro-relay mirror status`: how the external relays are.
//!
//! A running box is asked through its [operator's door](crate::operator_door);
//! of one that is stopped, the ledger is read.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use escrow_core::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};
use storage::ledger::{Ledger, StorageError};

use crate::mirror::{self, LineState, MirrorStatus};
use crate::node::LEDGER;
use crate::operator_door::{self, DoorError};

/// Look at the external relays.
#[derive(Clone, Debug, Args)]
pub struct MirrorArgs {
    #[command(subcommand)]
    action: Action,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Data directory of the box; without it, that of the settings.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) data_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Tell what waits for each mirror, and how its lines are.
    Status,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum MirrorCallError {
    /// No box was ever started on this folder.
    #[error("{} does not exist: no box has run with this data directory", .0.display())]
    NoLedger(PathBuf),
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

/// Does what `args` ask for with the box on `data_dir`.
///
/// # Errors
/// Why nothing can be told.
pub async fn run(args: &MirrorArgs, data_dir: &Path) -> Result<(), MirrorCallError> {
    let Action::Status = args.action;
    let all = match operator_door::ask(data_dir, mirror::PATH).await? {
        Some(all) => all,
        None => of_stopped_box(&data_dir.join(LEDGER))?,
    };
    let text = if args.json {
        json_line(&all)
    } else {
        told(&all, SystemClock.now())
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn of_stopped_box(ledger: &Path) -> Result<Vec<MirrorStatus>, MirrorCallError> {
    // To open a ledger that is not there would make one.
    if !ledger.try_exists()? {
        return Err(MirrorCallError::NoLedger(ledger.into()));
    }
    let view = Ledger::open(ledger)?.views().view()?;
    Ok(MirrorStatus::of_ledger(&view)?)
}

fn json_line(all: &[MirrorStatus]) -> String {
    let json = serde_json::to_string(all).expect("a list of plain data");
    format!("{json}\n")
}

fn told(all: &[MirrorStatus], now: UnixTime) -> String {
    if all.is_empty() {
        return "no mirrors\n".into();
    }
    let mut lines = String::new();
    for mirror in all {
        let mut put = |name: &str, value: String| {
            writeln!(lines, "{name:<22} {value}").expect("a String takes everything");
        };
        let ago = |at: UnixTime| format!("{} s ago", now.secs_since(at));
        let at = |at: Option<UnixTime>| at.map_or_else(|| "never".into(), ago);
        let line = |state: &Option<LineState>| match state {
            None => "not in use".into(),
            Some(LineState::Up { since }) => format!("up for {} s", now.secs_since(*since)),
            Some(LineState::Away { since, why }) => {
                format!("away for {} s: it {why}", now.secs_since(*since))
            }
        };
        put("mirror", mirror.url.clone());
        put("  outward line", line(&mirror.outward));
        put("  inward line", line(&mirror.inward));
        put("  events waiting", mirror.waiting.to_string());
        if let Some(oldest) = mirror.oldest_waiting_at {
            put("  oldest made", ago(oldest));
        }
        put("  last acknowledged", at(mirror.acknowledged_at));
        put("  refused for good", mirror.given_up.to_string());
        if let Some(why) = &mirror.last_refusal {
            put("  last refusal", why.clone());
        }
        put("  read until", at(mirror.read_until));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_told_in_lines() {
        let status = MirrorStatus {
            url: "wss://relay.example".into(),
            outward: Some(LineState::Away {
                since: UnixTime(900),
                why: "hung up".into(),
            }),
            inward: None,
            waiting: 3,
            oldest_waiting_at: Some(UnixTime(940)),
            given_up: 1,
            last_refusal: Some("blocked: no".into()),
            acknowledged_at: None,
            read_until: Some(UnixTime(990)),
        };
        let expected = "\
mirror                 wss://relay.example
  outward line         away for 100 s: it hung up
  inward line          not in use
  events waiting       3
  oldest made          60 s ago
  last acknowledged    never
  refused for good     1
  last refusal         blocked: no
  read until           10 s ago
";
        assert_eq!(told(&[status], UnixTime(1_000)), expected);
        assert_eq!(told(&[], UnixTime(0)), "no mirrors\n");
    }
}

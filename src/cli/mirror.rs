//! `mostro-relay mirror status`: how the external relays are.

use std::fmt::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use escrow_core::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};

use super::inspect::{self, InspectArgs, InspectError};
use crate::mirror::{self, LineState, MirrorStatus};

/// Look at the external relays.
#[derive(Clone, Debug, Args)]
pub struct MirrorArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    inspect: InspectArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Tell what waits for each mirror, and how its lines are.
    Status,
}

/// Does what `args` ask for with the box of the settings, unless
/// they name another.
///
/// # Errors
/// Why nothing can be told.
pub async fn run(args: &MirrorArgs, data_dir: &Path) -> Result<(), InspectError> {
    let Action::Status = args.action;
    let of_ledger = MirrorStatus::of_ledger;
    let in_words = |all: &Vec<MirrorStatus>| told(all, SystemClock.now());
    inspect::print(&args.inspect, data_dir, mirror::PATH, of_ledger, in_words).await
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
        let earlier = if mirror.is_filled {
            "all brought up"
        } else {
            "still being brought up"
        };
        put("  earlier events", earlier.into());
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
            is_filled: false,
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
  earlier events       still being brought up
  last acknowledged    never
  refused for good     1
  last refusal         blocked: no
  read until           10 s ago
";
        assert_eq!(told(&[status], UnixTime(1_000)), expected);
        assert_eq!(told(&[], UnixTime(0)), "no mirrors\n");
    }
}

//! `mostro-relay prices`: each source, each price, and what was cut.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use escrow_core::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};

use super::inspect::{self, InspectArgs, InspectError};
use crate::prices::{
    self, Board, Deviation, Kept, PriceStatus, PricesStatus, SourceId, SourceState, SourceStatus,
};
use crate::settings::Settings;

/// Tell what a bitcoin costs, and who says so.
#[derive(Clone, Debug, Args)]
pub struct PricesArgs {
    #[command(flatten)]
    inspect: InspectArgs,
}

/// Asks the box of the settings, unless `args` name another; of one that is
/// stopped it tells the prices that were kept.
///
/// # Errors
/// Why nothing can be told.
pub async fn run(args: &PricesArgs, settings: &Settings) -> Result<(), InspectError> {
    let max_age = settings.price.max_price_staleness;
    let of_stopped_box = |data_dir: &Path| {
        if !data_dir.try_exists()? {
            return Err(InspectError::NoBox(data_dir.into()));
        }
        let kept = Kept::in_folder(data_dir).read()?;
        let board = Board::new(kept, max_age);
        Ok(PricesStatus::of_kept(&board, SystemClock.now()))
    };
    let data_dir = &settings.node.data_dir;
    inspect::print_of(&args.inspect, data_dir, prices::PATH, of_stopped_box, told).await
}

fn told(status: &PricesStatus) -> String {
    let now = status.told_at;
    let mut text = String::new();
    if status.is_running {
        put(&mut text, "asked", &asked(status.asked_at, now));
        for source in &status.sources {
            tell_source(&mut text, source, now);
        }
    } else {
        text.push_str("the box is stopped: these are the prices it kept\n");
    }
    for price in &status.prices {
        text.push_str(&price_line(price));
    }
    if status.prices.is_empty() {
        text.push_str("no prices\n");
    }
    text
}

fn asked(at: Option<UnixTime>, now: UnixTime) -> String {
    at.map_or_else(
        || "not yet".into(),
        |at| format!("{} s ago", now.secs_since(at)),
    )
}

fn tell_source(text: &mut String, source: &SourceStatus, now: UnixTime) {
    put(text, "source", source.source.name());
    put(text, "  state", &state(&source.state, now));
    let given = asked(source.answered_at, now);
    put(text, "  prices", &format!("{}, {given}", source.prices));
    if let Some(farthest) = &source.farthest {
        put(text, "  farthest", &deviation(farthest));
    }
    for cut in &source.cut {
        put(text, "  cut", &deviation(cut));
    }
}

fn state(state: &SourceState, now: UnixTime) -> String {
    match state {
        SourceState::Unasked => "not asked yet".into(),
        SourceState::Well => "well".into(),
        SourceState::Failing { failures, why } => format!("failing, {failures} in a row: {why}"),
        SourceState::Resting {
            until,
            failures,
            why,
        } => {
            let left = until.secs_since(now);
            format!("left alone for {left} s after {failures} failures: {why}")
        }
    }
}

fn deviation(deviation: &Deviation) -> String {
    let Deviation {
        code,
        units,
        percent,
    } = deviation;
    format!("{code} {units}, {percent:+.2} %")
}

fn price_line(price: &PriceStatus) -> String {
    let PriceStatus {
        code,
        units,
        age_secs,
        ..
    } = price;
    let served = if price.is_served { "" } else { ", too old" };
    let relayed = if price.is_relayed { ", relayed" } else { "" };
    let cut = match &price.cut[..] {
        [] => String::new(),
        cut => format!(", without {}", names(cut)),
    };
    let sources = names(&price.sources);
    format!("{code:<5} {units:>18.2}  {age_secs} s old{served}{relayed}, by {sources}{cut}\n")
}

fn names(sources: &[SourceId]) -> String {
    let names: Vec<_> = sources.iter().map(|source| source.name()).collect();
    names.join(" ")
}

fn put(text: &mut String, name: &str, value: &str) {
    writeln!(text, "{name:<12} {value}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(source: SourceId, state: SourceState) -> SourceStatus {
        SourceStatus {
            source,
            state,
            answered_at: None,
            prices: 0,
            farthest: None,
            cut: Vec::new(),
        }
    }

    fn status() -> PricesStatus {
        let deviation = Deviation {
            code: "EUR".into(),
            units: 9_000.0,
            percent: -80.0,
        };
        let yadio = SourceStatus {
            answered_at: Some(UnixTime(990)),
            prices: 2,
            farthest: Some(deviation.clone()),
            cut: vec![deviation],
            ..source(SourceId::Yadio, SourceState::Well)
        };
        let resting = SourceState::Resting {
            until: UnixTime(1_100),
            failures: 3,
            why: "took too long".into(),
        };
        let price = PriceStatus {
            code: "EUR".into(),
            units: 45_000.0,
            observed_at: UnixTime(990),
            age_secs: 10,
            is_served: true,
            is_relayed: false,
            sources: vec![SourceId::Blockchain, SourceId::Coingecko],
            cut: vec![SourceId::Yadio],
        };
        let old = PriceStatus {
            code: "CUP".into(),
            units: 2e7,
            age_secs: 9_000,
            is_served: false,
            is_relayed: true,
            sources: vec![SourceId::Nostr],
            cut: Vec::new(),
            ..price.clone()
        };
        PricesStatus {
            is_running: true,
            told_at: UnixTime(1_000),
            asked_at: Some(UnixTime(990)),
            sources: vec![yadio, source(SourceId::Eltoque, resting)],
            prices: vec![old, price],
        }
    }

    #[test]
    fn sources_and_prices_are_told_in_lines() {
        let expected = "\
asked        10 s ago
source       yadio
  state      well
  prices     2, 10 s ago
  farthest   EUR 9000, -80.00 %
  cut        EUR 9000, -80.00 %
source       eltoque
  state      left alone for 100 s after 3 failures: took too long
  prices     0, not yet
CUP          20000000.00  9000 s old, too old, relayed, by nostr
EUR             45000.00  10 s old, by blockchain coingecko, without yadio
";
        assert_eq!(told(&status()), expected);
    }

    #[test]
    fn a_box_that_is_stopped_tells_what_it_kept() {
        let stopped = PricesStatus {
            is_running: false,
            sources: Vec::new(),
            prices: Vec::new(),
            ..status()
        };
        let expected = "the box is stopped: these are the prices it kept\nno prices\n";
        assert_eq!(told(&stopped), expected);
    }
}

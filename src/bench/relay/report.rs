//! What was measured of a relay, in words and in JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Scenario;
use crate::bench::report::spread;
use crate::bench::times::{Share, Times};

/// One case of a scenario.
#[derive(Clone, Debug)]
pub struct Row {
    scenario: Scenario,
    case: String,
    figures: Vec<Figure>,
    /// Signatures that all cores of this machine check in a second.
    verified_per_second: f64,
}

/// Something that was measured.
#[derive(Clone, Debug)]
pub(super) enum Figure {
    /// So many in a second.
    Rate(&'static str, f64),
    /// How long something took.
    Wait(&'static str, Times),
    /// So many of something.
    Count(&'static str, usize),
    /// Memory in KiB.
    Kib(&'static str, f64),
    /// What cannot be told in numbers.
    Words(&'static str, String),
}

impl Row {
    pub(super) fn new(scenario: Scenario, case: impl Into<String>, figures: Vec<Figure>) -> Row {
        Row {
            scenario,
            case: case.into(),
            figures,
            verified_per_second: f64::NAN,
        }
    }

    /// Compares the rates with what the machine can verify.
    pub(super) fn on(mut self, verified_per_second: f64) -> Row {
        self.verified_per_second = verified_per_second;
        self
    }

    /// One JSON object. Waits are in milliseconds, memory in KiB, and
    /// `of_verify_rate` is the rate divided by the signatures that all cores
    /// check in a second.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("part".into(), json!("relay"));
        object.insert("scenario".into(), json!(self.scenario.name()));
        object.insert("case".into(), json!(self.case));
        let verified = self.verified_per_second.round();
        object.insert("verified_per_second".into(), json!(verified));
        for figure in &self.figures {
            let (name, value) = match figure {
                Figure::Rate(name, rate) => {
                    let ratio = rounded(self.ratio(*rate), 10_000.0);
                    let rate = rounded(*rate, 10.0);
                    (name, json!({"per_second": rate, "of_verify_rate": ratio}))
                }
                Figure::Wait(name, times) => (name, spread(times)),
                Figure::Count(name, count) => (name, json!(count)),
                Figure::Kib(name, kib) => (name, json!({"kib": rounded(*kib, 10.0)})),
                Figure::Words(name, words) => (name, json!(words)),
            };
            object.insert(key(name), value);
        }
        Value::Object(object)
    }

    /// One line of a table.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut line = format!("{:<16}{:<44}", self.scenario.name(), self.case);
        for figure in &self.figures {
            line.push_str(&self.shown(figure));
        }
        line
    }

    fn shown(&self, figure: &Figure) -> String {
        match figure {
            Figure::Rate(name, rate) => {
                let unit = format!("{name}/s");
                format!("{rate:>9.0} {unit:<13}{:>6.3} ×", self.ratio(*rate))
            }
            Figure::Wait(name, times) => format!(
                "   {name} p50 {:>8}  p99 {:>8}",
                millis(times.within(Share::Half)),
                millis(times.within(Share::MostAll)),
            ),
            Figure::Count(name, count) => format!("   {count} {name}"),
            Figure::Kib(name, kib) => format!("   {name} {kib:.1} KiB"),
            Figure::Words(name, words) => format!("   {name}: {words}"),
        }
    }

    fn ratio(&self, rate: f64) -> f64 {
        rate / self.verified_per_second
    }
}

/// The name of a figure as scripts like it: `idle, each` is `idle_each`.
fn key(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}

fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

/// With as many digits as mean something.
fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 10.0 {
        format!("{millis:.2} ms")
    } else {
        format!("{millis:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_the_same_to_scripts_and_to_people() {
        let mut waits = Times::default();
        waits.add(Duration::from_micros(1_500));
        let figures = vec![
            Figure::Rate("events", 4_500.0),
            Figure::Wait("OK", waits),
            Figure::Count("accepted and found", 7),
            Figure::Kib("idle, each", 20.04),
        ];
        let row = Row::new(Scenario::Ingest, "1059", figures).on(10_000.0);
        let expected = json!({
            "part": "relay", "scenario": "ingest", "case": "1059",
            "verified_per_second": 10_000.0,
            "events": {"per_second": 4_500.0, "of_verify_rate": 0.45},
            "ok": {"count": 1, "p50_ms": 1.5, "p99_ms": 1.5, "max_ms": 1.5},
            "accepted_and_found": 7,
            "idle_each": {"kib": 20.0},
        });
        assert_eq!(row.to_json(), expected);
        let text = row.to_text();
        for words in [
            "4500 events/s",
            "0.450 ×",
            "1.50 ms",
            "7 accepted and found",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}

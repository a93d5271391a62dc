//! Tells the demonstration, to people or to programs.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use escrow_core::amount::{Msat, Sats};
use escrow_core::wire::Payload;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use serde_json::{Value, json};

use super::Scenario;
use super::purse::{Moves, Purse};
use crate::trader::deal::{Scene, Terms, Witness};
use crate::trader::{Answered, Heard};

/// Letters in a line of prose.
const LINE: usize = 90;

/// Writes what happens, as prose or as JSON.
pub(super) struct Storyteller {
    json: bool,
    out: Box<dyn Write + Send>,
    /// When the trade began.
    began: Instant,
    /// When the last thing happened.
    last: Instant,
}

impl Storyteller {
    pub(super) fn new(json: bool, out: Box<dyn Write + Send>) -> Storyteller {
        let now = Instant::now();
        Storyteller {
            json,
            out,
            began: now,
            last: now,
        }
    }

    pub(super) fn opens(&mut self, url: &str, key: PublicKey, folder: &Path, after: Duration) {
        let npub = key.to_bech32().unwrap_or_else(|_| key.to_hex());
        let fact = json!({
            "event": "box", "url": url, "key": key.to_hex(), "npub": npub,
            "folder": folder, "simulated": true, "ms": millis(after),
        });
        self.tells(&fact, || {
            format!(
                "\nA box stands at {url} after {}.\n\
                 Its key is {npub}.\n\
                 Its data is in {} until the end of this scenario.\n\
                 Lightning is SIMULATED: no real money moves.",
                shown(after),
                folder.display(),
            )
        });
    }

    /// A scenario begins, with so much in the wallets.
    pub(super) fn scenario(&mut self, title: &str, purse: &Purse) {
        (self.began, self.last) = (Instant::now(), Instant::now());
        let fact = json!({
            "event": "scenario", "title": title, "balances_msat": balances(purse),
        });
        self.tells(&fact, || {
            format!("\nScenario {title}\nBefore: {}", in_words(purse))
        });
    }

    /// Says what is going to happen.
    pub(super) fn narrates(&mut self, words: &str) {
        let fact = json!({"event": "told", "text": words});
        self.tells(&fact, || format!("\n{}", in_lines(words)));
        self.last = Instant::now();
    }

    /// Says what was looked at and found right.
    pub(super) fn checks(&mut self, what: &str) {
        let fact = json!({"event": "checked", "text": what});
        self.tells(&fact, || format!("              checked: {what}"));
    }

    /// Says what can be shown.
    pub(super) fn lists(&mut self, scenarios: &[Scenario]) {
        for scenario in scenarios {
            let Some(value) = scenario.to_possible_value() else {
                continue;
            };
            let about = value.get_help().map(ToString::to_string);
            let about = about.unwrap_or_default();
            let fact = json!({"event": "scenario", "name": scenario.name(), "about": about});
            self.tells(&fact, || format!("{:<14} {about}", scenario.name()));
        }
    }

    pub(super) fn begins(
        &mut self,
        number: usize,
        of: usize,
        title: &str,
        terms: &Terms,
        purse: &Purse,
    ) {
        (self.began, self.last) = (Instant::now(), Instant::now());
        let fact = json!({
            "event": "trade", "number": number, "title": title,
            "sats": terms.sats.0, "fee_per_side": terms.fee.0,
            "balances_msat": balances(purse),
        });
        self.tells(&fact, || {
            format!(
                "\nTrade {number} of {of}: {title}\n{} for 10 USD; the fee is {} on each side.\n\
                 Before: {}\n",
                amount(terms.sats),
                amount(terms.fee),
                in_words(purse),
            )
        });
    }

    pub(super) fn counts(&mut self, purse: &Purse, moves: &Moves) {
        let fact = json!({
            "event": "balances", "balances_msat": balances(purse),
            "moved_msat": {
                "alice": moves.alice, "bob": moves.bob,
                "operator": moves.operator, "routing": moves.routing,
            },
            "ms": millis(self.began.elapsed()),
        });
        let took = self.began.elapsed();
        self.tells(&fact, || {
            if moves.check_unmoved().is_ok() {
                let after = in_words(purse);
                return format!(
                    "\nAfter:  {after}\nMoved:  nothing. It took {}.",
                    shown(took)
                );
            }
            format!(
                "\nAfter:  {}\nMoved:  alice {}, bob {}, operator {} (routing cost {}). \
                 It took {}.",
                in_words(purse),
                moved(moves.alice),
                moved(moves.bob),
                moved(moves.operator),
                moved(moves.routing).trim_start_matches('+'),
                shown(took),
            )
        });
    }

    pub(super) fn ends_well(&mut self, scenarios: &[Scenario], memory: Option<u64>) {
        let names = names(scenarios);
        let fact = json!({
            "event": "end", "scenarios": names, "resident_bytes": memory, "ok": true,
        });
        self.tells(&fact, || {
            let memory = memory.map_or(String::new(), |bytes| {
                format!(" The process holds {} MB.", bytes / 1_000_000)
            });
            format!(
                "\nAll is well with {}: every message came in its place, and every balance is \
                 right to the sat.{memory}",
                names.join(", ")
            )
        });
    }

    pub(super) fn ends_badly(&mut self, scenario: Scenario, why: &anyhow::Error) {
        let fact = json!({
            "event": "end", "scenario": scenario.name(), "why": format!("{why:#}"), "ok": false,
        });
        self.tells(&fact, || {
            format!("\nScenario {} went wrong: {why:#}", scenario.name())
        });
    }

    fn asked(&mut self, who: &str, action: &str, answered: &Answered) {
        let answer = answered.heard.message.action.as_str();
        let fact = json!({
            "event": "asked", "who": who, "action": action, "answer": answer,
            "sats": sats_in(&answered.heard),
            "kind": answered.heard.event.kind.as_u16(),
            "ok_ms": millis(answered.ok_after), "answer_ms": millis(answered.answered_after),
            "ms": self.step(),
        });
        self.tells(&fact, || {
            let detail = detail(&answered.heard);
            step_line(
                answered.answered_after,
                who,
                &format!(
                    "asks {action:<12} OK after {:>8}, answer {answer}{detail}",
                    shown(answered.ok_after)
                ),
            )
        });
    }

    fn heard(&mut self, who: &str, heard: &Heard) {
        let action = heard.message.action.as_str();
        let ms = self.step();
        let fact = json!({
            "event": "heard", "who": who, "action": action, "sats": sats_in(heard),
            "kind": heard.event.kind.as_u16(), "ms": ms,
        });
        let detail = detail(heard);
        self.happens(&fact, ms, who, &format!("hears {action}{detail}"));
    }

    fn happens(&mut self, fact: &Value, ms: f64, who: &str, what: &str) {
        self.tells(fact, || {
            step_line(Duration::from_secs_f64(ms / 1_000.0), who, what)
        });
    }

    /// Milliseconds since the last step.
    fn step(&mut self) -> f64 {
        let now = Instant::now();
        let step = now.duration_since(self.last);
        self.last = now;
        millis(step)
    }

    fn tells(&mut self, fact: &Value, prose: impl FnOnce() -> String) {
        let line = if self.json { fact.to_string() } else { prose() };
        // Who closes the pipe does not want to hear more; the exit code stays true.
        let _nobody_listens = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

impl Witness for Storyteller {
    fn sees(&mut self, scene: Scene<'_>) {
        match scene {
            Scene::Asked {
                who,
                action,
                answered,
            } => self.asked(who, action.as_str(), answered),
            Scene::Heard { who, heard } => self.heard(who, heard),
            Scene::Paid { who, sats } => {
                let ms = self.step();
                let fact = json!({"event": "paid", "who": who, "sats": sats.0, "ms": ms});
                let what = format!("pays the hold invoice of {}", amount(sats));
                self.happens(&fact, ms, who, &what);
            }
            Scene::Book { who, status } => {
                let (ms, status) = (self.step(), status.as_str());
                let fact = json!({"event": "book", "who": who, "status": status, "ms": ms});
                self.happens(&fact, ms, who, &format!("sees in the book: {status}"));
            }
        }
    }
}

fn step_line(took: Duration, who: &str, what: &str) -> String {
    format!("  +{:>8}  {who:<6} {what}", shown(took))
}

/// What in a message is worth telling.
fn detail(heard: &Heard) -> String {
    let payload = heard.message.payload.as_ref();
    match (heard.order(), payload) {
        (Some(order), Some(Payload::PaymentRequest(..))) => {
            format!(
                ", a hold invoice of {}",
                amount(Sats(order.amount.unsigned_abs()))
            )
        }
        (Some(order), _) => format!(", {}", amount(Sats(order.amount.unsigned_abs()))),
        (None, Some(Payload::Peer(peer))) if peer.pubkey.is_empty() => {
            ", the taker's reputation".to_owned()
        }
        (None, Some(Payload::RatingUser(stars))) => format!(", {stars} stars"),
        (None, Some(Payload::CantDo(Some(reason)))) => format!(", {}", reason.as_str()),
        (None, Some(Payload::PaymentFailed(failed))) => format!(
            ", {} tries left, the next after {} s",
            failed.payment_attempts, failed.payment_retries_interval
        ),
        (None, _) => String::new(),
    }
}

fn names(scenarios: &[Scenario]) -> Vec<&'static str> {
    scenarios.iter().map(|scenario| scenario.name()).collect()
}

/// Prose in lines of a width that people like to read.
fn in_lines(words: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in words.split_whitespace() {
        if width + word.len() >= LINE {
            lines.push('\n');
            width = 0;
        } else if width > 0 {
            lines.push(' ');
        }
        lines.push_str(word);
        width += word.len() + 1;
    }
    lines
}

fn sats_in(heard: &Heard) -> Option<i64> {
    heard.order().map(|order| order.amount)
}

fn balances(purse: &Purse) -> Value {
    json!({"alice": purse.alice.0, "bob": purse.bob.0, "operator": purse.operator.0})
}

fn in_words(purse: &Purse) -> String {
    let sats = |amount: Msat| exact(&grouped(amount.0 / 1_000), amount.0 % 1_000);
    format!(
        "alice {}, bob {}, operator {}",
        sats(purse.alice),
        sats(purse.bob),
        sats(purse.operator)
    )
}

fn moved(msat: i64) -> String {
    let sign = if msat < 0 { "-" } else { "+" };
    let msat = msat.unsigned_abs();
    exact(&format!("{sign}{}", grouped(msat / 1_000)), msat % 1_000)
}

/// Sats with their millisats, where there are any.
fn exact(sats: &impl Display, msat: u64) -> String {
    if msat == 0 {
        format!("{sats} sat")
    } else {
        format!("{sats}.{msat:03} sat")
    }
}

fn amount(sats: Sats) -> String {
    format!("{} sat", grouped(sats.0))
}

/// Thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

fn shown(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

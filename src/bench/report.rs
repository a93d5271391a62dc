//! Findings in words and in JSON.

use std::fmt::Write;
use std::time::Duration;

use escrow_core::wire::Transport;
use escrow_engine::desk::Sealing;
use serde_json::{Map, Value, json};

use super::Finding;
use super::asking::AskingTimes;
use super::full_book::{BookTimes, Replies};
use super::lnd::{AloneTimes, LndTimes};
use super::mirror::MirrorTimes;
use super::times::{Share, Times};
use super::trades::CrowdTimes;

impl Finding {
    /// One JSON object, for scripts. Durations are in milliseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Finding::Machine(machine) => json!({
                "part": "machine", "cores": machine.cores,
                "durability": DURABILITY, "sync": spread(&machine.sync),
                "verified_per_second_per_core": machine.verified_per_second.round(),
                "verified_per_second": machine.verified_by_all_cores.round(),
            }),
            Finding::Opening(opening) => json!({
                "part": "opening", "transport": transport(opening.transport),
                "per_second_per_core": opening.per_second.round(),
            }),
            Finding::Crowd(times) => crowd(times),
            Finding::Writer(written) => json!({
                "part": "writer", "sealing": written.sealing == Sealing::Full,
                "waiting": escrow_engine::writer::BATCH,
                "commands": written.commands,
                "per_second": written.per_second().round(),
                "step": spread(&written.steps),
            }),
            Finding::Memory(bytes) => json!({"part": "memory", "resident_bytes": bytes}),
            Finding::Mirror(times) => json!({
                "part": "mirror", "orders": times.orders,
                "healthy_seconds": seconds(times.healthy),
                "healthy_per_second": times.healthy_per_second().round(),
                "recovered_seconds": seconds(times.recovered),
                "recovered_per_second": times.recovered_per_second().round(),
            }),
            Finding::FullBook(times) => json!({
                "part": "full-book",
                "live_orders": times.orders, "timers": times.timers,
                "empty": replies(&times.empty), "full": replies(&times.full),
            }),
            Finding::Asking(times) => json!({
                "part": "asking", "orders": times.orders,
                "fixed": spread(&times.fixed), "market": spread(&times.market),
                "restored": spread(&times.restored),
            }),
            Finding::Lnd(times) => lnd(times),
            Finding::Relay(row) => row.to_json(),
        }
    }

    /// Some lines, for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Finding::Machine(machine) => format!(
                "{} cores; a synced write of 4 KiB takes {} (p99 {}); one core checks {:.0} \
                 signatures a second, all together {:.0}.\nDurability: {DURABILITY}.\n",
                machine.cores,
                shown(machine.sync.within(Share::Half)),
                shown(machine.sync.within(Share::MostAll)),
                machine.verified_per_second,
                machine.verified_by_all_cores,
            ),
            Finding::Opening(opening) => format!(
                "One core opens {:.0} messages a second that come as {}.\n",
                opening.per_second,
                transport(opening.transport),
            ),
            Finding::Crowd(times) => crowd_table(times),
            Finding::Writer(written) => format!(
                "\nThe writer with {} commands waiting, {}: {:.0} commands/s \
                 (a step takes {}, p99 {}).\n",
                escrow_engine::writer::BATCH,
                sealing(written.sealing),
                written.per_second(),
                shown(written.steps.within(Share::Half)),
                shown(written.steps.within(Share::MostAll)),
            ),
            Finding::Memory(bytes) => bytes.map_or_else(String::new, |bytes| {
                format!(
                    "\nThe process, box and traders together, holds {} MB.\n",
                    bytes / 1_000_000
                )
            }),
            Finding::Mirror(times) => mirror_text(times),
            Finding::FullBook(times) => book_table(times),
            Finding::Asking(times) => asking_table(times),
            Finding::Lnd(times) => lnd_table(times),
            Finding::Relay(row) => row.to_text(),
        }
    }
}

/// What every number here includes.
const DURABILITY: &str = "every commit is on disk before its OK (full fsync); nothing is warmed up";

fn crowd(times: &CrowdTimes) -> Value {
    let actions: Map<String, Value> = times
        .waits
        .asked
        .iter()
        .map(|(action, asked)| {
            let waits = json!({"ok": spread(&asked.ok), "answer": spread(&asked.answer)});
            ((*action).to_owned(), waits)
        })
        .collect();
    json!({
        "part": "trades", "pairs": times.pairs,
        "trades": times.waits.trades.count(),
        "trades_per_second": (times.trades_per_second() * 10.0).round() / 10.0,
        "actions": actions, "all_answers": spread(&times.answers()),
        "hold_accepted": spread(&times.waits.hold_accepted),
        "trade": spread(&times.waits.trades),
    })
}

fn crowd_table(times: &CrowdTimes) -> String {
    let pairs = times.pairs;
    let mut text = format!(
        "\nSell trades over websockets, {pairs} pair{} at once: {} trades, {:.1} trades/s\n\
         {:<22}{:>12}{:>12}{:>14}{:>12}\n",
        if pairs == 1 { "" } else { "s" },
        times.waits.trades.count(),
        times.trades_per_second(),
        "",
        "OK p50",
        "OK p99",
        "answer p50",
        "answer p99",
    );
    let rows = times.waits.asked.iter();
    for (action, asked) in rows {
        row(&mut text, action, Some(&asked.ok), &asked.answer);
    }
    row(&mut text, "all answers", None, &times.answers());
    row(
        &mut text,
        "paid, until accepted",
        None,
        &times.waits.hold_accepted,
    );
    row(&mut text, "a whole trade", None, &times.waits.trades);
    text
}

fn mirror_text(times: &MirrorTimes) -> String {
    format!(
        "A healthy mirror acknowledges {:.0} events/s ({} new orders in {:.1} s).\n\
         Back from an outage in which all of them changed twice, it has them after {:.1} s \
         ({:.0} events/s).\n",
        times.healthy_per_second(),
        times.orders,
        times.healthy.as_secs_f64(),
        times.recovered.as_secs_f64(),
        times.recovered_per_second(),
    )
}

/// What the box does by itself, in words.
fn own_parts(times: &AloneTimes) -> [(&'static str, &Times); 4] {
    [
        ("release -> settle call", &times.released_to_settle),
        ("release -> payment call", &times.released_to_payment),
        ("hold paid -> message", &times.accepted_to_message),
        ("buyer paid -> message", &times.paid_to_message),
    ]
}

fn lnd(times: &LndTimes) -> Value {
    let parts = times.alone.iter().flat_map(own_parts);
    let parts: Map<String, Value> = parts
        .map(|(name, times)| (name.to_owned(), spread(times)))
        .collect();
    json!({
        "part": "lnd", "pairs": times.pairs, "trades": times.trades,
        "trades_per_minute": times.trades_per_minute().round(),
        "alone": parts,
    })
}

fn lnd_table(times: &LndTimes) -> String {
    let mut text = format!(
        "\nSell trades over real LND nodes, {} at once: {} trades, {:.0} trades/min\n",
        times.pairs,
        times.trades,
        times.trades_per_minute(),
    );
    for (name, times) in times.alone.iter().flat_map(own_parts) {
        writeln!(
            text,
            "{name:<26}{:>12}{:>12}",
            shown(times.within(Share::Half)),
            shown(times.within(Share::MostAll)),
        )
        .expect("a String takes everything");
    }
    text
}

fn replies(replies: &Replies) -> Value {
    json!({"ok": spread(&replies.ok), "answer": spread(&replies.answer)})
}

fn book_table(times: &BookTimes) -> String {
    let mut text = format!(
        "\nOne pair that trades, by turns with an empty book and with {} live orders and {} \
         timers:\n{:<22}{:>12}{:>12}{:>14}{:>12}\n",
        times.orders, times.timers, "", "OK p50", "OK p99", "answer p50", "answer p99",
    );
    for (name, replies) in [("empty", &times.empty), ("full", &times.full)] {
        row(&mut text, name, Some(&replies.ok), &replies.answer);
    }
    text
}

fn asking_table(times: &AskingTimes) -> String {
    let mut text = format!(
        "\nTakes by turns, and restore-session of an identity with {} orders:\n\
         {:<22}{:>12}{:>12}{:>14}{:>12}\n",
        times.orders, "", "", "", "answer p50", "answer p99",
    );
    for (name, answers) in [
        ("take, fixed sats", &times.fixed),
        ("take, market price", &times.market),
        ("restore-session", &times.restored),
    ] {
        row(&mut text, name, None, answers);
    }
    text
}

fn row(text: &mut String, name: &str, ok: Option<&Times>, answer: &Times) {
    let cell = |times: Option<&Times>, share| {
        times.map_or_else(String::new, |times| shown(times.within(share)))
    };
    writeln!(
        text,
        "{name:<22}{:>12}{:>12}{:>14}{:>12}",
        cell(ok, Share::Half),
        cell(ok, Share::MostAll),
        cell(Some(answer), Share::Half),
        cell(Some(answer), Share::MostAll),
    )
    .expect("a String takes everything");
}

pub(super) fn spread(times: &Times) -> Value {
    json!({
        "count": times.count(),
        "p50_ms": millis(times.within(Share::Half)),
        "p99_ms": millis(times.within(Share::MostAll)),
        "max_ms": millis(times.within(Share::All)),
    })
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Direct => "kind 14",
        Transport::GiftWrap => "gift wrap",
    }
}

fn sealing(sealing: Sealing) -> &'static str {
    match sealing {
        Sealing::Full => "answers and events sealed and signed",
        Sealing::Off => "without sealing",
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

fn shown(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

//! What the relay's process holds in memory, seen from outside.

use anyhow::Context;
use nostr::key::Keys;
use serde_json::json;

use super::filled_store::{self, Filling};
use super::report::{Figure, Row};
use super::stored::Question;
use super::{Bench, Scenario, ingest};
use crate::bench::machine::Memory;

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let count = bench.scale.idle_connections;
    let orders = bench.scale.live_orders;
    bench.begins(Scenario::IdleMemory, "storing orders");
    if bench.is_own() {
        let events = orders;
        filled_store::fill(bench, Filling { orders, events }).await?;
        bench.enter().await?;
    }
    let pid = bench.pid().context("its process is not known: say --pid")?;
    let memory = || Memory::of(pid).context("the system does not tell its memory");
    let case = format!("{count} connections");
    bench.begins(Scenario::IdleMemory, &case);
    // Whatever is made once for the first visitor is not counted as theirs.
    let mut first = ingest::crowd(&bench.url, 1).await?;
    let before = memory()?;
    let mut crowd = ingest::crowd(&bench.url, count).await?;
    let idle = memory()?;
    for connection in crowd.iter_mut().chain(&mut first) {
        let author = Keys::generate().public_key();
        let live = [json!({"kinds": [14], "#p": [author], "limit": 0})];
        Question::new(&live).ask(connection, |_| Ok(())).await?;
    }
    let subscribed = memory()?;
    let each = |all: u64, less: u64| kib_each(all.saturating_sub(less), count);
    let mut figures = vec![
        Figure::Kib("idle, each", each(idle.resident, before.resident)),
        Figure::Kib(
            "idle, each, anonymous",
            each(idle.anonymous, before.anonymous),
        ),
        Figure::Kib(
            "subscribed, each",
            each(subscribed.resident, before.resident),
        ),
        Figure::Kib("all", kib_each(subscribed.resident, 1)),
        Figure::Kib("all, anonymous", kib_each(subscribed.anonymous, 1)),
    ];
    if bench.is_own() {
        let orders = usize::try_from(orders)?;
        figures.push(Figure::Count("live orders", orders));
    }
    bench.tells(Row::new(Scenario::IdleMemory, case, figures));
    drop(crowd);
    Ok(())
}

fn kib_each(bytes: u64, count: usize) -> f64 {
    let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
    f64::from(kib) / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

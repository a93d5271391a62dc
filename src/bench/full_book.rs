//! Whether replies take longer when the book is full: the same trades in two
//! boxes, by turns, so that whatever else the machine does is felt by both.

use std::path::Path;

use anyhow::Context;
use escrow_core::UnixTime;
use nostr::key::Keys;
use storage::ledger::Ledger;

use super::Listener;
use super::commands;
use super::times::Times;
use super::trades::{self, Crowd, CrowdTimes};
use crate::node::{LEDGER, Node};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct BookScale {
    /// Live orders in the full book, at least.
    pub orders: u32,
    /// How often each box has its turn.
    pub rounds: usize,
    /// Trades of one turn.
    pub trades: usize,
}

impl BookScale {
    /// As many orders as are promised.
    pub const FULL: BookScale = BookScale {
        orders: 100_000,
        rounds: 10,
        trades: 20,
    };
    /// Some of them.
    pub const QUICK: BookScale = BookScale {
        orders: 5_000,
        rounds: 3,
        trades: 5,
    };
}

/// What a pair of traders has waited for.
#[derive(Debug)]
pub struct BookTimes {
    /// Live orders in the full book.
    pub orders: u64,
    /// Timers that ran for them.
    pub timers: usize,
    /// With an empty book.
    pub empty: Replies,
    /// With the full one.
    pub full: Replies,
}

/// How soon requests were answered.
#[derive(Debug, Default)]
pub struct Replies {
    /// From sending to `OK`.
    pub ok: Times,
    /// From sending to the answer.
    pub answer: Times,
}

/// Fills one of two boxes and lets a pair trade in both.
///
/// # Errors
/// If anything fails, or a trade goes wrong.
pub async fn measure(
    folder: &Path,
    scale: BookScale,
    listener: &mut dyn Listener,
) -> anyhow::Result<BookTimes> {
    let empty = trades::open_box(&folder.join("empty")).await?;
    listener.begins(&format!("filling a book with {} orders", scale.orders));
    let full = full_box(&folder.join("full"), scale.orders).await?;
    let view = full.escrow().context("the box has an escrow")?.views();
    let view = view.view()?;
    let mut times = BookTimes {
        orders: view.living_order_count()?,
        timers: view.due_timers(UnixTime(u64::MAX), usize::MAX)?.len(),
        empty: Replies::default(),
        full: Replies::default(),
    };
    drop(view);
    let crowd = Crowd {
        pairs: 1,
        trades_each: scale.trades,
    };
    for round in 1..=scale.rounds {
        listener.begins(&format!("round {round} of {}", scale.rounds));
        let name = format!("round-{round}");
        times
            .empty
            .add(trades::measure_named(&empty, &name, crowd).await?);
        times
            .full
            .add(trades::measure_named(&full, &name, crowd).await?);
    }
    empty.stop().await?;
    full.stop().await?;
    Ok(times)
}

async fn full_box(folder: &Path, orders: u32) -> anyhow::Result<Node> {
    let mut settings = trades::box_settings(folder);
    let keys = Keys::generate();
    settings.node.key = Some(keys.clone());
    // The ledger knows whose it is from the first start on.
    Node::start(settings.clone()).await?.stop().await?;
    let ledger = Ledger::open(&settings.node.data_dir.join(LEDGER))?;
    tokio::task::spawn_blocking(move || commands::fill(ledger, keys, orders)).await??;
    Ok(Node::start(settings).await?)
}

impl Replies {
    fn add(&mut self, crowd: CrowdTimes) {
        for asked in crowd.waits.asked.into_values() {
            self.ok.append(asked.ok);
            self.answer.append(asked.answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Finding;

    struct Nobody;

    impl Listener for Nobody {
        fn begins(&mut self, _: &str) {}
        fn hears(&mut self, _: &Finding) {}
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_boxes_get_the_same_trades_and_one_has_a_book() {
        let folder = tempfile::tempdir().unwrap();
        let scale = BookScale {
            orders: 64,
            rounds: 2,
            trades: 1,
        };
        let times = measure(folder.path(), scale, &mut Nobody).await.unwrap();
        assert_eq!(times.orders, 64);
        assert!(times.timers >= 64, "{}", times.timers);
        let counts = |replies: &Replies| (replies.ok.count(), replies.answer.count());
        assert_eq!(counts(&times.empty), counts(&times.full));
        assert!(times.full.answer.count() >= 2 * 5, "two whole trades");
    }
}

//! How fast a mirror is served: while it is there, and when it comes back.
//!
//! The mirror is a box of our own in another process, on the same machine; it
//! is killed for the outage and started again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use escrow_engine::EscrowHandle;
use escrow_engine::submission::{Announcement, Receipt};
use futures_util::future::join_all;
use nostr::event::{Kind, Tag};
use nostr::types::RelayUrl;
use storage::ledger::OutboxSeq;
use tokio::time::sleep;

use super::Listener;
use super::own_box::{OwnBox, Site, free_port};
use super::trades;
use crate::node::Node;

/// Orders that are published at once: as many as one commit carries.
const AT_ONCE: u32 = 64;

/// Longest wait between two calls of the mirror.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How often it is looked whether anything waits.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// No mirror may need longer for all.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a mirror has taken.
#[derive(Debug)]
pub struct MirrorTimes {
    /// Orders, each with one event.
    pub orders: u32,
    /// From the first new order to the last acknowledgement, with the mirror there.
    pub healthy: Duration,
    /// From the mirror's open port to the last acknowledgement, when every
    /// order had changed twice without it.
    pub recovered: Duration,
}

impl MirrorTimes {
    /// Events that a healthy mirror acknowledges in a second.
    #[must_use]
    pub fn healthy_per_second(&self) -> f64 {
        f64::from(self.orders) / self.healthy.as_secs_f64()
    }

    /// Events that it acknowledges in a second when it comes back.
    #[must_use]
    pub fn recovered_per_second(&self) -> f64 {
        f64::from(self.orders) / self.recovered.as_secs_f64()
    }
}

/// Measures a box with one mirror.
///
/// # Errors
/// If anything fails, or the mirror refuses an order.
pub async fn measure(
    folder: &Path,
    program: PathBuf,
    orders: u32,
    listener: &mut dyn Listener,
) -> anyhow::Result<MirrorTimes> {
    let site = Site {
        program,
        folder: folder.join("mirror"),
    };
    std::fs::create_dir_all(&site.folder)?;
    let port = free_port()?;
    let mirror = OwnBox::start_on(&site, port).await?;
    let mut settings = trades::box_settings(&folder.join("node"));
    settings.mirror.relays = vec![RelayUrl::parse(&mirror.url)?];
    settings.mirror.longest_wait = LONGEST_WAIT;
    let node = Node::start(settings).await?;
    let escrow = node.escrow().context("the box has an escrow")?;
    all_acknowledged(escrow).await?;

    listener.begins(&format!("{orders} new orders"));
    let began = Instant::now();
    publish(escrow, orders, 1).await?;
    all_acknowledged(escrow).await?;
    let healthy = began.elapsed();

    listener.begins(&format!("{orders} orders that change without the mirror"));
    mirror.kill().await?;
    publish(escrow, orders, 2).await?;
    publish(escrow, orders, 3).await?;
    let view = escrow.views().view()?;
    let waiting = escrow.mirrors().first().map(|it| view.backlog_len(*it));
    let waiting = waiting.context("the box has a mirror")??;
    ensure!(waiting >= u64::from(orders), "only {waiting} wait");
    drop(view);
    let mirror = OwnBox::start_on(&site, port).await?;
    let began = Instant::now();
    all_acknowledged(escrow).await?;
    let recovered = began.elapsed();
    node.stop().await?;
    mirror.kill().await?;
    Ok(MirrorTimes {
        orders,
        healthy,
        recovered,
    })
}

async fn publish(escrow: &EscrowHandle, orders: u32, revision: u32) -> anyhow::Result<()> {
    for first in (0..orders).step_by(usize::try_from(AT_ONCE)?) {
        let batch = first..orders.min(first + AT_ONCE);
        let said = join_all(batch.map(|number| say(escrow, number, revision))).await;
        let is_decided = said.iter().all(|it| *it == Some(Receipt::Decided));
        ensure!(is_decided, "an order was not published");
    }
    Ok(())
}

async fn say(escrow: &EscrowHandle, number: u32, revision: u32) -> Option<Receipt> {
    let tag = |name: &str, value: &str| Tag::parse([name, value]).ok();
    let name = format!("order-{number}");
    let tags = [
        tag("d", &name),
        tag("k", "sell"),
        tag("f", "EUR"),
        tag("s", "pending"),
        tag("amt", "10000"),
        tag("fa", "10"),
        tag("pm", "cash"),
        tag("premium", &revision.to_string()),
        tag("network", "regtest"),
        tag("layer", "lightning"),
        tag("y", "mostro"),
        tag("z", "order"),
    ];
    let announcement = Announcement {
        kind: Kind::from_u16(escrow_core::wire::order_event::ORDER),
        identifier: name,
        tags: tags.into_iter().flatten().collect(),
        content: String::new(),
    };
    escrow.announce(announcement).await
}

/// Returns when nothing waits for the mirror.
///
/// # Errors
/// If it takes too long, or has refused anything: then it was not fast.
async fn all_acknowledged(escrow: &EscrowHandle) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let view = escrow.views().view()?;
        let mut is_done = true;
        for (number, mirror) in view.mirrors()? {
            ensure!(mirror.given_up == 0, "the mirror has refused an order");
            is_done &= view.backlog_from(number, OutboxSeq(0), 1)?.is_empty();
        }
        if is_done {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "the mirror does not take all");
        sleep(LOOK_EVERY).await;
    }
}

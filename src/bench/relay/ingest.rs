//! Events coming in: each is made and signed before the clock starts, and
//! afterwards every one that was accepted must be there.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use nostr::event::EventId;
use nostr::key::Keys;

use super::connection::Connection;
use super::load::{self, Lane, Pace, Published};
use super::report::{Figure, Row};
use super::stock::{self, Draft};
use super::{Bench, Scenario, now, stored};

/// Connections that publish at once.
const CROWDS: [usize; 3] = [1, 8, 32];

/// The crowd that publishes among many who only listen.
const AMONG_IDLE: usize = 8;

/// Events of one connection that wait for their `OK` at once.
const WINDOW: usize = 64;

/// Recipients of the gift wraps, and addresses of orders that are replaced.
const RECIPIENTS: u64 = 50;
const ADDRESSES: usize = 256;

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goods {
    /// Gift wraps, each from a fresh key.
    GiftWraps,
    /// New orders of one key.
    Orders,
    /// New versions of few orders.
    Replacing,
}

impl Goods {
    fn name(self) -> &'static str {
        match self {
            Goods::GiftWraps => "1059",
            Goods::Orders => "38383",
            Goods::Replacing => "38383 replacing",
        }
    }
}

/// Runs the whole scenario, in a new box for each sort of goods.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for goods in [Goods::GiftWraps, Goods::Orders, Goods::Replacing] {
        bench.enter().await?;
        for window in [WINDOW, 1] {
            for connections in CROWDS {
                publish(bench, goods, (connections, window), "").await?;
            }
        }
        let idle = bench.scale.idle_connections;
        let idle_ones = crowd(&bench.url, idle).await?;
        let among = format!(", {idle} idle");
        publish(bench, goods, (AMONG_IDLE, WINDOW), &among).await?;
        drop(idle_ones);
        bench.leave().await?;
    }
    Ok(())
}

/// So many connections that say nothing.
pub(super) async fn crowd(url: &str, size: usize) -> anyhow::Result<Vec<Connection>> {
    let mut crowd = Vec::with_capacity(size);
    for number in 1..=size {
        let opened = Connection::open(url).await;
        crowd.push(opened.with_context(|| {
            format!("connection {number} of {size} (is `ulimit -n` high enough?)")
        })?);
    }
    Ok(crowd)
}

async fn publish(
    bench: &mut Bench<'_>,
    goods: Goods,
    (connections, window): (usize, usize),
    among: &str,
) -> anyhow::Result<()> {
    let (manner, count) = if window == 1 {
        let count = bench.scale.lock_step_events * connections.min(8);
        ("lock-step".to_owned(), count)
    } else {
        (format!("window {window}"), bench.scale.pipelined_events)
    };
    let case = format!("{}, {connections} conn, {manner}{among}", goods.name());
    bench.begins(Scenario::Ingest, &case);
    let lanes = lanes(goods, count, connections, now()).await?;
    let pace = Pace {
        window,
        limit: bench.scale.at_most,
    };
    let published = load::publish(&bench.url, lanes, pace).await?;
    let asked: Vec<_> = published.events().collect();
    stored::check(&bench.url, &asked, &should_be_stored(goods, &published)).await?;
    let figures = vec![
        Figure::Rate("events", published.per_second()),
        Figure::Wait("OK", published.waits.clone()),
        Figure::Count("accepted and found", published.count()),
    ];
    bench.tells(Row::new(Scenario::Ingest, case, figures));
    Ok(())
}

async fn lanes(
    goods: Goods,
    count: usize,
    connections: usize,
    now: u64,
) -> anyhow::Result<Vec<Lane>> {
    let author = Keys::generate();
    let drafts = match goods {
        Goods::GiftWraps => {
            let recipients: Vec<_> = (0..RECIPIENTS)
                .map(|_| Keys::generate().public_key())
                .collect();
            let to = recipients.iter().cycle();
            (0_u64..)
                .zip(to)
                .map(|(number, to)| Draft::gift_wrap(number, *to, now))
                .take(count)
                .collect()
        }
        Goods::Orders => (0..count as u64)
            .map(|number| Draft::order(&author, number, now - 1_000 + number % 1_000))
            .collect(),
        // Each address stays on one lane, since dealing goes round the same
        // way as the addresses; so no version can overtake an older one.
        Goods::Replacing => (0..count)
            .map(|number| {
                let addresses = ADDRESSES as u64;
                let (address, version) = (number as u64 % addresses, number as u64 / addresses);
                Draft::order(&author, address, now - 3_600 + version)
            })
            .collect(),
    };
    Ok(load::deal(stock::sign(drafts).await?, connections))
}

/// Everything that was accepted, but of each address only the newest version.
fn should_be_stored(goods: Goods, published: &Published) -> HashSet<EventId> {
    let events = published.events();
    match goods {
        Goods::GiftWraps | Goods::Orders => events.map(|event| event.id).collect(),
        Goods::Replacing => {
            let versions = events.map(|event| (event.tags.identifier(), event.id));
            // Versions come in their order, so the last one wins.
            let newest: HashMap<_, _> = versions.collect();
            newest.into_values().collect()
        }
    }
}

//! One who publishes, many who listen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use nostr::key::Keys;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::Connection;
use super::load::{self, Pace, accepted, per_second};
use super::report::{Figure, Row};
use super::stock::{self, Draft, Parcel};
use super::subscriber::{Broadcast, Subscriber};
use super::{Bench, Scenario, now};
use crate::bench::times::Times;

/// Subscribers of one broadcast.
const CROWDS: [usize; 3] = [1, 50, 500];

/// Events a second, if not all at once.
const PER_SECOND: u32 = 150;

/// How a broadcast is published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// So that nothing has to wait: what counts is the delay.
    Slowly,
    /// As fast as it goes: what counts is the number.
    AtOnce,
}

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.enter().await?;
    for manner in [Manner::Slowly, Manner::AtOnce] {
        for crowd in CROWDS {
            let crowd = crowd.min(bench.scale.subscribers);
            broadcast(bench, crowd, manner).await?;
        }
    }
    Ok(())
}

async fn broadcast(bench: &mut Bench<'_>, crowd: usize, manner: Manner) -> anyhow::Result<()> {
    let (name, count) = match manner {
        Manner::Slowly => (format!("{PER_SECOND} events/s"), bench.scale.slow_events),
        Manner::AtOnce => ("burst".to_owned(), bench.scale.burst_events),
    };
    let case = format!("{crowd} subscribers, {name}");
    bench.begins(Scenario::FanOut, &case);
    let author = Keys::generate();
    let now = now();
    let drafts = (0..count as u64).map(|address| Draft::order(&author, address, now));
    let parcels = stock::sign(drafts.collect()).await?;
    let broadcast = Broadcast::of(&parcels);
    let filter = json!({"kinds": [38383], "authors": [author.public_key()]});
    let mut listening = JoinSet::new();
    for _ in 0..crowd {
        let connection = Connection::open(&bench.url).await?;
        let mut subscriber = Subscriber::join(connection, &filter, broadcast.clone()).await?;
        listening.spawn(async move {
            let last = subscriber.hears_all().await?;
            anyhow::Ok((last, subscriber.waits))
        });
    }
    let began = Instant::now();
    match manner {
        Manner::Slowly => slowly(&bench.url, &parcels, &broadcast).await?,
        Manner::AtOnce => at_once(&bench.url, parcels).await?,
    }
    let (mut waits, mut took) = (Times::default(), Duration::ZERO);
    while let Some(heard) = listening.join_next().await {
        let (last, times) = heard??;
        waits.append(times);
        took = took.max(last.duration_since(began));
    }
    let figures = match manner {
        Manner::Slowly => vec![Figure::Wait("delivery", waits)],
        Manner::AtOnce => vec![Figure::Rate("deliveries", per_second(count * crowd, took))],
    };
    let all = Figure::Count("delivered once each", count * crowd);
    let figures = figures.into_iter().chain([all]).collect();
    bench.tells(Row::new(Scenario::FanOut, case, figures));
    Ok(())
}

/// One event after the other, each with its moment noted.
async fn slowly(url: &str, parcels: &[Parcel], broadcast: &Arc<Broadcast>) -> anyhow::Result<()> {
    let mut connection = Connection::open(url).await?;
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut answered) = (0, 0);
    while answered < parcels.len() {
        tokio::select! {
            _ = ticks.tick(), if sent < parcels.len() => {
                let parcel = parcels.get(sent).context("no such parcel")?;
                broadcast.leaves(sent);
                connection.queue(&parcel.frame);
                connection.flush().await?;
                sent += 1;
            }
            heard = connection.wait() => {
                heard?;
                while let Some(message) = connection.come()? {
                    answered += usize::from(accepted(message)?.is_some());
                }
            }
        }
    }
    Ok(())
}

/// Over one connection, as fast as its `OK`s come.
pub(super) async fn at_once(url: &str, parcels: Vec<Parcel>) -> anyhow::Result<()> {
    let pace = Pace {
        window: 64,
        limit: Duration::MAX,
    };
    load::publish(url, load::deal(parcels, 1), pace).await?;
    Ok(())
}

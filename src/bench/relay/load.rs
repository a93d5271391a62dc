//! Publishing over many connections at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nostr::event::{Event, EventId};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::reply::Reply;
use super::stock::Parcel;
use crate::bench::times::Times;

/// What one connection is to publish, in this order.
pub(super) type Lane = Arc<Vec<Parcel>>;

/// How hard is published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Events of one connection that may wait for their `OK` at once.
    pub(super) window: usize,
    /// After so long nothing new is sent.
    pub(super) limit: Duration,
}

/// What was published; each event had its `OK true`.
#[derive(Debug)]
pub(super) struct Published {
    lanes: Vec<(Lane, usize)>,
    /// From the first event to the last `OK`.
    pub(super) took: Duration,
    /// From sending an event to its `OK`.
    pub(super) waits: Times,
}

impl Published {
    /// The events, lane by lane.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.lanes
            .iter()
            .flat_map(|(lane, count)| lane.iter().take(*count).map(|parcel| &parcel.event))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lanes.iter().map(|(_, count)| count).sum()
    }

    /// Events in a second.
    pub(super) fn per_second(&self) -> f64 {
        per_second(self.count(), self.took)
    }
}

/// So many in this time, in a second.
pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / took.as_secs_f64().max(f64::EPSILON)
}

/// Deals parcels out to so many lanes, in turn.
pub(super) fn deal(parcels: Vec<Parcel>, lanes: usize) -> Vec<Lane> {
    let mut dealt: Vec<Vec<Parcel>> = (0..lanes).map(|_| Vec::new()).collect();
    let mut turn = 0;
    for parcel in parcels {
        if let Some(lane) = dealt.get_mut(turn) {
            lane.push(parcel);
        }
        turn = (turn + 1) % lanes.max(1);
    }
    dealt.into_iter().map(Arc::new).collect()
}

/// Publishes each lane over a connection of its own.
///
/// # Errors
/// If any event is refused or not answered.
pub(super) async fn publish(url: &str, lanes: Vec<Lane>, pace: Pace) -> anyhow::Result<Published> {
    let mut ready = Vec::with_capacity(lanes.len());
    for lane in lanes {
        ready.push((Connection::open(url).await?, lane));
    }
    let began = Instant::now();
    let mut at_work = JoinSet::new();
    for (mut connection, lane) in ready {
        at_work.spawn(async move {
            let (sent, waits) = drive(&mut connection, &lane, pace, began).await?;
            anyhow::Ok(((lane, sent), waits, Instant::now()))
        });
    }
    let mut published = Published {
        lanes: Vec::new(),
        took: Duration::ZERO,
        waits: Times::default(),
    };
    while let Some(ended) = at_work.join_next().await {
        let (lane, waits, at) = ended??;
        published.lanes.push(lane);
        published.waits.append(waits);
        published.took = published.took.max(at.duration_since(began));
    }
    Ok(published)
}

async fn drive(
    connection: &mut Connection,
    lane: &[Parcel],
    pace: Pace,
    began: Instant,
) -> anyhow::Result<(usize, Times)> {
    let mut waiting: HashMap<EventId, Instant> = HashMap::new();
    let (mut sent, mut waits) = (0, Times::default());
    loop {
        let now = Instant::now();
        let room = pace.window.saturating_sub(waiting.len());
        let room = if now.duration_since(began) < pace.limit {
            room
        } else {
            0
        };
        for parcel in lane.iter().skip(sent).take(room) {
            connection.queue(&parcel.frame);
            waiting.insert(parcel.event.id, now);
            sent += 1;
        }
        if waiting.is_empty() {
            return Ok((sent, waits));
        }
        connection.flush().await?;
        connection.wait().await?;
        let now = Instant::now();
        while let Some(message) = connection.come()? {
            if let Some(id) = accepted(message)? {
                let sent_at = waiting.remove(&id).context("an OK too many")?;
                waits.add(now.duration_since(sent_at));
            }
        }
    }
}

/// The event that this message accepts, if it is about one.
///
/// # Errors
/// If it refuses an event, or anything at all.
pub(super) fn accepted(message: &[u8]) -> anyhow::Result<Option<EventId>> {
    match Reply::read(message) {
        Reply::Ok {
            id,
            accepted,
            whole,
        } => {
            ensure!(accepted, "refused: {}", String::from_utf8_lossy(whole));
            Ok(Some(id))
        }
        Reply::Notice(words) | Reply::Closed(words) => bail!("the relay says: {words}"),
        Reply::Event(_) | Reply::Eose | Reply::Count(_) | Reply::Aside => Ok(None),
    }
}

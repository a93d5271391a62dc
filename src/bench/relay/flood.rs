//! Trades while junk pours in: traders must have their answers all the same.

use std::time::{Duration, Instant};

use anyhow::Context;
use nostr::key::{Keys, PublicKey};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::load::{self, Lane, per_second};
use super::reply::Reply;
use super::report::{Figure, Row};
use super::stock::{self, Author, Draft};
use super::{Bench, Scenario, now};
use crate::bench::trades;

/// Connections that bring junk, and what they bring together.
const CONNECTIONS: usize = 8;
const PER_SECOND: usize = 5_000;

/// How often each of them sends what is due.
const TICK: Duration = Duration::from_millis(10);

/// Junk of one connection that waits for its verdict at once; beyond that
/// the relay holds it back by itself.
const MOST_WAITING: usize = 512;

/// Pairs that trade meanwhile.
const PAIRS: usize = 4;

/// What pours in.
#[derive(Clone, Copy, Debug)]
enum Junk {
    Nothing,
    Notes,
    /// Messages of this kind between strangers.
    Chat(u16),
    /// Messages of this kind to the node, which it cannot open.
    ToTheNode(u16),
}

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.begins(Scenario::Flood, "a box with an escrow");
    let node = trades::open_box(&bench.site.folder).await?;
    node.url().clone_into(&mut bench.url);
    let all_junk = [
        Junk::Nothing,
        Junk::Notes,
        Junk::Chat(14),
        Junk::Chat(1059),
        Junk::ToTheNode(14),
        Junk::ToTheNode(1059),
    ];
    for (number, junk) in (0_u8..).zip(all_junk) {
        let case = junk.name();
        bench.begins(Scenario::Flood, &case);
        let lanes = junk.lanes(bench, node.public_key()).await?;
        let over = CancellationToken::new();
        let limit = bench.scale.flood_time;
        let flooding = async {
            // Without junk the pairs trade as long as with it.
            let poured = pour(&bench.url, lanes, limit).await;
            over.cancel();
            poured
        };
        let session = format!("flood-{number}");
        let trading = trades::measure_until(&node, &session, PAIRS, over.clone());
        let (poured, traded) = tokio::join!(flooding, trading);
        let (poured, traded) = (poured?, traded?);
        let figures = vec![
            Figure::Rate("junk", per_second(poured.answered, poured.took)),
            Figure::Wait("answer", traded.answers()),
            Figure::Count("trades", traded.waits.trades.count()),
            Figure::Count("junk refused", poured.refused),
        ];
        bench.tells(Row::new(Scenario::Flood, case, figures));
    }
    Ok(node.stop().await?)
}

impl Junk {
    fn name(self) -> String {
        match self {
            Junk::Nothing => "no junk".to_owned(),
            Junk::Notes => "kind 1".to_owned(),
            Junk::Chat(kind) => format!("kind {kind} to strangers"),
            Junk::ToTheNode(kind) => format!("kind {kind} to the node"),
        }
    }

    async fn lanes(self, bench: &Bench<'_>, node: PublicKey) -> anyhow::Result<Vec<Lane>> {
        let now = now();
        let seconds = usize::try_from(bench.scale.flood_time.as_secs())?.max(1);
        let stranger = Keys::generate().public_key();
        let draft = |number| match self {
            Junk::Nothing => None,
            Junk::Notes => Some(Draft::note(Author::Fresh, number, 200, now)),
            Junk::Chat(kind) => Some(message(kind, number, stranger, now)),
            Junk::ToTheNode(kind) => Some(message(kind, number, node, now)),
        };
        let drafts = (0..(PER_SECOND * seconds) as u64)
            .filter_map(draft)
            .collect();
        Ok(load::deal(stock::sign(drafts).await?, CONNECTIONS))
    }
}

fn message(kind: u16, number: u64, to: PublicKey, now: u64) -> Draft {
    if kind == 14 {
        Draft::direct(Author::Fresh, number, to, now)
    } else {
        Draft::gift_wrap(number, to, now)
    }
}

/// What became of junk.
#[derive(Default)]
struct Poured {
    answered: usize,
    refused: usize,
    took: Duration,
}

async fn pour(url: &str, lanes: Vec<Lane>, limit: Duration) -> anyhow::Result<Poured> {
    let mut ready = Vec::with_capacity(lanes.len());
    for lane in lanes {
        ready.push((Connection::open(url).await?, lane));
    }
    let began = Instant::now();
    let mut at_work = JoinSet::new();
    for (mut connection, lane) in ready {
        at_work.spawn(async move { pour_lane(&mut connection, &lane, began, limit).await });
    }
    let mut all = Poured::default();
    while let Some(ended) = at_work.join_next().await {
        let poured = ended??;
        all.answered += poured.answered;
        all.refused += poured.refused;
    }
    all.took = began.elapsed();
    Ok(all)
}

/// Sends what is due at each tick, until the time is up, and waits for the
/// verdicts on all of it.
async fn pour_lane(
    connection: &mut Connection,
    lane: &Lane,
    began: Instant,
    limit: Duration,
) -> anyhow::Result<Poured> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut poured) = (0, Poured::default());
    loop {
        let time = began.elapsed();
        if time >= limit && poured.answered == sent {
            return Ok(poured);
        }
        tokio::select! {
            _ = ticks.tick(), if time < limit => {
                let due = due_after(began.elapsed()).min(poured.answered + MOST_WAITING);
                for parcel in lane.iter().take(due).skip(sent) {
                    connection.queue(&parcel.frame);
                    sent += 1;
                }
                connection.flush().await?;
            }
            heard = connection.wait(), if poured.answered < sent => {
                heard.context("junk waits for its verdict")?;
                while let Some(message) = connection.come()? {
                    if let Reply::Ok { accepted, .. } = Reply::read(message) {
                        poured.answered += 1;
                        poured.refused += usize::from(!accepted);
                    }
                }
            }
        }
    }
}

/// What one connection should have sent after this time.
fn due_after(time: Duration) -> usize {
    let millis = usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
    millis.saturating_mul(PER_SECOND / CONNECTIONS) / 1_000
}

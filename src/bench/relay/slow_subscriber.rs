//! A subscriber who stops reading. Afterwards he gets everything, or he is
//! told that he did not; a connection that stays open and lacks something is
//! the one thing that must not be.

use anyhow::ensure;
use nostr::key::Keys;
use serde_json::json;

use super::connection::{Closed, Connection};
use super::report::{Figure, Row};
use super::stock::{self, Author, Draft};
use super::subscriber::{Broadcast, Subscriber};
use super::{Bench, Scenario, fan_out, now};

/// Bytes that the system keeps for the one who does not read.
const ROOM: u32 = 16 * 1024;

/// Characters of one event.
const LENGTH: usize = 8_000;

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.enter().await?;
    let count = bench.scale.events_to_miss;
    let case = format!("{} MB while he does not read", count * LENGTH / 1_000_000);
    bench.begins(Scenario::SlowSubscriber, &case);
    let author = Keys::generate();
    let now = now();
    let drafts = (0..count as u64)
        .map(|number| Draft::note(Author::Known(author.clone()), number, LENGTH, now))
        .collect();
    let parcels = stock::sign(drafts).await?;
    let broadcast = Broadcast::of(&parcels);
    let filter = json!({"kinds": [1], "authors": [author.public_key()]});
    let connection = Connection::open_with_room(&bench.url, Some(ROOM)).await?;
    let mut slow = Subscriber::join(connection, &filter, broadcast.clone()).await?;
    let connection = Connection::open(&bench.url).await?;
    let mut quick = Subscriber::join(connection, &filter, broadcast).await?;
    let (published, heard) =
        tokio::join!(fan_out::at_once(&bench.url, parcels), quick.hears_all(),);
    published?;
    heard?;
    let outcome = match slow.hears_all().await {
        Ok(_) => "got all of it afterwards".to_owned(),
        Err(why) => {
            let closed = why.downcast_ref::<Closed>();
            ensure!(closed.is_some(), why);
            let reason = closed.and_then(|closed| closed.reason.clone());
            let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
            format!("closed when {} ({reason})", slow.tally())
        }
    };
    let figures = vec![
        Figure::Words("he", outcome),
        Figure::Count("events came to one who reads", count),
    ];
    bench.tells(Row::new(Scenario::SlowSubscriber, case, figures));
    Ok(())
}

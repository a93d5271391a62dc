//! Questions for a number only (NIP-45).

use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::connection::{Connection, text_frame};
use super::library::Library;
use super::load::per_second;
use super::reply::Reply;
use super::report::{Figure, Row};
use super::{Bench, Scenario, now};
use crate::bench::times::Times;

/// A relay that does not count at all may be silent.
const FIRST_ANSWER_TIME: Duration = Duration::from_secs(5);

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.enter().await?;
    bench.begins(Scenario::Count, "publishing what will be counted");
    let library = Library::fill(&bench.url, bench.scale.orders_in_book, now()).await?;
    let node = library.node;
    let cases = [
        (
            "the book of a Mostro",
            json!({"kinds": [38383], "authors": [node]}),
        ),
        (
            "its pending orders",
            json!({"kinds": [38383], "authors": [node], "#s": ["pending"]}),
        ),
        (
            "gift wraps to one",
            json!({"kinds": [1059], "#p": [library.traders.first()]}),
        ),
        (
            "chats of twenty",
            json!({"kinds": [14], "authors": library.chatters}),
        ),
    ];
    for (name, filter) in cases {
        bench.begins(Scenario::Count, name);
        let expected = library.found_by(std::slice::from_ref(&filter))?.len();
        let figures = measure(bench, &filter, expected).await?;
        bench.tells(Row::new(Scenario::Count, name, figures));
    }
    Ok(())
}

async fn measure(
    bench: &Bench<'_>,
    filter: &Value,
    expected: usize,
) -> anyhow::Result<Vec<Figure>> {
    let frame = text_frame(&json!(["COUNT", "bench", filter]).to_string());
    let mut connection = Connection::open(&bench.url).await?;
    let first = timeout(FIRST_ANSWER_TIME, answer(&frame, &mut connection)).await;
    let first = first.unwrap_or_else(|_| Err(anyhow!("no answer")));
    if let Err(why) = first {
        return Ok(vec![Figure::Words("not answered", why.to_string())]);
    }
    let (began, mut waits) = (Instant::now(), Times::default());
    while waits.count() == 0 || began.elapsed() < bench.scale.asking_time {
        let asked = Instant::now();
        let count = answer(&frame, &mut connection).await?;
        ensure!(
            usize::try_from(count) == Ok(expected),
            "it counted {count} instead of {expected}"
        );
        waits.add(asked.elapsed());
    }
    Ok(vec![
        Figure::Rate("requests", per_second(waits.count(), began.elapsed())),
        Figure::Wait("COUNT", waits),
        Figure::Count("counted", expected),
    ])
}

async fn answer(frame: &[u8], connection: &mut Connection) -> anyhow::Result<u64> {
    connection.queue(frame);
    connection.flush().await?;
    loop {
        match Reply::read(connection.next().await?) {
            Reply::Count(count) => return Ok(count),
            Reply::Closed(why) | Reply::Notice(why) => return Err(anyhow!(why)),
            Reply::Ok { .. } | Reply::Event(_) | Reply::Eose | Reply::Aside => {}
        }
    }
}

//! Questions about stored events: those that real clients ask, word by word,
//! and the plain shapes. Every answer is compared with what it must be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nostr::event::EventId;
use nostr::key::PublicKey;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::library::Library;
use super::load::per_second;
use super::report::{Figure, Row};
use super::stored::Question;
use super::{Bench, Scenario, now};
use crate::bench::times::Times;

/// Connections that ask at once, each waiting for its answer.
const CROWDS: [usize; 2] = [1, 8];

const DAY: u64 = 86_400;

/// Something that a client asks.
struct Case {
    name: &'static str,
    filters: Vec<Value>,
    /// It names a key of ours, so that nobody else's events can be in the
    /// answer.
    is_ours: bool,
}

/// What an answer must be.
struct Answer {
    ids: Vec<EventId>,
    /// It comes from one filter, so the newest comes first.
    in_order: bool,
}

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.enter().await?;
    bench.begins(Scenario::Queries, "publishing what will be asked for");
    let library = Library::fill(&bench.url, bench.scale.orders_in_book, now()).await?;
    for case in cases(&library, now()) {
        let Some(answer) = first_answer(bench, &library, &case).await? else {
            continue;
        };
        let answer = Arc::new(answer);
        let question = Arc::new(Question::new(&case.filters));
        for connections in CROWDS {
            let name = format!("{}, {connections} conn", case.name);
            bench.begins(Scenario::Queries, &name);
            let limit = bench.scale.asking_time;
            let (took, waits) =
                ask_for_long(&bench.url, connections, limit, &question, &answer).await?;
            let figures = vec![
                Figure::Rate("requests", per_second(waits.count(), took)),
                Figure::Wait("EOSE", waits),
                Figure::Count("events each", answer.ids.len()),
            ];
            bench.tells(Row::new(Scenario::Queries, name, figures));
        }
    }
    Ok(())
}

/// Asks once, and compares the answer with the library id by id.
///
/// A foreign relay may refuse a question, which is told, and cut an answer
/// that has no limit.
async fn first_answer(
    bench: &mut Bench<'_>,
    library: &Library,
    case: &Case,
) -> anyhow::Result<Option<Answer>> {
    bench.begins(Scenario::Queries, case.name);
    let expected = library.found_by(&case.filters)?;
    let mut connection = Connection::open(&bench.url).await?;
    let mut ids = Vec::new();
    let asked = Question::new(&case.filters)
        .ask(&mut connection, |sight| {
            ids.push(sight.id().context("an event without an id")?);
            Ok(())
        })
        .await;
    let in_order = case.filters.len() == 1;
    if let Err(why) = asked {
        ensure!(!bench.is_own(), why);
        let words = vec![Figure::Words("refused", why.to_string())];
        bench.tells(Row::new(Scenario::Queries, case.name, words));
        return Ok(None);
    }
    let right = if bench.is_own() {
        same(&ids, &expected, in_order)
    } else if case.is_ours {
        let limited = case.filters.iter().any(|it| it.get("limit").is_some());
        let until = if limited { expected.len() } else { ids.len() };
        same(&ids, expected.get(..until).unwrap_or(&expected), in_order)
    } else {
        ids.len() >= expected.len()
    };
    ensure!(
        right,
        "{} events should be the answer; {} came, {} of them right",
        expected.len(),
        ids.len(),
        ids.iter().filter(|id| expected.contains(id)).count(),
    );
    Ok(Some(Answer { ids, in_order }))
}

fn same(ids: &[EventId], expected: &[EventId], in_order: bool) -> bool {
    let all_there = || expected.iter().all(|id| ids.contains(id));
    ids == expected || !in_order && ids.len() == expected.len() && all_there()
}

/// The same question over and over.
async fn ask_for_long(
    url: &str,
    connections: usize,
    limit: Duration,
    question: &Arc<Question>,
    answer: &Arc<Answer>,
) -> anyhow::Result<(Duration, Times)> {
    let mut ready = Vec::with_capacity(connections);
    for _ in 0..connections {
        ready.push(Connection::open(url).await?);
    }
    let began = Instant::now();
    let mut at_work = JoinSet::new();
    for mut connection in ready {
        let (question, answer) = (question.clone(), answer.clone());
        at_work.spawn(async move {
            let mut waits = Times::default();
            loop {
                let asked = Instant::now();
                answer.comes(&question, &mut connection).await?;
                waits.add(asked.elapsed());
                if began.elapsed() >= limit {
                    return anyhow::Ok(waits);
                }
            }
        });
    }
    let mut waits = Times::default();
    while let Some(ended) = at_work.join_next().await {
        waits.append(ended??);
    }
    Ok((began.elapsed(), waits))
}

impl Answer {
    /// Asks, and checks number and order of what comes.
    async fn comes(&self, question: &Question, connection: &mut Connection) -> anyhow::Result<()> {
        let (mut count, mut newest) = (0, u64::MAX);
        question
            .ask(connection, |sight| {
                count += 1;
                let created_at = sight.created_at().context("an event without a time")?;
                ensure!(
                    created_at <= newest || !self.in_order,
                    "event {count} of an answer is newer than the one before"
                );
                newest = created_at;
                Ok(())
            })
            .await?;
        let due = self.ids.len();
        ensure!(
            count == due,
            "an answer had {count} events instead of {due}"
        );
        Ok(())
    }
}

/// The table of real filters.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn cases(library: &Library, now: u64) -> Vec<Case> {
    let hex = |keys: &[PublicKey]| -> Vec<String> { keys.iter().map(PublicKey::to_hex).collect() };
    let (traders, chatters) = (hex(&library.traders), hex(&library.chatters));
    let (node, an_order) = (library.node.to_hex(), library.an_order());
    let (trader, chatter) = (traders.first(), chatters.first());
    let (week, two_days, half_an_hour) = (now - 7 * DAY, now - 2 * DAY, now - 1_800);
    let ours = |name, filter| Case {
        name,
        filters: vec![filter],
        is_ours: true,
    };
    let anybodys = |name, filter| Case {
        is_ours: false,
        ..ours(name, filter)
    };
    vec![
        anybodys("book", json!({"kinds": [38383], "limit": 500})),
        ours(
            "gift wraps to one",
            json!({"kinds": [1059], "#p": [trader]}),
        ),
        ours("20 ids", json!({"ids": library.some_orders(20)})),
        ours("authors", json!({"authors": chatters})),
        ours(
            "mostro-cli wait",
            json!({"kinds": [14], "#p": [trader], "authors": [node], "limit": 0}),
        ),
        ours(
            "mostro-cli info",
            json!({"authors": [node], "kinds": [38385]}),
        ),
        ours(
            "mostro-cli book",
            json!({"kinds": [38383], "authors": [node], "#z": ["order"], "since": week, "limit": 50}),
        ),
        ours(
            "mostro-cli disputes",
            json!({"kinds": [38386], "authors": [node], "#z": ["dispute"], "since": week, "limit": 50}),
        ),
        ours(
            "mostro-cli getdm",
            json!({"kinds": [14], "#p": [trader], "authors": [node], "since": two_days}),
        ),
        ours(
            "mostro-cli chat by author",
            json!({"kinds": [14], "authors": [chatter], "since": week}),
        ),
        ours(
            "mostro-cli chat by recipient",
            json!({"kinds": [14], "#p": [chatter], "since": half_an_hour}),
        ),
        ours(
            "mobile book",
            json!({"kinds": [38383, 38385], "authors": [node], "since": two_days}),
        ),
        ours(
            "mobile messages",
            json!({"kinds": [14], "authors": [node], "#p": traders}),
        ),
        ours(
            "mobile messages v1",
            json!({"kinds": [1059], "#p": traders}),
        ),
        ours(
            "mobile chat",
            json!({"kinds": [14], "authors": chatters, "since": week, "limit": 100}),
        ),
        Case {
            filters: vec![
                json!({"kinds": [1059], "#p": [trader], "limit": 0}),
                json!({"kinds": [14], "authors": [node], "#p": [trader], "limit": 0}),
            ],
            ..ours("mobile restore", Value::Null)
        },
        ours(
            "mobile relays",
            json!({"kinds": [10002], "authors": [node], "limit": 1}),
        ),
        ours(
            "mobile rates",
            json!({"kinds": [30078], "authors": [node], "#d": ["mostro-rates"], "limit": 1}),
        ),
        ours("mobile profile", json!({"kinds": [0], "authors": [node]})),
        ours(
            "mobile info",
            json!({"kinds": [38385], "authors": [node], "#y": ["mostro"]}),
        ),
        ours(
            "mobile link by d",
            json!({"kinds": [38383], "#d": [an_order]}),
        ),
        ours(
            "mobile link by id",
            json!({"ids": library.some_orders(1), "kinds": [38383]}),
        ),
        anybodys("mobile relay test", json!({"kinds": [1], "limit": 1})),
        ours("app book", json!({"kinds": [38383], "authors": [node]})),
        ours(
            "app order",
            json!({"kinds": [38383], "authors": [node], "#d": [an_order]}),
        ),
        ours(
            "app chat",
            json!({"kinds": [14], "authors": [chatter], "limit": 50}),
        ),
        ours(
            "app chat v1",
            json!({"kinds": [1059], "#p": [trader], "limit": 50}),
        ),
        ours(
            "mostrix info",
            json!({"kinds": [38385], "authors": [node], "#d": [node], "limit": 1}),
        ),
        ours(
            "mostrix book",
            json!({"kinds": [38383], "authors": [node], "limit": 500}),
        ),
        ours(
            "mostrix order",
            json!({"kinds": [38383], "authors": [node], "#d": [an_order], "limit": 10}),
        ),
        ours(
            "mostrix messages",
            json!({"kinds": [14], "authors": [node], "#p": [trader]}),
        ),
        ours(
            "mostrix chat",
            json!({"kinds": [14], "#p": [chatter], "since": week, "limit": 100}),
        ),
        ours(
            "mostro-skill book",
            json!({"kinds": [38383], "authors": [node], "#z": ["order"], "#s": ["pending"],
                   "#k": ["sell"], "#f": ["USD", "EUR"], "limit": 50}),
        ),
        ours(
            "mostro-skill info",
            json!({"kinds": [38385], "authors": [node], "#z": ["info"], "limit": 1}),
        ),
        anybodys(
            "mostro-skill disputes",
            json!({"kinds": [38386], "#z": ["dispute"], "#s": ["initiated"]}),
        ),
        ours(
            "serbero disputes",
            json!({"kinds": [38386], "authors": [node], "#z": ["dispute"], "since": week}),
        ),
        ours(
            "statistics",
            json!({"kinds": [38383, 38385, 38386], "authors": [node], "#y": ["mostro"]}),
        ),
        ours(
            "other nodes' prices",
            json!({"kinds": [30078], "authors": [node], "#d": ["mostro-rates"], "limit": 64}),
        ),
    ]
}

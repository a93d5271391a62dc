//! Asking a relay what it has, and comparing that with what it should have.

use std::collections::HashSet;

use anyhow::{bail, ensure};
use nostr::event::{Event, EventId};
use serde_json::{Map, Value, json};

use super::connection::{Connection, text_frame};
use super::reply::{Reply, Sight};

/// Events that are asked for at once.
const AT_ONCE: usize = 100;

/// The name of every subscription here.
const NAME: &str = "bench";

/// A `REQ`, as a frame.
pub(super) struct Question {
    frame: Vec<u8>,
}

impl Question {
    pub(super) fn new(filters: &[Value]) -> Question {
        let mut words = vec![json!("REQ"), json!(NAME)];
        words.extend_from_slice(filters);
        Question {
            frame: text_frame(&Value::Array(words).to_string()),
        }
    }

    /// Asks, and hands every stored event to `sees`. The subscription stays
    /// open until the next question on this connection takes its place.
    ///
    /// # Errors
    /// If the relay refuses, or the connection fails.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        mut sees: impl FnMut(Sight<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        connection.queue(&self.frame);
        connection.flush().await?;
        loop {
            match Reply::read(connection.next().await?) {
                Reply::Event(sight) => sees(sight)?,
                Reply::Eose => return Ok(()),
                // Some relays end a subscription that can bring nothing more,
                // after its answer and without a reason.
                Reply::Closed(why) if why.is_empty() => {}
                Reply::Closed(why) | Reply::Notice(why) => bail!("the relay says: {why}"),
                Reply::Ok { .. } | Reply::Count(_) | Reply::Aside => {}
            }
        }
    }
}

/// Checks that of the events `asked`, exactly those are stored whose ids are
/// `expected`.
///
/// # Errors
/// If it is otherwise, with the numbers.
pub(super) async fn check(
    url: &str,
    asked: &[&Event],
    expected: &HashSet<EventId>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(url).await?;
    let mut found = HashSet::with_capacity(expected.len());
    for some in asked.chunks(AT_ONCE) {
        let question = Question::new(&[by_ids(some)]);
        let collect = |sight: Sight<'_>| {
            let fresh = sight.id().is_some_and(|id| found.insert(id));
            ensure!(fresh, "an event came twice, or without an id");
            Ok(())
        };
        question.ask(&mut connection, collect).await?;
    }
    let missing = expected.difference(&found).count();
    let surplus = found.difference(expected).count();
    ensure!(
        missing == 0 && surplus == 0,
        "{} events should be stored; {missing} of them are missing and {surplus} others are there",
        expected.len(),
    );
    Ok(())
}

/// A filter for these events. Relays that guard private messages want to see
/// a recipient too.
fn by_ids(events: &[&Event]) -> Value {
    let ids: Vec<_> = events.iter().map(|event| event.id.to_hex()).collect();
    let recipients: HashSet<_> = events
        .iter()
        .flat_map(|event| event.tags.iter())
        .filter(|tag| tag.kind() == "p")
        .filter_map(|tag| tag.content())
        .collect();
    let mut filter = Map::new();
    filter.insert("ids".to_owned(), json!(ids));
    if !recipients.is_empty() {
        filter.insert("#p".to_owned(), json!(recipients));
    }
    Value::Object(filter)
}

//! Somebody who follows what is published, and counts.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use nostr::event::EventId;
use serde_json::{Value, json};

use super::connection::{Closed, Connection};
use super::reply::{Reply, Sight};
use super::stock::Parcel;
use crate::bench::times::Times;

/// Name of the subscription, and of the question after it.
const LIVE: &str = "live";
const LAST: &str = "last";

/// Events that are published for subscribers, in this order.
pub(super) struct Broadcast {
    places: HashMap<EventId, usize>,
    sent_at: Vec<OnceLock<Instant>>,
}

/// A subscriber of a broadcast.
pub(super) struct Subscriber {
    connection: Connection,
    broadcast: Arc<Broadcast>,
    seen: Vec<bool>,
    count: usize,
    /// From publishing to receipt, where the moment of publishing was noted.
    pub(super) waits: Times,
}

impl Broadcast {
    pub(super) fn of(parcels: &[Parcel]) -> Arc<Broadcast> {
        let ids = parcels.iter().map(|parcel| parcel.event.id);
        Arc::new(Broadcast {
            places: ids.zip(0..).collect(),
            sent_at: parcels.iter().map(|_| OnceLock::new()).collect(),
        })
    }

    /// Notes that the event at this place is published at this moment.
    pub(super) fn leaves(&self, place: usize) {
        if let Some(sent_at) = self.sent_at.get(place) {
            let _first_time_counts = sent_at.set(Instant::now());
        }
    }

    /// How many events it has.
    pub(super) fn len(&self) -> usize {
        self.sent_at.len()
    }
}

impl Subscriber {
    /// Subscribes over a new connection; when this returns, nothing stored
    /// matches the filter, and what comes from here on is shown.
    pub(super) async fn join(
        mut connection: Connection,
        filter: &Value,
        broadcast: Arc<Broadcast>,
    ) -> anyhow::Result<Subscriber> {
        connection
            .say(&json!(["REQ", LIVE, filter]).to_string())
            .await?;
        loop {
            match Reply::read(connection.next().await?) {
                Reply::Eose => break,
                Reply::Closed(why) | Reply::Notice(why) => bail!("the relay says: {why}"),
                Reply::Event(_) => bail!("something is stored that nobody has published"),
                Reply::Ok { .. } | Reply::Count(_) | Reply::Aside => {}
            }
        }
        Ok(Subscriber {
            connection,
            seen: vec![false; broadcast.len()],
            broadcast,
            count: 0,
            waits: Times::default(),
        })
    }

    /// Reads until every event of the broadcast has come, and tells when the
    /// last one did.
    ///
    /// # Errors
    /// If one comes twice, or does not come.
    pub(super) async fn hears_all(&mut self) -> anyhow::Result<Instant> {
        let mut at = Instant::now();
        while self.count < self.broadcast.len() {
            let waited = self.connection.wait().await;
            waited.with_context(|| self.tally())?;
            at = Instant::now();
            self.take_what_came(at)?;
        }
        self.hears_no_more().await?;
        Ok(at)
    }

    /// Asks something else. Whatever was meant for this subscriber comes
    /// before the answer.
    ///
    /// # Errors
    /// If it is not all, or too much, or the relay has hung up.
    pub(super) async fn hears_no_more(&mut self) -> anyhow::Result<()> {
        let nothing = json!({"ids": ["0".repeat(64)]});
        let question = json!(["REQ", LAST, nothing]).to_string();
        self.connection.say(&question).await?;
        while !self.take_what_came(Instant::now())? {
            self.connection.wait().await?;
        }
        let all = self.broadcast.len();
        ensure!(self.count == all, "a silent gap: {}", self.tally());
        Ok(())
    }

    /// How much has come, in words.
    pub(super) fn tally(&self) -> String {
        format!("{} of {} events came", self.count, self.broadcast.len())
    }

    /// Takes what lies there; tells whether the end of stored events is there.
    fn take_what_came(&mut self, at: Instant) -> anyhow::Result<bool> {
        while let Some(message) = self.connection.come()? {
            match Reply::read(message) {
                Reply::Event(sight) => {
                    let place = place(sight, &self.broadcast)?;
                    let seen = self.seen.get_mut(place).context("no such place")?;
                    ensure!(!*seen, "event {place} came twice");
                    *seen = true;
                    self.count += 1;
                    let sent_at = self.broadcast.sent_at.get(place);
                    if let Some(sent_at) = sent_at.and_then(OnceLock::get) {
                        self.waits.add(at.duration_since(*sent_at));
                    }
                }
                Reply::Eose => return Ok(true),
                Reply::Closed(why) => return Err(Closed { reason: Some(why) }.into()),
                Reply::Notice(_) | Reply::Ok { .. } | Reply::Count(_) | Reply::Aside => {}
            }
        }
        Ok(false)
    }
}

fn place(sight: Sight<'_>, broadcast: &Broadcast) -> anyhow::Result<usize> {
    let id = sight.id().context("an event without an id")?;
    let place = broadcast.places.get(&id).copied();
    place.context("an event came that nobody has published")
}

//! What nodes that the operator trusts publish (kind 30078, rule Q4).
//!
//! It is looked for in the node's own store, where a trusted node may have put
//! it, and on relays. A relay may show what it likes: only what a trusted node
//! has signed counts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use escrow_core::wire::rates_event::{RATES, RATES_NAME, read_rates};
use futures_util::future::join_all;
use nostr::event::{Event, Kind};
use nostr::filter::{Filter, MatchEventOptions};
use nostr::key::{Keys, PublicKey};
use nostr::message::{ClientMessage, RelayMessage, SubscriptionId};
use nostr::types::{RelayUrl, Timestamp};
use rustls::ClientConfig;
use storage::events::EventStore;
use tokio::time::timeout;

use crate::https::web_tls;
use crate::mirror::line::{Line, LineError, Number};
use crate::mirror::{Calling, Tempo};
use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// Events that are looked at, from each place and in all.
const MOST_EVENTS: usize = 64;

/// Name of the subscription.
const RATES_OF_OTHERS: &str = "rates";

/// Whose prices are believed, and where they are looked for.
#[derive(Clone)]
pub struct Nodes {
    /// The nodes that are trusted.
    pub trusted: Vec<PublicKey>,
    /// The node's own key: proven to relays that ask for it, and never believed
    /// itself, or an old price would come back as a new one.
    pub keys: Keys,
    /// The events on the node's own relay.
    pub store: Arc<EventStore>,
    /// Other relays.
    pub relays: Vec<RelayUrl>,
    /// How long all of them are waited for.
    pub time: Duration,
    /// Age beyond which a price is not worth taking.
    pub max_age: Duration,
}

/// The nodes that are trusted.
pub struct NostrSource {
    nodes: Nodes,
    tls: Arc<ClientConfig>,
}

impl NostrSource {
    /// Looks for what `nodes` say.
    #[must_use]
    pub fn new(nodes: Nodes) -> NostrSource {
        let tls = Arc::new(web_tls());
        NostrSource { nodes, tls }
    }

    async fn stored(&self, filter: &Filter, now: Timestamp) -> Vec<Event> {
        match self.nodes.store.query(vec![filter.clone()], now).await {
            Ok(found) => found.iter().map(|kept| kept.event()).collect(),
            Err(why) => {
                tracing::warn!(%why, "prices of trusted nodes cannot be read from the store");
                Vec::new()
            }
        }
    }

    /// What a relay shows until its time is over.
    async fn shown(&self, relay: &RelayUrl, filter: &Filter) -> Vec<Event> {
        let mut events = Vec::new();
        let reading = self.read(relay, filter, &mut events);
        match timeout(self.nodes.time, reading).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::debug!(%relay, %why, "a relay shows no prices"),
            Err(_) => tracing::debug!(%relay, "a relay takes too long to show prices"),
        }
        events
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nothing else was asked of the relay"
    )]
    async fn read(
        &self,
        relay: &RelayUrl,
        filter: &Filter,
        events: &mut Vec<Event>,
    ) -> Result<(), LineError> {
        let mut line = Line::open(&Number {
            url: relay.clone(),
            keys: self.nodes.keys.clone(),
            calling: Calling {
                tempo: Tempo::with_longest_wait(self.nodes.time),
                tls: self.tls.clone(),
            },
        })
        .await?;
        let name = SubscriptionId::new(RATES_OF_OTHERS);
        let question = ClientMessage::req(name, [filter.clone()]);
        line.say(question.as_json()).await?;
        line.flush().await?;
        for _ in 0..=MOST_EVENTS {
            match line.hear().await? {
                RelayMessage::Event { event, .. } => {
                    let is_asked_for = filter.match_event(&event, MatchEventOptions::new());
                    if is_asked_for && event.verify().is_ok() {
                        events.push(event.into_owned());
                    }
                }
                RelayMessage::EndOfStoredEvents(_) | RelayMessage::Closed { .. } => break,
                _ => {}
            }
        }
        Ok(())
    }
}

#[async_trait]
impl PriceSource for NostrSource {
    fn id(&self) -> SourceId {
        SourceId::Nostr
    }

    fn patience(&self) -> Duration {
        self.nodes.time + Duration::from_secs(1)
    }

    async fn ask(&self, now: UnixTime) -> Result<Answer, SourceError> {
        let own = self.nodes.keys.public_key();
        let others = self.nodes.trusted.iter().filter(|node| **node != own);
        let others: Vec<_> = others.copied().collect();
        if others.is_empty() {
            // A filter that names nobody asks for everybody.
            return Err(SourceError::Nothing);
        }
        let filter = Filter::new()
            .kind(Kind::from_u16(RATES))
            .authors(others)
            .identifier(RATES_NAME)
            .limit(MOST_EVENTS);
        let stored = self.stored(&filter, Timestamp::from_secs(now.0));
        let relays = self.nodes.relays.iter();
        let shown = join_all(relays.map(|relay| self.shown(relay, &filter)));
        let (mut events, shown) = tokio::join!(stored, shown);
        events.extend(shown.into_iter().flatten());
        let newest = newest_usable(events, now, self.nodes.max_age);
        let (said_at, quotes) = newest.ok_or(SourceError::Nothing)?;
        Ok(Answer::Relayed { quotes, said_at })
    }
}

/// The prices in the newest event that can be used, and when it was made.
fn newest_usable(
    mut events: Vec<Event>,
    now: UnixTime,
    max_age: Duration,
) -> Option<(UnixTime, Quotes)> {
    events.sort_by_key(|event| std::cmp::Reverse((event.created_at, event.id)));
    events.dedup_by_key(|event| event.id);
    let candidates = events.iter().filter(|event| {
        let said_at = UnixTime(event.created_at.as_secs());
        let is_past = event.created_at.as_secs() <= now.0;
        let is_young = now.secs_since(said_at) <= max_age.as_secs();
        is_past && is_young && !event.is_expired_at(Timestamp::from_secs(now.0))
    });
    candidates.take(MOST_EVENTS).find_map(|event| {
        let mut quotes = Quotes::default();
        for (code, units) in read_rates(&event.content)? {
            quotes.take(&code, units);
        }
        let said_at = UnixTime(event.created_at.as_secs());
        (quotes.count() > 0).then_some((said_at, quotes))
    })
}

#[cfg(test)]
mod tests {
    use nostr::event::{EventBuilder, FinalizeEvent, Tag};

    use super::*;
    use crate::prices::currency::Currency;

    const NOW: u64 = 1_795_200_000;

    fn event(content: &str, created_at: u64, expires_at: u64) -> Event {
        EventBuilder::new(Kind::from_u16(RATES), content)
            .tag(Tag::identifier(RATES_NAME))
            .tag(Tag::expiration(Timestamp::from_secs(expires_at)))
            .custom_created_at(Timestamp::from_secs(created_at))
            .finalize(&Keys::generate())
            .unwrap()
    }

    fn rates(units: u32, created_at: u64) -> Event {
        let content = format!("{{\"BTC\":{{\"USD\":{units}}}}}");
        event(&content, created_at, created_at + 600)
    }

    fn found(events: &[Event]) -> Option<(u64, f64)> {
        let max_age = Duration::from_secs(500);
        let newest = newest_usable(events.to_vec(), UnixTime(NOW), max_age);
        newest.map(|(at, quotes)| (at.0, quotes.per_bitcoin[&Currency::USD]))
    }

    #[test]
    fn q4_the_newest_usable_event_wins() {
        let (older, newer) = (rates(1, NOW - 200), rates(2, NOW - 100));
        let expected = Some((NOW - 100, 2.0));
        assert_eq!(found(&[older.clone(), newer.clone()]), expected);
        assert_eq!(
            found(&[newer.clone(), older.clone(), newer.clone()]),
            expected
        );
        for unusable in [
            rates(3, NOW + 1),
            rates(3, NOW - 501),
            event("{\"BTC\":{\"USD\":3}}", NOW - 50, NOW - 1),
            event("{\"USD\":3}", NOW - 50, NOW + 500),
            event("{\"BTC\":{\"USD\":-3}}", NOW - 50, NOW + 500),
            event("{\"BTC\":{\"XAU\":3}}", NOW - 50, NOW + 500),
            event("prices!", NOW - 50, NOW + 500),
        ] {
            assert_eq!(found(&[unusable.clone(), newer.clone()]), expected);
            assert_eq!(found(&[unusable]), None);
        }
        assert_eq!(found(&[rates(3, NOW)]), Some((NOW, 3.0)));
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn q4_only_so_many_events_are_looked_at() {
        let nonsense = (0..64).map(|n| event("x", NOW - n, NOW + 500));
        let mut events: Vec<_> = nonsense.collect();
        events.push(rates(1, NOW - 100));
        assert_eq!(found(&events), None);
        events.remove(0);
        assert_eq!(found(&events), Some((NOW - 100, 1.0)));
    }
}

//! Brings what the node had published before a mirror was listed.
//!
//! The live book and what the node says of itself are put into the mirror's
//! backlog a page at a time, the newest first, and each time only when nothing
//! else waits. The ledger remembers how far that went, in the same commit. What
//! changes meanwhile is newer than all that is still to be read, and comes to
//! the backlog by itself.

use std::sync::Arc;
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::wire::dispute_event::DISPUTE;
use escrow_core::wire::info_event::{INFO, PROFILE, RELAY_LIST};
use escrow_core::wire::order_event::{BookStatus, ORDER};
use escrow_engine::submission::{MirrorNews, MirrorReport};
use nostr::event::Kind;
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use relay_policy::BoxFuture;
use storage::events::{EventStore, EventStoreError, Kept};
use storage::ledger::{Filled, Lane, OutboxRow};

use super::{Ended, Post};

/// Events of one page, unless one second has more.
const PAGE: usize = 250;

/// An order that has left the book is brought for so long, since a mirror that
/// was listed once before may still show it there.
const CLOSED: Duration = Duration::from_secs(48 * 3_600);

/// What is still to be brought to one mirror.
pub(super) struct Fill {
    post: Post,
    is_done: bool,
    /// The page that is being read and written down; tells whether it is the last.
    page: Option<BoxFuture<'static, Result<bool, Ended>>>,
}

impl Fill {
    pub(super) fn new(post: Post) -> Fill {
        Fill {
            post,
            is_done: false,
            page: None,
        }
    }

    /// Begins the next page, if there is one and it is not on its way.
    pub(super) fn go_on(&mut self) {
        if !self.is_done && self.page.is_none() {
            self.page = Some(Box::pin(bring_page(self.post.clone())));
        }
    }

    /// Waits until the page is in the backlog, if one is on its way.
    pub(super) async fn page(&mut self) -> Result<(), Ended> {
        let Some(page) = &mut self.page else {
            return std::future::pending().await;
        };
        let written = page.await;
        self.page = None;
        self.is_done = written?;
        Ok(())
    }
}

async fn bring_page(post: Post) -> Result<bool, Ended> {
    let known = post.escrow.views().view()?.mirror(post.mirror)?;
    let until = match known.map(|mirror| mirror.filled) {
        Some(Filled::Nothing) => None,
        Some(Filled::After(second)) => Some(second),
        Some(Filled::All) | None => return Ok(true),
    };
    let node = post.number.keys.public_key();
    let (events, filled) = page(&post.store, node, until).await?;
    let news = MirrorNews::Fill {
        events: events.iter().map(|event| row(event)).collect(),
        filled,
    };
    let report = MirrorReport {
        mirror: post.mirror,
        news,
    };
    let written = post.escrow.report_mirror(report).await;
    written.ok_or(Ended::Stopping)?;
    Ok(filled == Filled::All)
}

/// The newest events that are not newer than `until`, and what is filled with
/// them. A second is on one page as a whole, however many events it has: the
/// next page begins with the second before.
async fn page(
    store: &EventStore,
    node: PublicKey,
    until: Option<UnixTime>,
) -> Result<(Vec<Arc<Kept>>, Filled), EventStoreError> {
    let mut size = PAGE;
    loop {
        let mut events = newest(store, node, until, size).await?;
        let last = match events.last() {
            Some(last) if events.len() == size => last.created_at,
            Some(_) | None => return Ok((events, Filled::All)),
        };
        events.retain(|event| event.created_at > last);
        if !events.is_empty() {
            return Ok((events, Filled::After(UnixTime(last.as_secs()))));
        }
        size = size.saturating_mul(4);
    }
}

async fn newest(
    store: &EventStore,
    node: PublicKey,
    until: Option<UnixTime>,
    most: usize,
) -> Result<Vec<Arc<Kept>>, EventStoreError> {
    let now = Timestamp::now();
    let of_node = |kinds: &[u16]| {
        let kinds = kinds.iter().map(|kind| Kind::from_u16(*kind));
        let filter = Filter::new().author(node).kinds(kinds).limit(most);
        match until {
            Some(until) => filter.until(Timestamp::from_secs(until.0)),
            None => filter,
        }
    };
    let live = [BookStatus::Pending, BookStatus::InProgress].map(BookStatus::as_str);
    let closed_since = now.as_secs().saturating_sub(CLOSED.as_secs());
    let filters = vec![
        of_node(&[ORDER]).custom_tags(SingleLetterTag::LOWERCASE_S, live),
        of_node(&[ORDER]).since(Timestamp::from_secs(closed_since)),
        of_node(&[DISPUTE, INFO, PROFILE, RELAY_LIST]),
    ];
    let mut events = store.query(filters, now).await?;
    events.truncate(most);
    Ok(events)
}

fn row(event: &Kept) -> OutboxRow {
    let mut names = event.values(SingleLetterTag::LOWERCASE_D);
    let name = names.next().unwrap_or_default();
    OutboxRow {
        lane: Lane::Address(format!("{}:{}:{name}", event.kind, event.author)),
        event: event.json().to_owned(),
        event_id: event.id,
        created_at: UnixTime(event.created_at.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nostr::event::{Event, EventBuilder, EventId, FinalizeEvent, Tag};
    use nostr::key::Keys;
    use storage::events::EventStoreOptions;

    use super::*;

    fn event(keys: &Keys, kind: u16, name: &str, status: &str, at: u64) -> Event {
        EventBuilder::new(Kind::from_u16(kind), "")
            .tag(Tag::identifier(name))
            .tag(Tag::parse(["s", status]).unwrap())
            .custom_created_at(Timestamp::from_secs(at))
            .finalize(keys)
            .unwrap()
    }

    async fn store_with(events: &[Event]) -> (tempfile::TempDir, EventStore) {
        let folder = tempfile::tempdir().unwrap();
        let options = EventStoreOptions {
            map_size_bytes: 1 << 26,
            ..EventStoreOptions::default()
        };
        let store = EventStore::open(folder.path(), options).await.unwrap();
        let saved = futures_util::future::join_all(events.iter().map(|event| store.save(event)));
        assert!(saved.await.iter().all(Result::is_ok));
        (folder, store)
    }

    /// The ids of each page, until the last.
    async fn pages(store: &EventStore, node: PublicKey) -> Vec<Vec<EventId>> {
        let (mut pages, mut until) = (Vec::new(), None);
        loop {
            let (events, filled) = page(store, node, until).await.unwrap();
            pages.push(events.iter().map(|event| event.id).collect());
            until = match filled {
                Filled::After(second) => Some(second),
                Filled::All => return pages,
                Filled::Nothing => panic!("a page fills something"),
            };
        }
    }

    #[tokio::test]
    async fn the_live_book_comes_once_and_a_crowded_second_as_a_whole() {
        let (node, now) = (Keys::generate(), Timestamp::now().as_secs());
        let order = |number: u64, at| event(&node, ORDER, &number.to_string(), "pending", at);
        let spread = (0..800).map(|number| order(number, now - 100_000 - number / 7));
        let crowded = (800..1_060).map(|number| order(number, now - 90_000));
        let book: Vec<_> = spread.chain(crowded).collect();
        let (_folder, store) = store_with(&book).await;
        let pages = pages(&store, node.public_key()).await;
        let all: Vec<_> = pages.iter().flatten().copied().collect();
        let each: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!((all.len(), each.len()), (1_060, 1_060));
        let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes.len(), 2, "{sizes:?}");
        assert!(sizes[0] < 4 * PAGE && sizes[1] < PAGE, "{sizes:?}");
    }

    #[tokio::test]
    async fn what_is_long_over_and_what_others_say_is_left_out() {
        let (node, now) = (Keys::generate(), Timestamp::now().as_secs());
        let (recent, long_ago) = (now - 3_600, now - 3 * 86_400);
        let brought = [
            event(&node, ORDER, "pending", "pending", long_ago),
            event(&node, ORDER, "taken", "in-progress", long_ago),
            event(&node, ORDER, "just over", "success", recent),
            event(&node, DISPUTE, "dispute", "initiated", long_ago),
            event(&node, INFO, "node", "", long_ago),
            event(&node, PROFILE, "", "", long_ago),
            event(&node, RELAY_LIST, "", "", long_ago),
        ];
        let left_out = [
            event(&node, ORDER, "over", "success", long_ago),
            event(&node, ORDER, "canceled", "canceled", long_ago),
            event(&node, 14, "letter", "", recent),
            event(&Keys::generate(), ORDER, "foreign", "pending", recent),
        ];
        let (_folder, store) = store_with(&[&brought[..], &left_out[..]].concat()).await;
        let pages = pages(&store, node.public_key()).await;
        let found: BTreeSet<_> = pages.into_iter().flatten().collect();
        assert_eq!(found, brought.iter().map(|event| event.id).collect());
    }
}

//! A node with mirrors.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use escrow_engine::submission::Announcement;
use mostro_relay::mirror::{self, Calling, MirrorStatus};
use mostro_relay::node::Node;
use mostro_relay::operator_door;
use mostro_relay::settings::Settings;
use nostr::event::{Event, Kind, Tag};
use nostr::key::Keys;
use nostr::types::RelayUrl;
use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{RateLimit, RelayBuilder};
use serde_json::{Value, json};
use storage::ledger::{Ledger, Mirror, MirrorNo, OutboxSeq};
use tempfile::TempDir;

use crate::reader::Reader;

/// A node on a free port, with its data in a folder of its own.
pub(crate) struct Place {
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    pub(crate) calling: Calling,
    node: Option<Node>,
    _folder: TempDir,
}

impl Place {
    /// A node with these mirrors, which tries again at once.
    pub(crate) async fn with_mirrors(urls: &[String]) -> Place {
        Place::with(urls, |_, _| ()).await
    }

    pub(crate) async fn with(
        urls: &[String],
        differ: impl FnOnce(&mut Settings, &mut Calling),
    ) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.node.data_dir = folder.path().to_owned();
        settings.relay.listen = free_port();
        settings.relay.public_url = Some(RelayUrl::parse("wss://own.example").unwrap());
        settings.relay.max_store_gib = 1;
        settings.sandbox.listen = free_port();
        settings.mirror.relays = parsed(urls);
        let mut calling = Calling::usual(Duration::from_millis(50));
        differ(&mut settings, &mut calling);
        let keys = Keys::generate();
        settings.node.key = Some(keys.clone());
        let mut place = Place {
            keys,
            settings,
            calling,
            node: None,
            _folder: folder,
        };
        place.opens().await;
        place
    }

    pub(crate) async fn opens(&mut self) {
        let node = Node::start_calling(self.settings.clone(), self.calling.clone());
        self.node = Some(node.await.unwrap());
    }

    pub(crate) async fn closes(&mut self) {
        self.node.take().unwrap().stop().await.unwrap();
    }

    /// Closes, and opens with these mirrors.
    pub(crate) async fn moves_to(&mut self, urls: &[String]) {
        self.closes().await;
        self.settings.mirror.relays = parsed(urls);
        self.opens().await;
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("the node is open")
    }

    pub(crate) fn relay(&self) -> SocketAddr {
        self.node().relay_address()
    }

    /// The node's orders and its list of relays; it says its terms whenever
    /// Lightning changes, so of these a mirror may miss some.
    pub(crate) fn public(&self) -> Value {
        json!({ "authors": [self.keys.public_key()], "kinds": [38_383, 10_002] })
    }

    /// What the node's own relay shows of it.
    pub(crate) async fn shown(&self) -> Vec<Event> {
        Reader::stored(self.relay(), &self.public()).await
    }

    /// A reader of the node's public events on a relay.
    pub(crate) async fn reader_of(&self, relay: SocketAddr) -> Reader {
        Reader::of(relay, &self.public()).await
    }

    /// The node publishes a revision of one of its addresses.
    pub(crate) async fn says(&self, name: &str, revision: u32) {
        self.says_content(name, &revision.to_string()).await;
    }

    /// The node publishes this as one of its addresses.
    pub(crate) async fn says_content(&self, name: &str, content: &str) {
        let announcement = Announcement {
            kind: Kind::from_u16(38_383),
            identifier: name.to_owned(),
            tags: vec![Tag::identifier(name)],
            content: content.to_owned(),
        };
        let escrow = self.node().escrow().unwrap();
        escrow.announce(announcement).await.unwrap();
    }

    /// Returns when nothing waits for any mirror any more.
    pub(crate) async fn all_is_acknowledged(&self) {
        let escrow = self.node().escrow().unwrap();
        while escrow
            .mirrors()
            .iter()
            .any(|mirror| self.waits_for(*mirror) > 0)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the operator is told of the first mirror, once it is as it should be.
    pub(crate) async fn status(&self, is_right: impl Fn(&MirrorStatus) -> bool) -> MirrorStatus {
        loop {
            let told = operator_door::ask(&self.settings.node.data_dir, mirror::PATH).await;
            let mut told: Vec<MirrorStatus> = told.unwrap().unwrap();
            let first = told.remove(0);
            if is_right(&first) {
                return first;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn waits_for(&self, mirror: MirrorNo) -> u64 {
        let view = self.node().escrow().unwrap().views().view().unwrap();
        view.backlog_len(mirror).unwrap()
    }

    /// The first mirror of a node that is closed.
    pub(crate) fn on_disk(&self) -> Mirror {
        let ledger = Ledger::open(&self.settings.node.data_dir.join("ledger.redb")).unwrap();
        let mut mirrors = ledger.views().view().unwrap().mirrors().unwrap();
        mirrors.remove(0).1
    }

    /// How many rows wait for the first mirror of a node that is closed.
    pub(crate) fn waits_on_disk(&self) -> usize {
        let ledger = Ledger::open(&self.settings.node.data_dir.join("ledger.redb")).unwrap();
        let view = ledger.views().view().unwrap();
        let (first, _) = view.mirrors().unwrap()[0];
        view.backlog_from(first, OutboxSeq(0), usize::MAX)
            .unwrap()
            .len()
    }
}

/// A relay of another make that lets everybody say everything.
pub(crate) async fn foreign_relay() -> (LocalRelay, SocketAddr) {
    foreign(RelayBuilder::default()).await
}

pub(crate) async fn foreign(builder: RelayBuilder) -> (LocalRelay, SocketAddr) {
    let builder = builder.rate_limit(RateLimit {
        max_reqs: 500,
        notes_per_minute: u32::MAX,
    });
    let relay = LocalRelay::new(builder);
    relay.run().await.unwrap();
    let url = relay.url().await.to_string();
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let address = address.parse().unwrap();
    (relay, address)
}

fn parsed(urls: &[String]) -> Vec<RelayUrl> {
    let parsed = urls.iter().map(|url| RelayUrl::parse(url));
    parsed.collect::<Result<_, _>>().unwrap()
}

fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

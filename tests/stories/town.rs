//! The town: one node and everything that the stories need around it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::amount::Sats;
use escrow_core::order::{Order, OrderId};
use escrow_core::stage::{BackTo, Stage};
use escrow_core::wire::{BookStatus, Transport};
use escrow_lightning::Sandbox;
use mostro_relay::node::{Node, NodeError};
use mostro_relay::settings::Settings;
use mostro_relay::trader::{Envelope, HouseEnvelope, Persona, Trader, Wallet};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use storage::ledger::Ledger;
use tempfile::TempDir;
use uuid::Uuid;

use crate::person::Person;
use crate::upstream::UpstreamEnvelope;

/// What every wallet begins with.
pub(crate) const PURSE: Sats = Sats(1_000_000);

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node on a free port, with its data in a folder of its own.
pub(crate) struct Town {
    /// The keys of the node.
    pub(crate) keys: Keys,
    node: Option<Node>,
    settings: Settings,
    births: u8,
    _folder: TempDir,
}

impl Town {
    pub(crate) async fn new() -> Town {
        Town::with(|_| ()).await
    }

    /// A town whose settings differ from the usual ones.
    pub(crate) async fn with(differ: impl FnOnce(&mut Settings)) -> Town {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.node.data_dir = folder.path().to_owned();
        settings.relay.listen = free_port();
        settings.relay.max_store_gib = 1;
        settings.sandbox.listen = free_port();
        differ(&mut settings);
        let keys = Keys::generate();
        settings.node.key = Some(keys.clone());
        let mut town = Town {
            keys,
            node: None,
            settings,
            births: 0,
            _folder: folder,
        };
        town.opens().await;
        town
    }

    pub(crate) async fn opens(&mut self) {
        let node = Box::pin(Node::start(self.settings.clone()));
        self.node = Some(node.await.unwrap());
    }

    /// Why the node does not start.
    pub(crate) async fn does_not_open(&self) -> NodeError {
        let node = Box::pin(Node::start(self.settings.clone())).await;
        node.err().expect("the node does not start")
    }

    /// Stops the node cleanly. Everybody notices, and nobody loses what he has
    /// not read yet.
    pub(crate) async fn closes(&mut self, people: &mut [&mut Person]) {
        let node = self.node.take().unwrap();
        let notice = async {
            for person in people {
                person.waits_for_the_hangup().await;
            }
        };
        let (stopped, ()) = tokio::join!(node.stop(), notice);
        stopped.unwrap();
    }

    /// Stops the node cleanly and starts it again on the same data.
    pub(crate) async fn restarts(&mut self, people: &mut [&mut Person]) {
        self.closes(people).await;
        self.opens().await;
        for person in people {
            person.comes_back(self).await;
        }
    }

    /// Changes the settings of the next start.
    pub(crate) fn changes(&mut self, differ: impl FnOnce(&mut Settings)) {
        differ(&mut self.settings);
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("the node is open")
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.node().public_key()
    }

    pub(crate) fn url(&self) -> &str {
        self.node().url()
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        self.node().sandbox().expect("the town has a sandbox")
    }

    /// Where the node keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.settings.node.data_dir
    }

    /// Rewrites every living order, as if its past had been another. The node
    /// must be closed.
    pub(crate) fn rewrites_the_past(&self, rewrite: impl Fn(&mut Order)) {
        assert!(self.node.is_none(), "the node holds the ledger");
        let path = self.settings.node.data_dir.join("ledger.redb");
        let mut ledger = Ledger::open(&path).unwrap();
        let mut page = ledger.page().unwrap();
        let living = page.living_orders().unwrap();
        let living: Vec<_> = living.map(Result::unwrap).collect();
        for mut order in living {
            rewrite(&mut order);
            page.put_order(order).unwrap();
        }
        page.commit().unwrap();
    }

    /// A trader with an identity, upstream's envelopes and a purse.
    pub(crate) async fn person(&mut self, name: &str, transport: Transport) -> Person {
        let persona = self.persona(name, transport);
        self.invites(persona).await
    }

    /// A trader in full privacy.
    pub(crate) async fn hidden(&mut self, name: &str, transport: Transport) -> Person {
        let mut persona = self.persona(name, transport);
        persona.full_privacy = true;
        self.invites(persona).await
    }

    /// Somebody who judges or commands, and writes with this key alone. The
    /// older library of upstream's would not let anybody write to himself, as
    /// the operator does.
    pub(crate) async fn official(
        &mut self,
        name: &str,
        (keys, order): (Keys, Uuid),
        transport: Transport,
    ) -> Person {
        let mut persona = self.persona(name, transport);
        persona.full_privacy = true;
        persona.envelope = Arc::new(HouseEnvelope);
        let mut official = self.invites(persona).await;
        official.sits_as(keys, order).await;
        official
    }

    /// A trader with the house's own envelopes, which take any text.
    pub(crate) async fn person_of_the_house(&mut self, name: &str, transport: Transport) -> Person {
        let mut persona = self.persona(name, transport);
        persona.envelope = Arc::new(HouseEnvelope);
        self.invites(persona).await
    }

    /// Alice, who makes orders, and Bob, who takes them.
    pub(crate) async fn pair(&mut self, alices: Transport, bobs: Transport) -> (Person, Person) {
        let alice = self.person("alice", alices).await;
        (alice, self.person("bob", bobs).await)
    }

    /// Compares the newest revision of every order in the book with the ledger
    /// (guarantee up-R9), and sees that the stamps of each order rise (up-R10).
    pub(crate) async fn book_is_the_ledger(&self, reader: &mut Person) {
        reader.trader.watch_book().await.unwrap();
        let view = self.node().escrow().unwrap().views().view().unwrap();
        let book = reader.trader.book();
        for order in book.orders() {
            let decided = view.order(OrderId(order)).unwrap().unwrap();
            let shown = book.status(order);
            assert_eq!(shown, Some(public_status(&decided.stage)), "{order}");
            let rises = |pair: &[Event]| pair[0].created_at < pair[1].created_at;
            assert!(book.revisions(order).windows(2).all(rises), "{order}");
        }
        for living in view.living_orders().unwrap() {
            let order = living.unwrap().id.0;
            assert!(book.status(order).is_some(), "{order} is not in the book");
        }
    }

    pub(crate) fn persona(&mut self, name: &str, transport: Transport) -> Persona {
        self.births += 1;
        let envelope: Arc<dyn Envelope> = Arc::new(UpstreamEnvelope);
        Persona {
            envelope,
            patience: PATIENCE,
            ..Persona::new(name, [self.births; 32], transport)
        }
    }

    pub(crate) async fn invites(&mut self, persona: Persona) -> Person {
        let wallet = self.wallet(&persona.name, PURSE).await;
        let trader = Trader::join(persona, self.url(), self.key()).await.unwrap();
        Person::new(trader, wallet).await
    }

    pub(crate) async fn wallet(&self, name: &str, sats: Sats) -> Wallet {
        Wallet::funded(self.sandbox(), name, sats).await.unwrap()
    }
}

/// How a stage stands in the book (rule S2).
fn public_status(stage: &Stage) -> BookStatus {
    match stage {
        Stage::Pending
        | Stage::OpeningHold {
            back_to: BackTo::Pending,
            ..
        } => BookStatus::Pending,
        Stage::OpeningHold {
            back_to: BackTo::WaitingInvoice { .. } | BackTo::WaitingPayment { .. },
            ..
        }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. } => BookStatus::InProgress,
        Stage::Success { .. } => BookStatus::Success,
        Stage::Canceled { .. } | Stage::Expired => BookStatus::Canceled,
    }
}

fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

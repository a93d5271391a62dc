//! The town: one node and everything that the stories need around it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::amount::Sats;
use escrow_core::wire::Transport;
use escrow_lightning::Sandbox;
use mostro_relay::node::Node;
use mostro_relay::settings::Settings;
use mostro_relay::trader::{Envelope, Persona, Trader, Wallet};
use nostr::key::PublicKey;
use tempfile::TempDir;

use crate::person::Person;
use crate::upstream::UpstreamEnvelope;

/// What every wallet begins with.
pub(crate) const PURSE: Sats = Sats(1_000_000);

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node on a free port, with its data in a folder of its own.
pub(crate) struct Town {
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
        let mut town = Town {
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

    pub(crate) fn ledger(&self) -> PathBuf {
        self.settings.node.data_dir.join("ledger.redb")
    }

    /// A trader with an identity, upstream's envelopes and a purse.
    pub(crate) async fn person(&mut self, name: &str, transport: Transport) -> Person {
        let persona = self.persona(name, transport);
        self.invites(persona).await
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

fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

//! The rooms of a box in this process, on the operator's node: all addresses
//! lead to a server of the test's own, which no setting can do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::wire::Transport;
use escrow_regtest::Network;
use storage::ledger::{Ledger, View};
use storage::testing::PowerCutDisk;
use tokio::time::{sleep, timeout};

use crate::deal::Person;
use crate::rooms::{Ground, Rooms};
use crate::town::{PATIENCE, joins, lnd_at};

const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct OwnBox<'n> {
    /// What the next start finds.
    pub(crate) ground: Ground,
    network: &'n Network,
    /// The way to the operator's node.
    node: SocketAddr,
    addresses: SocketAddr,
    disk: PowerCutDisk,
    rooms: Option<Rooms>,
}

impl<'n> OwnBox<'n> {
    /// A box that has yet to start.
    pub(crate) async fn new(
        network: &'n Network,
        node: SocketAddr,
        addresses: SocketAddr,
    ) -> OwnBox<'n> {
        OwnBox {
            ground: Ground::new().await,
            network,
            node,
            addresses,
            disk: PowerCutDisk::new(),
            rooms: None,
        }
    }

    pub(crate) async fn starts(&mut self, people: &mut [&mut Person]) {
        let lnd = Arc::new(lnd_at(self.network, self.node));
        lnd.introduce().await.unwrap();
        let ledger = Ledger::with_backend(self.disk.clone()).unwrap();
        let rooms = Rooms::open(&self.ground, ledger, lnd, self.addresses).await;
        rooms.is_ready().await;
        for person in people {
            person.comes_back(&rooms.url).await;
        }
        self.rooms = Some(rooms);
    }

    /// The power goes: nothing of it runs on, and what was not synced is lost.
    pub(crate) fn dies(&mut self) {
        self.rooms = None;
        self.disk = self.disk.after_power_cut();
    }

    pub(crate) fn url(&self) -> &str {
        &self.rooms().url
    }

    pub(crate) async fn person(&self, name: &str, transport: Transport) -> Person {
        let node = self.ground.keys.public_key();
        joins(name, transport, (self.url(), node)).await
    }

    /// The ledger as it is.
    pub(crate) fn view(&self) -> View {
        self.rooms().escrow.views().view().unwrap()
    }

    /// Waits until the ledger is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&View) -> bool) {
        let looking = async {
            while !is_so(&self.view()) {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("it never comes");
    }

    fn rooms(&self) -> &Rooms {
        self.rooms.as_ref().expect("it runs")
    }
}

//! The rooms of a box in this process, on the operator's node: all addresses
//! lead to a server of the test's own, which no setting can do.

use std::net::SocketAddr;
use std::sync::Arc;

use escrow_core::wire::Transport;
use escrow_regtest::Network;
use storage::ledger::Ledger;

use crate::deal::Person;
use crate::rooms::Rooms;
use crate::town::{joins, lnd};

pub(crate) struct OwnBox(Rooms);

impl OwnBox {
    pub(crate) async fn opens(network: &Network, addresses: SocketAddr) -> OwnBox {
        let lnd = Arc::new(lnd(network));
        lnd.introduce().await.unwrap();
        let rooms = Rooms::open(Ledger::in_memory(), lnd, addresses).await;
        rooms.is_ready().await;
        OwnBox(rooms)
    }

    pub(crate) async fn person(&self, name: &str, transport: Transport) -> Person {
        let Rooms { url, keys, .. } = &self.0;
        joins(name, transport, (url, keys.public_key())).await
    }
}

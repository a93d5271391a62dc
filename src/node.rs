//! The node: all rooms of the house, opened in order and closed in reverse.
//!
//! The data directory comes first, because only one process may work on it;
//! the port opens last, when everything behind it can answer.

mod assistant;
mod crew;
mod lightning;
mod open;
mod port;
mod readiness;
mod seams;
mod terms;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use escrow_engine::{EscrowError, EscrowHandle};
use escrow_lightning::lnd::LndRefusal;
use escrow_lightning::sandbox::OpenError;
use escrow_lightning::{LightningBackend, LnError, Sandbox};
use nostr::key::PublicKey;
use storage::events::EventStoreError;
use storage::ledger::StorageError;
use tokio::task::JoinError;

use self::crew::Crew;
pub(crate) use self::open::LEDGER;
use crate::identity::{DataLock, IdentityError};
use crate::mirror::Calling;
use crate::settings::Settings;

/// Time for the rooms on one floor to close; whoever needs longer is left.
const CLOSING_TIME: Duration = Duration::from_secs(15);

/// A running node.
pub struct Node {
    url: String,
    public_key: PublicKey,
    relay_address: SocketAddr,
    admin_address: Option<SocketAddr>,
    sandbox: Option<OpenSandbox>,
    escrow: Option<EscrowHandle>,
    /// The port and whatever else lets somebody in.
    doors: Crew,
    /// What the doors lead to; it closes when nobody can enter any more.
    rooms: Crew,
    /// Released last.
    _lock: DataLock,
}

/// The simulated Lightning of a node, and the way in.
struct OpenSandbox {
    address: SocketAddr,
    sandbox: Sandbox,
}

/// A part of a node that works for as long as the node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The one port.
    FrontDoor,
    /// The door of the sandbox.
    SandboxDoor,
    /// The door of the operator.
    OperatorDoor,
    /// The door of the operator's other tools.
    AdminDoor,
    /// The events about the node.
    Announcer,
    /// The one who says how the node is, and lets it rest.
    Health,
    /// The one who logs the head of the audit journal.
    Audit,
    /// What `/readyz` knows.
    Watchman,
    /// The lines to external relays.
    Mirrors,
    /// The removal of expired events.
    Purge,
    /// Those who ask for prices.
    Prices,
    /// The escrow.
    Escrow,
    /// The time in the sandbox.
    SandboxClock,
}

/// Why a node does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No data directory, key or secret.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A port cannot be had.
    #[error(
        "cannot listen on {address}: {source}. Set {key} to another address, or stop who has it."
    )]
    Port {
        /// The setting that names it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The event store cannot be opened or read.
    #[error(transparent)]
    EventStore(#[from] EventStoreError),
    /// The ledger cannot be opened.
    #[error("the ledger cannot be opened: {0}")]
    Ledger(#[from] StorageError),
    /// The sandbox's log cannot be opened.
    #[error("the sandbox cannot be opened: {0}")]
    Sandbox(#[from] OpenError),
    /// Lightning does not say who it is.
    #[error("the Lightning node does not answer: {0}")]
    Lightning(#[from] LnError),
    /// LND cannot be used.
    #[error(transparent)]
    Lnd(LndRefusal),
    /// Another Lightning node answers than the one that has money of open trades.
    #[error(
        "{holds} hold invoices and {payouts} payouts are open on the Lightning node {theirs}, but \
         {ours} answers: start with the old one until they are done. If that node is gone for \
         ever, lightning.allow_node_change = true starts without it"
    )]
    ForeignLightning {
        /// The node in the ledger.
        theirs: String,
        /// The node of this start.
        ours: String,
        /// Hold invoices without an end.
        holds: usize,
        /// Payouts that are not paid.
        payouts: usize,
    },
    /// The settings ask for more than the Lightning node can do.
    #[error("{key} = {value} is more than this Lightning backend can do ({possible})")]
    TooMuchForLightning {
        /// The setting.
        key: &'static str,
        /// Its value, in blocks.
        value: u32,
        /// What is possible, in blocks.
        possible: String,
    },
    /// Real fees are taken, and the development's share has nowhere to go.
    #[error(
        "mostro.dev_fee_destination is not set: on mainnet a node with mostro.fee above 0 \
         must say to which Lightning address the development's share of it goes"
    )]
    NoDevFeeDestination,
    /// The escrow does not start, or cannot go on.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// The dispute assistant cannot be registered.
    #[error("mostro.serbero_pubkey cannot be used: {0}")]
    Assistant(String),
    /// The admin service cannot be served.
    #[error("the admin service cannot be served: {0}")]
    AdminDoor(String),
    /// The front door cannot be served.
    #[error("the port cannot be served: {0}")]
    FrontDoor(io::Error),
    /// A part ended although nobody had told it to: a bug.
    #[error("{0:?} ended without being told to")]
    Deserted(Part),
    /// A part did not close in time.
    #[error("{0:?} did not close in time")]
    Stuck(Vec<Part>),
    /// A part panicked: a bug.
    #[error("a part of the node failed: {0}")]
    Panicked(#[from] JoinError),
}

impl Node {
    /// Opens a node. When this returns, its port is open, what Lightning did
    /// meanwhile is decided, and the outbox has been brought to the relay.
    ///
    /// Port 0 in the settings takes any free port; the node's own events then
    /// name the one it got.
    ///
    /// # Errors
    /// Why it cannot run; nothing of it runs then.
    pub fn start(settings: Settings) -> impl Future<Output = Result<Node, NodeError>> {
        let calling = Calling::usual(settings.mirror.longest_wait);
        Node::start_calling(settings, calling)
    }

    /// As [`Node::start`], with mirrors called in another way than the usual.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_calling(
        settings: Settings,
        calling: Calling,
    ) -> impl Future<Output = Result<Node, NodeError>> {
        // On the heap, so that the futures of those who start a node stay small.
        Box::pin(open::node(settings, calling, |backend| backend))
    }

    /// As [`Node::start`], with somebody between the escrow and Lightning who sees
    /// what each tells the other.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_overheard<Ear>(
        settings: Settings,
        ear: Ear,
    ) -> impl Future<Output = Result<Node, NodeError>>
    where
        Ear: FnOnce(Arc<dyn LightningBackend>) -> Arc<dyn LightningBackend>,
    {
        let calling = Calling::usual(settings.mirror.longest_wait);
        Box::pin(open::node(settings, calling, ear))
    }

    /// How clients reach the relay.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The key of the node.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Where the relay listens.
    #[must_use]
    pub fn relay_address(&self) -> SocketAddr {
        self.relay_address
    }

    /// Where the admin service is, if it is enabled.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Where the sandbox's door is, if there is a sandbox.
    #[must_use]
    pub fn sandbox_address(&self) -> Option<SocketAddr> {
        self.sandbox.as_ref().map(|open| open.address)
    }

    /// The simulated Lightning, if there is one.
    #[must_use]
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref().map(|open| &open.sandbox)
    }

    /// The escrow, unless the relay works alone.
    #[must_use]
    pub fn escrow(&self) -> Option<&EscrowHandle> {
        self.escrow.as_ref()
    }

    /// Waits until a part of the node fails; the node is then to be stopped.
    pub async fn failed(&mut self) -> NodeError {
        tokio::select! {
            why = self.doors.failed() => why,
            why = self.rooms.failed() => why,
        }
    }

    /// Closes the doors, lets what has entered be decided, and then closes the
    /// rooms. When this returns, everything is on disk and the data directory
    /// is free.
    ///
    /// # Errors
    /// What failed meanwhile; everything has ended nevertheless.
    pub async fn stop(self) -> Result<(), NodeError> {
        let doors = self.doors.dismiss(CLOSING_TIME).await;
        let rooms = self.rooms.dismiss(CLOSING_TIME).await;
        doors.and(rooms)
    }
}

//! A bridge to a relay that can be taken away and laid again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on to a relay, as long as it stands.
pub(crate) struct Bridge {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    crossings: Arc<AtomicUsize>,
    _traffic: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// All come across.
    Stands,
    /// All are thrown off.
    Fallen,
    /// All stay where they are, and nothing moves.
    Frozen,
}

impl Bridge {
    pub(crate) async fn to(relay: SocketAddr) -> Bridge {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::Stands);
        let crossings = Arc::new(AtomicUsize::new(0));
        let mut traffic = JoinSet::new();
        traffic.spawn(carry(listener, relay, state.subscribe(), crossings.clone()));
        Bridge {
            address,
            state,
            crossings,
            _traffic: traffic,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// All on it are thrown off, and nobody comes across until it stands again.
    pub(crate) fn falls(&self) {
        self.state.send_replace(State::Fallen);
    }

    /// Nothing moves on it, and nobody is told.
    pub(crate) fn freezes(&self) {
        self.state.send_replace(State::Frozen);
    }

    pub(crate) fn stands_again(&self) {
        self.state.send_replace(State::Stands);
    }

    /// How many connections began, also those that were thrown off at once.
    pub(crate) fn crossings(&self) -> usize {
        self.crossings.load(Ordering::Relaxed)
    }
}

async fn carry(
    listener: TcpListener,
    relay: SocketAddr,
    state: watch::Receiver<State>,
    crossings: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (here, _) = listener.accept().await.unwrap();
        crossings.fetch_add(1, Ordering::Relaxed);
        connections.spawn(cross(here, relay, state.clone()));
    }
}

async fn cross(mut here: TcpStream, relay: SocketAddr, mut state: watch::Receiver<State>) {
    let mut there = TcpStream::connect(relay).await.unwrap();
    tokio::select! {
        biased;
        changed = state.wait_for(|state| *state != State::Stands) => drop(changed),
        _ = copy_bidirectional(&mut here, &mut there) => return,
    }
    // Who was caught by the frost does not come across after it either.
    let _ended = state.wait_for(|state| *state != State::Frozen).await;
}

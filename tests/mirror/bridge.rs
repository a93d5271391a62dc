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
    stands: watch::Sender<bool>,
    crossings: Arc<AtomicUsize>,
    _traffic: JoinSet<()>,
}

impl Bridge {
    pub(crate) async fn to(relay: SocketAddr) -> Bridge {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stands = watch::Sender::new(true);
        let crossings = Arc::new(AtomicUsize::new(0));
        let mut traffic = JoinSet::new();
        traffic.spawn(carry(
            listener,
            relay,
            stands.subscribe(),
            crossings.clone(),
        ));
        Bridge {
            address,
            stands,
            crossings,
            _traffic: traffic,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// All on it are thrown off, and nobody comes across until it stands again.
    pub(crate) fn falls(&self) {
        self.stands.send_replace(false);
    }

    pub(crate) fn stands_again(&self) {
        self.stands.send_replace(true);
    }

    /// How many connections began, also those that were thrown off at once.
    pub(crate) fn crossings(&self) -> usize {
        self.crossings.load(Ordering::Relaxed)
    }
}

async fn carry(
    listener: TcpListener,
    relay: SocketAddr,
    stands: watch::Receiver<bool>,
    crossings: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (mut here, _) = listener.accept().await.unwrap();
        crossings.fetch_add(1, Ordering::Relaxed);
        let mut stands = stands.clone();
        if !*stands.borrow() {
            continue;
        }
        connections.spawn(async move {
            let mut there = TcpStream::connect(relay).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut here, &mut there) => {}
                _ = stands.wait_for(|stands| !stands) => {}
            }
        });
    }
}

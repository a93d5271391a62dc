//! An LND that does what it is told: real gRPC over real TLS, invoices and payments in a
//! table, and answers that can be refused, lost or withheld.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use escrow_core::PaymentHash;
use futures_util::stream::{self, BoxStream, StreamExt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::metadata::MetadataValue;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::super::rpc::invoicesrpc::invoices_server::InvoicesServer;
use super::super::rpc::lnrpc::lightning_server::LightningServer;
use super::super::rpc::lnrpc::state_server::StateServer;
use super::super::rpc::lnrpc::{Chain, Channel, GetInfoResponse, Invoice, Payment, WalletState};
use super::super::rpc::routerrpc::router_server::RouterServer;
use super::super::{LndAccess, Macaroon};

/// The key of the scripted node.
pub(super) const NODE_KEY: [u8; 32] = [1; 32];

/// What the macaroon file holds.
const MACAROON: &[u8] = b"a small macaroon";

/// A running node; ends when it is dropped.
pub(super) struct Scripted {
    pub(super) script: Script,
    folder: TempDir,
    port: u16,
    identity: Arc<Mutex<Arc<rustls::ServerConfig>>>,
    tasks: JoinSet<()>,
}

/// What the node is, and what it is to do.
#[derive(Clone)]
pub(super) struct Script(Arc<Stage>);

struct Stage {
    table: Mutex<Table>,
    cut: Notify,
    news: broadcast::Sender<()>,
    called: watch::Sender<()>,
}

/// The rows that a test may change.
pub(super) struct Table {
    pub(super) state: WalletState,
    pub(super) info: GetInfoResponse,
    pub(super) channels: Vec<Channel>,
    pub(super) invoices: HashMap<Vec<u8>, Invoice>,
    pub(super) payments: HashMap<String, Payment>,
    /// Calls that the macaroon does not allow.
    pub(super) forbidden: HashSet<&'static str>,
    /// Calls that are answered with this instead of being done.
    pub(super) refused: HashMap<&'static str, Status>,
    /// Calls that are done, and whose answer is lost with the connection.
    pub(super) lost: HashSet<&'static str>,
    /// Calls that are not done, and whose connection is cut.
    pub(super) cut_off: HashSet<&'static str>,
    /// Calls that are never answered.
    pub(super) silent: HashSet<&'static str>,
    /// Whether streams tell changes.
    pub(super) streams_are_deaf: bool,
    pub(super) macaroon: Vec<u8>,
    /// Every call that came in.
    pub(super) calls: Vec<&'static str>,
    pub(super) last_add_was_private: bool,
}

impl Script {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap()
    }

    /// Changes a row and tells the streams.
    pub(super) fn change(&self, change: impl FnOnce(&mut Table)) {
        change(&mut self.table());
        // Nobody may be listening.
        let _ = self.0.news.send(());
    }

    /// Ends every connection.
    pub(super) fn hang_up(&self) {
        self.0.cut.notify_waiters();
    }

    /// Waits until such a call has come in.
    pub(super) async fn called(&self, call: &str) {
        let mut calls = self.0.called.subscribe();
        while !self.table().calls.contains(&call) {
            calls.changed().await.unwrap();
        }
    }

    /// What comes before every call.
    pub(super) async fn enter<T>(
        &self,
        call: &'static str,
        request: &Request<T>,
    ) -> Result<(), Status> {
        let is_unheard = {
            let mut table = self.table();
            table.calls.push(call);
            self.0.called.send_replace(());
            let shown = request.metadata().get("macaroon");
            let wanted = faster_hex::hex_string(&table.macaroon);
            if call != "GetState" && shown.map(MetadataValue::as_bytes) != Some(wanted.as_bytes()) {
                let why = "verification failed: signature mismatch after caveat verification";
                return Err(Status::unknown(why));
            }
            if table.forbidden.contains(call) {
                return Err(Status::unknown("permission denied"));
            }
            if let Some(status) = table.refused.get(call) {
                return Err(status.clone());
            }
            if table.cut_off.contains(call) {
                self.hang_up();
            }
            table.silent.contains(call) || table.cut_off.contains(call)
        };
        if is_unheard {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// What comes after every call that changes something.
    pub(super) async fn leave<T>(
        &self,
        call: &'static str,
        answer: Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        if self.table().lost.contains(call) {
            self.hang_up();
            std::future::pending::<()>().await;
        }
        answer.map(Response::new)
    }

    /// What `row` says, at once and after each change, until it says that this is the end.
    /// A row that is not there is waited for.
    pub(super) fn follow<T: Send + 'static>(
        &self,
        row: impl Fn(&Table) -> Option<(T, IsLast)> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        let follower = Follower {
            script: self.clone(),
            news: self.0.news.subscribe(),
            row,
            at: At::Beginning,
        };
        stream::unfold(follower, |mut follower| async move {
            let item = follower.next().await?;
            Some((Ok(item), follower))
        })
        .boxed()
    }
}

pub(super) type IsLast = bool;

struct Follower<F> {
    script: Script,
    news: broadcast::Receiver<()>,
    row: F,
    at: At,
}

enum At {
    Beginning,
    Middle,
    End,
}

impl<F> Follower<F> {
    async fn next<T>(&mut self) -> Option<T>
    where
        F: Fn(&Table) -> Option<(T, IsLast)>,
    {
        loop {
            match self.at {
                At::Beginning => self.at = At::Middle,
                At::Middle => {
                    self.news.recv().await.ok()?;
                    if self.script.table().streams_are_deaf {
                        continue;
                    }
                }
                At::End => return None,
            }
            let told = (self.row)(&self.script.table());
            if let Some((item, is_last)) = told {
                if is_last {
                    self.at = At::End;
                }
                return Some(item);
            }
        }
    }
}

impl Scripted {
    /// A node that is up, synced and has a channel.
    pub(super) async fn start() -> Scripted {
        let script = Script(Arc::new(Stage {
            table: Mutex::new(table()),
            cut: Notify::new(),
            news: broadcast::channel(64).0,
            called: watch::Sender::new(()),
        }));
        let (config, pem) = identity();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tls.cert"), pem).unwrap();
        std::fs::write(folder.path().join("small.macaroon"), MACAROON).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let identity = Arc::new(Mutex::new(Arc::new(config)));
        let mut tasks = JoinSet::new();
        let (callers, incoming) = mpsc::channel(16);
        tasks.spawn(serve(script.clone(), incoming));
        tasks.spawn(accept(listener, identity.clone(), script.clone(), callers));
        Scripted {
            script,
            folder,
            port,
            identity,
            tasks,
        }
    }

    /// How it is reached.
    pub(super) fn access(&self) -> LndAccess {
        LndAccess {
            address: format!("https://127.0.0.1:{}", self.port),
            certificate: self.file("tls.cert"),
            macaroon: Macaroon::File(self.file("small.macaroon")),
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Shows another certificate from the next connection on; gives it as PEM.
    pub(super) fn renew_certificate(&self) -> String {
        let (config, pem) = identity();
        *self.identity.lock().unwrap() = Arc::new(config);
        pem
    }

    /// Does not answer its port any more.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// A certificate as LND makes its own: signed by itself, and marked as an authority.
fn identity() -> (rustls::ServerConfig, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut wish = rcgen::CertificateParams::new(names).unwrap();
    wish.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = wish.self_signed(&key).unwrap();
    let der: CertificateDer<'static> = certificate.der().clone();
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], secret)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (config, certificate.pem())
}

fn table() -> Table {
    let key = SecretKey::from_slice(&NODE_KEY).unwrap();
    let info = GetInfoResponse {
        identity_pubkey: PublicKey::from_secret_key(&Secp256k1::new(), &key).to_string(),
        alias: "scripted".into(),
        version: "0.21.2-beta commit=".into(),
        num_active_channels: 1,
        block_height: 800,
        best_header_timestamp: 1_700_000_000,
        synced_to_chain: true,
        chains: vec![Chain {
            network: "regtest".into(),
        }],
        ..GetInfoResponse::default()
    };
    Table {
        state: WalletState::ServerActive,
        info,
        channels: Vec::new(),
        invoices: HashMap::new(),
        payments: HashMap::new(),
        forbidden: HashSet::new(),
        refused: HashMap::new(),
        lost: HashSet::new(),
        cut_off: HashSet::new(),
        silent: HashSet::new(),
        streams_are_deaf: false,
        macaroon: MACAROON.to_vec(),
        calls: Vec::new(),
        last_add_was_private: false,
    }
}

/// TLS ends here; behind it the library's server speaks over a pipe.
async fn accept(
    listener: TcpListener,
    identity: Arc<Mutex<Arc<rustls::ServerConfig>>>,
    script: Script,
    callers: mpsc::Sender<DuplexStream>,
) {
    let mut lines = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let acceptor = TlsAcceptor::from(identity.lock().unwrap().clone());
        lines.spawn(carry(tcp, acceptor, script.clone(), callers.clone()));
    }
}

async fn carry(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    script: Script,
    callers: mpsc::Sender<DuplexStream>,
) {
    let Ok(mut outer) = acceptor.accept(tcp).await else {
        return;
    };
    let (mut inner, server) = duplex(64 * 1024);
    if callers.send(server).await.is_ok() {
        tokio::select! {
            _ = copy_bidirectional(&mut outer, &mut inner) => {}
            () = script.0.cut.notified() => {}
        }
    }
}

async fn serve(script: Script, callers: mpsc::Receiver<DuplexStream>) {
    let incoming = stream::unfold(callers, |mut callers| async move {
        let caller = callers.recv().await?;
        Some((Ok::<_, std::io::Error>(caller), callers))
    });
    Server::builder()
        .add_service(StateServer::new(script.clone()))
        .add_service(LightningServer::new(script.clone()))
        .add_service(InvoicesServer::new(script.clone()))
        .add_service(RouterServer::new(script))
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

/// The hash as it stands in the rows of payments.
pub(super) fn hex(hash: PaymentHash) -> String {
    faster_hex::hex_string(&hash.0)
}

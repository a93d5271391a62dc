//! The one connection to LND that the whole process shares.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

use super::credentials::LndAccess;
use super::rpc::invoicesrpc::invoices_client::InvoicesClient;
use super::rpc::lnrpc::lightning_client::LightningClient;
use super::rpc::lnrpc::state_client::StateClient;
use super::rpc::routerrpc::router_client::RouterClient;
use super::{Tempo, certificate};
use crate::backend::LnError;

/// Longest wait for a connection and its handshake.
const CONNECTING: Duration = Duration::from_secs(10);

/// LND closes the line of who pings more often than every 5 s, or without a stream.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// A thousand payments of a history come in one message.
const LARGEST_ANSWER: usize = 64 << 20;

type Wire = InterceptedService<Channel, Stamp>;

/// Makes itself anew whenever it was cut, with the certificate and the macaroon that
/// the files hold then.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) tempo: Tempo,
    wire: Wire,
    caller: Arc<Caller>,
}

impl Line {
    /// Prepares the line; the first call connects.
    pub(super) fn new(access: LndAccess, tempo: Tempo) -> Result<Line, String> {
        let (host, port) = access.host_and_port()?;
        let endpoint = endpoint(&host, port).ok_or("the address cannot be called")?;
        let stamp = Stamp::default();
        let caller = Arc::new(Caller {
            host,
            port,
            access,
            stamp: stamp.clone(),
            connections: AtomicU64::new(0),
        });
        let calls = caller.clone();
        let channel = endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let caller = calls.clone();
            async move { caller.connect().await.map(TokioIo::new) }
        }));
        Ok(Line {
            tempo,
            wire: InterceptedService::new(channel, stamp),
            caller,
        })
    }

    /// How many connections there were. Another number means that another node may be
    /// at the other end.
    pub(super) fn connections(&self) -> u64 {
        self.caller.connections.load(Ordering::SeqCst)
    }

    /// Takes the macaroon that the file holds at this moment, for the calls to come.
    pub(super) fn reread_macaroon(&self) {
        if let Ok(credentials) = self.caller.access.read() {
            self.caller.stamp.renew(credentials.stamp);
        }
    }

    pub(super) fn state(&self) -> StateClient<Wire> {
        StateClient::new(self.wire.clone())
    }

    pub(super) fn lightning(&self) -> LightningClient<Wire> {
        LightningClient::new(self.wire.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(super) fn invoices(&self) -> InvoicesClient<Wire> {
        InvoicesClient::new(self.wire.clone())
    }

    pub(super) fn router(&self) -> RouterClient<Wire> {
        RouterClient::new(self.wire.clone())
    }
}

fn endpoint(host: &str, port: u16) -> Option<Endpoint> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    // TLS is made by the connector, so to the library the line is a plain one.
    let origin = format!("https://{host}:{port}").parse().ok()?;
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).ok()?;
    let endpoint = endpoint
        .origin(origin)
        .connect_timeout(CONNECTING)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(false);
    Some(endpoint)
}

/// Why there is no connection. Nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("no connection to {0}: {1}")]
    Down(String, String),
    #[error(
        "{0} shows another certificate than {1}: if LND has renewed its own, copy the new \
         tls.cert there; if not, somebody else answers"
    )]
    Foreign(String, String),
    #[error("{0}")]
    Credentials(String),
}

impl From<&Unreached> for LnError {
    fn from(unreached: &Unreached) -> Self {
        let why = unreached.to_string();
        match unreached {
            Unreached::Down(..) => LnError::Unavailable(why),
            Unreached::Foreign(..) | Unreached::Credentials(_) => LnError::Auth(why),
        }
    }
}

struct Caller {
    host: String,
    port: u16,
    access: LndAccess,
    stamp: Stamp,
    connections: AtomicU64,
}

impl Caller {
    async fn connect(&self) -> Result<TlsStream<TcpStream>, Unreached> {
        timeout(CONNECTING, self.call())
            .await
            .unwrap_or_else(|_| Err(self.down("it was silent for too long")))
    }

    async fn call(&self) -> Result<TlsStream<TcpStream>, Unreached> {
        let credentials = self.access.read().map_err(Unreached::Credentials)?;
        let tls = certificate::client_config(credentials.certificates)
            .map_err(|why| Unreached::Credentials(why.to_string()))?;
        let name = ServerName::try_from(self.host.clone()).map_err(|why| self.down(&why))?;
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|why| self.down(&why))?;
        tcp.set_nodelay(true).map_err(|why| self.down(&why))?;
        let line = TlsConnector::from(Arc::new(tls))
            .connect(name, tcp)
            .await
            .map_err(|why| self.handshake(&why))?;
        self.stamp.renew(credentials.stamp);
        self.connections.fetch_add(1, Ordering::SeqCst);
        Ok(line)
    }

    fn handshake(&self, why: &io::Error) -> Unreached {
        let tls = why.get_ref().and_then(|why| why.downcast_ref());
        match tls {
            Some(rustls::Error::InvalidCertificate(_)) => {
                let file = self.access.certificate.display().to_string();
                Unreached::Foreign(self.access.address.clone(), file)
            }
            _ => self.down(why),
        }
    }

    fn down(&self, why: &(impl ToString + ?Sized)) -> Unreached {
        Unreached::Down(self.access.address.clone(), why.to_string())
    }
}

/// Puts the macaroon on each call.
#[derive(Clone, Default)]
pub(super) struct Stamp(Arc<RwLock<Option<MetadataValue<Ascii>>>>);

impl Stamp {
    fn renew(&self, macaroon: MetadataValue<Ascii>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(macaroon);
    }
}

impl Interceptor for Stamp {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let macaroon = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(macaroon) = macaroon {
            request.metadata_mut().insert("macaroon", macaroon);
        }
        Ok(request)
    }
}

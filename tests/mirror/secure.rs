//! Mirrors behind TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use mostro_relay::mirror::{Direction, LineState};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::place::{Place, foreign_relay};

/// Somebody who certifies names.
struct Authority {
    certificate: Certificate,
    keys: KeyPair,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let keys = KeyPair::generate().unwrap();
        Authority {
            certificate: params.self_signed(&keys).unwrap(),
            keys,
        }
    }

    /// What a client has who trusts this authority alone.
    fn trusted(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Arc::new(config)
    }

    fn server(&self, name: &str) -> TlsAcceptor {
        let keys = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&keys, &self.certificate, &self.keys);
        let chain = vec![certificate.unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(keys.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// TLS in front of a relay.
struct Tunnel {
    address: SocketAddr,
    _traffic: JoinSet<()>,
}

impl Tunnel {
    async fn to(relay: SocketAddr, acceptor: TlsAcceptor) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut traffic = JoinSet::new();
        traffic.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (here, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // Who does not trust the certificate hangs up.
                    let Ok(mut here) = acceptor.accept(here).await else {
                        return;
                    };
                    let mut there = TcpStream::connect(relay).await.unwrap();
                    let _ended = copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
        Tunnel {
            address,
            _traffic: traffic,
        }
    }

    fn url(&self) -> String {
        format!("wss://{}", self.address)
    }
}

#[tokio::test]
async fn a_mirror_with_a_good_certificate_gets_everything() {
    let (_relay, relay) = foreign_relay().await;
    let authority = Authority::new();
    let tunnel = Tunnel::to(relay, authority.server("127.0.0.1")).await;
    let trusted = authority.trusted();
    let place = Place::with(&[tunnel.url()], |_, calling| calling.tls = trusted).await;
    place.says("a", 1).await;
    let mut reader = place.reader_of(relay).await;
    reader.sees_all(&place.shown().await).await;
    place.all_is_acknowledged().await;
}

#[tokio::test]
async fn a_mirror_with_a_wrong_certificate_gets_nothing_and_the_operator_is_told() {
    let (_relay, relay) = foreign_relay().await;
    let authority = Authority::new();
    let table = [
        // Nobody whom the web trusts has certified it.
        ("127.0.0.1", None, "UnknownIssuer"),
        (
            "other.example",
            Some(authority.trusted()),
            "not valid for name",
        ),
    ];
    for (name, trusted, why_not) in table {
        let tunnel = Tunnel::to(relay, authority.server(name)).await;
        let place = Place::with(&[tunnel.url()], |_, calling| {
            if let Some(trusted) = trusted {
                calling.tls = trusted;
            }
        })
        .await;
        place.says("a", 1).await;
        let away = place.status(|mirror| {
            let lines = [&mirror.outward, &mirror.inward];
            let is_away = |line: &&Option<LineState>| matches!(line, Some(LineState::Away { .. }));
            lines.iter().all(is_away)
        });
        let mirror = away.await;
        for (way, line) in [
            (Direction::Outward, &mirror.outward),
            (Direction::Inward, &mirror.inward),
        ] {
            let Some(LineState::Away { why, .. }) = line else {
                panic!("{way:?} is up");
            };
            assert!(why.contains("certificate"), "{way:?}: {why}");
            assert!(why.contains(why_not), "{way:?}: {why}");
        }
        assert!(mirror.waiting > 0);
    }
}

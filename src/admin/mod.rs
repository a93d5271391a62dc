//! The admin service, `mostro.admin.v1` over gRPC, for other tools than our own.
//!
//! Each call is one command of the operator's, decided in core like a message of the
//! node key; the answer says in-band what the rules say.

mod service;
mod token;
mod turnstile;

use std::time::Duration;

use escrow_engine::EscrowHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use self::proto::admin_service_server::AdminServiceServer;
use self::service::Service;
pub use self::token::Token;
use self::turnstile::Turnstile;

/// Messages of the service, generated from `admin.proto`.
#[allow(
    missing_docs,
    clippy::pedantic,
    reason = "generated: names and shapes are those of the service"
)]
pub mod proto {
    tonic::include_proto!("mostro.admin.v1");

    /// What the reflection tells of it.
    pub(super) const DESCRIBED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin.bin"));
}

/// Largest request, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// Calls at a time on one connection.
const CALLS_AT_A_TIME: usize = 16;
/// Time for one call.
const PATIENCE: Duration = Duration::from_secs(30);
/// A connection on which a ping is not answered in time is closed.
const PING_EVERY: Duration = Duration::from_secs(60);

/// Serves the admin service on an open port until `stop` is cancelled.
///
/// # Errors
/// If it cannot be served, in plain words.
pub async fn run(
    listener: TcpListener,
    escrow: EscrowHandle,
    token: Option<Token>,
    stop: CancellationToken,
) -> Result<(), String> {
    let service = AdminServiceServer::new(Service::new(escrow, Turnstile::new(token)))
        .max_decoding_message_size(MOST_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIBED)
    };
    let failed = |why: &dyn std::error::Error| why.to_string();
    let newer = reflection().build_v1().map_err(|why| failed(&why))?;
    let older = reflection().build_v1alpha().map_err(|why| failed(&why))?;
    Server::builder()
        .timeout(PATIENCE)
        .concurrency_limit_per_connection(CALLS_AT_A_TIME)
        .http2_keepalive_interval(Some(PING_EVERY))
        .add_service(service)
        .add_service(newer)
        .add_service(older)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.cancelled_owned())
        .await
        .map_err(|why| failed(&why))
}

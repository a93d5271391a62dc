//! How this node asks others over HTTP: with its own roots and cipher code,
//! through no proxy of the environment, and never further than where it was
//! sent.

use std::error::Error;
use std::sync::Arc;

use http::StatusCode;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use rustls::{ClientConfig, RootCertStore};

/// How the node names itself; some services refuse the nameless.
const NAME: &str = concat!("mostro-relay/", env!("CARGO_PKG_VERSION"));

/// Quiet connections kept to one host.
const IDLE_PER_HOST: usize = 1;

/// Why there is no answer. It shows neither an address nor a header, where
/// keys may stand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{0}")]
    Unreachable(String),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {0} bytes")]
    TooLarge(usize),
}

/// What TLS trusts: the usual roots of the web.
pub(crate) fn web_tls() -> ClientConfig {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client for answers that are short and final. It sets no time limit:
/// whoever asks does.
pub(crate) fn client() -> Client {
    Client::builder()
        .tls_backend_preconfigured(web_tls())
        .user_agent(NAME)
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .build()
        .expect("a client with TLS of its own and no proxy can be built")
}

/// Sends a request and reads an answer of at most `most_bytes`. It may be
/// dropped at any moment.
///
/// # Errors
/// Also for every status but a success: a redirect is not followed.
pub(crate) async fn ask(request: RequestBuilder, most_bytes: usize) -> Result<Vec<u8>, AskError> {
    let mut response = request.send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(AskError::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > most_bytes {
            return Err(AskError::TooLarge(most_bytes));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The innermost reason says it best.
fn unreachable(error: reqwest::Error) -> AskError {
    let error = error.without_url();
    let mut reason: &dyn Error = &error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    AskError::Unreachable(reason.to_string())
}

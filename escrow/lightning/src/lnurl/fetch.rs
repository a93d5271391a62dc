//! One question over HTTP, to a server that may lie in every way.

use std::error::Error;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::ClientConfig;

use super::pace::Pace;
use super::reach::OutOfReach;
use super::{LnurlError, Reach};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1_024;

/// A client that goes through no proxy, follows nobody and keeps no
/// connection.
#[derive(Debug)]
pub(super) struct Web {
    client: Client,
    pace: Pace,
    reach: Reach,
}

impl Web {
    pub(super) fn new(tls: ClientConfig, reach: Reach) -> Web {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .user_agent(concat!("mostro-relay/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(reach)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client with TLS of its own and no proxy can be built");
        Web {
            client,
            pace: Pace::default(),
            reach,
        }
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// The body of a successful answer. The URL has been judged; whoever asks
    /// limits the time.
    pub(super) async fn get(&self, url: Url) -> Result<Vec<u8>, LnurlError> {
        if !self.pace.allows(url.host_str().unwrap_or_default()) {
            return Err(LnurlError::Busy);
        }
        let answer = self.client.get(url).send().await;
        let mut answer = answer.map_err(|why| failure(&why))?;
        if !answer.status().is_success() {
            return Err(LnurlError::Declined);
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|why| failure(&why))? {
            if body.len() + piece.len() > LONGEST_ANSWER {
                return Err(LnurlError::Nonsense("it is too long"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

fn failure(error: &reqwest::Error) -> LnurlError {
    let mut reason: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = reason {
        if inner.is::<OutOfReach>() {
            return LnurlError::Forbidden;
        }
        reason = inner.source();
    }
    LnurlError::Unreachable
}

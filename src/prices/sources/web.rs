//! What all sources on the web have in common: one question, asked at one
//! address after the other until one of them answers in full.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderValue;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::https::{self, AskError};
use crate::prices::source::{Quotes, SourceError};

/// Largest answer that is read.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// The addresses of a source, and how long each is waited for.
#[derive(Clone, Debug)]
pub struct Web {
    client: Client,
    urls: Vec<String>,
    time: Duration,
}

impl Web {
    /// Asks at `url`, then at each of `mirrors`, for `time` at each of them.
    #[must_use]
    pub fn new(url: &str, mirrors: &[String], time: Duration) -> Web {
        let urls = [url].into_iter().chain(mirrors.iter().map(String::as_str));
        Web {
            client: https::client(),
            urls: urls
                .map(|url| url.trim_end_matches('/').to_owned())
                .collect(),
            time,
        }
    }

    /// The longest that all addresses together take.
    pub(super) fn patience(&self) -> Duration {
        let addresses = u32::try_from(self.urls.len()).unwrap_or(u32::MAX);
        self.time.saturating_mul(addresses) + Duration::from_secs(1)
    }

    /// The first full answer. `question` makes the request of an address,
    /// `read` the prices of an answer.
    pub(super) async fn ask(
        &self,
        question: impl Fn(&Client, &str) -> RequestBuilder + Send + Sync,
        read: fn(&[u8]) -> Result<Quotes, SourceError>,
    ) -> Result<Quotes, SourceError> {
        let mut failure = SourceError::Nothing;
        for url in &self.urls {
            let asked = https::ask(question(&self.client, url), MOST_BYTES);
            let quotes = match timeout(self.time, asked).await {
                Err(_) => Err(SourceError::Late),
                Ok(Err(why)) => Err(why.into()),
                Ok(Ok(body)) => read(&body),
            };
            match quotes {
                Ok(quotes) if quotes.count() > 0 => return Ok(quotes),
                Ok(_) => failure = SourceError::Nothing,
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }
}

impl From<AskError> for SourceError {
    fn from(why: AskError) -> SourceError {
        match why {
            AskError::Unreachable(why) => SourceError::Unreachable(why),
            AskError::Status(status) => SourceError::Status(status.as_u16()),
            AskError::TooLarge(bytes) => SourceError::TooLarge(bytes),
        }
    }
}

/// A table of codes, in which some values may be null.
pub(super) type Table = BTreeMap<String, Value>;

/// Reads an answer of the form that the source is known for.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(body).map_err(|why| SourceError::Unreadable(why.to_string()))
}

/// The prices in a table of units per bitcoin.
pub(super) fn per_bitcoin(table: &Table) -> Quotes {
    let mut quotes = Quotes::default();
    for (code, units) in table {
        if let Some(units) = units.as_f64() {
            quotes.take(code, units);
        }
    }
    quotes
}

/// A header that no log shows. What cannot stand in a header was refused when
/// the settings were read.
pub(super) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

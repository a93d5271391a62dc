//! blockchain.info: the large currencies.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use serde::Deserialize;
use serde_json::Value;

use super::web::{Web, read_json};
use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// The ticker, behind its addresses.
#[derive(Clone, Debug)]
pub struct Blockchain(pub Web);

/// Beside the last price there are others, which nobody trades at.
#[derive(Deserialize)]
struct Ticker {
    last: Value,
}

#[async_trait]
impl PriceSource for Blockchain {
    fn id(&self) -> SourceId {
        SourceId::Blockchain
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    async fn ask(&self, _now: UnixTime) -> Result<Answer, SourceError> {
        let question = |client: &reqwest::Client, url: &str| client.get(format!("{url}/ticker"));
        self.0.ask(question, read).await.map(Answer::Observed)
    }
}

fn read(body: &[u8]) -> Result<Quotes, SourceError> {
    let tickers: BTreeMap<String, Ticker> = read_json(body)?;
    let mut quotes = Quotes::default();
    for (code, ticker) in &tickers {
        if let Some(units) = ticker.last.as_f64() {
            quotes.take(code, units);
        }
    }
    Ok(quotes)
}

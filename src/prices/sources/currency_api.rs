//! The currency files of fawazahmed0: three hundred codes on static hosts.

use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use serde::Deserialize;

use super::web::{Table, Web, per_bitcoin, read_json};
use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// The files, behind their addresses.
#[derive(Clone, Debug)]
pub struct CurrencyApi(pub Web);

#[derive(Deserialize)]
struct Rates {
    btc: Table,
}

#[async_trait]
impl PriceSource for CurrencyApi {
    fn id(&self) -> SourceId {
        SourceId::CurrencyApi
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    async fn ask(&self, _now: UnixTime) -> Result<Answer, SourceError> {
        let question = |client: &reqwest::Client, url: &str| {
            client.get(format!("{url}/currencies/btc.min.json"))
        };
        self.0.ask(question, read).await.map(Answer::Observed)
    }
}

fn read(body: &[u8]) -> Result<Quotes, SourceError> {
    let rates: Rates = read_json(body)?;
    Ok(per_bitcoin(&rates.btc))
}

//! Yadio: the whole world and its streets.

use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use serde::Deserialize;

use super::web::{Table, Web, per_bitcoin, read_json};
use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// Yadio, behind its addresses.
#[derive(Clone, Debug)]
pub struct Yadio(pub Web);

#[derive(Deserialize)]
struct Rates {
    #[serde(rename = "BTC")]
    per_bitcoin: Table,
}

#[async_trait]
impl PriceSource for Yadio {
    fn id(&self) -> SourceId {
        SourceId::Yadio
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    async fn ask(&self, _now: UnixTime) -> Result<Answer, SourceError> {
        let question =
            |client: &reqwest::Client, url: &str| client.get(format!("{url}/exrates/BTC"));
        self.0.ask(question, read).await.map(Answer::Observed)
    }
}

fn read(body: &[u8]) -> Result<Quotes, SourceError> {
    let rates: Rates = read_json(body)?;
    Ok(per_bitcoin(&rates.per_bitcoin))
}

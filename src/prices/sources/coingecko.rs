//! `CoinGecko`: the large currencies, with or without a key.

use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use serde::Deserialize;

use super::web::{Table, Web, per_bitcoin, read_json, secret_header};
use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// What it is asked for: each code has to be named.
const CODES: &str = "usd,eur,gbp,jpy,ars,aud,bdt,bhd,bmd,brl,cad,chf,clp,cny,czk,dkk,gel,hkd,huf,\
                     idr,ils,inr,krw,kwd,lkr,mmk,mxn,myr,ngn,nok,nzd,php,pkr,pln,rub,sar,sek,sgd,\
                     thb,try,twd,uah,vnd,zar";

/// `CoinGecko`, behind its addresses.
#[derive(Clone)]
pub struct Coingecko {
    web: Web,
    key: Option<String>,
}

impl Coingecko {
    /// Asks there, with `key` if there is one.
    #[must_use]
    pub fn new(web: Web, key: Option<String>) -> Coingecko {
        Coingecko { web, key }
    }
}

#[derive(Deserialize)]
struct Rates {
    bitcoin: Table,
}

#[async_trait]
impl PriceSource for Coingecko {
    fn id(&self) -> SourceId {
        SourceId::Coingecko
    }

    fn patience(&self) -> Duration {
        self.web.patience()
    }

    async fn ask(&self, _now: UnixTime) -> Result<Answer, SourceError> {
        let key = self.key.as_deref().and_then(secret_header);
        let question = |client: &reqwest::Client, url: &str| {
            let path = "simple/price?ids=bitcoin&vs_currencies=";
            let request = client.get(format!("{url}/{path}{CODES}"));
            match &key {
                Some(key) => request.header(header_of(url), key.clone()),
                None => request,
            }
        };
        self.web.ask(question, read).await.map(Answer::Observed)
    }
}

/// Keys that are paid for are valid at an address of their own.
fn header_of(url: &str) -> &'static str {
    if url.contains("pro-api") {
        "x-cg-pro-api-key"
    } else {
        "x-cg-demo-api-key"
    }
}

fn read(body: &[u8]) -> Result<Quotes, SourceError> {
    let rates: Rates = read_json(body)?;
    Ok(per_bitcoin(&rates.bitcoin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paid_key_goes_to_its_own_header() {
        let paid = header_of("https://pro-api.coingecko.com/api/v3");
        let demo = header_of("https://api.coingecko.com/api/v3");
        assert_eq!((paid, demo), ("x-cg-pro-api-key", "x-cg-demo-api-key"));
        assert_eq!(CODES.split(',').count(), 44);
    }
}

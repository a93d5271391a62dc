//! El Toque: what the dollar costs in the streets of Cuba.

use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use serde::Deserialize;

use super::web::{Table, Web, read_json, secret_header};
use crate::prices::currency::Currency;
use crate::prices::source::{Answer, PriceSource, Quotes, SourceError, SourceId};

/// The span that is asked for; a whole day is refused there.
const SPAN_SECS: u64 = 23 * 3_600;

/// El Toque, behind its addresses.
#[derive(Clone)]
pub struct Eltoque {
    web: Web,
    token: String,
}

impl Eltoque {
    /// Asks there with this token.
    #[must_use]
    pub fn new(web: Web, token: String) -> Eltoque {
        Eltoque { web, token }
    }
}

#[derive(Deserialize)]
struct Rates {
    /// In CUP.
    tasas: Table,
}

#[async_trait]
impl PriceSource for Eltoque {
    fn id(&self) -> SourceId {
        SourceId::Eltoque
    }

    fn patience(&self) -> Duration {
        self.web.patience()
    }

    async fn ask(&self, now: UnixTime) -> Result<Answer, SourceError> {
        let from = civil(UnixTime(now.0.saturating_sub(SPAN_SECS)));
        let to = civil(now);
        let token = secret_header(&format!("Bearer {}", self.token));
        let question = |client: &reqwest::Client, url: &str| {
            let request = client.get(format!("{url}/v1/trmi?date_from={from}&date_to={to}"));
            match &token {
                Some(token) => request.header(http::header::AUTHORIZATION, token.clone()),
                None => request,
            }
        };
        self.web.ask(question, read).await.map(Answer::Observed)
    }
}

fn read(body: &[u8]) -> Result<Quotes, SourceError> {
    let rates: Rates = read_json(body)?;
    let in_cup = |code: &str| rates.tasas.get(code).and_then(serde_json::Value::as_f64);
    let mut quotes = Quotes::default();
    if let Some(dollar) = in_cup("USD") {
        quotes.take_per(Currency::USD, "CUP", dollar);
        if let Some(mlc) = in_cup("MLC") {
            quotes.take_per(Currency::USD, "MLC", dollar / mlc);
        }
    }
    Ok(quotes)
}

/// A moment as `YYYY-MM-DD HH:MM:SS` in UTC, ready for an address.
fn civil(at: UnixTime) -> String {
    let (days, secs) = (at.0 / 86_400, at.0 % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}%20{hour:02}:{minute:02}:{second:02}")
}

/// The date so many days after 1970-01-01. Years are counted from March, so
/// that the day that comes and goes is the last of them.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    (400 * era + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_a_date() {
        let table = [
            (0, "1970-01-01%2000:00:00"),
            (951_782_400, "2000-02-29%2000:00:00"),
            (951_868_799, "2000-02-29%2023:59:59"),
            (951_868_800, "2000-03-01%2000:00:00"),
            (1_735_689_599, "2024-12-31%2023:59:59"),
            (1_795_199_371, "2026-11-20%2018:29:31"),
            (4_107_542_400, "2100-03-01%2000:00:00"),
        ];
        for (at, written) in table {
            assert_eq!(civil(UnixTime(at)), written);
        }
    }
}

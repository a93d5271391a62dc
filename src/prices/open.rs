//! Prices as the settings want them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use escrow_core::wire::rates_event::RatesEvent;
use escrow_engine::clock::{Clock, SystemClock};
use nostr::key::Keys;
use nostr::types::RelayUrl;
use storage::events::EventStore;
use tokio::sync::watch;

use super::board::{Board, PriceList};
use super::breaker::BreakerTerms;
use super::currency::Scope;
use super::kept::Kept;
use super::source::{PriceSource, SourceId};
use super::sources::{
    Blockchain, Coingecko, CurrencyApi, Eltoque, FixedTable, Nodes, NostrSource, Web, Yadio,
};
use super::status;
use super::watcher::{WatchParts, WatchTerms, Watcher};
use crate::settings::{Credential, PriceSettings, Settings, WebProvider};

/// What the rest of the node sees of prices.
pub struct Prices {
    board: Board,
    rates: watch::Receiver<Option<RatesEvent>>,
}

impl Prices {
    /// Where they are read.
    #[must_use]
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// The prices to be published, round by round.
    #[must_use]
    pub fn rates(&self) -> watch::Receiver<Option<RatesEvent>> {
        self.rates.clone()
    }

    /// What the operator's door says of them.
    pub fn routes(&self) -> Router {
        status::routes(self.board(), Arc::new(SystemClock))
    }
}

/// Opens the prices of a node; nobody is asked before the watcher is run.
#[must_use]
pub fn open(settings: &Settings, keys: &Keys, store: &Arc<EventStore>) -> (Prices, Watcher) {
    let price = &settings.price;
    let (sender, rates) = watch::channel(None);
    let mut sources = web_sources(price);
    sources.extend(nostr_source(settings, keys, store));
    sources.extend(fixed_table(price));
    let asked = sources.iter().map(|(source, _)| source.id()).collect();
    let kept = Kept::in_folder(&settings.node.data_dir);
    let board = Board::new(believed(read(&kept), &asked), price.max_price_staleness);
    let watcher = Watcher::new(WatchParts {
        sources,
        pegs: price.providers.pegged.scope(),
        terms: WatchTerms {
            interval: price.update_interval,
            outlier_threshold_pct: price.outlier_threshold_pct,
            breaker: BreakerTerms {
                threshold: price.provider_failure_threshold,
                cooldown: price.provider_failure_cooldown,
            },
        },
        board: board.clone(),
        kept,
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        rates: price.publish_to_nostr.then_some(sender),
    });
    (Prices { board, rates }, watcher)
}

fn read(kept: &Kept) -> PriceList {
    kept.read().unwrap_or_else(|why| {
        tracing::warn!(%why, "kept prices are lost; they come back with the next round");
        PriceList::new()
    })
}

/// What is left of kept prices when these sources are asked: an operator who
/// has sent a source away does not want its prices, and a box that had a table
/// made all its prices by it, directly or not (rule Q11).
fn believed(mut kept: PriceList, asked: &BTreeSet<SourceId>) -> PriceList {
    let is_made_up = |sources: &[SourceId]| sources.contains(&SourceId::Fixed);
    let had_table = kept.values().any(|price| is_made_up(&price.sources));
    if had_table && !asked.contains(&SourceId::Fixed) {
        return PriceList::new();
    }
    kept.retain(|_, price| price.sources.iter().any(|source| asked.contains(source)));
    kept
}

type Scoped = (Box<dyn PriceSource>, Scope);

fn web_sources(price: &PriceSettings) -> Vec<Scoped> {
    let providers = &price.providers;
    let web = |provider: &WebProvider| {
        let url = provider.url.as_deref().filter(|_| provider.enabled)?;
        let web = Web::new(url, &provider.fallback_urls, price.provider_timeout);
        Some((web, provider.scope()))
    };
    let mut sources: Vec<Scoped> = Vec::new();
    if let Some((web, scope)) = web(&providers.yadio) {
        sources.push((Box::new(Yadio(web)), scope));
    }
    if let Some((web, scope)) = web(&providers.coingecko) {
        let key = secret(providers.coingecko.credential.as_ref());
        sources.push((Box::new(Coingecko::new(web, key)), scope));
    }
    if let Some((web, scope)) = web(&providers.currency_api) {
        sources.push((Box::new(CurrencyApi(web)), scope));
    }
    if let Some((web, scope)) = web(&providers.blockchain) {
        sources.push((Box::new(Blockchain(web)), scope));
    }
    if let Some((web, scope)) = web(&providers.eltoque) {
        let token = secret(providers.eltoque.credential.as_ref()).unwrap_or_default();
        sources.push((Box::new(Eltoque::new(web, token)), scope));
    }
    sources
}

fn nostr_source(settings: &Settings, keys: &Keys, store: &Arc<EventStore>) -> Option<Scoped> {
    let (price, mirrors) = (&settings.price, &settings.mirror.relays);
    let nostr = Some(&price.providers.nostr).filter(|nostr| nostr.enabled)?;
    let place = RelayUrl::as_str_without_trailing_slash;
    let others = nostr.relays.iter().filter(|relay| {
        let is_mirror = |mirror: &RelayUrl| place(mirror) == place(relay);
        !mirrors.iter().any(is_mirror)
    });
    let source = NostrSource::new(Nodes {
        trusted: nostr.trusted_nodes.clone(),
        keys: keys.clone(),
        store: store.clone(),
        relays: mirrors.iter().chain(others).cloned().collect(),
        time: price.provider_timeout,
        max_age: price.max_price_staleness,
    });
    Some((Box::new(source), nostr.scope()))
}

fn fixed_table(price: &PriceSettings) -> Option<Scoped> {
    let fixed = Some(&price.providers.fixed).filter(|fixed| fixed.enabled)?;
    Some((Box::new(FixedTable::new(&fixed.rates)), Scope::All))
}

fn secret(credential: Option<&Credential>) -> Option<String> {
    credential.map(|Credential(text)| text.clone())
}

#[cfg(test)]
mod tests {
    use escrow_core::UnixTime;

    use super::*;
    use crate::prices::{Currency, Price};

    fn left(kept: &[(&str, &[SourceId])], asked: &[SourceId]) -> Vec<&'static str> {
        let price = |sources: &[SourceId]| Price {
            units: 1.0,
            observed_at: UnixTime(0),
            sources: sources.to_vec(),
            cut: Vec::new(),
            is_relayed: false,
        };
        let kept = kept.iter().map(|(code, sources)| {
            let currency = Currency::fiat(code).unwrap();
            (currency, price(sources))
        });
        let believed = believed(kept.collect(), &asked.iter().copied().collect());
        believed.into_keys().map(Currency::code).collect()
    }

    #[test]
    fn q11_prices_of_a_table_do_not_outlive_it() {
        let (fixed, toque, yadio) = (SourceId::Fixed, SourceId::Eltoque, SourceId::Yadio);
        // The peso went through the dollar of the table.
        let kept: [(&str, &[SourceId]); 2] = [("CUP", &[toque]), ("USD", &[fixed, yadio])];
        assert_eq!(left(&kept, &[fixed, toque]), ["CUP", "USD"]);
        assert_eq!(left(&kept, &[toque, yadio]), [""; 0]);
    }

    #[test]
    fn q6_prices_of_sources_that_were_sent_away_are_not_kept() {
        let (yadio, gecko) = (SourceId::Yadio, SourceId::Coingecko);
        let kept: [(&str, &[SourceId]); 2] = [("EUR", &[yadio]), ("USD", &[gecko, yadio])];
        assert_eq!(left(&kept, &[gecko]), ["USD"]);
        assert_eq!(left(&kept, &[yadio]), ["EUR", "USD"]);
    }
}

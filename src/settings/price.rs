//! `[price]`: where market prices come from.

use std::fmt;
use std::time::Duration;

use nostr::key::PublicKey;
use nostr::types::RelayUrl;

use crate::prices::Scope;

/// `[price]`: how prices are made.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceSettings {
    /// Time from round to round; never below a minute.
    pub update_interval: Duration,
    /// A price older than that is not served.
    pub max_price_staleness: Duration,
    /// How far from the median a price may be, in per cent.
    pub outlier_threshold_pct: f64,
    /// Time for each address of a source.
    pub provider_timeout: Duration,
    /// Failures in a row after which a source rests.
    pub provider_failure_threshold: u32,
    /// The first rest; each further failure doubles it.
    pub provider_failure_cooldown: Duration,
    /// Whether the prices are published (kind 30078).
    pub publish_to_nostr: bool,
    /// The sources.
    pub providers: PriceProviders,
}

/// `[price.providers.…]`: the sources.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceProviders {
    /// Yadio.
    pub yadio: WebProvider,
    /// `CoinGecko`; its key is optional.
    pub coingecko: WebProvider,
    /// The currency files of fawazahmed0.
    pub currency_api: WebProvider,
    /// blockchain.info.
    pub blockchain: WebProvider,
    /// El Toque; it wants a token.
    pub eltoque: WebProvider,
    /// What trusted nodes publish.
    pub nostr: NostrProvider,
    /// Assets that follow the dollar or bitcoin.
    pub pegged: PeggedAssets,
    /// A table; only with the sandbox.
    pub fixed: FixedRates,
}

/// A source on the web.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebProvider {
    /// Whether it is asked.
    pub enabled: bool,
    /// Where it is asked.
    pub url: Option<String>,
    /// Where it is asked if that fails, one after the other.
    pub fallback_urls: Vec<String>,
    /// What it wants to see.
    pub credential: Option<Credential>,
    /// The only currencies it is asked for; empty means no such limit.
    pub only: Vec<String>,
    /// Currencies it is not asked for.
    pub except: Vec<String>,
}

/// `[price.providers.nostr]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NostrProvider {
    /// Whether the nodes are listened to.
    pub enabled: bool,
    /// The nodes that are trusted.
    pub trusted_nodes: Vec<PublicKey>,
    /// Where their prices are looked for, beside the node's own relay and mirrors.
    pub relays: Vec<RelayUrl>,
    /// The only currencies that are taken; empty means no such limit.
    pub only: Vec<String>,
    /// Currencies that are not taken.
    pub except: Vec<String>,
}

/// `[price.providers.pegged]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeggedAssets {
    /// Whether such assets have a price.
    pub enabled: bool,
    /// The only ones that have; empty means all.
    pub only: Vec<String>,
    /// Those that have not.
    pub except: Vec<String>,
}

/// `[price.providers.fixed]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedRates {
    /// Whether the table counts.
    pub enabled: bool,
    /// Codes, and units per bitcoin.
    pub rates: Vec<(String, f64)>,
}

/// A key or token for a source; nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(pub(crate) String);

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credential(…)")
    }
}

impl Default for PriceSettings {
    fn default() -> Self {
        PriceSettings {
            update_interval: Duration::from_secs(300),
            max_price_staleness: Duration::from_secs(1_800),
            outlier_threshold_pct: 5.0,
            provider_timeout: Duration::from_secs(10),
            provider_failure_threshold: 3,
            provider_failure_cooldown: Duration::from_secs(120),
            publish_to_nostr: true,
            providers: PriceProviders::default(),
        }
    }
}

impl Default for PriceProviders {
    fn default() -> Self {
        let at = |url: &str| WebProvider {
            url: Some(url.to_owned()),
            ..WebProvider::default()
        };
        PriceProviders {
            yadio: at("https://api.yadio.io"),
            coingecko: at("https://api.coingecko.com/api/v3"),
            currency_api: WebProvider {
                fallback_urls: vec![
                    "https://cdn.jsdelivr.net/npm/@fawazahmed0/currency-api@latest/v1".to_owned(),
                ],
                // Of Cuba it knows the rates of the state, at which nobody trades.
                except: vec!["CUP".to_owned(), "MLC".to_owned()],
                ..at("https://currency-api.pages.dev/v1")
            },
            blockchain: at("https://blockchain.info"),
            eltoque: at("https://tasas.eltoque.com"),
            nostr: NostrProvider::default(),
            pegged: PeggedAssets::default(),
            fixed: FixedRates::default(),
        }
    }
}

impl Default for FixedRates {
    fn default() -> Self {
        let rates = [
            ("USD", 50_000.0),
            ("EUR", 45_000.0),
            ("ARS", 50_000_000.0),
            ("CUP", 20_000_000.0),
        ];
        FixedRates {
            enabled: true,
            rates: rates.map(|(code, units)| (code.to_owned(), units)).into(),
        }
    }
}

impl WebProvider {
    /// What it is asked for.
    #[must_use]
    pub fn scope(&self) -> Scope {
        scope(&self.only, &self.except)
    }
}

impl NostrProvider {
    /// What is taken from the nodes.
    #[must_use]
    pub fn scope(&self) -> Scope {
        scope(&self.only, &self.except)
    }
}

impl PeggedAssets {
    /// The assets that have a price; none if they are not wanted.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        self.enabled.then(|| scope(&self.only, &self.except))
    }
}

impl PriceProviders {
    /// Whether any source but the fixed table is asked; pegged assets are none.
    #[must_use]
    pub fn has_real_source(&self) -> bool {
        self.nostr.enabled || self.web().iter().any(|provider| provider.enabled)
    }

    /// The sources on the web.
    pub(super) fn web(&self) -> [&WebProvider; 5] {
        [
            &self.yadio,
            &self.coingecko,
            &self.currency_api,
            &self.blockchain,
            &self.eltoque,
        ]
    }
}

fn scope(only: &[String], except: &[String]) -> Scope {
    match (only, except) {
        ([], []) => Scope::All,
        ([], except) => Scope::Except(except.to_vec()),
        (only, _) => Scope::Only(only.to_vec()),
    }
}

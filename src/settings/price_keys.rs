//! The keys of `[price]`, and what has to agree among them.

use std::time::Duration;

use http::HeaderValue;
use nostr::key::PublicKey;
use nostr::types::RelayUrl;
use reqwest::Url;

use super::combinations::Combination;
use super::keys::{Key, is_currency, key, put, read_relay_url};
use super::price::{Credential, WebProvider};
use super::sections::{Backend, Settings};
use super::value::Value;
use crate::prices::Currency;

/// Sources are not asked more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(60);

const DAY_SECS: u64 = 86_400;

/// Each costs a connection in each round.
const MOST_ADDRESSES: usize = 16;

/// The keys that every source on the web has.
macro_rules! web_keys {
    ($provider:ident, $name:literal $(, $credential:literal)?) => {
        &[
            key(concat!("price.providers.", $name, ".enabled"), |s, v| {
                put(&mut s.price.providers.$provider.enabled, v.truth())
            }),
            key(concat!("price.providers.", $name, ".url"), |s, v| {
                put(&mut s.price.providers.$provider.url, web_address(v))
            }),
            key(concat!("price.providers.", $name, ".fallback_urls"), |s, v| {
                put(&mut s.price.providers.$provider.fallback_urls, web_addresses(v))
            }),
            $(key(concat!("price.providers.", $name, ".", $credential), |s, v| {
                put(&mut s.price.providers.$provider.credential, credential(v))
            }),)?
            key(concat!("price.providers.", $name, ".only"), |s, v| {
                put(&mut s.price.providers.$provider.only, codes(v))
            }),
            key(concat!("price.providers.", $name, ".except"), |s, v| {
                put(&mut s.price.providers.$provider.except, codes(v))
            }),
        ]
    };
}

/// All keys of the section, in the order of the file.
pub(super) const KEYS: [&[Key]; 9] = [
    &[
        key("price.update_interval_seconds", |s, v| {
            let interval = v.seconds(1..=DAY_SECS);
            let interval = interval.map(|interval| interval.max(LEAST_INTERVAL));
            put(&mut s.price.update_interval, interval)
        }),
        key("price.max_price_staleness_seconds", |s, v| {
            put(
                &mut s.price.max_price_staleness,
                v.seconds(1..=7 * DAY_SECS),
            )
        }),
        key("price.outlier_threshold_pct", |s, v| {
            put(
                &mut s.price.outlier_threshold_pct,
                v.number(0.01..=100.0, "5.0"),
            )
        }),
        key("price.provider_timeout_seconds", |s, v| {
            put(&mut s.price.provider_timeout, v.seconds(1..=300))
        }),
        key("price.provider_failure_threshold", |s, v| {
            put(&mut s.price.provider_failure_threshold, v.whole(1..=1_000))
        }),
        key("price.provider_failure_cooldown_seconds", |s, v| {
            put(&mut s.price.provider_failure_cooldown, v.seconds(1..=1_800))
        }),
        key("price.publish_to_nostr", |s, v| {
            put(&mut s.price.publish_to_nostr, v.truth())
        }),
    ],
    web_keys!(yadio, "yadio"),
    web_keys!(coingecko, "coingecko", "api_key"),
    web_keys!(currency_api, "currency_api"),
    web_keys!(blockchain, "blockchain"),
    web_keys!(eltoque, "eltoque", "token"),
    &[
        key("price.providers.nostr.enabled", |s, v| {
            put(&mut s.price.providers.nostr.enabled, v.truth())
        }),
        key("price.providers.nostr.trusted_nodes", |s, v| {
            put(&mut s.price.providers.nostr.trusted_nodes, nodes(v))
        }),
        key("price.providers.nostr.relays", |s, v| {
            put(&mut s.price.providers.nostr.relays, relays(v))
        }),
        key("price.providers.nostr.only", |s, v| {
            put(&mut s.price.providers.nostr.only, codes(v))
        }),
        key("price.providers.nostr.except", |s, v| {
            put(&mut s.price.providers.nostr.except, codes(v))
        }),
    ],
    &[
        key("price.providers.pegged.enabled", |s, v| {
            put(&mut s.price.providers.pegged.enabled, v.truth())
        }),
        key("price.providers.pegged.only", |s, v| {
            put(&mut s.price.providers.pegged.only, pegged_codes(v))
        }),
        key("price.providers.pegged.except", |s, v| {
            put(&mut s.price.providers.pegged.except, pegged_codes(v))
        }),
    ],
    &[
        key(FIXED_ENABLED, |s, v| {
            put(&mut s.price.providers.fixed.enabled, v.truth())
        }),
        key("price.providers.fixed.rates", |s, v| {
            put(&mut s.price.providers.fixed.rates, rates(v))
        }),
    ],
];

/// Keys of mostrod from before it had a section for prices, with the keys that
/// took their place. They count if nothing of that section is written (rule Q10).
pub(super) const OLD_KEYS: [(&str, &str); 3] = [
    ("mostro.bitcoin_price_api_url", "price.providers.yadio.url"),
    (
        "mostro.exchange_rates_update_interval_seconds",
        "price.update_interval_seconds",
    ),
    (
        "mostro.publish_exchange_rates_to_nostr",
        "price.publish_to_nostr",
    ),
];

const FIXED_ENABLED: &str = "price.providers.fixed.enabled";
const YADIO_ENABLED: &str = "price.providers.yadio.enabled";

/// Fills the keys that were not set and whose default follows another key.
pub(super) fn follow(settings: &mut Settings, was_set: impl Fn(&str) -> bool) {
    let is_simulated = match settings.lightning.backend {
        Backend::Sandbox => true,
        Backend::Lnd => false,
    };
    let moved_in = OLD_KEYS.iter().any(|(old, _)| was_set(old));
    let providers = &mut settings.price.providers;
    let is_decided = providers.has_real_source() || was_set(YADIO_ENABLED);
    if !is_decided && (moved_in || !is_simulated) {
        providers.yadio.enabled = true;
    }
    if !was_set(FIXED_ENABLED) {
        providers.fixed.enabled = is_simulated && !providers.has_real_source();
    }
    let except = &mut providers.currency_api.except;
    let has_own_scope = was_set("price.providers.currency_api.only");
    if has_own_scope && !was_set("price.providers.currency_api.except") {
        except.clear();
    }
}

/// What the operator should hear before his node starts.
pub(super) fn notices(settings: &Settings) -> impl Iterator<Item = String> {
    let price = &settings.price;
    let providers = &price.providers;
    let has_source = providers.fixed.enabled || providers.has_real_source();
    let without = "No source of prices is enabled: orders at the market price are refused.";
    let too_slow = "price.max_price_staleness_seconds is below price.update_interval_seconds: \
                    prices are too old before they are renewed.";
    let is_too_slow = price.max_price_staleness < price.update_interval;
    let is_idle = settings.escrow.enabled && !has_source;
    [
        is_idle.then(|| without.to_owned()),
        is_too_slow.then(|| too_slow.to_owned()),
        notice_of_plain_addresses(settings),
        notice_of_pegs(settings),
    ]
    .into_iter()
    .flatten()
}

fn notice_of_plain_addresses(settings: &Settings) -> Option<String> {
    let enabled = settings.price.providers.web().into_iter();
    let enabled = enabled.filter(|provider| provider.enabled);
    let mut addresses = enabled.flat_map(|it| it.url.iter().chain(&it.fallback_urls));
    let plain = addresses.find(|address| !address.starts_with("https://"))?;
    Some(format!(
        "A source of prices is asked at {plain}, which is not encrypted: whoever is on the way there can change its prices."
    ))
}

/// Rule Q13.
fn notice_of_pegs(settings: &Settings) -> Option<String> {
    let accepted = &settings.mostro.fiat_currencies_accepted;
    let pegs = settings.price.providers.pegged.scope()?;
    let quoted = Currency::all_pegged().filter(|asset| pegs.includes(*asset));
    let missing = quoted.map(Currency::code);
    let missing: Vec<_> = missing
        .filter(|code| !accepted.iter().any(|it| it == code))
        .collect();
    (!accepted.is_empty() && !missing.is_empty()).then(|| {
        format!(
            "price.providers.pegged has prices of {}, which mostro.fiat_currencies_accepted does not name: nobody can trade them.",
            missing.join(", ")
        )
    })
}

/// What has to agree for a source on the web.
macro_rules! web_combinations {
    ($provider:ident, $name:literal) => {
        [
            Combination {
                keys: &[
                    concat!("price.providers.", $name, ".only"),
                    concat!("price.providers.", $name, ".except"),
                ],
                agrees: |s| has_one_scope(&s.price.providers.$provider),
                reason: ONE_SCOPE,
            },
            Combination {
                keys: &[
                    concat!("price.providers.", $name, ".enabled"),
                    concat!("price.providers.", $name, ".url"),
                ],
                agrees: |s| has_address(&s.price.providers.$provider),
                reason: concat!("an enabled source needs price.providers.", $name, ".url"),
            },
        ]
    };
}

const ONE_SCOPE: &str = "only and except cannot both be set";

/// What has to agree in the section.
pub(super) const COMBINATIONS: [&[Combination]; 6] = [
    &web_combinations!(yadio, "yadio"),
    &web_combinations!(coingecko, "coingecko"),
    &web_combinations!(currency_api, "currency_api"),
    &web_combinations!(blockchain, "blockchain"),
    &web_combinations!(eltoque, "eltoque"),
    &[
        Combination {
            keys: &[
                "price.providers.eltoque.enabled",
                "price.providers.eltoque.token",
            ],
            agrees: |s| {
                let eltoque = &s.price.providers.eltoque;
                !eltoque.enabled || eltoque.credential.is_some()
            },
            reason: "an enabled source needs price.providers.eltoque.token",
        },
        Combination {
            keys: &[
                "price.providers.nostr.enabled",
                "price.providers.nostr.trusted_nodes",
            ],
            agrees: |s| {
                let nostr = &s.price.providers.nostr;
                !nostr.enabled || !nostr.trusted_nodes.is_empty()
            },
            reason: "an enabled source needs price.providers.nostr.trusted_nodes",
        },
        Combination {
            keys: &["price.providers.nostr.only", "price.providers.nostr.except"],
            agrees: |s| {
                let nostr = &s.price.providers.nostr;
                nostr.only.is_empty() || nostr.except.is_empty()
            },
            reason: ONE_SCOPE,
        },
        Combination {
            keys: &[
                "price.providers.pegged.only",
                "price.providers.pegged.except",
            ],
            agrees: |s| {
                let pegged = &s.price.providers.pegged;
                pegged.only.is_empty() || pegged.except.is_empty()
            },
            reason: ONE_SCOPE,
        },
        Combination {
            keys: &[FIXED_ENABLED, "lightning.backend"],
            agrees: |s| match s.lightning.backend {
                Backend::Sandbox => true,
                Backend::Lnd => !s.price.providers.fixed.enabled,
            },
            reason: "price.providers.fixed needs lightning.backend = \"sandbox\": \
                     real money is not traded at made-up prices",
        },
    ],
];

fn has_one_scope(provider: &WebProvider) -> bool {
    provider.only.is_empty() || provider.except.is_empty()
}

fn has_address(provider: &WebProvider) -> bool {
    !provider.enabled || provider.url.is_some()
}

fn web_address(value: &Value) -> Result<Option<String>, String> {
    let text = value.optional_text()?;
    text.as_deref().map(read_web_address).transpose()
}

fn web_addresses(value: &Value) -> Result<Vec<String>, String> {
    few(&value.list()?, read_web_address)
}

fn relays(value: &Value) -> Result<Vec<RelayUrl>, String> {
    few(&value.list()?, read_relay_url)
}

fn few<T>(texts: &[String], read: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    if texts.len() > MOST_ADDRESSES {
        return Err(format!("must be at most {MOST_ADDRESSES} addresses"));
    }
    texts.iter().map(|text| read(text.trim())).collect()
}

fn read_web_address(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
        .map(|_| text.to_owned())
        .ok_or_else(|| "must be a web address that begins with https://".to_owned())
}

fn credential(value: &Value) -> Result<Option<Credential>, String> {
    let text = value.optional_text()?;
    if text.iter().all(|text| HeaderValue::from_str(text).is_ok()) {
        Ok(text.map(Credential))
    } else {
        Err("must be one line of plain characters".to_owned())
    }
}

fn codes(value: &Value) -> Result<Vec<String>, String> {
    let codes = value.list()?;
    let capitals = codes.iter().map(|code| code.trim().to_ascii_uppercase());
    let codes: Vec<_> = capitals.collect();
    match codes.iter().find(|code| !is_currency(code)) {
        Some(code) => Err(format!("{code:?} is not a currency code")),
        None => Ok(codes),
    }
}

fn pegged_codes(value: &Value) -> Result<Vec<String>, String> {
    let codes = codes(value)?;
    match codes.iter().find(|code| Currency::pegged(code).is_none()) {
        Some(code) => {
            let known: Vec<_> = Currency::all_pegged().map(Currency::code).collect();
            let known = known.join(", ");
            Err(format!("{code:?} is none of the pegged assets {known}"))
        }
        None => Ok(codes),
    }
}

fn nodes(value: &Value) -> Result<Vec<PublicKey>, String> {
    let read = |text: String| {
        PublicKey::parse(text.trim())
            .map_err(|_| format!("{text:?} is not a public key: npub1… or 64 hexadecimal digits"))
    };
    value.list()?.into_iter().map(read).collect()
}

/// `USD=50000`, one for each currency.
fn rates(value: &Value) -> Result<Vec<(String, f64)>, String> {
    let read = |text: String| {
        let parts = text.split_once('=');
        let code = parts.and_then(|(code, _)| Currency::fiat(code.trim()));
        let units: Option<f64> = parts.and_then(|(_, units)| units.trim().parse().ok());
        let units = units.filter(|units| units.is_finite() && *units > 0.0);
        code.map(|code| code.code().to_owned())
            .zip(units)
            .ok_or_else(|| format!("{text:?} is not a currency and a price, such as USD=50000"))
    };
    value.list()?.into_iter().map(read).collect()
}

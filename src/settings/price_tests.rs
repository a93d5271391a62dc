//! What is read of `[price]`, and what is refused.

use std::time::Duration;

use nostr::key::Keys;

use super::tests::{read, refusals, settings};
use super::*;
use crate::prices::Scope;

const REAL: &str = "[price.providers.blockchain]\nenabled = true\n";

/// The sources that are asked.
fn enabled(text: &str) -> Vec<&'static str> {
    let providers = settings(text, &[]).price.providers;
    let table = [
        ("yadio", providers.yadio.enabled),
        ("coingecko", providers.coingecko.enabled),
        ("currency_api", providers.currency_api.enabled),
        ("blockchain", providers.blockchain.enabled),
        ("eltoque", providers.eltoque.enabled),
        ("nostr", providers.nostr.enabled),
        ("pegged", providers.pegged.enabled),
        ("fixed", providers.fixed.enabled),
    ];
    let enabled = table.into_iter().filter(|(_, enabled)| *enabled);
    enabled.map(|(name, _)| name).collect()
}

#[test]
fn q10_old_keys_mean_yadio_alone_unless_the_section_is_written() {
    let old = "[mostro]\nbitcoin_price_api_url = 'https://yadio.example'\n\
               exchange_rates_update_interval_seconds = 90\n\
               publish_exchange_rates_to_nostr = false\n";
    assert_eq!(enabled(old), ["yadio"]);
    let price = settings(old, &[]).price;
    assert_eq!(
        price.providers.yadio.url.as_deref(),
        Some("https://yadio.example")
    );
    assert_eq!(price.update_interval, Duration::from_secs(90));
    assert!(!price.publish_to_nostr);

    let both = read(&format!("{old}{REAL}"), &[]).unwrap();
    assert_eq!(both.notices.len(), 3, "{:?}", both.notices);
    let notice = "settings.toml:2: mostro.bitcoin_price_api_url has no effect beside [price]: \
                  see price.providers.yadio.url.";
    assert_eq!(both.notices[0], notice);
    assert_eq!(enabled(&format!("{old}{REAL}")), ["blockchain"]);
    let defaults = PriceProviders::default();
    assert_eq!(both.settings.price.providers.yadio, defaults.yadio);
}

#[test]
fn q11_simulated_money_has_a_table_unless_somebody_is_asked() {
    assert_eq!(enabled(""), ["fixed"]);
    assert_eq!(
        enabled("[price]\nupdate_interval_seconds = 60\n"),
        ["fixed"]
    );
    assert_eq!(enabled(REAL), ["blockchain"]);
    assert_eq!(enabled("price.providers.yadio.enabled = true"), ["yadio"]);
    assert_eq!(
        enabled("price.providers.pegged.enabled = true"),
        ["pegged", "fixed"]
    );
    assert_eq!(enabled("price.providers.fixed.enabled = false"), [""; 0]);
    let both = format!("{REAL}[price.providers.fixed]\nenabled = true\n");
    assert_eq!(enabled(&both), ["blockchain", "fixed"]);
}

#[test]
fn q13_a_pegged_asset_that_nobody_may_trade_is_told() {
    let accepted = "mostro.fiat_currencies_accepted = ['USD', 'USDT']\n";
    let pegged = "price.providers.pegged.enabled = true\n";
    let only = |code: &str| format!("price.providers.pegged.only = ['{code}']\n");
    let notices = |text: &str| read(text, &[]).unwrap().notices;
    let told = notices(&format!("{accepted}{pegged}"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("DOC, USDC, BTC, LBTC, RBTC,"), "{told:?}");
    for text in [
        pegged.to_owned(),
        accepted.to_owned(),
        format!("{accepted}{}", only("RBTC")),
        format!("{accepted}{pegged}{}", only("USDT")),
    ] {
        assert_eq!(notices(&text), [""; 0], "{text}");
    }
}

#[test]
fn what_makes_prices_worth_little_is_told() {
    let table = [
        (
            "price.providers.fixed.enabled = false",
            "No source of prices is enabled",
        ),
        (
            "price.max_price_staleness_seconds = 299",
            "too old before they are renewed",
        ),
        (
            "price.providers.yadio.enabled = true\nprice.providers.yadio.url = 'http://a.example'",
            "http://a.example, which is not encrypted",
        ),
    ];
    for (text, notice) in table {
        let told = read(text, &[]).unwrap().notices;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(notice), "{told:?}");
    }
}

#[test]
fn z1_what_is_wrong_with_prices_is_told_together() {
    let text = "\
[price]
update_interval_seconds = 0
max_price_staleness_seconds = 0
outlier_threshold_pct = 0
provider_timeout_seconds = 0
provider_failure_threshold = 0
provider_failure_cooldown_seconds = 0

[price.providers.yadio]
enabled = true
url = ''
[price.providers.coingecko]
only = ['USD']
except = ['EUR']
[price.providers.eltoque]
enabled = true
[price.providers.nostr]
enabled = true
[price.providers.pegged]
only = ['USD']
[price.providers.fixed]
rates = ['USD']
[price.providers.gold]
enabled = true
";
    let reasons = [
        "2: price.update_interval_seconds: must be from 1 to 86400, not 0",
        "3: price.max_price_staleness_seconds: must be from 1 to 604800, not 0",
        "4: price.outlier_threshold_pct: must be from 0.01 to 100, not 0",
        "5: price.provider_timeout_seconds: must be from 1 to 300, not 0",
        "6: price.provider_failure_threshold: must be from 1 to 1000, not 0",
        "7: price.provider_failure_cooldown_seconds: must be from 1 to 1800, not 0",
        "10: price.providers.yadio.enabled: an enabled source needs price.providers.yadio.url",
        "13: price.providers.coingecko.only: only and except cannot both be set",
        "16: price.providers.eltoque.enabled: an enabled source needs \
         price.providers.eltoque.token",
        "18: price.providers.nostr.enabled: an enabled source needs \
         price.providers.nostr.trusted_nodes",
        "20: price.providers.pegged.only: \"USD\" is none of the pegged assets DOC, USDC, USDT, \
         BTC, LBTC, RBTC",
        "22: price.providers.fixed.rates: \"USD\" is not a currency and a price, such as USD=50000",
        "23: price.providers.gold: unknown key",
    ];
    let expected = reasons.map(|reason| format!("settings.toml:{reason}"));
    assert_eq!(refusals(text, &[]), expected);
}

#[test]
fn values_of_prices_are_refused() {
    let table = [
        (
            "price.outlier_threshold_pct = 100.5",
            "must be from 0.01 to 100, not 100.5",
        ),
        (
            "price.outlier_threshold_pct = nan",
            "must be from 0.01 to 100, not NaN",
        ),
        (
            "price.providers.nostr.trusted_nodes = ['npub1x']",
            "is not a public key",
        ),
        (
            "price.providers.nostr.relays = ['https://x.example']",
            "websocket address",
        ),
        (
            "price.providers.yadio.url = 'ftp://x.example'",
            "web address",
        ),
        ("price.providers.yadio.fallback_urls = ['x']", "web address"),
        (
            "price.providers.yadio.only = ['US']",
            "\"US\" is not a currency code",
        ),
        (
            "price.providers.fixed.rates = ['USD=-1']",
            "such as USD=50000",
        ),
        (
            "price.providers.fixed.rates = ['BTC=1']",
            "such as USD=50000",
        ),
    ];
    for (line, reason) in table {
        let found = refusals(line, &[]);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains(reason), "{found:?}");
    }
}

#[test]
fn prices_are_set_by_the_environment_too() {
    let node = Keys::generate().public_key();
    let environment = [
        ("MOSTRO_RELAY__PRICE__OUTLIER_THRESHOLD_PCT", "7"),
        ("MOSTRO_RELAY__PRICE__PROVIDERS__NOSTR__ENABLED", "true"),
        (
            "MOSTRO_RELAY__PRICE__PROVIDERS__NOSTR__TRUSTED_NODES",
            &node.to_hex(),
        ),
        (
            "MOSTRO_RELAY__PRICE__PROVIDERS__CURRENCY_API__ONLY",
            "cup, USD",
        ),
    ];
    let price = settings("", &environment).price;
    assert_eq!(price.outlier_threshold_pct.to_string(), "7");
    assert_eq!(price.providers.nostr.trusted_nodes, [node]);
    let only = Scope::Only(vec!["CUP".into(), "USD".into()]);
    assert_eq!(
        price.providers.currency_api.scope(),
        only,
        "instead of what it excepts"
    );
    assert!(!price.providers.fixed.enabled);
}

#[test]
fn an_interval_of_less_than_a_minute_counts_as_one() {
    let price = settings("price.update_interval_seconds = 5", &[]).price;
    assert_eq!(price.update_interval, Duration::from_secs(60));
}

#[test]
fn a_key_for_a_source_shows_in_no_refusal_and_no_debug_output() {
    let secret = "CG-very-secret";
    let text = |key: &str| format!("price.providers.coingecko.api_key = \"{key}\"");
    let settings = settings(&text(secret), &[]);
    assert!(settings.price.providers.coingecko.credential.is_some());
    assert!(!format!("{settings:?}").contains(secret));
    let found = refusals(&text(&format!("{secret}\\u0007x")), &[]);
    assert_eq!(settings.price.providers.eltoque.credential, None);
    assert!(!found.iter().any(|line| line.contains(secret)), "{found:?}");
}

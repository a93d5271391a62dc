//! The table of keys: which there are, what values they take, where they go.

use std::net::SocketAddr;
use std::path::PathBuf;

use escrow_core::Sats;
use escrow_lightning::lnd::Macaroon;
use escrow_lightning::lnurl::can_be_asked;
use nostr::key::{Keys, PublicKey};
use nostr::types::RelayUrl;
use tracing_subscriber::EnvFilter;

use super::operation_keys;
use super::price_keys;
use super::sections::{Backend, LogFormat, Settings};
use super::value::Value;

/// One key: its full name, and how its value is checked and put in its place.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) set: fn(&mut Settings, &Value) -> Result<(), String>,
}

/// Each costs a row of the ledger per event, and two connections.
const MOST_MIRRORS: usize = 16;

const GIB: usize = 1024 * 1024 * 1024;

/// The keys of all sections but the last, in the order of the file.
const KEYS: &[Key] = &[
    key("node.data_dir", |s, v| {
        put(&mut s.node.data_dir, v.text().map(Into::into))
    }),
    key("node.key", |s, v| put(&mut s.node.key, node_key(v))),
    key("node.name", |s, v| put(&mut s.node.name, v.optional_text())),
    key("node.about", |s, v| {
        put(&mut s.node.about, v.optional_text())
    }),
    key("node.picture", |s, v| {
        put(&mut s.node.picture, web_address(v))
    }),
    key("node.website", |s, v| {
        put(&mut s.node.website, web_address(v))
    }),
    key("relay.listen", |s, v| put(&mut s.relay.listen, address(v))),
    key("relay.public_url", |s, v| {
        put(&mut s.relay.public_url, relay_url(v))
    }),
    key("relay.name", |s, v| put(&mut s.relay.name, v.text())),
    key("relay.description", |s, v| {
        put(&mut s.relay.description, v.text())
    }),
    key("relay.contact", |s, v| {
        put(&mut s.relay.contact, v.optional_text())
    }),
    key("relay.max_event_bytes", |s, v| {
        put(
            &mut s.relay.max_event_bytes,
            v.whole(1_024..=16 * 1024 * 1024),
        )
    }),
    key("relay.max_message_event_bytes", |s, v| {
        put(
            &mut s.relay.max_message_event_bytes,
            v.whole(16_384..=16 * 1024 * 1024),
        )
    }),
    key("relay.max_frame_bytes", |s, v| {
        put(
            &mut s.relay.max_frame_bytes,
            v.whole(16_384..=32 * 1024 * 1024),
        )
    }),
    key("relay.max_filters", |s, v| {
        put(&mut s.relay.max_filters, v.whole(1..=1_000))
    }),
    key("relay.max_filter_values", |s, v| {
        put(&mut s.relay.max_filter_values, v.whole(1..=100_000))
    }),
    key("relay.max_subscriptions", |s, v| {
        put(&mut s.relay.max_subscriptions, v.whole(1..=10_000))
    }),
    key("relay.max_limit", |s, v| {
        put(&mut s.relay.max_limit, v.whole(1..=100_000))
    }),
    key("relay.max_answer_bytes", |s, v| {
        put(&mut s.relay.max_answer_bytes, v.whole(65_536..=GIB))
    }),
    key("relay.max_connections", |s, v| {
        put(&mut s.relay.max_connections, v.whole(1..=1_000_000))
    }),
    key("relay.max_connections_per_address", |s, v| {
        put(
            &mut s.relay.max_connections_per_address,
            v.whole(1..=1_000_000),
        )
    }),
    key("relay.max_messages_per_second", |s, v| {
        put(&mut s.relay.max_messages_per_second, v.whole(1..=1_000_000))
    }),
    key("relay.max_waiting_bytes", |s, v| {
        put(&mut s.relay.max_waiting_bytes, v.whole(65_536..=GIB))
    }),
    key("relay.max_waiting_bytes_in_all", |s, v| {
        put(
            &mut s.relay.max_waiting_bytes_in_all,
            v.whole(65_536..=1_024 * GIB),
        )
    }),
    key("relay.max_future_seconds", |s, v| {
        put(&mut s.relay.max_future, v.seconds(60..=86_400))
    }),
    key("relay.ping_seconds", |s, v| {
        put(&mut s.relay.ping_interval, v.seconds(5..=3_600))
    }),
    key("relay.idle_seconds", |s, v| {
        put(&mut s.relay.idle_timeout, v.seconds(10..=86_400))
    }),
    key("relay.orders_per_foreign_key", |s, v| {
        put(&mut s.relay.orders_per_foreign_key, v.whole(0..=100_000))
    }),
    key("relay.stranger_envelopes_per_second", |s, v| {
        put(
            &mut s.relay.stranger_envelopes_per_second,
            v.whole(1..=100_000),
        )
    }),
    key("relay.max_store_gib", |s, v| {
        put(&mut s.relay.max_store_gib, v.whole(1..=16_384))
    }),
    key("escrow.enabled", |s, v| {
        put(&mut s.escrow.enabled, v.truth())
    }),
    key("mostro.fee", |s, v| {
        put(&mut s.mostro.fee, v.share(0.0..=0.2))
    }),
    key("mostro.max_routing_fee", |s, v| {
        put(&mut s.mostro.max_routing_fee, v.share(0.0..=0.05))
    }),
    key("mostro.min_payment_amount", |s, v| {
        put(&mut s.mostro.min_payment_amount, amount(v))
    }),
    key("mostro.max_order_amount", |s, v| {
        put(&mut s.mostro.max_order_amount, amount(v))
    }),
    key("mostro.expiration_hours", |s, v| {
        put(&mut s.mostro.expiration_hours, v.whole(1..=1_440))
    }),
    key("mostro.max_expiration_days", |s, v| {
        put(&mut s.mostro.max_expiration_days, v.whole(1..=60))
    }),
    key("mostro.expiration_seconds", |s, v| {
        put(&mut s.mostro.expiration_seconds, v.seconds(120..=7_200))
    }),
    key("mostro.fiat_currencies_accepted", |s, v| {
        put(&mut s.mostro.fiat_currencies_accepted, currencies(v))
    }),
    key("mostro.max_orders_per_response", |s, v| {
        put(&mut s.mostro.max_orders_per_response, v.whole(1..=255))
    }),
    key("mostro.publish_mostro_info_interval", |s, v| {
        put(
            &mut s.mostro.publish_mostro_info_interval,
            v.seconds(30..=86_400),
        )
    }),
    key("mostro.publish_relays_interval", |s, v| {
        put(
            &mut s.mostro.publish_relays_interval,
            v.seconds(30..=86_400),
        )
    }),
    key("mostro.pow", |s, v| put(&mut s.mostro.pow, v.whole(0..=64))),
    key(POW_FIRST_CONTACT, |s, v| {
        put(&mut s.mostro.pow_first_contact, v.whole(0..=64))
    }),
    key("mostro.dev_fee_percentage", |s, v| {
        put(&mut s.mostro.dev_fee_percentage, v.share(0.1..=1.0))
    }),
    key("mostro.dev_fee_destination", |s, v| {
        put(&mut s.mostro.dev_fee_destination, lightning_address(v))
    }),
    key("mostro.serbero_pubkey", |s, v| {
        put(&mut s.mostro.serbero_pubkey, operation_keys::person(v))
    }),
    key("lightning.backend", |s, v| {
        put(&mut s.lightning.backend, backend(v))
    }),
    key("lightning.lnd_grpc_host", |s, v| {
        put(&mut s.lightning.lnd_grpc_host, v.text())
    }),
    key("lightning.lnd_cert_file", |s, v| {
        put(&mut s.lightning.lnd_cert_file, file(v))
    }),
    key("lightning.lnd_macaroon_file", |s, v| {
        put(&mut s.lightning.lnd_macaroon_file, file(v))
    }),
    key("lightning.lnd_macaroon_hex", |s, v| {
        put(&mut s.lightning.lnd_macaroon_hex, macaroon(v))
    }),
    key("lightning.allow_node_change", |s, v| {
        put(&mut s.lightning.allow_node_change, v.truth())
    }),
    key("lightning.invoice_expiration_window", |s, v| {
        put(
            &mut s.lightning.invoice_expiration_window,
            v.seconds(600..=86_400),
        )
    }),
    key("lightning.hold_invoice_cltv_delta", |s, v| {
        put(&mut s.lightning.hold_invoice_cltv_delta, v.whole(67..=288))
    }),
    key("lightning.lnd_hold_expiry_delta", |s, v| {
        put(&mut s.lightning.lnd_hold_expiry_delta, v.whole(1..=144))
    }),
    key(DEADLINE_MARGIN, |s, v| {
        put(
            &mut s.lightning.escrow_deadline_margin_blocks,
            v.whole(19..=240),
        )
    }),
    key(HOLD_WINDOW, |s, v| {
        put(
            &mut s.lightning.hold_invoice_expiration_window,
            v.seconds(60..=86_400),
        )
    }),
    key("lightning.payment_attempts", |s, v| {
        put(&mut s.lightning.payment_attempts, v.whole(1..=20))
    }),
    key("lightning.payment_retries_interval", |s, v| {
        put(
            &mut s.lightning.payment_retries_interval,
            v.seconds(10..=3_600),
        )
    }),
    key("lightning.max_final_cltv_expiry_delta", |s, v| {
        put(
            &mut s.lightning.max_final_cltv_expiry_delta,
            v.whole(18..=1_008),
        )
    }),
    key("lightning.payment_cltv_limit", |s, v| {
        put(&mut s.lightning.payment_cltv_limit, v.whole(0..=10_000))
    }),
    key("lightning.max_inflight_payouts", |s, v| {
        put(&mut s.lightning.max_inflight_payouts, v.whole(0..=10_000))
    }),
    key("lightning.max_inflight_payouts_per_destination", |s, v| {
        put(
            &mut s.lightning.max_inflight_payouts_per_destination,
            v.whole(0..=10_000),
        )
    }),
    key("mirror.relays", |s, v| {
        put(&mut s.mirror.relays, mirrors(v))
    }),
    key("mirror.inward", |s, v| put(&mut s.mirror.inward, v.truth())),
    key("mirror.longest_wait_seconds", |s, v| {
        put(&mut s.mirror.longest_wait, v.seconds(1..=3_600))
    }),
    key("sandbox.listen", |s, v| {
        put(&mut s.sandbox.listen, loopback(v))
    }),
    key("limits.pending_orders_per_identity", |s, v| {
        put(
            &mut s.limits.pending_orders_per_identity,
            v.whole(1..=1_000_000),
        )
    }),
    key("limits.pending_orders_without_identity", |s, v| {
        put(
            &mut s.limits.pending_orders_without_identity,
            v.whole(1..=1_000_000),
        )
    }),
    key("limits.max_open_holds", |s, v| {
        put(&mut s.limits.max_open_holds, v.whole(1..=1_000_000))
    }),
    key("limits.max_opening_holds", |s, v| {
        put(&mut s.limits.max_opening_holds, v.whole(1..=10_000))
    }),
    key("limits.banned", |s, v| put(&mut s.limits.banned, banned(v))),
    key("expiration.order_days", |s, v| {
        put(&mut s.expiration.order_days, v.whole(1..=3_650))
    }),
    key("expiration.dispute_days", |s, v| {
        put(&mut s.expiration.dispute_days, v.whole(1..=3_650))
    }),
    key("expiration.rating_days", |s, v| {
        put(&mut s.expiration.rating_days, v.whole(1..=3_650))
    }),
    key("expiration.fee_audit_days", |s, v| {
        put(&mut s.expiration.fee_audit_days, v.whole(1..=3_650))
    }),
    key("expiration.dm_days", |s, v| {
        put(&mut s.expiration.dm_days, v.whole(3..=3_650))
    }),
    key("log.filter", |s, v| put(&mut s.log.filter, log_filter(v))),
    key("log.format", |s, v| put(&mut s.log.format, log_format(v))),
];

/// All keys, in the order of the file.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter()
        .chain(operation_keys::KEYS)
        .chain(price_keys::KEYS.into_iter().flatten())
}

/// Keys whose default follows another key; see [`follow`].
const POW_FIRST_CONTACT: &str = "mostro.pow_first_contact";
const DEADLINE_MARGIN: &str = "lightning.escrow_deadline_margin_blocks";
const HOLD_WINDOW: &str = "lightning.hold_invoice_expiration_window";

/// Fills the keys that were not set and whose default follows another key.
pub(super) fn follow(settings: &mut Settings, was_set: impl Fn(&str) -> bool) {
    let Settings {
        mostro, lightning, ..
    } = settings;
    if !was_set(POW_FIRST_CONTACT) {
        mostro.pow_first_contact = mostro.pow;
    }
    mostro.pow_first_contact = mostro.pow_first_contact.max(mostro.pow);
    if !was_set(DEADLINE_MARGIN) {
        lightning.escrow_deadline_margin_blocks = lightning.lnd_hold_expiry_delta + 18;
    }
    if !was_set(HOLD_WINDOW) {
        lightning.hold_invoice_expiration_window = mostro.expiration_seconds;
    }
    price_keys::follow(settings, was_set);
}

pub(super) const fn key(
    name: &'static str,
    set: fn(&mut Settings, &Value) -> Result<(), String>,
) -> Key {
    Key { name, set }
}

pub(super) fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    value.parsed("an address with a port, such as 127.0.0.1:7000")
}

fn loopback(value: &Value) -> Result<SocketAddr, String> {
    let address = address(value)?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("must be a loopback address: whoever reaches it moves the simulated money".to_owned())
    }
}

fn relay_url(value: &Value) -> Result<Option<RelayUrl>, String> {
    let Some(text) = value.optional_text()? else {
        return Ok(None);
    };
    read_relay_url(&text).map(Some)
}

pub(super) fn read_relay_url(text: &str) -> Result<RelayUrl, String> {
    let reason = "must be a websocket address, such as wss://relay.example";
    RelayUrl::parse(text)
        .ok()
        .filter(|url| url.host().is_some())
        .ok_or_else(|| reason.to_owned())
}

fn mirrors(value: &Value) -> Result<Vec<RelayUrl>, String> {
    let texts = value.list()?;
    if texts.len() > MOST_MIRRORS {
        return Err(format!("must be at most {MOST_MIRRORS} addresses"));
    }
    let mut urls: Vec<RelayUrl> = Vec::with_capacity(texts.len());
    for text in &texts {
        let url = read_relay_url(text.trim())?;
        let place = url.as_str_without_trailing_slash();
        if urls
            .iter()
            .any(|it| it.as_str_without_trailing_slash() == place)
        {
            return Err(format!("names {url} twice"));
        }
        urls.push(url);
    }
    Ok(urls)
}

fn web_address(value: &Value) -> Result<Option<String>, String> {
    let text = value.optional_text()?;
    match &text {
        Some(text) if !text.starts_with("https://") && !text.starts_with("http://") => {
            Err("must be a web address that begins with https://".to_owned())
        }
        Some(_) | None => Ok(text),
    }
}

fn node_key(value: &Value) -> Result<Option<Keys>, String> {
    let Some(text) = value.optional_text()? else {
        return Ok(None);
    };
    Keys::parse(&text)
        .map(Some)
        .map_err(|_| "must be a secret key: nsec1… or 64 hexadecimal digits".to_owned())
}

fn lightning_address(value: &Value) -> Result<Option<String>, String> {
    let text = value.optional_text()?;
    match &text {
        Some(text) if !can_be_asked(text) => {
            Err("must be a Lightning address, such as name@wallet.example, or an LNURL".to_owned())
        }
        Some(_) | None => Ok(text),
    }
}

fn amount(value: &Value) -> Result<Sats, String> {
    const ALL_THERE_IS: u64 = 21_000_000 * 100_000_000;
    value.whole(1..=ALL_THERE_IS).map(Sats)
}

fn currencies(value: &Value) -> Result<Vec<String>, String> {
    let codes = value.list()?;
    match codes.iter().find(|code| !is_currency(code)) {
        Some(code) => Err(format!(
            "{code:?} is not a currency code of 3 to 10 capitals"
        )),
        None => Ok(codes),
    }
}

pub(super) fn is_currency(code: &str) -> bool {
    (3..=10).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn backend(value: &Value) -> Result<Backend, String> {
    match value.text()?.as_str() {
        "sandbox" => Ok(Backend::Sandbox),
        "lnd" => Ok(Backend::Lnd),
        _ => Err("must be sandbox or lnd".to_owned()),
    }
}

fn banned(value: &Value) -> Result<Vec<PublicKey>, String> {
    let read = |text: String| {
        PublicKey::parse(text.trim()).map_err(|_| "must be a list of keys, hex or npub".to_owned())
    };
    value.list()?.into_iter().map(read).collect()
}

fn file(value: &Value) -> Result<Option<PathBuf>, String> {
    Ok(value.optional_text()?.map(PathBuf::from))
}

fn macaroon(value: &Value) -> Result<Option<Macaroon>, String> {
    let digits = value.optional_text()?;
    digits.map(|digits| Macaroon::from_hex(&digits)).transpose()
}

fn log_filter(value: &Value) -> Result<String, String> {
    let filter = value.text()?;
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(why) => Err(format!("cannot be read as a log filter: {why}")),
    }
}

fn log_format(value: &Value) -> Result<LogFormat, String> {
    match value.text()?.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

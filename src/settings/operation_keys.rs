//! The keys of the sections `[rpc]` and `[health]`.

use nostr::key::PublicKey;

use super::keys::{Key, key, put};
use super::value::Value;
use crate::admin::Token;

pub(super) const KEYS: &[Key] = &[
    key("rpc.enabled", |s, v| put(&mut s.rpc.enabled, v.truth())),
    key("rpc.listen_address", |s, v| {
        let address = v.parsed("an address without a port, such as 127.0.0.1");
        put(&mut s.rpc.listen_address, address)
    }),
    key("rpc.port", |s, v| put(&mut s.rpc.port, v.whole(0..=65_535))),
    key("rpc.auth_token", |s, v| {
        put(&mut s.rpc.auth_token, token(v))
    }),
    key("health.enabled", |s, v| {
        put(&mut s.health.enabled, v.truth())
    }),
    key("health.interval", |s, v| {
        put(&mut s.health.interval, v.seconds(30..=3_600))
    }),
    key("health.lnd_unsynced_fail_after", |s, v| {
        put(
            &mut s.health.lnd_unsynced_fail_after,
            v.seconds(61..=86_400),
        )
    }),
    key("health.lnd_resynced_clear_after", |s, v| {
        put(
            &mut s.health.lnd_resynced_clear_after,
            v.seconds(1..=86_400),
        )
    }),
    key("health.auto_maintenance_on_lnd_unsynced", |s, v| {
        put(&mut s.health.auto_maintenance_on_lnd_unsynced, v.truth())
    }),
    key("health.watchdog_pubkey", |s, v| {
        put(&mut s.health.watchdog_pubkey, person(v))
    }),
];

fn token(value: &Value) -> Result<Option<Token>, String> {
    let Some(text) = value.optional_text()? else {
        return Ok(None);
    };
    let token = Token::new(text).ok_or_else(|| {
        let least = Token::LEAST_CHARACTERS;
        format!("must have at least {least} characters, all of them visible ASCII")
    })?;
    Ok(Some(token))
}

/// Somebody's public key.
pub(super) fn person(value: &Value) -> Result<Option<PublicKey>, String> {
    let Some(text) = value.optional_text()? else {
        return Ok(None);
    };
    let key = PublicKey::parse(&text).ok();
    let key = key.filter(|key| key.xonly().is_ok());
    key.map(Some)
        .ok_or_else(|| "must be a public key: npub1… or 64 hexadecimal digits".to_owned())
}

//! Keys of a mostrod settings file that have no row of their own here.
//!
//! An operator who moves in brings his old file along; he is told what became
//! of each key instead of "unknown key".

use super::value::Value;

/// What became of a key that mostrod knows.
pub(super) enum Elsewhere {
    /// Read over: it has nothing left to say, for the reason given.
    Unused(&'static str),
    /// Refused, with the reason.
    Refused(String),
}

/// Features that are not built; mostrod leaves them off by default.
const FEATURES: [(&str, &str); 2] = [
    ("anti_abuse_bond", "anti-abuse bonds"),
    ("cashu", "the Cashu escrow"),
];

const MOVED: [(&str, &str); 7] = [
    ("nostr.nsec_privkey", "node.key"),
    ("mostro.name", "node.name"),
    ("mostro.about", "node.about"),
    ("mostro.picture", "node.picture"),
    ("mostro.website", "node.website"),
    ("database.url", "node.data_dir"),
    ("nostr.relays", "mirror.relays"),
];

const UNUSED: [(&str, &str); 3] = [
    (
        "mostro.user_rates_sent_interval_seconds",
        "a reputation is published with the vote itself",
    ),
    (
        "mostro.active_pubkeys_refresh_interval",
        "keys are known from the moment an order has them",
    ),
    ("mostro.transport", "both transports are always spoken"),
];

/// Whole sections, and beginnings of keys, that later versions will know.
const NOT_YET: [(&str, &str); 2] = [
    ("lightning.lndk_", "BOLT12 is"),
    ("lightning.bip353_", "BIP-353 is"),
];

/// Looks up a key that has no row in the table; `None` if mostrod does not
/// know it either.
pub(super) fn elsewhere(key: &str, value: &Value) -> Option<Elsewhere> {
    if let Some((_, new)) = MOVED.iter().find(|(old, _)| *old == key) {
        return Some(Elsewhere::Refused(format!("is called {new} here")));
    }
    if let Some((_, why)) = UNUSED.iter().find(|(old, _)| *old == key) {
        return Some(Elsewhere::Unused(why));
    }
    let (section, name) = key.split_once('.')?;
    if let Some((_, feature)) = FEATURES.iter().find(|(known, _)| *known == section) {
        let wanted = name == "enabled" && !matches!(value.truth(), Ok(false));
        return Some(if wanted {
            Elsewhere::Refused(format!("{feature} cannot be enabled: not supported yet"))
        } else {
            Elsewhere::Unused("the feature is not supported yet")
        });
    }
    let (_, what) = NOT_YET
        .iter()
        .find(|(beginning, _)| key.starts_with(beginning))?;
    Some(Elsewhere::Refused(format!(
        "{what} not supported yet: remove it"
    )))
}

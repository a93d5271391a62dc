//! Values that are right by themselves and impossible together.

use nostr::types::RelayUrl;

use super::sections::{Backend, Settings};
use crate::announce::is_of_this_machine;

/// Keys that have to agree.
pub(super) struct Combination {
    /// The first of them that was set gets the blame.
    pub(super) keys: &'static [&'static str],
    pub(super) agrees: fn(&Settings) -> bool,
    pub(super) reason: &'static str,
}

pub(super) const COMBINATIONS: &[Combination] = &[
    Combination {
        keys: &["lightning.backend"],
        agrees: |s| is_sandbox(s) || s.lightning.lnd_cert_file.is_some(),
        reason: "lightning.backend = \"lnd\" needs lightning.lnd_cert_file: the path of LND's tls.cert",
    },
    Combination {
        keys: &["lightning.backend"],
        agrees: |s| is_sandbox(s) || has_macaroon(s),
        reason: "lightning.backend = \"lnd\" needs lightning.lnd_macaroon_file or \
                 lightning.lnd_macaroon_hex",
    },
    Combination {
        keys: &["lightning.lnd_macaroon_hex", "lightning.lnd_macaroon_file"],
        agrees: |s| {
            s.lightning.lnd_macaroon_file.is_none() || s.lightning.lnd_macaroon_hex.is_none()
        },
        reason: "lightning.lnd_macaroon_file and lightning.lnd_macaroon_hex exclude each other",
    },
    Combination {
        keys: &["relay.max_event_bytes", "relay.max_frame_bytes"],
        agrees: |s| s.relay.max_event_bytes < s.relay.max_frame_bytes,
        reason: "relay.max_event_bytes must be below relay.max_frame_bytes",
    },
    Combination {
        keys: &["relay.max_message_event_bytes", "relay.max_frame_bytes"],
        agrees: |s| s.relay.max_message_event_bytes < s.relay.max_frame_bytes,
        reason: "relay.max_message_event_bytes must be below relay.max_frame_bytes",
    },
    Combination {
        keys: &["relay.max_waiting_bytes", "relay.max_frame_bytes"],
        agrees: |s| s.relay.max_waiting_bytes >= s.relay.max_frame_bytes,
        reason: "relay.max_waiting_bytes must be at least relay.max_frame_bytes",
    },
    Combination {
        keys: &["relay.max_waiting_bytes_in_all", "relay.max_waiting_bytes"],
        agrees: |s| s.relay.max_waiting_bytes_in_all >= s.relay.max_waiting_bytes,
        reason: "relay.max_waiting_bytes_in_all must be at least relay.max_waiting_bytes",
    },
    Combination {
        keys: &["relay.max_connections_per_address", "relay.max_connections"],
        agrees: |s| s.relay.max_connections_per_address <= s.relay.max_connections,
        reason: "relay.max_connections_per_address must be at most relay.max_connections",
    },
    Combination {
        keys: &["relay.ping_seconds", "relay.idle_seconds"],
        agrees: |s| s.relay.ping_interval < s.relay.idle_timeout,
        reason: "relay.ping_seconds must be below relay.idle_seconds, or quiet clients are closed",
    },
    Combination {
        keys: &["sandbox.listen", "relay.listen"],
        agrees: |s| !same_door(s),
        reason: "sandbox.listen and relay.listen must be different ports",
    },
    Combination {
        keys: &["rpc.listen_address", "rpc.enabled"],
        agrees: |s| {
            let rpc = &s.rpc;
            !rpc.enabled || rpc.listen_address.is_loopback() || rpc.auth_token.is_some()
        },
        reason: "rpc.listen_address beyond this machine needs rpc.auth_token: \
                 whoever reaches the admin service rules over trades",
    },
    Combination {
        keys: &["rpc.enabled", "escrow.enabled"],
        agrees: |s| !s.rpc.enabled || s.escrow.enabled,
        reason: "rpc.enabled needs escrow.enabled = true: a plain relay has nothing to rule over",
    },
    Combination {
        keys: &["mirror.relays", "relay.public_url"],
        agrees: |s| s.mirror.relays.is_empty() || is_for_others(s.relay.public_url.as_ref()),
        reason: "mirror.relays needs relay.public_url, and one that others can reach: \
                 readers of a mirror are sent there",
    },
    Combination {
        keys: &["mirror.relays", "relay.public_url"],
        agrees: |s| {
            s.relay
                .public_url
                .iter()
                .all(|own| !names(&s.mirror.relays, own))
        },
        reason: "mirror.relays must not name this relay itself",
    },
    Combination {
        keys: &["mirror.relays", "escrow.enabled"],
        agrees: |s| s.mirror.relays.is_empty() || s.escrow.enabled,
        reason: "mirror.relays needs escrow.enabled = true: a plain relay has nothing to mirror",
    },
    Combination {
        keys: &["mostro.min_payment_amount", "mostro.max_order_amount"],
        agrees: |s| s.mostro.min_payment_amount < s.mostro.max_order_amount,
        reason: "mostro.min_payment_amount must be below mostro.max_order_amount",
    },
    Combination {
        keys: &["mostro.expiration_hours", "mostro.max_expiration_days"],
        agrees: |s| s.mostro.expiration_hours <= s.mostro.max_expiration_days * 24,
        reason: "mostro.expiration_hours must be at most mostro.max_expiration_days × 24",
    },
    Combination {
        keys: &[
            "lightning.escrow_deadline_margin_blocks",
            "lightning.lnd_hold_expiry_delta",
        ],
        agrees: |s| {
            let lightning = &s.lightning;
            lightning.escrow_deadline_margin_blocks >= lightning.lnd_hold_expiry_delta + 18
        },
        reason: "lightning.escrow_deadline_margin_blocks must be at least \
                 lightning.lnd_hold_expiry_delta + 18",
    },
    Combination {
        keys: &[
            "lightning.hold_invoice_cltv_delta",
            "lightning.escrow_deadline_margin_blocks",
            "lightning.lnd_hold_expiry_delta",
        ],
        agrees: |s| {
            let lightning = &s.lightning;
            lightning.hold_invoice_cltv_delta >= lightning.escrow_deadline_margin_blocks + 48
        },
        reason: "lightning.hold_invoice_cltv_delta must be at least \
                 lightning.escrow_deadline_margin_blocks + 48, by default \
                 lightning.lnd_hold_expiry_delta + 66",
    },
    Combination {
        keys: &[
            "lightning.payment_cltv_limit",
            "lightning.max_final_cltv_expiry_delta",
        ],
        agrees: |s| {
            let lightning = &s.lightning;
            lightning.payment_cltv_limit == 0
                || lightning.payment_cltv_limit >= lightning.max_final_cltv_expiry_delta + 576
        },
        reason: "lightning.payment_cltv_limit must be 0 or at least \
                 lightning.max_final_cltv_expiry_delta + 576",
    },
];

fn is_sandbox(settings: &Settings) -> bool {
    settings.lightning.backend == Backend::Sandbox
}

fn has_macaroon(settings: &Settings) -> bool {
    let lightning = &settings.lightning;
    lightning.lnd_macaroon_file.is_some() || lightning.lnd_macaroon_hex.is_some()
}

fn is_for_others(url: Option<&RelayUrl>) -> bool {
    url.is_some_and(|url| !is_of_this_machine(url))
}

fn names(relays: &[RelayUrl], own: &RelayUrl) -> bool {
    let place = RelayUrl::as_str_without_trailing_slash;
    relays.iter().any(|relay| place(relay) == place(own))
}

/// Port 0 is a free port each time, so it never meets another.
fn same_door(settings: &Settings) -> bool {
    let (sandbox, relay) = (settings.sandbox.listen, settings.relay.listen);
    let meets = sandbox.ip() == relay.ip() || relay.ip().is_unspecified();
    meets && sandbox.port() == relay.port() && relay.port() != 0
}

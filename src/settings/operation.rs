//! The sections for the operator's own tools: the admin service and the health event.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nostr::key::PublicKey;

use crate::admin::Token;

/// `[rpc]`: the admin service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcSettings {
    /// Whether it is there at all.
    pub enabled: bool,
    /// Where it listens; beyond this machine only with a token.
    pub listen_address: IpAddr,
    /// On which port.
    pub port: u16,
    /// What a caller has to bring.
    pub auth_token: Option<Token>,
}

impl RpcSettings {
    /// Where it listens.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        (self.listen_address, self.port).into()
    }
}

impl Default for RpcSettings {
    fn default() -> Self {
        RpcSettings {
            enabled: false,
            listen_address: Ipv4Addr::LOCALHOST.into(),
            port: 50_051,
            auth_token: None,
        }
    }
}

/// `[health]`: what the node says about how it is, and when it rests by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Whether the health event is published.
    pub enabled: bool,
    /// Time between two of them while nothing changes.
    pub interval: Duration,
    /// Without a synced Lightning for so long, the node takes no new trades.
    pub lnd_unsynced_fail_after: Duration,
    /// Synced again for so long, it does.
    pub lnd_resynced_clear_after: Duration,
    /// Whether it does so by itself.
    pub auto_maintenance_on_lnd_unsynced: bool,
    /// Who reads the details, encrypted to him.
    pub watchdog_pubkey: Option<PublicKey>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        HealthSettings {
            enabled: true,
            interval: Duration::from_secs(60),
            lnd_unsynced_fail_after: Duration::from_secs(600),
            lnd_resynced_clear_after: Duration::from_secs(300),
            auto_maintenance_on_lnd_unsynced: true,
            watchdog_pubkey: None,
        }
    }
}

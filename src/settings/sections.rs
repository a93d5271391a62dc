//! The typed settings: one struct per section, one field per key.
//!
//! `Default` of each section is the one place where defaults stand, but for those that
//! it takes over from the part of the node they are for; the file `settings.toml` repeats
//! them for the operator, and a test compares the two.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use escrow_core::Sats;
use escrow_lightning::lnd::Macaroon;
use nostr::key::{Keys, PublicKey};
use nostr::types::RelayUrl;
use relay_policy::GateTerms;

use super::operation::{HealthSettings, RpcSettings};
use super::price::PriceSettings;
use crate::relay::RelayLimits;

/// Everything the operator can set, read and checked.
///
/// Fields are named as their keys, so `settings.mostro.fee` is `fee` in the
/// section `[mostro]`. `Debug` never shows the node's secret key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The node itself: where its data lies and who it is.
    pub node: NodeSettings,
    /// The relay's address and its limits.
    pub relay: RelaySettings,
    /// Whether the escrow runs at all.
    pub escrow: EscrowSettings,
    /// The terms of trade.
    pub mostro: MostroSettings,
    /// Lightning: the backend, and what is asked of invoices and payments.
    pub lightning: LightningSettings,
    /// External relays.
    pub mirror: MirrorSettings,
    /// The simulated Lightning.
    pub sandbox: SandboxSettings,
    /// What one party, and all of them together, may hold open.
    pub limits: LimitSettings,
    /// How long our public events stay on relays.
    pub expiration: ExpirationSettings,
    /// What is logged, and how it looks.
    pub log: LogSettings,
    /// The admin service.
    pub rpc: RpcSettings,
    /// What the node says about how it is.
    pub health: HealthSettings,
    /// Where market prices come from.
    pub price: PriceSettings,
}

/// What a node says of itself while its money is simulated (rule Z4).
pub(crate) const SIMULATED: &str = "sandbox: all money is simulated";

impl Settings {
    /// Whether there is an escrow, and no sat that it holds is real.
    #[must_use]
    pub fn money_is_simulated(&self) -> bool {
        self.escrow.enabled && self.lightning.backend == Backend::Sandbox
    }
}

/// `[node]`: where the data lies, and the node's public face.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSettings {
    /// Folder of the ledger, the event store and the identity files.
    pub data_dir: PathBuf,
    /// The node's key; without it the one in the data directory is used.
    pub key: Option<Keys>,
    /// Name of this instance: in its profile, and in the `y` tag of its events.
    pub name: Option<String>,
    /// Description in the node's profile.
    pub about: Option<String>,
    /// Address of the profile's picture.
    pub picture: Option<String>,
    /// Address of the operator's web site.
    pub website: Option<String>,
}

/// `[relay]`: where the relay listens, how it is found, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaySettings {
    /// Address and port of the one HTTP port.
    pub listen: SocketAddr,
    /// The address by which the world reaches the relay.
    pub public_url: Option<RelayUrl>,
    /// Name in the relay's information document.
    pub name: String,
    /// Description in the relay's information document.
    pub description: String,
    /// How to reach the operator: a `mailto:` or web address.
    pub contact: Option<String>,
    /// Largest event, in bytes of its JSON, other than kinds 14 and 1059.
    pub max_event_bytes: usize,
    /// Largest event of the kinds 14 and 1059, in bytes of its JSON.
    pub max_message_event_bytes: usize,
    /// Largest websocket message, in bytes.
    pub max_frame_bytes: usize,
    /// Most filters in one REQ.
    pub max_filters: usize,
    /// Most values in one filter, all its lists together.
    pub max_filter_values: usize,
    /// Most subscriptions open on one connection.
    pub max_subscriptions: usize,
    /// Most stored events one filter is answered with.
    pub max_limit: usize,
    /// Bytes of stored events one REQ is answered with.
    pub max_answer_bytes: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once from one address.
    pub max_connections_per_address: usize,
    /// Most messages a second on one connection.
    pub max_messages_per_second: u32,
    /// Bytes that may wait for a slow reader before he is closed.
    pub max_waiting_bytes: usize,
    /// Bytes that may wait for all readers together.
    pub max_waiting_bytes_in_all: usize,
    /// How far ahead of the clock a stranger's event may be dated.
    pub max_future: Duration,
    /// Time between two pings on a quiet connection.
    pub ping_interval: Duration,
    /// A connection that says nothing for so long, not even pong, is closed.
    pub idle_timeout: Duration,
    /// Live orders (kind 38383) carried for one foreign key.
    pub orders_per_foreign_key: usize,
    /// Envelopes of unknown keys that are opened in a second.
    pub stranger_envelopes_per_second: u32,
    /// Largest size the event store may grow to, in GiB of address space.
    pub max_store_gib: u32,
}

/// `[escrow]`: whether trades are made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowSettings {
    /// With `false` the process is a plain relay.
    pub enabled: bool,
}

/// `[mostro]`: the terms of trade, announced in the node's info event.
#[derive(Clone, Debug, PartialEq)]
pub struct MostroSettings {
    /// Share of the amount that both sides pay together.
    pub fee: f64,
    /// Share of a payment that its routing may cost, borne by the node.
    pub max_routing_fee: f64,
    /// Smallest amount of a trade.
    pub min_payment_amount: Sats,
    /// Largest amount of a trade.
    pub max_order_amount: Sats,
    /// Life of a new order that names no expiry, in hours.
    pub expiration_hours: u32,
    /// Longest life of an order, in days.
    pub max_expiration_days: u32,
    /// Time for each of the steps in which a party must pay or send an invoice.
    pub expiration_seconds: Duration,
    /// Currency codes that are traded; empty means all.
    pub fiat_currencies_accepted: Vec<String>,
    /// Most orders in one answer.
    pub max_orders_per_response: usize,
    /// Time between two announcements of the terms (kind 38385).
    pub publish_mostro_info_interval: Duration,
    /// How often the profile and the list of relays (kinds 0 and 10002) are looked after.
    pub publish_relays_interval: Duration,
    /// Proof of work asked of messages to the node, in leading zero bits.
    pub pow: u8,
    /// The same for authors who are not known; never below `pow`.
    pub pow_first_contact: u8,
    /// Share of both sides' fees that the operator gives to the development.
    pub dev_fee_percentage: f64,
    /// The Lightning address it goes to; without it, it is not paid.
    pub dev_fee_destination: Option<String>,
    /// The dispute assistant, who reads disputes and never rules.
    pub serbero_pubkey: Option<PublicKey>,
}

/// `[lightning]`: the backend, and what is asked of invoices and payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightningSettings {
    /// Which Lightning node holds and pays.
    pub backend: Backend,
    /// `https://host:port` of LND's gRPC interface.
    pub lnd_grpc_host: String,
    /// LND's certificate.
    pub lnd_cert_file: Option<PathBuf>,
    /// The macaroon that LND gave us, as a file; without it, the one below.
    pub lnd_macaroon_file: Option<PathBuf>,
    /// The same as hexadecimal digits.
    pub lnd_macaroon_hex: Option<Macaroon>,
    /// Whether to start on another Lightning node than the one with which the money of
    /// open orders lies.
    pub allow_node_change: bool,
    /// A payout invoice must stay payable at least so long.
    pub invoice_expiration_window: Duration,
    /// Final CLTV delta of hold invoices, in blocks.
    pub hold_invoice_cltv_delta: u32,
    /// Blocks before expiry at which the Lightning node refunds a hold by itself.
    pub lnd_hold_expiry_delta: u32,
    /// Blocks before expiry at which the node acts on an unsettled escrow.
    pub escrow_deadline_margin_blocks: u32,
    /// Announced to clients only; the steps follow `mostro.expiration_seconds`.
    pub hold_invoice_expiration_window: Duration,
    /// Attempts at a payout before the buyer is asked for a new invoice.
    pub payment_attempts: u32,
    /// Time between two attempts at a payout.
    pub payment_retries_interval: Duration,
    /// Largest final CLTV delta accepted in a payout invoice, in blocks.
    pub max_final_cltv_expiry_delta: u32,
    /// Longest time lock of an outgoing payment, in blocks; 0 leaves it to the backend.
    pub payment_cltv_limit: u32,
    /// Payments to buyers on their way at once; 0: as many as there are.
    pub max_inflight_payouts: u32,
    /// The same to one payee.
    pub max_inflight_payouts_per_destination: u32,
}

/// The Lightning node behind the escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The simulated Lightning inside this process.
    Sandbox,
    /// An LND node.
    Lnd,
}

/// `[mirror]`: external relays that carry the node's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Their addresses, each once.
    pub relays: Vec<RelayUrl>,
    /// Whether messages to the node are taken from them too.
    pub inward: bool,
    /// Longest wait between two tries to reach one of them.
    pub longest_wait: Duration,
}

/// `[sandbox]`: the door to the simulated Lightning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Where `mostro-relay sandbox …` reaches a running node; loopback only.
    pub listen: SocketAddr,
}

/// `[limits]`: what one party, and all of them together, may hold open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Pending orders of one identity.
    pub pending_orders_per_identity: usize,
    /// Pending orders of all traders without an identity together.
    pub pending_orders_without_identity: usize,
    /// Hold invoices open or accepted at once.
    pub max_open_holds: usize,
    /// Hold invoices being opened at once.
    pub max_opening_holds: usize,
    /// Identities and trade keys that get no new trades.
    pub banned: Vec<PublicKey>,
}

/// `[expiration]`: how long our events stay on relays, in days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpirationSettings {
    /// Order events (kind 38383) after their last change.
    pub order_days: u32,
    /// Dispute events (kind 38386) after their last change.
    pub dispute_days: u32,
    /// Reputations (kind 38384) after the last vote.
    pub rating_days: u32,
    /// Audits of development fees (kind 8383) after the payment.
    pub fee_audit_days: u32,
    /// Messages to traders (kinds 14 and 1059).
    pub dm_days: u32,
}

/// `[log]`: what is logged, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Least level, or a list of `target=level`, as `tracing` reads it.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Words for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for NodeSettings {
    fn default() -> Self {
        NodeSettings {
            data_dir: PathBuf::from("./data"),
            key: None,
            name: None,
            about: None,
            picture: None,
            website: None,
        }
    }
}

impl RelaySettings {
    /// The address that clients and the node's own events are told.
    ///
    /// Without a `public_url` it is the listening address; an address that
    /// means "every interface" is told as loopback, which at least works on
    /// this machine.
    #[must_use]
    pub fn url(&self) -> String {
        if let Some(url) = &self.public_url {
            return url.to_string();
        }
        let mut address = self.listen;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("ws://{address}")
    }

    /// The addresses that a client may name when he proves a key (NIP-42): the public
    /// one, and the listening one for those who come without a detour.
    #[must_use]
    pub fn urls(&self) -> Vec<RelayUrl> {
        let address = self.listen;
        let listening = if address.ip().is_loopback() || address.ip().is_unspecified() {
            let names = ["127.0.0.1", "[::1]", "localhost"];
            names
                .map(|name| format!("ws://{name}:{}", address.port()))
                .to_vec()
        } else {
            vec![format!("ws://{address}")]
        };
        let listening = listening.iter().filter_map(|url| RelayUrl::parse(url).ok());
        self.public_url.iter().cloned().chain(listening).collect()
    }
}

impl Default for RelaySettings {
    fn default() -> Self {
        let limits = RelayLimits::default();
        RelaySettings {
            listen: loopback(7000),
            public_url: None,
            name: "mostro-relay".to_owned(),
            description: "A Nostr relay with a Mostro escrow inside".to_owned(),
            contact: None,
            max_event_bytes: limits.event_bytes,
            max_message_event_bytes: limits.message_bytes,
            max_frame_bytes: limits.frame_bytes,
            max_filters: limits.filters_per_req,
            max_filter_values: limits.values_per_filter,
            max_subscriptions: limits.subscriptions,
            max_limit: limits.max_limit,
            max_answer_bytes: limits.answer_bytes,
            max_connections: limits.connections,
            max_connections_per_address: limits.connections_per_address,
            max_messages_per_second: 1_000,
            max_waiting_bytes: limits.waiting_bytes,
            max_waiting_bytes_in_all: limits.waiting_bytes_in_all,
            max_future: Duration::from_secs(limits.future_secs),
            ping_interval: limits.ping_every,
            idle_timeout: limits.idle_after,
            orders_per_foreign_key: GateTerms::default().orders_per_key,
            stranger_envelopes_per_second: 500,
            max_store_gib: 32,
        }
    }
}

impl Default for EscrowSettings {
    fn default() -> Self {
        EscrowSettings { enabled: true }
    }
}

impl Default for MostroSettings {
    fn default() -> Self {
        MostroSettings {
            fee: 0.006,
            max_routing_fee: 0.002,
            min_payment_amount: Sats(100),
            max_order_amount: Sats(1_000_000),
            expiration_hours: 24,
            max_expiration_days: 15,
            expiration_seconds: Duration::from_secs(900),
            fiat_currencies_accepted: Vec::new(),
            max_orders_per_response: 10,
            publish_mostro_info_interval: Duration::from_secs(300),
            publish_relays_interval: Duration::from_secs(60),
            pow: 0,
            pow_first_contact: 0,
            dev_fee_percentage: 0.30,
            dev_fee_destination: None,
            serbero_pubkey: None,
        }
    }
}

impl Default for LightningSettings {
    fn default() -> Self {
        LightningSettings {
            backend: Backend::Sandbox,
            lnd_grpc_host: "https://127.0.0.1:10009".to_owned(),
            lnd_cert_file: None,
            lnd_macaroon_file: None,
            lnd_macaroon_hex: None,
            allow_node_change: false,
            invoice_expiration_window: Duration::from_secs(3_600),
            hold_invoice_cltv_delta: 144,
            lnd_hold_expiry_delta: 18,
            escrow_deadline_margin_blocks: 36,
            hold_invoice_expiration_window: Duration::from_secs(900),
            payment_attempts: 3,
            payment_retries_interval: Duration::from_secs(60),
            max_final_cltv_expiry_delta: 144,
            payment_cltv_limit: 1_008,
            max_inflight_payouts: 100,
            max_inflight_payouts_per_destination: 10,
        }
    }
}

impl MirrorSettings {
    /// The mirrors by which traders reach the node.
    pub(crate) fn relays_of_traders(&self) -> &[RelayUrl] {
        if self.inward { &self.relays } else { &[] }
    }
}

impl Default for MirrorSettings {
    fn default() -> Self {
        MirrorSettings {
            relays: Vec::new(),
            inward: true,
            longest_wait: Duration::from_secs(300),
        }
    }
}

impl Default for SandboxSettings {
    fn default() -> Self {
        SandboxSettings {
            listen: loopback(7001),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            pending_orders_per_identity: 20,
            pending_orders_without_identity: 500,
            max_open_holds: 200,
            max_opening_holds: 16,
            banned: Vec::new(),
        }
    }
}

impl Default for ExpirationSettings {
    fn default() -> Self {
        ExpirationSettings {
            order_days: 30,
            dispute_days: 90,
            rating_days: 90,
            fee_audit_days: 365,
            dm_days: 30,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

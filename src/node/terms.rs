//! What the settings mean to each part of the node.

use std::sync::Arc;

use escrow_core::terms::Terms;
use escrow_engine::desk::Stationery;
use escrow_lightning::backend::{Capabilities, LightningIdentity};
use escrow_lightning::{InvoiceRules, Network};
use nostr::key::PublicKey;
use nostr::types::{RelayUrl, Timestamp};
use relay_policy::{GateTerms, Rate};
use storage::events::EventStoreOptions;

use super::NodeError;
use crate::relay::{RelayClock, RelayLimits, RelayProfile};
use crate::settings::{LightningSettings, MostroSettings, RelaySettings, SIMULATED, Settings};

const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 24 * HOUR_SECS;

/// So many seconds' worth of frames may come at once.
const FRAME_BURST_SECS: u32 = 5;

pub(super) fn terms_of_trade(settings: &Settings) -> Terms {
    let Settings {
        mostro,
        lightning,
        limits,
        ..
    } = settings;
    Terms {
        fee: mostro.fee,
        dev_fee_share: mostro.dev_fee_percentage,
        dev_fee_destination: mostro.dev_fee_destination.clone(),
        max_routing_fee: mostro.max_routing_fee,
        min_amount: mostro.min_payment_amount,
        max_amount: mostro.max_order_amount,
        fiat_currencies: mostro.fiat_currencies_accepted.clone(),
        order_life_secs: u64::from(mostro.expiration_hours) * HOUR_SECS,
        max_order_life_secs: u64::from(mostro.max_expiration_days) * DAY_SECS,
        step_secs: mostro.expiration_seconds.as_secs(),
        invoice_window_secs: lightning.invoice_expiration_window.as_secs(),
        hold_cltv_delta_blocks: lightning.hold_invoice_cltv_delta,
        payment_cltv_limit_blocks: lightning.payment_cltv_limit,
        payment_attempts: lightning.payment_attempts,
        payment_retry_secs: lightning.payment_retries_interval.as_secs(),
        pending_per_identity: at_most(limits.pending_orders_per_identity),
        pending_without_identity: at_most(limits.pending_orders_without_identity),
        max_orders_per_response: mostro.max_orders_per_response,
        max_open_holds: at_most(limits.max_open_holds),
        max_opening_holds: at_most(limits.max_opening_holds),
        max_inflight_payouts: lightning.max_inflight_payouts,
        max_inflight_payouts_per_payee: lightning.max_inflight_payouts_per_destination,
        escrow_deadline_margin_blocks: lightning.escrow_deadline_margin_blocks,
    }
}

pub(super) fn stationery(
    settings: &Settings,
    url: &str,
    lightning: &LightningIdentity,
) -> Stationery {
    let mirrors = settings.mirror.relays_of_traders().iter();
    let relays = [url.to_owned()]
        .into_iter()
        .chain(mirrors.map(ToString::to_string));
    Stationery {
        network: lightning.network.to_string(),
        relays: relays.collect(),
        instance: settings.node.name.clone(),
        closed_order_secs: u64::from(settings.expiration.order_days) * DAY_SECS,
        dispute_secs: u64::from(settings.expiration.dispute_days) * DAY_SECS,
        rating_secs: u64::from(settings.expiration.rating_days) * DAY_SECS,
        dev_fee_secs: u64::from(settings.expiration.fee_audit_days) * DAY_SECS,
        letter_secs: u64::from(settings.expiration.dm_days) * DAY_SECS,
    }
}

pub(super) fn mirrors(settings: &Settings) -> Vec<String> {
    let relays = settings.mirror.relays.iter();
    let place = |relay: &RelayUrl| relay.as_str_without_trailing_slash().to_owned();
    relays.map(place).collect()
}

pub(super) fn invoice_rules(
    settings: &LightningSettings,
    lightning: &LightningIdentity,
) -> InvoiceRules {
    InvoiceRules {
        network: lightning.network,
        max_final_cltv_expiry_delta: settings.max_final_cltv_expiry_delta,
        own_node_pubkey: lightning.pubkey.clone(),
    }
}

/// # Errors
///
/// If the backend cannot keep what the settings promise to traders.
pub(super) fn check_lightning(
    settings: &LightningSettings,
    can: &Capabilities,
) -> Result<(), NodeError> {
    let delta = settings.hold_invoice_cltv_delta;
    if !can.hold_cltv_delta.contains(&delta) {
        let (least, most) = (can.hold_cltv_delta.start(), can.hold_cltv_delta.end());
        return Err(NodeError::TooMuchForLightning {
            key: "lightning.hold_invoice_cltv_delta",
            value: delta,
            possible: format!("{least} to {most} blocks"),
        });
    }
    if settings.payment_cltv_limit > can.max_cltv_limit {
        return Err(NodeError::TooMuchForLightning {
            key: "lightning.payment_cltv_limit",
            value: settings.payment_cltv_limit,
            possible: format!("at most {} blocks", can.max_cltv_limit),
        });
    }
    Ok(())
}

/// # Errors
///
/// On mainnet a node that takes a fee says where the development's share goes:
/// there is no destination that it would have without the operator (rule J1).
pub(super) fn check_dev_fee(
    settings: &MostroSettings,
    lightning: &LightningIdentity,
) -> Result<(), NodeError> {
    let is_owed = lightning.network == Network::Mainnet && settings.fee > 0.0;
    if is_owed && settings.dev_fee_destination.is_none() {
        return Err(NodeError::NoDevFeeDestination);
    }
    Ok(())
}

pub(super) fn relay_limits(relay: &RelaySettings) -> RelayLimits {
    RelayLimits {
        event_bytes: relay.max_event_bytes,
        message_bytes: relay.max_message_event_bytes,
        frame_bytes: relay.max_frame_bytes,
        filters_per_req: relay.max_filters,
        values_per_filter: relay.max_filter_values,
        subscriptions: relay.max_subscriptions,
        max_limit: relay.max_limit,
        answer_bytes: relay.max_answer_bytes,
        connections: relay.max_connections,
        connections_per_address: relay.max_connections_per_address,
        future_secs: relay.max_future.as_secs(),
        frames: Some(Rate {
            per_second: relay.max_messages_per_second,
            burst: relay
                .max_messages_per_second
                .saturating_mul(FRAME_BURST_SECS),
        }),
        waiting_bytes: relay.max_waiting_bytes,
        waiting_bytes_in_all: relay.max_waiting_bytes_in_all,
        ping_every: relay.ping_interval,
        idle_after: relay.idle_timeout,
        ..RelayLimits::default()
    }
}

pub(super) fn gate_terms(settings: &Settings, limits: &RelayLimits) -> GateTerms {
    limits.gate_terms(GateTerms {
        pow: settings.mostro.pow,
        pow_first_contact: settings.mostro.pow_first_contact,
        orders_per_key: settings.relay.orders_per_foreign_key,
        ..GateTerms::default()
    })
}

pub(super) fn relay_profile(settings: &Settings, pubkey: PublicKey) -> RelayProfile {
    let relay = &settings.relay;
    let description = if settings.money_is_simulated() {
        format!("{} ({SIMULATED})", relay.description)
    } else {
        relay.description.clone()
    };
    RelayProfile {
        name: relay.name.clone(),
        description,
        pubkey,
        contact: relay.contact.clone(),
    }
}

pub(super) fn store_options(relay: &RelaySettings) -> EventStoreOptions {
    let gib = usize::try_from(relay.max_store_gib).unwrap_or(usize::MAX);
    EventStoreOptions {
        map_size_bytes: gib.saturating_mul(1 << 30),
        fill_at_open: false,
        ..EventStoreOptions::default()
    }
}

pub(super) fn relay_clock() -> RelayClock {
    Arc::new(Timestamp::now)
}

/// A bound beyond what is ever counted is as good as the highest there is.
fn at_most(bound: usize) -> u32 {
    u32::try_from(bound).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_the_operator_the_usual_terms_hold() {
        let settings = Settings::default();
        let limits = relay_limits(&settings.relay);
        assert_eq!(terms_of_trade(&settings), Terms::default());
        assert_eq!(limits, RelayLimits::default());
        assert_eq!(gate_terms(&settings, &limits), GateTerms::default());
        let store = EventStoreOptions {
            fill_at_open: false,
            ..EventStoreOptions::default()
        };
        assert_eq!(store_options(&settings.relay), store);
    }

    #[test]
    fn j1_up_a11_up_a16_on_mainnet_a_fee_needs_a_destination_and_elsewhere_none_is_made_up() {
        let on = |network| LightningIdentity {
            pubkey: "2".repeat(66),
            network,
        };
        let set = |fee, destination: Option<&str>| MostroSettings {
            fee,
            dev_fee_destination: destination.map(str::to_owned),
            ..MostroSettings::default()
        };
        let refused = check_dev_fee(&set(0.006, None), &on(Network::Mainnet));
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("mostro.dev_fee_destination"), "{told}");
        let address = Some("dev@wallet.example");
        check_dev_fee(&set(0.006, address), &on(Network::Mainnet)).unwrap();
        check_dev_fee(&set(0.0, None), &on(Network::Mainnet)).unwrap();
        for network in [Network::Testnet, Network::Signet, Network::Regtest] {
            check_dev_fee(&set(0.006, None), &on(network)).unwrap();
        }
        let unset = Settings::default();
        assert_eq!(terms_of_trade(&unset).dev_fee_destination, None);
    }
}

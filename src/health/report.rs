//! What is said of the node's health: the checks, and the details for a watchdog.

use escrow_core::UnixTime;
use escrow_core::maintenance::Maintenance;
use escrow_core::wire::health_event::{ChainShown, Check, CheckName, CheckState, HealthStatus};
use escrow_engine::LightningHealth;
use serde_json::{Value, json};

use super::payouts::PayoutFigures;

/// How the node is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) at: UnixTime,
    /// In the order of [`CheckName`].
    pub(super) checks: Vec<Check>,
    pub(super) lightning: LightningHealth,
    /// None if they cannot be read.
    pub(super) payouts: Option<PayoutFigures>,
    /// With our own.
    pub(super) relays: usize,
    pub(super) relays_connected: usize,
    pub(super) maintenance: Option<Maintenance>,
}

impl Report {
    /// On the whole (rule X18).
    pub(super) fn status(&self) -> HealthStatus {
        let is_down = |check: &Check| match (check.name, check.state) {
            (CheckName::LightningSync, CheckState::Fail | CheckState::Unknown)
            | (CheckName::Database | CheckName::Relays, CheckState::Fail) => true,
            (
                CheckName::LightningSync | CheckName::Database | CheckName::Relays,
                CheckState::Ok | CheckState::Warn,
            )
            | (CheckName::Database | CheckName::Relays, CheckState::Unknown)
            | (CheckName::Payouts, _) => false,
        };
        let all_ok = self.checks.iter().all(|it| it.state == CheckState::Ok);
        if self.checks.iter().any(is_down) {
            HealthStatus::Down
        } else if all_ok && self.maintenance.is_none() {
            HealthStatus::Ok
        } else {
            HealthStatus::Degraded
        }
    }

    /// What is published at once when it changes (rule X14).
    pub(super) fn news(&self) -> (Vec<(CheckName, CheckState)>, bool) {
        let states = self.checks.iter().map(|it| (it.name, it.state));
        (states.collect(), self.maintenance.is_some())
    }

    pub(super) fn chain(&self) -> Option<ChainShown> {
        match &self.lightning {
            LightningHealth::Reachable(info) => Some(ChainShown {
                block_height: info.block_height,
                synced_to_chain: info.synced_to_chain,
                network: info.network.to_string(),
            }),
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => None,
        }
    }

    /// The details; what is not known is null.
    pub(super) fn details(&self) -> String {
        let dev_fees = self.payouts.as_ref().map(|it| it.dev_fees);
        json!({
            "v": 1,
            "generated_at": self.at,
            "lnd": self.lightning_details(),
            "payouts": self.payout_details(),
            "dev_fee": {
                "pending": dev_fees.map(|it| it.pending),
                "failed_1h": dev_fees.map(|it| it.failed_1h),
            },
            "relays": {
                "configured": self.relays,
                "connected": self.relays_connected,
                "last_outage_started_at": null,
                "last_outage_ended_at": null,
            },
            "maintenance": {
                "enabled": self.maintenance.is_some(),
                "reason": self.maintenance.as_ref().and_then(|it| it.reason.as_ref()),
            },
        })
        .to_string()
    }

    fn lightning_details(&self) -> Value {
        let info = match &self.lightning {
            LightningHealth::Reachable(info) => Some(info),
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => None,
        };
        let sync = self.checks.first();
        let unsynced = sync.filter(|check| check.state != CheckState::Ok);
        json!({
            "reachable": info.is_some(),
            "synced_to_chain": info.map(|info| info.synced_to_chain),
            "unsynced_since": unsynced.map(|check| check.since),
            "block_height": info.map(|info| info.block_height),
            "best_header_timestamp": info.map(|info| info.best_block_time),
            "peers": null,
            "channels_active": info.map(|info| info.active_channels),
            "channels_inactive": null,
            "channels_pending": null,
            "outbound_liquidity_sats": null,
            "inbound_liquidity_sats": null,
            "pending_htlcs": null,
            "nearest_htlc_expiry_blocks": null,
        })
    }

    fn payout_details(&self) -> Value {
        let figures = self.payouts.as_ref();
        json!({
            "window_secs": 3_600,
            "payouts_succeeded_1h": figures.map(|it| it.succeeded_1h),
            "payouts_failed_1h": figures.map(|it| it.failed_1h),
            "payouts_failed_orders_1h": figures.map(|it| it.failed_orders_1h),
            "failure_reasons_1h": figures.map(|it| &it.reasons_1h),
            "last_payout_success_at": figures.and_then(|it| it.last_success_at),
            "settled_unpaid_orders": figures.map(|it| it.unpaid),
            "stale_settled_unpaid_orders": figures.map(|it| it.stale),
            "oldest_settled_unpaid_order_age_secs": figures.and_then(|it| it.oldest_age_secs),
            "awaiting_buyer_invoice_orders": figures.map(|it| it.awaiting_invoice),
        })
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::maintenance::BegunBy;

    use super::*;

    fn report(checks: [CheckState; 4]) -> Report {
        let since = UnixTime(1);
        let checks = CheckName::ALL.iter().zip(checks);
        let checks = checks.map(|(name, state)| Check {
            name: *name,
            state,
            since,
        });
        Report {
            at: UnixTime(9),
            checks: checks.collect(),
            lightning: LightningHealth::Unknown,
            payouts: None,
            relays: 1,
            relays_connected: 1,
            maintenance: None,
        }
    }

    #[test]
    fn x18_the_whole_follows_from_the_parts() {
        use CheckState::{Fail, Ok, Unknown, Warn};
        let table = [
            ([Ok, Ok, Ok, Ok], HealthStatus::Ok),
            ([Warn, Ok, Ok, Ok], HealthStatus::Degraded),
            ([Fail, Ok, Ok, Ok], HealthStatus::Down),
            ([Unknown, Ok, Ok, Ok], HealthStatus::Down),
            ([Ok, Fail, Ok, Ok], HealthStatus::Degraded),
            ([Ok, Unknown, Ok, Ok], HealthStatus::Degraded),
            ([Ok, Ok, Warn, Ok], HealthStatus::Degraded),
            ([Ok, Ok, Fail, Ok], HealthStatus::Down),
            ([Ok, Ok, Ok, Fail], HealthStatus::Down),
        ];
        for (checks, expected) in table {
            assert_eq!(report(checks).status(), expected, "{checks:?}");
        }
        let mut resting = report([Ok; 4]);
        resting.maintenance = Some(Maintenance {
            reason: Some("new channels".into()),
            since: UnixTime(1),
            by: BegunBy::Operator,
        });
        assert_eq!(resting.status(), HealthStatus::Degraded);
        let details: Value = serde_json::from_str(&resting.details()).unwrap();
        assert_eq!(details["maintenance"]["reason"], "new channels");
        assert_eq!(details["lnd"]["reachable"], false);
        assert_eq!(details["payouts"]["payouts_failed_1h"], Value::Null);
    }
}

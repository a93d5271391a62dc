//! Whether Lightning follows the chain, and when the node rests because it does not.

use std::time::Duration;

use escrow_core::maintenance::{BegunBy, Maintenance};
use escrow_core::wire::health_event::CheckState;
use escrow_engine::LightningHealth;
use tokio::time::Instant;

use crate::settings::HealthSettings;

/// Out of step for so long, Lightning gets no new escrows (rule X8).
const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen of Lightning of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncWatch {
    /// It follows.
    InStep {
        /// Since when.
        since: Instant,
    },
    /// It does not, or cannot be reached, in any mix.
    OutOfStep {
        /// Since when.
        since: Instant,
        /// Whether it can be reached now.
        is_reachable: bool,
        /// Whether it ever followed.
        was_in_step: bool,
        /// Whether the node has rested for it: it does so once.
        has_rested: bool,
    },
}

impl SyncWatch {
    /// Before anything was seen.
    pub(super) fn new(now: Instant) -> SyncWatch {
        SyncWatch::OutOfStep {
            since: now,
            is_reachable: false,
            was_in_step: false,
            has_rested: false,
        }
    }

    /// After one more look.
    pub(super) fn after(self, health: &LightningHealth, now: Instant) -> SyncWatch {
        let is_reachable = match health {
            LightningHealth::Reachable(info) if info.synced_to_chain => {
                return match self {
                    SyncWatch::InStep { .. } => self,
                    SyncWatch::OutOfStep { .. } => SyncWatch::InStep { since: now },
                };
            }
            LightningHealth::Reachable(_) => true,
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => false,
        };
        match self {
            SyncWatch::InStep { .. } => SyncWatch::OutOfStep {
                since: now,
                is_reachable,
                was_in_step: true,
                has_rested: false,
            },
            SyncWatch::OutOfStep {
                since,
                was_in_step,
                has_rested,
                ..
            } => SyncWatch::OutOfStep {
                since,
                is_reachable,
                was_in_step,
                has_rested,
            },
        }
    }

    /// Rule X15.
    pub(super) fn state(self, settings: &HealthSettings, now: Instant) -> CheckState {
        match self {
            SyncWatch::InStep { .. } => CheckState::Ok,
            SyncWatch::OutOfStep {
                is_reachable: false,
                ..
            } => CheckState::Unknown,
            SyncWatch::OutOfStep {
                since, was_in_step, ..
            } => {
                let age = now - since;
                if age >= settings.lnd_unsynced_fail_after {
                    CheckState::Fail
                } else if age >= PATIENCE || !was_in_step {
                    CheckState::Warn
                } else {
                    CheckState::Ok
                }
            }
        }
    }

    /// Whether the node is to begin (true) or to end (false) a rest of its own
    /// (rule X9). The operator's word is respected: a rest that he ends while
    /// Lightning is still away does not begin again by itself.
    pub(super) fn wish(
        self,
        settings: &HealthSettings,
        present: Option<&Maintenance>,
        now: Instant,
    ) -> Option<bool> {
        match self {
            SyncWatch::OutOfStep {
                since,
                has_rested: false,
                ..
            } => {
                let is_long = now - since >= settings.lnd_unsynced_fail_after;
                let wants = settings.auto_maintenance_on_lnd_unsynced && present.is_none();
                (is_long && wants).then_some(true)
            }
            SyncWatch::OutOfStep { .. } => None,
            SyncWatch::InStep { since } => {
                let is_own = present.is_some_and(|present| present.by == BegunBy::Node);
                let is_long = now - since >= settings.lnd_resynced_clear_after;
                (is_own && is_long).then_some(false)
            }
        }
    }

    /// The node has begun to rest.
    pub(super) fn rested(&mut self) {
        if let SyncWatch::OutOfStep { has_rested, .. } = self {
            *has_rested = true;
        }
    }

    /// When time alone changes what it means.
    pub(super) fn next_change(self, settings: &HealthSettings, now: Instant) -> Option<Instant> {
        let changes = match self {
            SyncWatch::InStep { since } => vec![since + settings.lnd_resynced_clear_after],
            SyncWatch::OutOfStep { since, .. } => {
                vec![since + PATIENCE, since + settings.lnd_unsynced_fail_after]
            }
        };
        changes.into_iter().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::UnixTime;
    use escrow_lightning::Network;
    use escrow_lightning::backend::NodeInfo;

    use super::*;

    fn reachable(synced_to_chain: bool) -> LightningHealth {
        LightningHealth::Reachable(NodeInfo {
            pubkey: String::new(),
            alias: String::new(),
            version: String::new(),
            network: Network::Regtest,
            block_height: 1,
            best_block_time: UnixTime(1),
            synced_to_chain,
            active_channels: 1,
        })
    }

    fn away() -> LightningHealth {
        LightningHealth::Unreachable("asleep".into())
    }

    /// What was seen after these looks, each so many seconds after `start`.
    fn seen(start: Instant, looks: &[(u64, LightningHealth)]) -> SyncWatch {
        let looks = looks.iter();
        looks.fold(SyncWatch::new(start), |watch, (secs, health)| {
            watch.after(health, start + Duration::from_secs(*secs))
        })
    }

    fn rest(by: BegunBy) -> Maintenance {
        Maintenance {
            reason: None,
            since: UnixTime(1),
            by,
        }
    }

    #[test]
    fn x15_out_of_step_is_tolerated_then_warned_of_and_then_a_failure() {
        let start = Instant::now();
        let settings = HealthSettings::default();
        let state =
            |watch: SyncWatch, secs| watch.state(&settings, start + Duration::from_secs(secs));
        let unsynced = seen(start, &[(0, reachable(true)), (10, reachable(false))]);
        let table = [
            (69, CheckState::Ok),
            (70, CheckState::Warn),
            (610, CheckState::Fail),
        ];
        for (secs, expected) in table {
            assert_eq!(state(unsynced, secs), expected, "{secs}");
        }
        let at_start = seen(start, &[(0, reachable(false))]);
        assert_eq!(state(at_start, 0), CheckState::Warn);
        assert_eq!(state(seen(start, &[(0, away())]), 5), CheckState::Unknown);
        assert_eq!(
            state(seen(start, &[(9, reachable(true))]), 9),
            CheckState::Ok
        );
    }

    #[test]
    fn x9_the_node_rests_when_lightning_was_away_in_any_mix_and_ends_only_its_own_rest() {
        let start = Instant::now();
        let settings = HealthSettings::default();
        let at = |secs| start + Duration::from_secs(secs);
        let mixed = [
            (0, reachable(true)),
            (10, away()),
            (300, reachable(false)),
            (400, away()),
        ];
        let mut watch = seen(start, &mixed);
        assert_eq!(watch.wish(&settings, None, at(609)), None);
        assert_eq!(watch.next_change(&settings, at(609)), Some(at(610)));
        assert_eq!(watch.wish(&settings, None, at(610)), Some(true));
        let operators = rest(BegunBy::Operator);
        assert_eq!(watch.wish(&settings, Some(&operators), at(610)), None);
        watch.rested();
        assert_eq!(watch.wish(&settings, None, at(700)), None, "he ended it");

        let back = watch.after(&reachable(true), at(700));
        let own = rest(BegunBy::Node);
        assert_eq!(back.wish(&settings, Some(&own), at(999)), None);
        assert_eq!(back.wish(&settings, Some(&own), at(1_000)), Some(false));
        assert_eq!(back.wish(&settings, Some(&operators), at(1_000)), None);
        let again = back
            .after(&away(), at(900))
            .after(&reachable(true), at(901));
        assert_eq!(again.wish(&settings, Some(&own), at(1_000)), None);

        let off = HealthSettings {
            auto_maintenance_on_lnd_unsynced: false,
            ..settings
        };
        assert_eq!(seen(start, &mixed).wish(&off, None, at(9_999)), None);
    }
}

//! How the node is (kind 38389).

use nostr::event::Tag;
use nostr::key::PublicKey;

use super::info_event::COMPATIBLE_VERSION;
use super::tags::{expiration, instance, tag};
use super::words::words;
use crate::time::UnixTime;

/// The health event.
pub const HEALTH: u16 = 38_389;

/// The tag that the writer fills.
const NUMBER: &str = "seq";

words! {
    /// How the node is on the whole (rule X18).
    HealthStatus {
        /// All is well.
        Ok = "ok",
        /// Something is not, or the node takes no new trades.
        Degraded = "degraded",
        /// It cannot do its work.
        Down = "down",
    }
}

words! {
    /// How one thing is.
    CheckState {
        /// Well.
        Ok = "ok",
        /// To be looked at.
        Warn = "warn",
        /// Not working.
        Fail = "fail",
        /// Nobody can say.
        Unknown = "unknown",
    }
}

words! {
    /// What is looked at.
    CheckName {
        /// Whether Lightning follows the chain (rule X15).
        LightningSync = "lnd_sync",
        /// Whether buyers are paid (rule X16).
        Payouts = "payouts",
        /// Whether what is published is carried (rule X17).
        Relays = "relays",
        /// Whether decisions can be written down (rule X17).
        Database = "database",
    }
}

/// One thing, and since when it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: CheckName,
    /// How it is.
    pub state: CheckState,
    /// Since when.
    pub since: UnixTime,
}

/// What Lightning knows of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainShown {
    /// Height of its tip.
    pub block_height: u32,
    /// Whether it follows.
    pub synced_to_chain: bool,
    /// Which chain.
    pub network: String,
}

/// What is told of a node's health.
#[derive(Clone, Debug)]
pub struct HealthEvent<'a> {
    /// The node.
    pub node: PublicKey,
    /// Name of the instance.
    pub instance: Option<&'a str>,
    /// On the whole.
    pub status: HealthStatus,
    /// In the order of [`CheckName`].
    pub checks: &'a [Check],
    /// The chain, if Lightning says.
    pub chain: Option<&'a ChainShown>,
    /// Whether no new trades are taken.
    pub maintenance: bool,
    /// Time between two of these events.
    pub interval_secs: u64,
    /// Who reads the content.
    pub watchdog: Option<PublicKey>,
    /// When it is made.
    pub now: UnixTime,
}

impl HealthEvent<'_> {
    /// The tags, in order; the number is not filled in.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            tag("d", [self.node.to_hex()]),
            instance(self.instance),
            tag("z", ["health"]),
            tag("status", [self.status]),
        ];
        tags.extend(self.checks.iter().map(|check| {
            let Check { name, state, since } = check;
            tag(
                "check",
                [name.to_string(), state.to_string(), since.0.to_string()],
            )
        }));
        tags.push(tag("escrow_mode", ["lightning"]));
        if let Some(chain) = self.chain {
            tags.push(tag("lnd_block_height", [chain.block_height]));
            tags.push(tag("lnd_synced_to_chain", [chain.synced_to_chain]));
            tags.push(tag("lnd_network", [&chain.network]));
        }
        tags.push(tag("maintenance_mode", [self.maintenance]));
        tags.push(tag("mostro_version", [COMPATIBLE_VERSION]));
        tags.push(tag("interval", [self.interval_secs]));
        tags.push(tag(NUMBER, [""]));
        tags.extend(self.watchdog.map(|key| tag("p", [key.to_hex()])));
        let life = self.interval_secs.saturating_mul(3);
        tags.push(expiration(self.now.plus(life)));
        tags
    }
}

/// The same tags with the event's number filled in.
#[must_use]
pub fn numbered(tags: Vec<Tag>, number: u64) -> Vec<Tag> {
    let fill = |old: Tag| {
        let is_number = old.as_slice().first().is_some_and(|name| name == NUMBER);
        if is_number {
            tag(NUMBER, [number])
        } else {
            old
        }
    };
    tags.into_iter().map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_stand_in_their_order_and_the_number_is_filled_in() {
        let node = PublicKey::from_byte_array([1; 32]);
        let checks = [Check {
            name: CheckName::LightningSync,
            state: CheckState::Warn,
            since: UnixTime(7),
        }];
        let chain = ChainShown {
            block_height: 9,
            synced_to_chain: true,
            network: "regtest".into(),
        };
        let event = HealthEvent {
            node,
            instance: None,
            status: HealthStatus::Degraded,
            checks: &checks,
            chain: Some(&chain),
            maintenance: true,
            interval_secs: 60,
            watchdog: Some(node),
            now: UnixTime(100),
        };
        let tags: Vec<_> = numbered(event.tags(), 5)
            .into_iter()
            .map(|tag| tag.as_slice().join(" "))
            .collect();
        let hex = node.to_hex();
        assert_eq!(
            tags,
            [
                &format!("d {hex}"),
                "y mostro",
                "z health",
                "status degraded",
                "check lnd_sync warn 7",
                "escrow_mode lightning",
                "lnd_block_height 9",
                "lnd_synced_to_chain true",
                "lnd_network regtest",
                "maintenance_mode true",
                "mostro_version 0.20.2",
                "interval 60",
                "seq 5",
                &format!("p {hex}"),
                "expiration 280",
            ]
        );
    }
}

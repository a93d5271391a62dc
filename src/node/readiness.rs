//! What `/readyz` knows.

use std::time::Duration;

use escrow_engine::{EscrowHandle, LightningHealth};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Part;
use super::crew::Crew;
use crate::front_door::Readiness;
use crate::mirror::Standing;

/// A mirror that is away for so long is told (rule X17).
const AWAY: Duration = Duration::from_secs(300);

/// How often the mirrors are looked at.
const MIRRORS_EVERY: Duration = Duration::from_secs(10);

/// Keeps `/readyz` up to date with the escrow, Lightning and the mirrors.
pub(super) fn watch(
    escrow: &EscrowHandle,
    mirrors: &Standing,
    doors: &mut Crew,
) -> watch::Receiver<Readiness> {
    let mirrors = mirrors.clone();
    let (mut decides, mut lightning) = (escrow.readiness(), escrow.lightning());
    let (tell, told) = watch::channel(readiness_of(&decides.borrow(), &lightning.borrow(), 0));
    let stop = doors.stop();
    doors.hire(Part::Watchman, async move {
        let mut rounds = interval(MIRRORS_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = decides.changed() => changed,
                changed = lightning.changed() => changed,
                _ = rounds.tick() => Ok(()),
            };
            if changed.is_err() {
                let why = "the escrow has ended".to_owned();
                tell.send_replace(Readiness::NotReady { why });
                stop.cancelled().await;
                return Ok(());
            }
            let now = readiness_of(
                &decides.borrow_and_update(),
                &lightning.borrow_and_update(),
                mirrors.away_for(AWAY),
            );
            tell.send_replace(now);
        }
    });
    told
}

/// Without Lightning the node still serves and decides whatever needs none,
/// and refuses the rest fairly, so it stays ready.
fn readiness_of(
    decides: &escrow_engine::Readiness,
    lightning: &LightningHealth,
    mirrors_away: usize,
) -> Readiness {
    match decides {
        escrow_engine::Readiness::NotReady(why) => Readiness::NotReady { why: why.clone() },
        escrow_engine::Readiness::Ready if lightning.is_ready() => match mirrors_away {
            0 => Readiness::Ready,
            away => Readiness::ReadyBut {
                why: format!("{away} lines to mirrors are down: see `mostro-relay mirror status`"),
            },
        },
        escrow_engine::Readiness::Ready => Readiness::ReadyBut {
            why: match lightning {
                LightningHealth::Reachable(_) => {
                    "Lightning is not synced, or has no active channel".into()
                }
                LightningHealth::Unreachable(why) => {
                    format!("Lightning cannot be reached: {why}")
                }
                LightningHealth::Unknown => "Lightning was not asked yet".into(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::UnixTime;
    use escrow_engine::Readiness as Escrow;
    use escrow_lightning::Network;
    use escrow_lightning::backend::NodeInfo;

    use super::*;

    fn reachable(active_channels: u32) -> LightningHealth {
        LightningHealth::Reachable(NodeInfo {
            pubkey: String::new(),
            alias: String::new(),
            version: String::new(),
            network: Network::Regtest,
            block_height: 1,
            best_block_time: UnixTime(1),
            synced_to_chain: true,
            active_channels,
        })
    }

    #[test]
    fn the_escrow_decides_and_lightning_is_told() {
        let but = |why: &str| Readiness::ReadyBut { why: why.into() };
        let table = [
            (reachable(1), Readiness::Ready),
            (
                reachable(0),
                but("Lightning is not synced, or has no active channel"),
            ),
            (
                LightningHealth::Unreachable("no route".into()),
                but("Lightning cannot be reached: no route"),
            ),
            (LightningHealth::Unknown, but("Lightning was not asked yet")),
        ];
        let closed = Readiness::NotReady {
            why: "reopening".into(),
        };
        for (lightning, told) in table {
            assert_eq!(readiness_of(&Escrow::Ready, &lightning, 0), told);
            let stopped = Escrow::NotReady("reopening".into());
            assert_eq!(readiness_of(&stopped, &lightning, 1), closed);
        }
    }

    #[test]
    fn x17_a_mirror_that_is_away_is_told_and_keeps_nothing_from_working() {
        let told = readiness_of(&Escrow::Ready, &reachable(1), 2);
        let Readiness::ReadyBut { why } = told else {
            panic!("{told:?}")
        };
        assert!(why.starts_with("2 lines to mirrors are down"), "{why}");
    }
}

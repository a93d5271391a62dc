//! How the node is: it says so in public (kind 38389), and takes no new trades while
//! Lightning is away for too long.

mod payouts;
mod report;
mod sync;

use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::maintenance::Maintenance;
use escrow_core::wire::health_event::{Check, CheckName, CheckState, HEALTH, HealthEvent};
use escrow_engine::clock::{Clock, SystemClock};
use escrow_engine::submission::{Announcement, Receipt};
use escrow_engine::{EscrowHandle, LightningHealth, Readiness};
use nostr::event::Kind;
use nostr::key::Keys;
use nostr::nips::nip44;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::payouts::PayoutFigures;
use self::report::Report;
use self::sync::SyncWatch;
use crate::mirror::Standing;
use crate::settings::HealthSettings;

/// How often the node is looked at (rule X14).
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Least time between two events.
const BREATH: Duration = Duration::from_secs(10);
/// A mirror that is away for so long counts as lost (rule X17).
const MIRROR_PATIENCE: Duration = Duration::from_secs(300);
/// A commit that takes longer is none (rule X17).
const COMMIT_TIME: Duration = Duration::from_secs(5);

/// What a look at the node needs.
pub struct HealthParts {
    /// What is asked for.
    pub settings: HealthSettings,
    /// Name of the instance.
    pub instance: Option<String>,
    /// Whose event it is.
    pub keys: Keys,
    /// What is looked at.
    pub escrow: EscrowHandle,
    /// How many mirrors are configured.
    pub mirrors: usize,
    /// How they are.
    pub standing: Standing,
}

/// Looks at the node until `stop` is cancelled.
pub async fn run(parts: HealthParts, stop: CancellationToken) {
    let watcher = Watcher {
        sync: SyncWatch::new(Instant::now()),
        lightning: parts.escrow.lightning(),
        maintenance: parts.escrow.maintenance(),
        checks: Vec::new(),
        commits: true,
        said: None,
        parts,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = watcher.watch() => {}
    }
}

struct Watcher {
    parts: HealthParts,
    sync: SyncWatch,
    lightning: watch::Receiver<LightningHealth>,
    maintenance: watch::Receiver<Option<Maintenance>>,
    /// As they were seen last.
    checks: Vec<Check>,
    /// Whether the last event was written down in time.
    commits: bool,
    /// When the last event was published, and what was new in it.
    said: Option<(Instant, News)>,
}

type News = (Vec<(CheckName, CheckState)>, bool);

impl Watcher {
    async fn watch(mut self) {
        loop {
            let next = self.look().await;
            tokio::select! {
                () = sleep_until(next) => {}
                changed = self.lightning.changed() => {
                    if changed.is_err() {
                        // The escrow has ended, and with it the voice.
                        return std::future::pending().await;
                    }
                }
                changed = self.maintenance.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// Looks, rests or goes on, and speaks if it is time; returns when to look again.
    async fn look(&mut self) -> Instant {
        let lightning = self.lightning.borrow_and_update().clone();
        self.sync = self.sync.after(&lightning, Instant::now());
        self.rest().await;
        let report = self.report(lightning).await;
        let now = Instant::now();
        let mut next = now + LOOK_EVERY;
        if self.parts.settings.enabled {
            let due = due(
                self.said.as_ref(),
                &report.news(),
                self.parts.settings.interval,
            );
            let due = due.unwrap_or(now);
            if due <= now {
                self.publish(&report).await;
            } else {
                next = next.min(due);
            }
        }
        let change = self.sync.next_change(&self.parts.settings, now);
        change.map_or(next, |change| next.min(change))
    }

    async fn rest(&mut self) {
        let present = self.maintenance.borrow_and_update().clone();
        let settings = &self.parts.settings;
        let wish = self.sync.wish(settings, present.as_ref(), Instant::now());
        let Some(lightning_is_away) = wish else {
            return;
        };
        match self.parts.escrow.rest(lightning_is_away).await {
            Some(Receipt::Decided | Receipt::Duplicate | Receipt::Ruled(_)) => {
                if lightning_is_away {
                    self.sync.rested();
                    tracing::error!(
                        "Lightning has been away for too long: no new trades are taken until it \
                         is back"
                    );
                } else {
                    tracing::warn!("Lightning is back: new trades are taken again");
                }
            }
            Some(Receipt::Refused(why)) => {
                tracing::warn!(
                    ?why,
                    "the node could not begin or end its rest; tried again"
                );
            }
            None => {}
        }
    }

    async fn report(&mut self, lightning: LightningHealth) -> Report {
        let at = SystemClock.now();
        let payouts = self.payouts(at).await;
        let mirrors = self.parts.mirrors;
        let away = self.parts.standing.away_for(MIRROR_PATIENCE);
        let readiness = self.parts.escrow.readiness().borrow().clone();
        let commits = self.commits && readiness == Readiness::Ready;
        let sync = self.sync.state(&self.parts.settings, Instant::now());
        let states = [
            sync,
            payouts
                .as_ref()
                .map_or(CheckState::Unknown, PayoutFigures::state),
            if away > 0 {
                CheckState::Warn
            } else {
                CheckState::Ok
            },
            if commits {
                CheckState::Ok
            } else {
                CheckState::Fail
            },
        ];
        self.checks = checks(&self.checks, states, at);
        Report {
            at,
            checks: self.checks.clone(),
            lightning,
            payouts,
            relays: mirrors + 1,
            relays_connected: mirrors + 1 - away.min(mirrors),
            maintenance: self.maintenance.borrow().clone(),
        }
    }

    async fn payouts(&self, now: UnixTime) -> Option<PayoutFigures> {
        let views = self.parts.escrow.views();
        let reading = move || PayoutFigures::of_ledger(&views.view()?, now);
        match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(figures)) => Some(figures),
            Ok(Err(why)) => {
                tracing::warn!(%why, "the payouts cannot be read");
                None
            }
            Err(why) => {
                tracing::error!(%why, "the payouts were not counted");
                None
            }
        }
    }

    async fn publish(&mut self, report: &Report) {
        let Some(content) = self.content(report) else {
            return;
        };
        let HealthParts {
            settings,
            instance,
            keys,
            escrow,
            ..
        } = &self.parts;
        let (node, chain) = (keys.public_key(), report.chain());
        let event = HealthEvent {
            node,
            instance: instance.as_deref(),
            status: report.status(),
            checks: &report.checks,
            chain: chain.as_ref(),
            maintenance: report.maintenance.is_some(),
            interval_secs: settings.interval.as_secs(),
            watchdog: settings.watchdog_pubkey,
            now: report.at,
        };
        let announcement = Announcement {
            kind: Kind::from_u16(HEALTH),
            identifier: node.to_hex(),
            tags: event.tags(),
            content,
        };
        let announced = timeout(COMMIT_TIME, escrow.announce_health(announcement)).await;
        self.commits = matches!(announced, Ok(Some(Receipt::Decided)));
        if !self.commits {
            tracing::warn!(?announced, "the health event was not written down in time");
        }
        self.said = Some((Instant::now(), report.news()));
    }

    /// The details for the watchdog; none if they cannot be encrypted to him.
    fn content(&self, report: &Report) -> Option<String> {
        let Some(watchdog) = self.parts.settings.watchdog_pubkey else {
            return Some(String::new());
        };
        let secret = self.parts.keys.secret_key();
        let sealed = nip44::encrypt(secret, &watchdog, report.details(), nip44::Version::V2);
        sealed
            .inspect_err(|why| tracing::error!(%why, "health.watchdog_pubkey cannot be written to"))
            .ok()
    }
}

/// When these news are to be published (rule X14); none for the first.
fn due(said: Option<&(Instant, News)>, news: &News, interval: Duration) -> Option<Instant> {
    let (at, before) = said?;
    let pause = if before == news { interval } else { BREATH };
    Some(*at + pause)
}

/// The checks with these states; what did not change has its age.
fn checks(before: &[Check], states: [CheckState; 4], at: UnixTime) -> Vec<Check> {
    let named = CheckName::ALL.iter().zip(states);
    let check = |(index, (name, state)): (usize, (&CheckName, CheckState))| {
        let same = before.get(index).filter(|check| check.state == state);
        Check {
            name: *name,
            state,
            since: same.map_or(at, |check| check.since),
        }
    };
    named.enumerate().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    #[test]
    fn x14_news_are_said_at_once_but_never_twice_in_ten_seconds() {
        let news = |state, rests| (vec![(CheckName::LightningSync, state)], rests);
        let before = news(CheckState::Ok, false);
        assert_eq!(due(None, &before, INTERVAL), None, "the first is due");
        let at = Instant::now();
        let said = (at, before.clone());
        for (after, secs) in [
            (before, 60),
            (news(CheckState::Warn, false), 10),
            (news(CheckState::Ok, true), 10),
        ] {
            let waits = due(Some(&said), &after, INTERVAL).unwrap() - at;
            assert_eq!(waits.as_secs(), secs, "{after:?}");
        }
    }

    #[test]
    fn x14_a_check_keeps_its_age_until_it_changes() {
        let (first, second) = (UnixTime(1), UnixTime(2));
        let well = checks(&[], [CheckState::Ok; 4], first);
        let states = [
            CheckState::Fail,
            CheckState::Ok,
            CheckState::Ok,
            CheckState::Ok,
        ];
        let ill = checks(&well, states, second);
        let since: Vec<_> = ill.iter().map(|check| check.since).collect();
        assert_eq!(since, [second, first, first, first]);
    }
}

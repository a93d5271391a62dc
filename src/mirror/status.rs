//! How the mirrors are, for the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use escrow_core::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::ledger::{Filled, MirrorNo, OutboxSeq, StorageError, View, Views};

/// Where the [operator's door](crate::operator_door) tells it.
pub const PATH: &str = "/mirrors";

/// Which way a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the node to the mirror.
    Outward,
    /// From the mirror to the node.
    Inward,
}

/// How a line is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// It works.
    Up {
        /// Since this moment.
        since: UnixTime,
    },
    /// It does not.
    Away {
        /// Since this moment.
        since: UnixTime,
        /// What happened last.
        why: String,
    },
}

/// How one mirror is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Its address.
    pub url: String,
    /// The line that sends; none unless the box runs.
    pub outward: Option<LineState>,
    /// The line that reads; none unless the box runs and reads from mirrors.
    pub inward: Option<LineState>,
    /// Events that wait for its acknowledgement.
    pub waiting: u64,
    /// When the oldest of them was made.
    pub oldest_waiting_at: Option<UnixTime>,
    /// Whether all from before it was listed has come to what waits for it.
    pub is_filled: bool,
    /// Events it has refused for good.
    pub given_up: u64,
    /// What it said to the last of those, since the box was started.
    pub last_refusal: Option<String>,
    /// When it last acknowledged an event.
    pub acknowledged_at: Option<UnixTime>,
    /// Every message that was on it before this moment has been decided.
    pub read_until: Option<UnixTime>,
}

impl MirrorStatus {
    /// What the ledger knows of each mirror; the lines are not in it.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn of_ledger(view: &View) -> Result<Vec<MirrorStatus>, StorageError> {
        let all = MirrorStatus::by_number(view)?;
        Ok(all.into_iter().map(|(_, status)| status).collect())
    }

    fn by_number(view: &View) -> Result<Vec<(MirrorNo, MirrorStatus)>, StorageError> {
        let mut all = Vec::new();
        for (number, mirror) in view.mirrors()? {
            let oldest = view.backlog_from(number, OutboxSeq(0), 1)?;
            let status = MirrorStatus {
                url: mirror.url,
                outward: None,
                inward: None,
                waiting: view.backlog_len(number)?,
                oldest_waiting_at: oldest.first().map(|(_, row)| row.created_at),
                is_filled: mirror.filled == Filled::All,
                given_up: mirror.given_up,
                last_refusal: None,
                acknowledged_at: mirror.acknowledged_at,
                read_until: mirror.read_until,
            };
            all.push((number, status));
        }
        Ok(all)
    }
}

/// What the operator's door says of the mirrors.
pub fn routes(standing: Standing, views: Views) -> Router {
    let told = get(told).with_state((standing, views));
    Router::new().route(PATH, told)
}

async fn told(
    State((standing, views)): State<(Standing, Views)>,
) -> Result<Json<Vec<MirrorStatus>>, (StatusCode, String)> {
    let failed = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
    let asking = tokio::task::spawn_blocking(move || standing.status(&views.view()?));
    let status = asking.await.map_err(|why| failed(why.to_string()))?;
    status.map(Json).map_err(|why| failed(why.to_string()))
}

/// How the lines to all mirrors are; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    states: BTreeMap<(MirrorNo, Direction), LineState>,
    refusals: BTreeMap<MirrorNo, String>,
}

impl Standing {
    /// How each mirror is: its lines, and what the ledger knows.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn status(&self, view: &View) -> Result<Vec<MirrorStatus>, StorageError> {
        let all = MirrorStatus::by_number(view)?;
        let lines = self.lock();
        let state = |mirror, way| lines.states.get(&(mirror, way)).cloned();
        let with_lines = |(mirror, status)| MirrorStatus {
            outward: state(mirror, Direction::Outward),
            inward: state(mirror, Direction::Inward),
            last_refusal: lines.refusals.get(&mirror).cloned(),
            ..status
        };
        Ok(all.into_iter().map(with_lines).collect())
    }

    /// How many lines have been away for this long.
    #[must_use]
    pub fn away_for(&self, time: Duration) -> usize {
        let now = SystemClock.now();
        let is_away = |state: &&LineState| match state {
            LineState::Up { .. } => false,
            LineState::Away { since, .. } => now.secs_since(*since) >= time.as_secs(),
        };
        self.lock().states.values().filter(is_away).count()
    }

    /// The mirror has answered the call. A line that was lost is not back by that.
    pub(super) fn called(&self, mirror: MirrorNo, way: Direction) {
        let since = SystemClock.now();
        let mut lines = self.lock();
        let state = lines.states.entry((mirror, way));
        state.or_insert(LineState::Up { since });
    }

    /// The line has shown that it works.
    pub(super) fn up(&self, mirror: MirrorNo, way: Direction) {
        let mut lines = self.lock();
        if let Some(LineState::Up { .. }) = lines.states.get(&(mirror, way)) {
            return;
        }
        let since = SystemClock.now();
        lines.states.insert((mirror, way), LineState::Up { since });
    }

    /// Returns whether the line was up before.
    pub(super) fn away(&self, mirror: MirrorNo, way: Direction, why: String) -> bool {
        let mut lines = self.lock();
        let before = lines.states.get(&(mirror, way));
        let (was_up, since) = match before {
            Some(LineState::Away { since, .. }) => (false, *since),
            Some(LineState::Up { .. }) => (true, SystemClock.now()),
            None => (false, SystemClock.now()),
        };
        let state = LineState::Away { since, why };
        lines.states.insert((mirror, way), state);
        was_up
    }

    pub(super) fn refused(&self, mirror: MirrorNo, why: String) {
        self.lock().refusals.insert(mirror, why);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Plain data: a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x17_a_line_is_away_from_its_first_failure_on() {
        let standing = Standing::default();
        let (one, way) = (MirrorNo(1), Direction::Outward);
        let away = |time| standing.away_for(Duration::from_secs(time));
        standing.called(one, way);
        assert_eq!(away(0), 0, "nothing speaks against the first call");
        assert!(standing.away(one, way, "first".into()), "it was up");
        let since = |standing: &Standing| match standing.lock().states.get(&(one, way)) {
            Some(LineState::Away { since, .. }) => *since,
            Some(LineState::Up { .. }) | None => panic!("it is away"),
        };
        let began = UnixTime(since(&standing).0 - 300);
        standing.lock().states.insert(
            (one, way),
            LineState::Away {
                since: began,
                why: "first".into(),
            },
        );
        standing.called(one, way);
        assert!(!standing.away(one, way, "again".into()), "that is no news");
        assert_eq!(since(&standing), began);
        assert_eq!((away(300), away(1_000)), (1, 0));
        standing.up(one, way);
        assert_eq!(away(0), 0);
    }
}

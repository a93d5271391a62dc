//! How the sources and the prices are, for the operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use escrow_core::UnixTime;
use escrow_engine::clock::Clock;
use serde::{Deserialize, Serialize};

use super::board::{Board, Price, PriceList};
use super::combine::{Found, Word};
use super::currency::Currency;
use super::source::SourceId;

/// Where the [operator's door](crate::operator_door) tells it.
pub const PATH: &str = "/prices";

/// All that is known about prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PricesStatus {
    /// Whether the box runs; of one that is stopped only the kept prices are known.
    pub is_running: bool,
    /// When this was told.
    pub told_at: UnixTime,
    /// When all sources were asked last; none before the first round has ended.
    pub asked_at: Option<UnixTime>,
    /// The sources.
    pub sources: Vec<SourceStatus>,
    /// The prices, by code.
    pub prices: Vec<PriceStatus>,
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Which one.
    pub source: SourceId,
    /// How it is.
    pub state: SourceState,
    /// When it last gave prices, since the box was started.
    pub answered_at: Option<UnixTime>,
    /// How many it gave then.
    pub prices: usize,
    /// Its price that is farthest from what was agreed in the last round.
    pub farthest: Option<Deviation>,
    /// Its prices that were too far from the others in the last round.
    pub cut: Vec<Deviation>,
}

/// Whether a source is to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It was not asked yet.
    Unasked,
    /// It gave prices in the last round.
    Well,
    /// It gave none, and is asked again in the next round.
    Failing {
        /// Failures in a row.
        failures: u32,
        /// What went wrong last.
        why: String,
    },
    /// It failed so often that it is left alone for some time.
    Resting {
        /// Until about this moment.
        until: UnixTime,
        /// Failures in a row.
        failures: u32,
        /// What went wrong last.
        why: String,
    },
}

/// How far a source's price is from what was agreed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// The currency.
    pub code: String,
    /// What the source says, in units per bitcoin.
    pub units: f64,
    /// By how much that is more than what was agreed, in per cent.
    pub percent: f64,
}

/// How a price is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceStatus {
    /// The currency.
    pub code: String,
    /// Units per bitcoin.
    pub units: f64,
    /// When it was true.
    pub observed_at: UnixTime,
    /// Seconds since then.
    pub age_secs: u64,
    /// Whether trades are made at it; if not, it is too old.
    pub is_served: bool,
    /// Whether it rests on what another node said.
    pub is_relayed: bool,
    /// The sources it was made of.
    pub sources: Vec<SourceId>,
    /// The sources that were too far off.
    pub cut: Vec<SourceId>,
}

impl PricesStatus {
    /// What stands on a board.
    #[must_use]
    pub fn of_board(board: &Board, now: UnixTime) -> PricesStatus {
        let shown = board.shown();
        PricesStatus {
            is_running: true,
            told_at: now,
            asked_at: shown.asked_at,
            sources: shown.sources.clone(),
            prices: price_list(board, &shown.prices, now),
        }
    }

    /// What a box that is stopped has kept.
    #[must_use]
    pub fn of_kept(kept: &Board, now: UnixTime) -> PricesStatus {
        PricesStatus {
            is_running: false,
            ..PricesStatus::of_board(kept, now)
        }
    }
}

impl SourceStatus {
    pub(super) fn unasked(source: SourceId) -> SourceStatus {
        SourceStatus {
            source,
            state: SourceState::Unasked,
            answered_at: None,
            prices: 0,
            farthest: None,
            cut: Vec::new(),
        }
    }

    /// Compares its words with what was agreed in a round.
    pub(super) fn compare(&mut self, found: &BTreeMap<Currency, Found>) {
        self.farthest = None;
        self.cut.clear();
        for (currency, Found { agreed, .. }) in found {
            let deviation = |word: &Word| Deviation {
                code: currency.code().to_owned(),
                units: word.units,
                percent: (word.units / agreed.units - 1.0) * 100.0,
            };
            let is_own = |word: &&Word| word.source == self.source;
            let cut = agreed.cut.iter().filter(is_own).map(deviation);
            let cut: Vec<_> = cut.collect();
            let kept = agreed.kept.iter().filter(is_own).map(deviation);
            let all = cut.iter().cloned().chain(kept).chain(self.farthest.take());
            self.farthest =
                all.max_by(|one, other| one.percent.abs().total_cmp(&other.percent.abs()));
            self.cut.extend(cut);
        }
    }
}

fn price_list(board: &Board, prices: &PriceList, now: UnixTime) -> Vec<PriceStatus> {
    let status = |(currency, price): (&Currency, &Price)| PriceStatus {
        code: currency.code().to_owned(),
        units: price.units,
        observed_at: price.observed_at,
        age_secs: now.secs_since(price.observed_at),
        is_served: board.is_fresh(price.observed_at, now),
        is_relayed: price.is_relayed,
        sources: price.sources.clone(),
        cut: price.cut.iter().map(|word| word.source).collect(),
    };
    prices.iter().map(status).collect()
}

/// What the operator's door says of prices.
pub fn routes(board: Board, clock: Arc<dyn Clock>) -> Router {
    let told = get(told).with_state((board, clock));
    Router::new().route(PATH, told)
}

async fn told(State((board, clock)): State<(Board, Arc<dyn Clock>)>) -> Json<PricesStatus> {
    Json(PricesStatus::of_board(&board, clock.now()))
}

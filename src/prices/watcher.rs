//! Asks the sources, round by round, and puts what they say on the board.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::wire::rates_event::RatesEvent;
use escrow_engine::clock::Clock;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{self, Board, Price, PriceList, Shown};
use super::breaker::{Breaker, BreakerTerms};
use super::combine::{Found, combine};
use super::currency::{Currency, Peg, Scope};
use super::kept::Kept;
use super::source::{Answer, PriceSource, SourceError, SourceId};
use super::status::{SourceState, SourceStatus};
use super::worries::{Outcome, Worries};

/// Longest life of published prices, in seconds.
const LONGEST_RATES_SECS: u64 = 3_600;

/// How prices are made.
#[derive(Clone, Copy, Debug)]
pub struct WatchTerms {
    /// Time from round to round.
    pub interval: Duration,
    /// How far from the median a price may be, in per cent of it.
    pub outlier_threshold_pct: f64,
    /// When a failing source rests.
    pub breaker: BreakerTerms,
}

/// What a watcher works with.
pub struct WatchParts {
    /// The sources, with what each is asked for.
    pub sources: Vec<(Box<dyn PriceSource>, Scope)>,
    /// Pegged assets that have a price; none unless wanted.
    pub pegs: Option<Scope>,
    /// How prices are made.
    pub terms: WatchTerms,
    /// Where they are shown.
    pub board: Board,
    /// Where they are kept.
    pub kept: Kept,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where they go to be published, if they are.
    pub rates: Option<watch::Sender<Option<RatesEvent>>>,
}

/// The one who asks the sources.
pub struct Watcher {
    sources: Vec<Watched>,
    pegs: Option<Scope>,
    terms: WatchTerms,
    board: Board,
    kept: Kept,
    clock: Arc<dyn Clock>,
    rates: Option<watch::Sender<Option<RatesEvent>>>,
    worries: Worries,
    is_keeping: bool,
}

/// A source, and what is known of it.
struct Watched {
    source: Box<dyn PriceSource>,
    scope: Scope,
    breaker: Breaker,
    status: SourceStatus,
}

/// What a round has brought: none from sources that rest.
type Answers = Vec<Option<Result<Answer, SourceError>>>;

impl Watcher {
    /// Makes the first sheet of the board out of what was kept; nobody is
    /// asked before the first round.
    #[must_use]
    pub fn new(parts: WatchParts) -> Watcher {
        let breaker = parts.terms.breaker;
        let beginner = |(source, scope): (Box<dyn PriceSource>, Scope)| Watched {
            status: SourceStatus::unasked(source.id()),
            breaker: Breaker::new(breaker),
            source,
            scope,
        };
        let watcher = Watcher {
            sources: parts.sources.into_iter().map(beginner).collect(),
            pegs: parts.pegs,
            terms: parts.terms,
            board: parts.board,
            kept: parts.kept,
            clock: parts.clock,
            rates: parts.rates,
            worries: Worries::default(),
            is_keeping: true,
        };
        let mut prices = watcher.board.shown().prices.clone();
        board::peg(&mut prices, watcher.pegs.as_ref(), watcher.clock.now());
        watcher.show(prices, None);
        watcher
    }

    /// Whether a round takes no time, since nobody outside is asked.
    #[must_use]
    pub fn is_self_sufficient(&self) -> bool {
        let is_own = |watched: &Watched| watched.source.id() == SourceId::Fixed;
        self.sources.iter().all(is_own)
    }

    /// Asks again and again until `stop`; at once, unless a round has ended before.
    pub async fn run(mut self, stop: CancellationToken) {
        let has_asked = self.board.shown().asked_at.is_some();
        let first = if has_asked {
            self.terms.interval
        } else {
            Duration::ZERO
        };
        let mut rounds = interval_at(Instant::now() + first, self.terms.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asking = async {
                rounds.tick().await;
                self.ask_all().await
            };
            let answers = tokio::select! {
                () = stop.cancelled() => return,
                answers = asking => answers,
            };
            // Short, and of no use by halves.
            self.take(answers).await;
        }
    }

    /// Asks all sources that do not rest, and shows, keeps and publishes what
    /// comes of it.
    pub async fn round(&mut self) {
        let answers = self.ask_all().await;
        self.take(answers).await;
    }

    async fn ask_all(&self) -> Answers {
        let now = self.clock.now();
        join_all(self.sources.iter().map(|watched| watched.ask(now))).await
    }

    async fn take(&mut self, answers: Answers) {
        let now = self.clock.now();
        let answers = self.note(answers, now);
        let found = combine(&answers, self.terms.outlier_threshold_pct);
        for watched in &mut self.sources {
            watched.status.compare(&found);
        }
        let mut prices = self.board.shown().prices.clone();
        board::renew(&mut prices, found.clone(), now);
        board::peg(&mut prices, self.pegs.as_ref(), now);
        self.show(prices.clone(), Some(now));
        self.publish(&prices, &found, now);
        self.worry(&prices, answers.len(), now);
        self.keep(prices).await;
    }

    /// Remembers who has answered and who has not.
    fn note(&mut self, answers: Answers, now: UnixTime) -> BTreeMap<SourceId, Answer> {
        let mut given = BTreeMap::new();
        for (watched, answer) in self.sources.iter_mut().zip(answers) {
            match answer {
                Some(Ok(answer)) => {
                    watched.succeeded(answer.quotes().count(), now);
                    given.insert(watched.source.id(), answer);
                }
                Some(Err(why)) => watched.failed(&why, now),
                None => {}
            }
        }
        given
    }

    fn show(&self, prices: PriceList, asked_at: Option<UnixTime>) {
        let sources = self.sources.iter().map(|watched| watched.status.clone());
        self.board.show(Shown {
            prices,
            asked_at,
            awaited: self.awaited(),
            sources: sources.collect(),
        });
    }

    /// What sources that have never answered may yet know.
    fn awaited(&self) -> BTreeSet<Currency> {
        let is_unheard = |watched: &&Watched| watched.status.answered_at.is_none();
        let unheard: Vec<_> = self.sources.iter().filter(is_unheard).collect();
        let is_awaited = |currency: &Currency| {
            let mut scopes = unheard.iter().map(|watched| &watched.scope);
            scopes.any(|scope| scope.includes(*currency))
        };
        let mut awaited: BTreeSet<_> = Currency::all_fiat().filter(is_awaited).collect();
        if awaited.contains(&Currency::USD) {
            let pegs = self.pegs.iter();
            awaited.extend(pegs.flat_map(|scope| {
                let follows = |asset: &Currency| asset.peg() == Some(Peg::Dollar);
                Currency::all_pegged().filter(move |it| follows(it) && scope.includes(*it))
            }));
        }
        awaited
    }

    /// Hands over what this round has found: a price from before is not made
    /// young again, and what others have said is not said after them (rule Q9).
    fn publish(&self, prices: &PriceList, found: &BTreeMap<Currency, Found>, now: UnixTime) {
        let Some(rates) = &self.rates else {
            return;
        };
        let is_own = |currency: Currency| {
            let found = found.get(&currency);
            found.is_some_and(|found| found.relayed_at.is_none())
        };
        if !found.keys().any(|currency| is_own(*currency)) {
            return;
        }
        let is_published = |currency: &Currency| match currency.peg() {
            Some(Peg::Dollar) => is_own(Currency::USD),
            Some(Peg::Bitcoin { .. }) => true,
            None => is_own(*currency),
        };
        let published = prices.iter().filter(|(currency, _)| is_published(currency));
        let published: Vec<_> = published.collect();
        let sources: BTreeSet<_> = published
            .iter()
            .flat_map(|(_, price)| &price.sources)
            .collect();
        let life_secs = (2 * self.terms.interval.as_secs()).min(LONGEST_RATES_SECS);
        let units =
            |(currency, price): (&Currency, &Price)| (currency.code().to_owned(), price.units);
        rates.send_replace(Some(RatesEvent {
            published_at: now,
            expiration: now.plus(life_secs),
            sources: sources.into_iter().map(|source| source.name()).collect(),
            per_bitcoin: published.into_iter().map(units).collect(),
        }));
    }

    fn worry(&mut self, prices: &PriceList, living: usize, now: UnixTime) {
        let interval_secs = self.terms.interval.as_secs();
        let is_old = |price: &Price| {
            // Another node's price has waited for its turn there already.
            let turns = if price.is_relayed { 2 } else { 1 };
            now.secs_since(price.observed_at) > turns * interval_secs
        };
        let old = prices.iter().filter(|(_, price)| is_old(price));
        let outcome = Outcome {
            sources: self.sources.len(),
            living,
            old: old.map(|(currency, _)| *currency).collect(),
        };
        for worry in self.worries.news(outcome) {
            worry.say();
        }
    }

    /// Writes the prices down; what cannot be kept is said once.
    async fn keep(&mut self, mut prices: PriceList) {
        // They follow from the others.
        prices.retain(|currency, _| currency.peg().is_none());
        let kept = self.kept.clone();
        let written = tokio::task::spawn_blocking(move || kept.write(&prices)).await;
        let failure = match written {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why.to_string()),
            Err(why) => Some(why.to_string()),
        };
        if let Some(why) = failure.as_ref().filter(|_| self.is_keeping) {
            tracing::warn!(%why, "prices cannot be kept: a restart begins without them");
        }
        self.is_keeping = failure.is_none();
    }
}

impl Watched {
    async fn ask(&self, now: UnixTime) -> Option<Result<Answer, SourceError>> {
        if self.breaker.rest(Instant::now()).is_some() {
            return None;
        }
        let asked = timeout(self.source.patience(), self.source.ask(now)).await;
        let mut answer = asked.unwrap_or(Err(SourceError::Late));
        if let Ok(given) = &mut answer {
            given.quotes_mut().narrow(&self.scope);
            if given.quotes().count() == 0 {
                answer = Err(SourceError::Nothing);
            }
        }
        Some(answer)
    }

    fn succeeded(&mut self, prices: usize, now: UnixTime) {
        if self.breaker.failures() > 0 {
            tracing::info!(
                source = self.source.id().name(),
                "a source of prices is back"
            );
        }
        self.breaker.succeeded();
        self.status.state = SourceState::Well;
        self.status.answered_at = Some(now);
        self.status.prices = prices;
    }

    fn failed(&mut self, why: &SourceError, now: UnixTime) {
        let source = self.source.id().name();
        if self.breaker.failures() == 0 {
            tracing::warn!(source, %why, "a source gives no prices");
        } else {
            tracing::debug!(source, %why, "a source still gives no prices");
        }
        let at = Instant::now();
        self.breaker.failed(at);
        let (failures, why) = (self.breaker.failures(), why.to_string());
        self.status.state = match self.breaker.rest(at) {
            Some(rest) => SourceState::Resting {
                until: now.plus(rest.as_secs()),
                failures,
                why,
            },
            None => SourceState::Failing { failures, why },
        };
    }
}

//! Rounds with sources that do as they are told, in a time of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::UnixTime;
use escrow_core::price::PriceAnswer;
use escrow_core::wire::rates_event::RatesEvent;
use escrow_engine::clock::Clock;
use escrow_engine::prices::PriceBoard;
use mostro_relay::prices::{
    Answer, Board, BreakerTerms, Kept, PriceSource, PricesStatus, Quotes, Scope, SourceError,
    SourceId, SourceState, WatchParts, WatchTerms, Watcher,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const BEGIN: u64 = 1_795_199_371;
const INTERVAL: Duration = Duration::from_secs(300);
const MAX_AGE: Duration = Duration::from_secs(1_800);
const PATIENCE: Duration = Duration::from_secs(11);

/// What a source does.
#[derive(Clone, Debug)]
enum Act {
    Says(&'static [(&'static str, f64)]),
    Relays(&'static [(&'static str, f64)], UnixTime),
    Thinks(Duration),
    Hangs,
    Fails,
}

/// A source that does as it is told.
#[derive(Clone)]
struct Puppet {
    id: SourceId,
    act: Arc<Mutex<Act>>,
    asked: Arc<Mutex<u32>>,
}

impl Puppet {
    fn new(id: SourceId, act: Act) -> Puppet {
        Puppet {
            id,
            act: Arc::new(Mutex::new(act)),
            asked: Arc::default(),
        }
    }

    fn turns(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

fn quotes(prices: &[(&str, f64)]) -> Quotes {
    let mut quotes = Quotes::default();
    for (code, units) in prices {
        quotes.take(code, *units);
    }
    quotes
}

#[async_trait]
impl PriceSource for Puppet {
    fn id(&self) -> SourceId {
        self.id
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn ask(&self, _now: UnixTime) -> Result<Answer, SourceError> {
        *self.asked.lock().unwrap() += 1;
        let act = self.act.lock().unwrap().clone();
        match act {
            Act::Says(prices) => Ok(Answer::Observed(quotes(prices))),
            Act::Relays(prices, said_at) => Ok(Answer::Relayed {
                quotes: quotes(prices),
                said_at,
            }),
            Act::Thinks(time) => {
                sleep(time).await;
                Ok(Answer::Observed(quotes(&[("USD", 50_000.0)])))
            }
            Act::Hangs => std::future::pending().await,
            Act::Fails => Err(SourceError::Status(503)),
        }
    }
}

/// A clock that follows the paused time.
struct Follower(Instant);

impl Clock for Follower {
    fn now(&self) -> UnixTime {
        UnixTime(BEGIN + self.uptime().as_secs())
    }

    fn uptime(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Prices without a node.
struct Stage {
    folder: TempDir,
    clock: Arc<Follower>,
    board: Board,
    rates: watch::Receiver<Option<RatesEvent>>,
    watcher: Watcher,
}

impl Stage {
    fn with(sources: &[&Puppet]) -> Stage {
        Stage::of(sources, None, tempfile::tempdir().unwrap())
    }

    fn of(sources: &[&Puppet], pegs: Option<Scope>, folder: TempDir) -> Stage {
        let clock = Arc::new(Follower(Instant::now()));
        let kept = Kept::in_folder(folder.path());
        let board = Board::new(kept.read().unwrap(), MAX_AGE);
        let (sender, rates) = watch::channel(None);
        let scoped = |puppet: &&Puppet| -> (Box<dyn PriceSource>, Scope) {
            (Box::new(Puppet::clone(puppet)), Scope::All)
        };
        let watcher = Watcher::new(WatchParts {
            sources: sources.iter().map(scoped).collect(),
            pegs,
            terms: WatchTerms {
                interval: INTERVAL,
                outlier_threshold_pct: 5.0,
                breaker: BreakerTerms {
                    threshold: 2,
                    cooldown: Duration::from_secs(600),
                },
            },
            board: board.clone(),
            kept,
            clock: clock.clone(),
            rates: Some(sender),
        });
        Stage {
            folder,
            clock,
            board,
            rates,
            watcher,
        }
    }

    fn price(&self, code: &str) -> PriceAnswer {
        self.board.price(code, self.clock.now())
    }

    fn status(&self) -> PricesStatus {
        PricesStatus::of_board(&self.board, self.clock.now())
    }

    fn state(&self, source: SourceId) -> SourceState {
        let status = self.status();
        let mut sources = status.sources.into_iter();
        sources
            .find(|status| status.source == source)
            .unwrap()
            .state
    }

    /// What is to be published since the last look.
    fn published(&mut self) -> Option<RatesEvent> {
        let is_news = self.rates.has_changed().unwrap();
        is_news.then(|| self.rates.borrow_and_update().clone().unwrap())
    }
}

const GOOD: Act = Act::Says(&[("USD", 50_000.0), ("EUR", 45_000.0)]);

#[tokio::test(start_paused = true)]
async fn q1_all_sources_are_asked_at_once() {
    let thinks = || Act::Thinks(Duration::from_secs(5));
    let sources = [SourceId::Yadio, SourceId::Coingecko, SourceId::Blockchain];
    let puppets = sources.map(|id| Puppet::new(id, thinks()));
    let mut stage = Stage::with(&puppets.each_ref());
    let began = Instant::now();
    stage.watcher.round().await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(stage.price("USD"), PriceAnswer::Served(50_000.0));
}

#[tokio::test(start_paused = true)]
async fn q1_up_a8_a_source_that_hangs_is_left_and_the_others_count() {
    let hung = Puppet::new(SourceId::Coingecko, Act::Hangs);
    let good = Puppet::new(SourceId::Yadio, GOOD);
    let mut stage = Stage::with(&[&hung, &good]);
    let began = Instant::now();
    stage.watcher.round().await;
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    assert_eq!(stage.price("USD"), PriceAnswer::Served(50_000.0));
    let expected = SourceState::Failing {
        failures: 1,
        why: "took too long".into(),
    };
    assert_eq!(stage.state(SourceId::Coingecko), expected);
    assert_eq!(stage.state(SourceId::Yadio), SourceState::Well);
}

#[tokio::test(start_paused = true)]
async fn q1_a_round_comes_in_each_interval_and_ends_when_told() {
    let puppet = Puppet::new(SourceId::Yadio, GOOD);
    let stage = Stage::with(&[&puppet]);
    let stop = CancellationToken::new();
    let running = stage.watcher.run(stop.clone());
    let telling = async {
        sleep(3 * INTERVAL + Duration::from_secs(1)).await;
        puppet.turns(Act::Hangs);
        sleep(INTERVAL).await;
        let told_at = Instant::now();
        stop.cancel();
        told_at
    };
    let ((), told_at) = tokio::join!(running, telling);
    assert_eq!(puppet.asked(), 5);
    assert_eq!(told_at.elapsed(), Duration::ZERO, "nothing holds it up");
}

#[tokio::test(start_paused = true)]
async fn q5_what_was_cut_is_told_with_its_deviation() {
    let prices: [(SourceId, &[(&str, f64)]); 3] = [
        (SourceId::Blockchain, &[("USD", 50_000.0)]),
        (SourceId::Coingecko, &[("USD", 51_000.0)]),
        (SourceId::Yadio, &[("USD", 101_000.0), ("EUR", 45_000.0)]),
    ];
    let puppets = prices.map(|(id, prices)| Puppet::new(id, Act::Says(prices)));
    let mut stage = Stage::with(&puppets.each_ref());
    stage.watcher.round().await;
    assert_eq!(stage.price("USD"), PriceAnswer::Served(50_500.0));
    let status = stage.status();
    let [good, _, liar] = &status.sources[..] else {
        panic!("three sources: {status:?}");
    };
    assert_eq!(liar.cut.len(), 1);
    assert_eq!(
        (liar.cut[0].code.as_str(), liar.cut[0].percent),
        ("USD", 100.0)
    );
    assert_eq!(liar.farthest, Some(liar.cut[0].clone()));
    assert!(good.cut.is_empty() && good.farthest.as_ref().unwrap().percent < 0.0);
    let dollar = status
        .prices
        .iter()
        .find(|price| price.code == "USD")
        .unwrap();
    assert_eq!(dollar.cut, [SourceId::Yadio]);
    assert_eq!(dollar.sources, [SourceId::Blockchain, SourceId::Coingecko]);
    let published = stage.published().unwrap();
    assert_eq!(
        published.sources,
        ["blockchain", "coingecko", "yadio"],
        "it gives the euro"
    );
}

#[tokio::test(start_paused = true)]
async fn q6_q7_up_a8_prices_outlive_failures_and_restarts_until_they_are_too_old() {
    let puppet = Puppet::new(SourceId::Yadio, GOOD);
    let mut stage = Stage::with(&[&puppet]);
    stage.watcher.round().await;
    puppet.turns(Act::Fails);
    sleep(INTERVAL).await;
    stage.watcher.round().await;
    assert_eq!(stage.price("USD"), PriceAnswer::Served(50_000.0));

    let mut stage = Stage::of(&[&puppet], None, stage.folder);
    stage.clock = Arc::new(Follower(Instant::now().checked_sub(INTERVAL).unwrap()));
    assert_eq!(
        stage.price("USD"),
        PriceAnswer::Served(50_000.0),
        "nobody was asked yet"
    );
    let age = stage.status().prices[0].age_secs;
    assert_eq!(age, INTERVAL.as_secs(), "as old as it is");
    stage.watcher.round().await;
    sleep(MAX_AGE.checked_sub(INTERVAL).unwrap()).await;
    assert_eq!(stage.price("USD"), PriceAnswer::Served(50_000.0));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.price("USD"), PriceAnswer::Stale);
}

#[tokio::test(start_paused = true)]
async fn q8_a_source_that_rests_is_not_asked_until_it_has_rested() {
    let puppet = Puppet::new(SourceId::Yadio, Act::Fails);
    let mut stage = Stage::with(&[&puppet]);
    for (asked, is_resting) in [(1, false), (2, true), (2, true), (3, true), (3, true)] {
        stage.watcher.round().await;
        let resting = matches!(stage.state(SourceId::Yadio), SourceState::Resting { .. });
        assert_eq!((puppet.asked(), resting), (asked, is_resting));
        sleep(INTERVAL).await;
    }
    puppet.turns(GOOD);
    sleep(Duration::from_secs(1_200)).await;
    stage.watcher.round().await;
    assert_eq!(stage.state(SourceId::Yadio), SourceState::Well);
    puppet.turns(Act::Fails);
    stage.watcher.round().await;
    assert!(matches!(
        stage.state(SourceId::Yadio),
        SourceState::Failing { failures: 1, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn q9_a_round_publishes_what_it_has_found_and_nothing_else() {
    let yadio = Puppet::new(SourceId::Yadio, GOOD);
    let gecko = Puppet::new(SourceId::Coingecko, Act::Says(&[("EUR", 45_000.0)]));
    let relayed = Act::Relays(&[("ARS", 5e7), ("USD", 1.0)], UnixTime(BEGIN));
    let nostr = Puppet::new(SourceId::Nostr, relayed);
    let mut stage = Stage::with(&[&yadio, &gecko, &nostr]);
    stage.watcher.round().await;
    let prices = |prices: &[(&str, f64)]| -> BTreeMap<String, f64> {
        prices
            .iter()
            .map(|(code, units)| ((*code).to_owned(), *units))
            .collect()
    };
    let expected = RatesEvent {
        published_at: UnixTime(BEGIN),
        expiration: UnixTime(BEGIN + 600),
        sources: vec!["coingecko", "yadio"],
        per_bitcoin: prices(&[("EUR", 45_000.0), ("USD", 50_000.0)]),
    };
    assert_eq!(stage.published(), Some(expected));
    assert_eq!(stage.price("ARS"), PriceAnswer::Served(5e7));

    // An old dollar does not become young by being said again.
    yadio.turns(Act::Fails);
    nostr.turns(Act::Fails);
    stage.watcher.round().await;
    let published = stage.published().unwrap();
    assert_eq!(published.per_bitcoin, prices(&[("EUR", 45_000.0)]));
    assert_eq!(published.sources, ["coingecko"]);
    gecko.turns(Act::Fails);
    stage.watcher.round().await;
    assert_eq!(stage.published(), None);
}

#[tokio::test(start_paused = true)]
async fn q12_before_the_first_round_has_ended_no_currency_is_unknown() {
    let puppet = Puppet::new(SourceId::Yadio, Act::Fails);
    let mut stage = Stage::with(&[&puppet]);
    assert_eq!(stage.price("USD"), PriceAnswer::Stale);
    stage.watcher.round().await;
    // It has not said yet what it knows.
    assert_eq!(stage.price("USD"), PriceAnswer::Stale);
    assert_eq!(stage.price("XAU"), PriceAnswer::Unknown);
    puppet.turns(GOOD);
    stage.watcher.round().await;
    assert_eq!(stage.price("USD"), PriceAnswer::Served(50_000.0));
    assert_eq!(stage.price("ARS"), PriceAnswer::Unknown);
    puppet.turns(Act::Fails);
    stage.watcher.round().await;
    assert_eq!(stage.price("ARS"), PriceAnswer::Unknown);
}

#[tokio::test(start_paused = true)]
async fn q13_pegged_assets_are_priced_published_and_not_kept() {
    let puppet = Puppet::new(SourceId::Yadio, GOOD);
    let pegs = || Some(Scope::Only(vec!["USDT".into(), "RBTC".into()]));
    let mut stage = Stage::of(&[&puppet], pegs(), tempfile::tempdir().unwrap());
    assert_eq!(stage.price("USDT"), PriceAnswer::Stale);
    assert_eq!(stage.price("RBTC"), PriceAnswer::Served(1e8));
    stage.watcher.round().await;
    assert_eq!(stage.price("USDT"), PriceAnswer::Served(50_000.0));
    assert_eq!(
        stage.price("USDC"),
        PriceAnswer::Unknown,
        "it is not wanted"
    );
    let published = stage.published().unwrap();
    let codes: Vec<_> = published.per_bitcoin.keys().map(String::as_str).collect();
    assert_eq!(codes, ["EUR", "RBTC", "USD", "USDT"]);
    assert_eq!(published.sources, ["pegged", "yadio"]);
    assert_eq!(stage.status().sources.len(), 1, "a peg is no source");

    let stage = Stage::of(&[&puppet], None, stage.folder);
    let codes: Vec<_> = stage
        .status()
        .prices
        .into_iter()
        .map(|price| price.code)
        .collect();
    assert_eq!(codes, ["EUR", "USD"]);
    let stage = Stage::of(&[&puppet], pegs(), stage.folder);
    assert_eq!(
        stage.price("USDT"),
        PriceAnswer::Served(50_000.0),
        "with the kept dollar"
    );
}

//! Measurements of a relay from outside: a load that any relay understands,
//! since it speaks NIP-01 and NIP-45 and nothing else.
//!
//! Every number is checked while it is made: what was accepted must be stored
//! and delivered, exactly once and in the right order. A mismatch is an error
//! that names the scenario, for a wrong relay has no speed.

mod connection;
mod count;
mod fan_out;
mod filled_store;
mod flood;
mod idle_memory;
mod ingest;
mod library;
mod load;
mod queries;
mod reply;
pub mod report;
mod slow_subscriber;
mod start_up;
mod stock;
mod stored;
mod subscriber;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use nostr::types::Timestamp;

use self::report::Row;
use super::machine::{self, Machine};
use super::own_box::{OwnBox, Site};
use super::{Finding, Listener};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Gift wraps and orders coming in, pipelined, in lock-step, and among
    /// idle connections.
    Ingest,
    /// One who publishes and 1, 50 or 500 who listen: the delay, and how many
    /// deliveries are possible.
    FanOut,
    /// One who stops reading: he must not lose anything without being told.
    SlowSubscriber,
    /// Questions about stored events, as real clients ask them.
    Queries,
    /// Questions for a number only (NIP-45).
    Count,
    /// Memory of the relay's process with many idle connections.
    IdleMemory,
    /// From the start of a box with a full store to its open port.
    StartUp,
    /// Trades in a box with an escrow, while junk pours in.
    Flood,
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Ingest => "ingest",
            Scenario::FanOut => "fan-out",
            Scenario::SlowSubscriber => "slow-subscriber",
            Scenario::Queries => "queries",
            Scenario::Count => "count",
            Scenario::IdleMemory => "idle-memory",
            Scenario::StartUp => "start-up",
            Scenario::Flood => "flood",
        }
    }

    fn runs_on(self, plan: &Plan) -> bool {
        match self {
            Scenario::Ingest
            | Scenario::FanOut
            | Scenario::SlowSubscriber
            | Scenario::Queries
            | Scenario::Count => true,
            Scenario::IdleMemory => plan.url.is_none() || plan.pid.is_some(),
            Scenario::StartUp | Scenario::Flood => plan.url.is_none(),
        }
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Events of one pipelined case.
    pub pipelined_events: usize,
    /// Events of one connection in lock-step.
    pub lock_step_events: usize,
    /// No case sends for longer.
    pub at_most: Duration,
    /// Connections that say nothing.
    pub idle_connections: usize,
    /// Orders of the Mostro that is asked about.
    pub orders_in_book: u64,
    /// Each question is asked for so long.
    pub asking_time: Duration,
    /// Most subscribers of one broadcast.
    pub subscribers: usize,
    /// Events of a broadcast at a moderate rate.
    pub slow_events: usize,
    /// The same, at full speed.
    pub burst_events: usize,
    /// Events of 8 kB that a subscriber does not read.
    pub events_to_miss: usize,
    /// Orders in a box whose memory or start is measured.
    pub live_orders: u64,
    /// All events in a box whose start is measured.
    pub stored_events: u64,
    /// For so long each kind of junk pours in.
    pub flood_time: Duration,
}

impl Scale {
    /// A few seconds for each case.
    pub const FULL: Scale = Scale {
        // All orders of one box together must stay below the 100,000 that a
        // box carries for others.
        pipelined_events: 18_000,
        lock_step_events: 1_200,
        at_most: Duration::from_secs(8),
        idle_connections: 1_000,
        orders_in_book: 2_000,
        asking_time: Duration::from_secs(1),
        subscribers: 500,
        slow_events: 600,
        burst_events: 2_000,
        events_to_miss: 4_000,
        live_orders: 100_000,
        stored_events: 1_000_000,
        flood_time: Duration::from_secs(6),
    };
    /// All scenarios in a minute and a half.
    pub const QUICK: Scale = Scale {
        pipelined_events: 4_000,
        lock_step_events: 300,
        at_most: Duration::from_secs(1),
        idle_connections: 1_000,
        orders_in_book: 600,
        asking_time: Duration::from_millis(100),
        subscribers: 500,
        slow_events: 150,
        burst_events: 600,
        events_to_miss: 2_000,
        live_orders: 5_000,
        stored_events: 20_000,
        flood_time: Duration::from_secs(1),
    };
}

/// What is to be measured, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The relay; without it, a box of our own for each scenario.
    pub url: Option<String>,
    /// The process of that relay, if its memory can be seen here.
    pub pid: Option<u32>,
    /// What to measure, in this order.
    pub scenarios: Vec<Scenario>,
    /// How much of it.
    pub scale: Scale,
    /// This program, to start a box with.
    pub program: PathBuf,
}

impl Plan {
    /// All scenarios that can be measured there.
    #[must_use]
    pub fn possible(&self) -> Vec<Scenario> {
        let all = Scenario::value_variants().iter().copied();
        all.filter(|scenario| scenario.runs_on(self)).collect()
    }
}

/// Measures all of a plan, with all data under `folder`.
///
/// # Errors
/// If a relay cannot be reached, or does anything wrong.
pub async fn run(plan: &Plan, folder: &Path, listener: &mut dyn Listener) -> anyhow::Result<()> {
    for scenario in &plan.scenarios {
        let (name, possible) = (scenario.name(), scenario.runs_on(plan));
        ensure!(possible, "{name} needs a box of our own: leave --url out");
    }
    listener.begins("the machine");
    listener.hears(&Finding::Machine(Machine::measure(folder)?));
    for scenario in &plan.scenarios {
        let site = Site {
            program: plan.program.clone(),
            folder: folder.join(scenario.name()),
        };
        std::fs::create_dir_all(&site.folder)?;
        let bench = Bench {
            url: plan.url.clone().unwrap_or_default(),
            plan,
            own_box: None,
            site,
            scale: plan.scale,
            // Anew each time, since others may use the machine too.
            verified_per_second: machine::verified_by_all_cores(),
            listener,
            case: String::new(),
        };
        bench.measure(*scenario).await?;
    }
    Ok(())
}

/// Where one scenario is measured.
struct Bench<'a> {
    /// The relay, once it is there.
    url: String,
    plan: &'a Plan,
    /// The relay again, if it is ours.
    own_box: Option<OwnBox>,
    site: Site,
    scale: Scale,
    verified_per_second: f64,
    listener: &'a mut dyn Listener,
    /// What is being measured.
    case: String,
}

impl Bench<'_> {
    async fn measure(mut self, scenario: Scenario) -> anyhow::Result<()> {
        let measured = self.play(scenario).await;
        // A box that has ended says more than what its visitors noticed.
        let left = self.leave().await;
        let ended = match measured {
            Err(why) if left.is_err() => left.context(why),
            measured => measured.and(left),
        };
        ended.with_context(|| format!("{} ({})", scenario.name(), self.case))
    }

    async fn play(&mut self, scenario: Scenario) -> anyhow::Result<()> {
        match scenario {
            Scenario::Ingest => ingest::run(self).await,
            Scenario::FanOut => fan_out::run(self).await,
            Scenario::SlowSubscriber => slow_subscriber::run(self).await,
            Scenario::Queries => queries::run(self).await,
            Scenario::Count => count::run(self).await,
            Scenario::IdleMemory => idle_memory::run(self).await,
            Scenario::StartUp => start_up::run(self).await,
            Scenario::Flood => Box::pin(flood::run(self)).await,
        }
    }

    /// Starts a box of our own on what is stored, unless the relay is foreign.
    async fn enter(&mut self) -> anyhow::Result<()> {
        if self.is_own() {
            let started = OwnBox::start(&self.site).await?;
            self.url.clone_from(&started.url);
            self.own_box = Some(started);
        }
        Ok(())
    }

    /// Ends the box of our own and forgets all it had stored.
    async fn leave(&mut self) -> anyhow::Result<()> {
        if let Some(own_box) = self.own_box.take() {
            own_box.kill().await?;
            std::fs::remove_dir_all(self.site.data())?;
        }
        Ok(())
    }

    /// Whether the relay is a box of our own, so that nobody else uses it.
    fn is_own(&self) -> bool {
        self.plan.url.is_none()
    }

    /// The number of the relay's process, where it is known.
    fn pid(&self) -> Option<u32> {
        match &self.own_box {
            Some(own_box) => own_box.pid(),
            None => self.plan.pid,
        }
    }

    /// Says what is measured from here on.
    fn begins(&mut self, scenario: Scenario, case: &str) {
        case.clone_into(&mut self.case);
        self.listener
            .begins(&format!("{}: {case}", scenario.name()));
    }

    fn progress(&mut self, words: &str) {
        self.listener.begins(&format!("{}: {words}", self.case));
    }

    fn tells(&mut self, row: Row) {
        let row = row.on(self.verified_per_second);
        self.listener.hears(&Finding::Relay(row));
    }
}

fn now() -> u64 {
    Timestamp::now().as_secs()
}

//! Whole trades over websockets: how long a trader waits, and how many
//! trades the box completes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use escrow_core::amount::Sats;
use escrow_core::fees::fee_per_side;
use escrow_core::wire::{Action, Transport};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::times::Times;
use crate::node::Node;
use crate::settings::Settings;
use crate::trader::deal::{self, Player, Scene, Terms, Witness};
use crate::trader::{Persona, Trader, Wallet};

/// What is traded each time.
const SATS: Sats = Sats(10_000);

/// Enough for any number of trades.
const POCKET_MONEY: Sats = Sats(10_000_000);

/// So many pairs trade at once, so many times each.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// A seller and a buyer each, every one with a connection of his own.
    pub pairs: usize,
    /// Trades of each pair, one after the other.
    pub trades_each: usize,
}

/// What a crowd has experienced.
#[derive(Debug)]
pub struct CrowdTimes {
    /// How many pairs there were.
    pub pairs: usize,
    /// From the first order to the last rating.
    pub took: Duration,
    /// What traders waited for.
    pub waits: Waits,
}

/// What one trader or many have waited for.
#[derive(Debug, Default)]
pub struct Waits {
    /// Each request: to its `OK` and to its answer.
    pub asked: BTreeMap<&'static str, Asked>,
    /// From a paid hold to the news that it is accepted.
    pub hold_accepted: Times,
    /// Whole trades.
    pub trades: Times,
}

/// The two waits of one action.
#[derive(Debug, Default)]
pub struct Asked {
    /// From sending to `OK`.
    pub ok: Times,
    /// From sending to the answer.
    pub answer: Times,
}

impl CrowdTimes {
    /// Trades completed in a second.
    #[must_use]
    pub fn trades_per_second(&self) -> f64 {
        let trades = u32::try_from(self.waits.trades.count()).unwrap_or(u32::MAX);
        f64::from(trades) / self.took.as_secs_f64()
    }

    /// The waits for all answers together.
    #[must_use]
    pub fn answers(&self) -> Times {
        let mut all = Times::default();
        for asked in self.waits.asked.values() {
            all.append(asked.answer.clone());
        }
        all
    }
}

/// A box for measuring: usual settings, but for the limits that keep a single
/// address from being a crowd.
pub async fn open_box(folder: &Path) -> anyhow::Result<Node> {
    Ok(Node::start(box_settings(folder)).await?)
}

/// The settings of such a box.
pub(super) fn box_settings(folder: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.node.data_dir = folder.join("data");
    settings.relay.listen.set_port(0);
    settings.sandbox.listen.set_port(0);
    settings.relay.max_connections_per_address = 1_000;
    settings.relay.stranger_envelopes_per_second = 100_000;
    settings.limits.max_opening_holds = 1_000;
    settings.limits.max_open_holds = 1_000;
    settings
}

/// Lets a crowd trade, and waits until all have finished.
///
/// # Errors
/// If any trade goes wrong: a number for trades that failed would mean nothing.
pub async fn measure(node: &Node, crowd: Crowd) -> anyhow::Result<CrowdTimes> {
    measure_named(node, &crowd.pairs.to_string(), crowd).await
}

/// As [`measure`], for a crowd whose names nobody else has.
pub(super) async fn measure_named(
    node: &Node,
    name: &str,
    crowd: Crowd,
) -> anyhow::Result<CrowdTimes> {
    let Crowd { pairs, trades_each } = crowd;
    measure_while(node, name, pairs, move |made| made < trades_each).await
}

/// Lets pairs trade, whose names nobody else has, until `over`; what is begun
/// is finished.
///
/// # Errors
/// As [`measure`].
pub async fn measure_until(
    node: &Node,
    name: &str,
    pairs: usize,
    over: CancellationToken,
) -> anyhow::Result<CrowdTimes> {
    measure_while(node, name, pairs, move |_| !over.is_cancelled()).await
}

/// Each pair trades for as long as there is `another` after so many.
async fn measure_while(
    node: &Node,
    name: &str,
    pairs: usize,
    another: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> anyhow::Result<CrowdTimes> {
    let mut ready = Vec::with_capacity(pairs);
    for number in 0..pairs {
        let seller = player(node, &format!("seller-{name}-{number}")).await?;
        let buyer = player(node, &format!("buyer-{name}-{number}")).await?;
        ready.push((seller, buyer));
    }
    let began = Instant::now();
    let mut at_work = JoinSet::new();
    for (seller, buyer) in ready {
        at_work.spawn(trade(seller, buyer, another.clone()));
    }
    let mut waits = Waits::default();
    while let Some(ended) = at_work.join_next().await {
        waits.append(ended??);
    }
    Ok(CrowdTimes {
        pairs,
        took: began.elapsed(),
        waits,
    })
}

async fn player(node: &Node, name: &str) -> anyhow::Result<Player> {
    let seed = Sha256::digest(name).into();
    let persona = Persona::new(name, seed, Transport::Direct);
    let sandbox = node.sandbox().context("the box has no sandbox")?;
    Ok(Player {
        trader: Trader::join(persona, node.url(), node.public_key()).await?,
        wallet: Wallet::funded(sandbox, name, POCKET_MONEY).await?,
    })
}

async fn trade(
    mut seller: Player,
    mut buyer: Player,
    another: impl Fn(usize) -> bool,
) -> anyhow::Result<Waits> {
    let fee = Settings::default().mostro.fee;
    let terms = Terms {
        sats: SATS,
        fee: fee_per_side(fee, SATS),
        by_the_book: false,
    };
    let mut stopwatch = Stopwatch::default();
    while another(stopwatch.waits.trades.count()) {
        let began = Instant::now();
        deal::sell(&mut seller, &mut buyer, &terms, &mut stopwatch).await?;
        stopwatch.waits.trades.add(began.elapsed());
    }
    seller.trader.hang_up().await;
    buyer.trader.hang_up().await;
    Ok(stopwatch.waits)
}

/// Notes what a pair waits for.
#[derive(Default)]
struct Stopwatch {
    waits: Waits,
    paid_at: Option<Instant>,
}

impl Witness for Stopwatch {
    fn sees(&mut self, scene: Scene<'_>) {
        match scene {
            Scene::Asked {
                action, answered, ..
            } => {
                let asked = self.waits.asked.entry(action.as_str()).or_default();
                asked.ok.add(answered.ok_after);
                asked.answer.add(answered.answered_after);
            }
            Scene::Paid { .. } => self.paid_at = Some(Instant::now()),
            Scene::Heard { heard, .. } => {
                let accepted = heard.message.action == Action::BuyerTookOrder;
                if let (true, Some(paid_at)) = (accepted, self.paid_at.take()) {
                    self.waits.hold_accepted.add(paid_at.elapsed());
                }
            }
            Scene::Book { .. } => {}
        }
    }
}

impl Waits {
    fn append(&mut self, other: Waits) {
        for (action, asked) in other.asked {
            let all = self.asked.entry(action).or_default();
            all.ok.append(asked.ok);
            all.answer.append(asked.answer);
        }
        self.hold_accepted.append(other.hold_accepted);
        self.trades.append(other.trades);
    }
}

//! Whole trades over real LND nodes: what the box adds to the time that they take.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use escrow_core::amount::Sats;
use escrow_core::fees::fee_per_side;
use escrow_core::wire::{Action, Transport};
use escrow_lightning::lnd::{LndAccess, Macaroon};
use escrow_lightning::{LightningBackend, Lnd};
use escrow_regtest::Network;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::Listener;
use super::ear::{Ear, Notebook};
use super::times::Times;
use super::trades::{Crowd, box_settings};
use crate::node::Node;
use crate::settings::{Backend, Settings};
use crate::trader::deal::{self, Player, Scene, Terms, Witness, buyers};
use crate::trader::{Persona, Trader, Wallet};

/// What is traded each time.
const SATS: Sats = Sats(10_000);

/// Blocks before expiry at which LND gives a hold back by itself.
const AUTO_CANCEL_MARGIN: u32 = 18;

/// How long a trader waits for the nodes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen of a box with a real LND.
#[derive(Debug)]
pub struct LndTimes {
    /// Pairs that traded at once.
    pub pairs: usize,
    /// Trades of all of them.
    pub trades: usize,
    /// From the first order to the last rating.
    pub took: Duration,
    /// Of one pair alone; none of a crowd.
    pub alone: Option<AloneTimes>,
}

/// How long the box needs for its part, while one pair trades.
#[derive(Debug, Default)]
pub struct AloneTimes {
    /// From sending `release` to the call that settles the hold.
    pub released_to_settle: Times,
    /// From sending `release` to the call that pays the buyer.
    pub released_to_payment: Times,
    /// From Lightning's word that the hold is paid to the seller's message.
    pub accepted_to_message: Times,
    /// From Lightning's word that the buyer is paid to the buyer's message.
    pub paid_to_message: Times,
}

impl LndTimes {
    /// Trades completed in a minute.
    #[must_use]
    pub fn trades_per_minute(&self) -> f64 {
        let trades = u32::try_from(self.trades).unwrap_or(u32::MAX);
        f64::from(trades) * 60.0 / self.took.as_secs_f64()
    }
}

/// Lets one pair trade and then a crowd, over the nodes of a regtest network.
///
/// # Errors
/// If anything fails, or a trade goes wrong.
pub async fn measure(
    folder: &Path,
    network: &Network,
    crowds: [Crowd; 2],
    listener: &mut dyn Listener,
) -> anyhow::Result<Vec<LndTimes>> {
    let notebook = Notebook::default();
    let notes = notebook.clone();
    let ear = move |behind| -> Arc<dyn LightningBackend> {
        Arc::new(Ear {
            behind,
            notebook: notes,
        })
    };
    let node = Node::start_overheard(settings(folder, network), ear).await?;
    let mut all = Vec::new();
    for crowd in crowds {
        let Crowd { pairs, trades_each } = crowd;
        listener.begins(&format!(
            "{pairs} at once over LND, {trades_each} trades each"
        ));
        all.push(trades(&node, network, crowd, &notebook).await?);
    }
    node.stop().await?;
    Ok(all)
}

fn settings(folder: &Path, network: &Network) -> Settings {
    let operator = network.operator();
    let mut settings = box_settings(folder);
    settings.lightning.backend = Backend::Lnd;
    settings.lightning.lnd_grpc_host = format!("https://{}", operator.grpc());
    settings.lightning.lnd_cert_file = Some(operator.certificate());
    settings.lightning.lnd_macaroon_file = Some(operator.admin_macaroon());
    settings
}

async fn trades(
    node: &Node,
    network: &Network,
    crowd: Crowd,
    notebook: &Notebook,
) -> anyhow::Result<LndTimes> {
    let seller = network.seller();
    let access = LndAccess {
        address: format!("https://{}", seller.grpc()),
        certificate: seller.certificate(),
        macaroon: Macaroon::File(seller.admin_macaroon()),
    };
    let payer: Arc<dyn LightningBackend> = Arc::new(Lnd::new(access, AUTO_CANCEL_MARGIN)?);
    let terms = Terms {
        sats: SATS,
        fee: fee_per_side(Settings::default().mostro.fee, SATS),
        by_the_book: false,
    };
    let mut pairs = Vec::new();
    for number in 0..crowd.pairs {
        let mut invoices = Vec::new();
        for _ in 0..crowd.trades_each {
            invoices.push(network.buyer().invoice(buyers(&terms).0).await?.bolt11);
        }
        let name = format!("{}-{number}", crowd.pairs);
        let seller = player(node, format!("seller-{name}"), &payer, Vec::new()).await?;
        let buyer = player(node, format!("buyer-{name}"), &payer, invoices).await?;
        pairs.push((seller, buyer));
    }
    let began = Instant::now();
    let mut at_work = JoinSet::new();
    for pair in pairs {
        at_work.spawn(pair_trades(
            pair,
            terms.clone(),
            crowd.trades_each,
            notebook.clone(),
        ));
    }
    let mut alone = None;
    while let Some(ended) = at_work.join_next().await {
        let times = ended??;
        // Moments of several trades at once cannot be told apart.
        alone = (crowd.pairs == 1).then_some(times);
    }
    Ok(LndTimes {
        pairs: crowd.pairs,
        trades: crowd.pairs * crowd.trades_each,
        took: began.elapsed(),
        alone,
    })
}

async fn player(
    node: &Node,
    name: String,
    payer: &Arc<dyn LightningBackend>,
    invoices: Vec<String>,
) -> anyhow::Result<Player> {
    let persona = Persona {
        patience: PATIENCE,
        ..Persona::new(&name, Sha256::digest(&name).into(), Transport::Direct)
    };
    Ok(Player {
        trader: Trader::join(persona, node.url(), node.public_key()).await?,
        wallet: Wallet::of_node(&name, payer.clone(), invoices),
    })
}

async fn pair_trades(
    (mut seller, mut buyer): (Player, Player),
    terms: Terms,
    trades: usize,
    notebook: Notebook,
) -> anyhow::Result<AloneTimes> {
    let mut times = AloneTimes::default();
    for _ in 0..trades {
        let mut watch = Watch::default();
        notebook.take();
        deal::sell(&mut seller, &mut buyer, &terms, &mut watch).await?;
        watch.compare(&notebook, &mut times);
    }
    seller.trader.hang_up().await;
    buyer.trader.hang_up().await;
    Ok(times)
}

/// What the traders do and hear in one trade, and when.
#[derive(Default)]
struct Watch {
    accepted: Option<Instant>,
    released: Option<Instant>,
    completed: Option<Instant>,
}

impl Witness for Watch {
    fn sees(&mut self, scene: Scene<'_>) {
        let now = Instant::now();
        match scene {
            Scene::Asked {
                action: Action::Release,
                answered,
                ..
            } => self.released = now.checked_sub(answered.answered_after),
            Scene::Heard { heard, .. } if heard.message.action == Action::BuyerTookOrder => {
                self.accepted = Some(now);
            }
            Scene::Heard { heard, .. } if heard.message.action == Action::PurchaseCompleted => {
                self.completed = Some(now);
            }
            Scene::Asked { .. } | Scene::Heard { .. } | Scene::Paid { .. } | Scene::Book { .. } => {
            }
        }
    }
}

impl Watch {
    fn compare(&self, notebook: &Notebook, times: &mut AloneTimes) {
        let moments = notebook.take();
        let note = |times: &mut Times, from: Option<Instant>, to: Option<Instant>| {
            if let (Some(from), Some(to)) = (from, to) {
                times.add(to.saturating_duration_since(from));
            }
        };
        note(&mut times.released_to_settle, self.released, moments.settle);
        note(&mut times.released_to_payment, self.released, moments.pay);
        note(
            &mut times.accepted_to_message,
            moments.accepted,
            self.accepted,
        );
        note(&mut times.paid_to_message, moments.paid, self.completed);
    }
}

//! `mostro-relay demo`: a box, two traders, three trades, told as they happen.
//!
//! The box and its data live in a temporary folder and are gone at the end.
//! Success means that every message came in its place and every balance is
//! right to the sat.

mod purse;
mod storyteller;

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use escrow_core::amount::Sats;
use escrow_core::fees::fee_per_side;
use escrow_core::wire::Transport;
use escrow_lightning::Sandbox;

use self::purse::{Moves, Purse};
use self::storyteller::Storyteller;
use crate::bench::machine;
use crate::node::Node;
use crate::settings::Settings;
use crate::trader::deal::{self, Player, Terms};
use crate::trader::{Persona, Trader, Wallet};

/// What is in each trader's wallet at first.
const POCKET_MONEY: Sats = Sats(500_000);

/// Show three trades in a box of their own.
#[derive(Clone, Copy, Debug, Args)]
pub struct DemoArgs {
    /// Print one JSON object a line; the last says whether all was right.
    #[arg(long)]
    json: bool,
}

/// One of the trades that are shown.
struct Act {
    title: &'static str,
    sats: Sats,
    maker: Transport,
    taker: Transport,
    maker_sells: bool,
}

const ACTS: [Act; 3] = [
    Act {
        title: "alice sells to bob; both speak kind 14",
        sats: Sats(100_000),
        maker: Transport::Direct,
        taker: Transport::Direct,
        maker_sells: true,
    },
    Act {
        title: "alice buys from bob; both speak gift wrap",
        sats: Sats(7_851),
        maker: Transport::GiftWrap,
        taker: Transport::GiftWrap,
        maker_sells: false,
    },
    Act {
        title: "alice sells to bob; she speaks gift wrap, he kind 14",
        sats: Sats(50_000),
        maker: Transport::GiftWrap,
        taker: Transport::Direct,
        maker_sells: true,
    },
];

/// Plays the demonstration on the standard output.
///
/// # Errors
/// If there is no temporary folder, or the box does not start or stop.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut teller = Storyteller::new(args.json, Box::new(io::stdout()));
    // Dropped by a signal too, so that the folder goes in any case.
    tokio::select! {
        played = play(&mut teller) => played,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::FAILURE),
    }
}

async fn play(teller: &mut Storyteller) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("there is no temporary folder")?;
    let began = Instant::now();
    let settings = box_in(folder.path());
    let fee = settings.mostro.fee;
    let node = Node::start(settings).await?;
    teller.opens(
        node.url(),
        node.public_key(),
        folder.path(),
        began.elapsed(),
    );
    let shown = show(&node, fee, teller).await;
    let memory = machine::resident_memory();
    node.stop().await?;
    match shown {
        Ok(()) => {
            teller.ends_well(memory);
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            teller.ends_badly(&why);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Usual settings, on free ports and in a folder of its own.
fn box_in(folder: &std::path::Path) -> Settings {
    let mut settings = Settings::default();
    settings.node.data_dir = folder.join("data");
    settings.relay.listen.set_port(0);
    settings.sandbox.listen.set_port(0);
    settings
}

async fn show(node: &Node, fee: f64, teller: &mut Storyteller) -> anyhow::Result<()> {
    let sandbox = node.sandbox().context("the box has no sandbox")?;
    let mut alice = player("alice", [1; 32], node, sandbox).await?;
    let mut bob = player("bob", [2; 32], node, sandbox).await?;
    for (number, act) in (1..).zip(&ACTS) {
        act.play(number, fee, (&mut alice, &mut bob), sandbox, teller)
            .await?;
    }
    alice.trader.hang_up().await;
    bob.trader.hang_up().await;
    Ok(())
}

async fn player(
    name: &str,
    seed: [u8; 32],
    node: &Node,
    sandbox: &Sandbox,
) -> anyhow::Result<Player> {
    let persona = Persona::new(name, seed, Transport::Direct);
    let mut trader = Trader::join(persona, node.url(), node.public_key()).await?;
    trader.watch_book().await?;
    let wallet = Wallet::funded(sandbox, name, POCKET_MONEY).await?;
    Ok(Player { trader, wallet })
}

impl Act {
    async fn play(
        &self,
        number: usize,
        fee: f64,
        (alice, bob): (&mut Player, &mut Player),
        sandbox: &Sandbox,
        teller: &mut Storyteller,
    ) -> anyhow::Result<()> {
        let terms = Terms {
            sats: self.sats,
            fee: fee_per_side(fee, self.sats),
            by_the_book: true,
        };
        let before = Purse::look(sandbox).await?;
        teller.begins(number, ACTS.len(), self.title, &terms, &before);
        alice.trader.speaks(self.maker);
        bob.trader.speaks(self.taker);
        if self.maker_sells {
            deal::sell(alice, bob, &terms, teller).await?;
        } else {
            deal::buy(alice, bob, &terms, teller).await?;
        }
        let after = Purse::look(sandbox).await?;
        let moves = Moves::between(&before, &after);
        teller.counts(&after, &moves);
        moves.check(self.maker_sells, &terms)
    }
}

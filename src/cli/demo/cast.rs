//! The box of a scenario, and the two traders in it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use escrow_core::amount::Sats;
use escrow_core::fees::fee_per_side;
use escrow_core::wire::Transport;
use escrow_lightning::Sandbox;
use tempfile::TempDir;

use super::purse::{Moves, Purse};
use super::storyteller::Storyteller;
use crate::node::Node;
use crate::settings::Settings;
use crate::trader::deal::{Player, Terms};
use crate::trader::{Persona, Seat, Trader, Wallet};

/// What is in each trader's wallet at first.
const POCKET_MONEY: Sats = Sats(500_000);

/// Alice, Bob, and the box between them.
pub(super) struct Cast {
    pub(super) alice: Player,
    pub(super) bob: Player,
    pub(super) stand: Stand,
    /// All the money there was at first.
    before: Purse,
}

/// A running box with a folder of its own.
pub(super) struct Stand {
    pub(super) node: Node,
    site: Site,
}

/// Where a box is, whether it runs or not.
pub(super) struct Site {
    settings: Settings,
    _folder: TempDir,
}

impl Cast {
    /// Opens a box with settings that `differ` from the usual ones, and lets
    /// both traders in.
    pub(super) async fn gather(
        title: &str,
        differ: impl FnOnce(&mut Settings),
        teller: &mut Storyteller,
    ) -> anyhow::Result<Cast> {
        let stand = Stand::open(differ, teller).await?;
        let url = stand.url();
        Box::pin(Cast::at(stand, &url, title, teller)).await
    }

    /// The same in a box that stands; Bob's relay is another one perhaps.
    pub(super) async fn at(
        stand: Stand,
        bobs_relay: &str,
        title: &str,
        teller: &mut Storyteller,
    ) -> anyhow::Result<Cast> {
        let alice = stand.player(alice(), &stand.url(), POCKET_MONEY).await?;
        let bob = stand.player(bob(), bobs_relay, POCKET_MONEY).await?;
        Cast::of(stand, [alice, bob], title, teller).await
    }

    /// The same with two who show nobody who they are.
    pub(super) async fn in_private(title: &str, teller: &mut Storyteller) -> anyhow::Result<Cast> {
        let stand = Stand::open(|_| (), teller).await?;
        let url = stand.url();
        let alice = stand.player(hidden(alice()), &url, POCKET_MONEY).await?;
        let bob = stand.player(hidden(bob()), &url, POCKET_MONEY).await?;
        Cast::of(stand, [alice, bob], title, teller).await
    }

    async fn of(
        stand: Stand,
        [alice, bob]: [Player; 2],
        title: &str,
        teller: &mut Storyteller,
    ) -> anyhow::Result<Cast> {
        let before = Purse::look(stand.sandbox()?).await?;
        teller.scenario(title, &before);
        Ok(Cast {
            alice,
            bob,
            stand,
            before,
        })
    }

    /// Nobody may have gained or lost a millisat.
    pub(super) async fn nothing_has_moved(&self, teller: &mut Storyteller) -> anyhow::Result<()> {
        self.count(teller).await?.check_unmoved()
    }

    /// Alice must have sold to Bob, once.
    pub(super) async fn alice_has_sold(
        &self,
        terms: &Terms,
        teller: &mut Storyteller,
    ) -> anyhow::Result<()> {
        self.count(teller).await?.check(true, terms)
    }

    /// Alice must have bought from Bob, once.
    pub(super) async fn alice_has_bought(
        &self,
        terms: &Terms,
        teller: &mut Storyteller,
    ) -> anyhow::Result<()> {
        self.count(teller).await?.check(false, terms)
    }

    async fn count(&self, teller: &mut Storyteller) -> anyhow::Result<Moves> {
        let after = Purse::look(self.stand.sandbox()?).await?;
        let moves = Moves::between(&self.before, &after);
        teller.counts(&after, &moves);
        Ok(moves)
    }

    /// Both hang up, and the box closes.
    pub(super) async fn leaves(mut self) -> anyhow::Result<()> {
        self.alice.trader.hang_up().await;
        self.bob.trader.hang_up().await;
        self.stand.closes().await?;
        Ok(())
    }
}

impl Stand {
    /// Opens a box on free ports, in a folder of its own.
    pub(super) async fn open(
        differ: impl FnOnce(&mut Settings),
        teller: &mut Storyteller,
    ) -> anyhow::Result<Stand> {
        let began = Instant::now();
        let stand = Box::pin(Site::new(differ)?.open()).await?;
        teller.opens(
            &stand.url(),
            stand.node.public_key(),
            stand.site.folder(),
            began.elapsed(),
        );
        Ok(stand)
    }

    /// Where traders reach the box.
    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.node.relay_address())
    }

    pub(super) fn sandbox(&self) -> anyhow::Result<&Sandbox> {
        self.node.sandbox().context("the box has no sandbox")
    }

    /// A trade of so many sats, at the box's fee.
    pub(super) fn terms(&self, sats: u64) -> Terms {
        let sats = Sats(sats);
        Terms {
            sats,
            fee: fee_per_side(self.site.settings.mostro.fee, sats),
            by_the_book: true,
        }
    }

    /// A trader who watches all that is public, with so much more in his wallet.
    async fn player(&self, persona: Persona, relay: &str, sats: Sats) -> anyhow::Result<Player> {
        let wallet = Wallet::funded(self.sandbox()?, &persona.name, sats).await?;
        let mut trader = Trader::join(persona, relay, self.node.public_key()).await?;
        trader.watch_book().await?;
        trader.watch_notices().await?;
        Ok(Player { trader, wallet })
    }

    /// Alice, who has lost all but her seed and her money.
    pub(super) async fn alice_anew(&self) -> anyhow::Result<Player> {
        self.player(alice(), &self.url(), Sats(0)).await
    }

    /// Somebody who judges or commands and does not trade.
    pub(super) async fn official(&self, name: &str) -> anyhow::Result<Player> {
        let persona = hidden(Persona::new(name, [9; 32], Transport::Direct));
        self.player(persona, &self.url(), Sats(0)).await
    }

    /// The box is stopped in good order.
    pub(super) async fn closes(self) -> anyhow::Result<Site> {
        self.node.stop().await?;
        Ok(self.site)
    }

    /// The box ends in the middle of whatever it does: nothing is finished,
    /// closed or said. A process that ends takes its connections with it;
    /// here it is the traders who have to let go of theirs.
    pub(super) async fn dies(self, traders: [&mut Seat<'_>; 2]) -> Site {
        drop(self.node);
        for trader in traders {
            trader.goes_away().await;
        }
        self.site
    }
}

impl Site {
    /// A folder for a box with settings that `differ` from the usual ones.
    pub(super) fn new(differ: impl FnOnce(&mut Settings)) -> anyhow::Result<Site> {
        let folder = tempfile::tempdir().context("there is no temporary folder")?;
        let mut settings = Settings::default();
        settings.node.data_dir = folder.path().join("data");
        settings.relay.listen.set_port(0);
        settings.sandbox.listen.set_port(0);
        differ(&mut settings);
        Ok(Site {
            settings,
            _folder: folder,
        })
    }

    /// Starts the box on whatever is there.
    pub(super) async fn open(self) -> anyhow::Result<Stand> {
        let node = Node::start(self.settings.clone()).await?;
        Ok(Stand { node, site: self })
    }

    /// Starts the box where it was before.
    pub(super) async fn open_at(mut self, relay: SocketAddr) -> anyhow::Result<Stand> {
        self.settings.relay.listen = relay;
        self.open().await
    }

    /// Where its data are.
    pub(super) fn folder(&self) -> &Path {
        &self.settings.node.data_dir
    }
}

fn alice() -> Persona {
    Persona::new("alice", [1; 32], Transport::Direct)
}

fn bob() -> Persona {
    Persona::new("bob", [2; 32], Transport::Direct)
}

fn hidden(persona: Persona) -> Persona {
    Persona {
        full_privacy: true,
        ..persona
    }
}

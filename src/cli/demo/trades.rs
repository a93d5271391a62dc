//! Three trades that go well, one for each way in which traders may speak.

use escrow_core::wire::Transport;

use super::cast::Cast;
use super::purse::{Moves, Purse};
use super::storyteller::Storyteller;
use crate::trader::deal::{self, Terms};

const TITLE: &str = "trades: three that go well";

/// One of the trades that are shown.
struct Act {
    title: &'static str,
    sats: u64,
    maker: Transport,
    taker: Transport,
    maker_sells: bool,
}

const ACTS: [Act; 3] = [
    Act {
        title: "alice sells to bob; both speak kind 14",
        sats: 100_000,
        maker: Transport::Direct,
        taker: Transport::Direct,
        maker_sells: true,
    },
    Act {
        title: "alice buys from bob; both speak gift wrap",
        sats: 7_851,
        maker: Transport::GiftWrap,
        taker: Transport::GiftWrap,
        maker_sells: false,
    },
    Act {
        title: "alice sells to bob; she speaks gift wrap, he kind 14",
        sats: 50_000,
        maker: Transport::GiftWrap,
        taker: Transport::Direct,
        maker_sells: true,
    },
];

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    for (number, act) in (1..).zip(&ACTS) {
        let terms = cast.stand.terms(act.sats);
        act.play(number, &terms, &mut cast, teller).await?;
    }
    cast.leaves().await
}

impl Act {
    async fn play(
        &self,
        number: usize,
        terms: &Terms,
        cast: &mut Cast,
        teller: &mut Storyteller,
    ) -> anyhow::Result<()> {
        let Cast {
            alice, bob, stand, ..
        } = cast;
        let before = Purse::look(stand.sandbox()?).await?;
        teller.begins(number, ACTS.len(), self.title, terms, &before);
        alice.trader.speaks(self.maker);
        bob.trader.speaks(self.taker);
        if self.maker_sells {
            deal::sell(alice, bob, terms, teller).await?;
        } else {
            deal::buy(alice, bob, terms, teller).await?;
        }
        let after = Purse::look(stand.sandbox()?).await?;
        let moves = Moves::between(&before, &after);
        teller.counts(&after, &moves);
        moves.check(self.maker_sells, terms)
    }
}

//! What traders ask for besides whole trades: takes at the market's price
//! against takes of fixed ones, by turns in one box, and sessions that are
//! restored by somebody who has many orders.

use std::path::Path;

use anyhow::{Context, ensure};
use escrow_core::amount::{Fiat, Sats};
use escrow_core::wire::{Action, OrderKind, Payload, Transport};
use sha2::{Digest, Sha256};

use super::Listener;
use super::times::Times;
use super::trades;
use crate::node::Node;
use crate::trader::{Ask, Asking, Offer, Persona, Trader};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct AskingScale {
    /// Takes of each kind.
    pub takes: usize,
    /// Orders of the one who restores.
    pub orders: usize,
    /// How often he does.
    pub restores: usize,
}

impl AskingScale {
    /// As much as is promised.
    pub const FULL: AskingScale = AskingScale {
        takes: 200,
        orders: 1_000,
        restores: 100,
    };
    /// Some of it.
    pub const QUICK: AskingScale = AskingScale {
        takes: 50,
        orders: 200,
        restores: 30,
    };
}

/// What traders have waited for, from sending to the answer.
#[derive(Debug, Default)]
pub struct AskingTimes {
    /// Takes of offers with fixed sats.
    pub fixed: Times,
    /// Takes of offers at the market's price.
    pub market: Times,
    /// Orders of the one who restores.
    pub orders: usize,
    /// Sessions restored.
    pub restored: Times,
}

/// Opens a box, and asks.
///
/// # Errors
/// If anything fails, or is answered otherwise than it must be.
pub async fn measure(
    folder: &Path,
    scale: AskingScale,
    listener: &mut dyn Listener,
) -> anyhow::Result<AskingTimes> {
    let mut settings = trades::box_settings(folder);
    settings.limits.pending_orders_per_identity = scale.orders.max(2);
    let node = Node::start(settings).await?;
    let mut times = AskingTimes {
        orders: scale.orders,
        ..AskingTimes::default()
    };
    listener.begins(&format!("{} takes of each kind", scale.takes));
    takes(&node, scale.takes, &mut times).await?;
    listener.begins(&format!("an identity with {} orders", scale.orders));
    restores(&node, scale, &mut times.restored).await?;
    node.stop().await?;
    Ok(times)
}

/// A dollar is 2,000 sats in the table of a simulated box.
const FIXED: Asking = Asking::Fixed {
    sats: Sats(20_000),
    fiat: Fiat(10),
};
const MARKET: Asking = Asking::Market {
    fiat: Fiat(10),
    premium: 0,
};

async fn takes(node: &Node, rounds: usize, times: &mut AskingTimes) -> anyhow::Result<()> {
    let mut maker = trader(node, "maker").await?;
    let mut taker = trader(node, "taker").await?;
    for _ in 0..rounds {
        for (price, spent) in [(FIXED, &mut times.fixed), (MARKET, &mut times.market)] {
            let mut made = maker.new_trade().await?;
            maker.offers(&mut made, &offer(price)).await?;
            let order = made.order.context("the offer has no name")?;
            let mut take = taker.new_trade().await?;
            let answered = taker.takes_sell(&mut take, order, None).await?;
            spent.add(answered.answered_after);
            taker.cancels(&take).await?;
            maker.cancels(&made).await?;
            taker.forget(&take).await?;
            maker.forget(&made).await?;
        }
    }
    maker.hang_up().await;
    taker.hang_up().await;
    Ok(())
}

async fn restores(node: &Node, scale: AskingScale, times: &mut Times) -> anyhow::Result<()> {
    let mut busy = trader(node, "busy").await?;
    for _ in 0..scale.orders {
        let mut made = busy.new_trade().await?;
        busy.offers(&mut made, &offer(FIXED)).await?;
        busy.forget(&made).await?;
    }
    let desk = busy.follow(1).await?;
    for _ in 0..scale.restores {
        let ask = Ask::about(Action::RestoreSession, None);
        let answered = busy.asks(&desk, ask, Action::RestoreSession).await?;
        times.add(answered.answered_after);
        let Some(Payload::RestoreData(found)) = &answered.heard.message.payload else {
            anyhow::bail!("nothing is restored: {}", answered.heard.json);
        };
        ensure!(!found.orders.is_empty(), "no order is restored");
    }
    busy.hang_up().await;
    Ok(())
}

async fn trader(node: &Node, name: &str) -> anyhow::Result<Trader> {
    let seed = Sha256::digest(name).into();
    let persona = Persona::new(name, seed, Transport::Direct);
    Ok(Trader::join(persona, node.url(), node.public_key()).await?)
}

fn offer(price: Asking) -> Offer {
    Offer {
        kind: OrderKind::Sell,
        price,
        fiat_code: "USD".into(),
        payment_method: "cash".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Finding;

    struct Nobody;

    impl Listener for Nobody {
        fn begins(&mut self, _: &str) {}
        fn hears(&mut self, _: &Finding) {}
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_kind_is_taken_as_often_and_a_session_is_restored() {
        let folder = tempfile::tempdir().unwrap();
        let scale = AskingScale {
            takes: 2,
            orders: 3,
            restores: 4,
        };
        let times = measure(folder.path(), scale, &mut Nobody).await.unwrap();
        let counts = [&times.fixed, &times.market, &times.restored].map(Times::count);
        assert_eq!(counts, [2, 2, 4]);
        let json = Finding::Asking(times).to_json();
        assert_eq!(json["restored"]["count"], 4);
    }
}

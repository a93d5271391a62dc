//! A trader who has lost all but her keys, in mid-trade.

use anyhow::{bail, ensure};
use escrow_core::wire::{Action, BookStatus, CantDo, OrderKind, Payload, RestoreData, Status};
use uuid::Uuid;

use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::trader::deal::{self, Player, Terms};
use crate::trader::{Ask, Heard, Seat, Trade};

const TITLE: &str = "restore: a phone that is lost in mid-trade";

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    let terms = cast.stand.terms(80_000);
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;

    teller.narrates("Alice has sold to Bob, who says that the fiat is sent, and offers more.");
    let order = deal::strike(&mut alice, &mut bob, &terms, teller).await?;
    deal::fund(&mut alice, &mut bob, &terms, teller).await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;
    alice.leaves().await?;
    let mut alice = Seat::new(&mut cast.alice).await?;
    let other = alice.offers(OrderKind::Sell, &terms, teller).await?;
    alice.leaves().await?;

    teller.narrates(
        "Then her phone falls into the sea. All that her new one has is her seed. It asks with \
         her first key, as phones do, and the box tells what she has: by her identity, without \
         writing anything down.",
    );
    let bobs_key = bob.trade().keys.public_key().to_hex();
    cast.alice.trader.hang_up().await;
    cast.alice = cast.stand.alice_anew().await?;
    let found = asks_what_she_has(&mut cast.alice, teller).await?;
    let told: Vec<_> = found
        .orders
        .iter()
        .map(|order| (order.order_id, order.trade_index, order.status))
        .collect();
    let expected = [(order, 1, Status::FiatSent), (other, 2, Status::Pending)];
    ensure!(
        told.len() == 2 && expected.iter().all(|known| told.contains(known)),
        "Alice is told of {told:?} and not of {expected:?}"
    );
    let peers = found.orders.iter().filter_map(|order| {
        let peer = order.counterparty_trade_pubkey.as_deref();
        peer.map(|peer| (order.order_id, peer))
    });
    ensure!(
        peers.eq([(order, &*bobs_key)]),
        "Alice is not told with which key she trades"
    );
    teller.checks("she is told of both orders, where they stand, and of Bob's key");
    learns_the_rest(&mut cast.alice, [order, other], teller).await?;
    moves_her_offer(&mut cast.alice, other, teller).await?;

    teller.narrates("And with the key of the trade itself she brings it to its end.");
    let trade = cast.alice.trader.follow(1).await?;
    let alice = Seat::at(&mut cast.alice, of(trade, order));
    the_trade_ends(alice, bob, &terms, teller).await?;
    cast.alice_has_sold(&terms, teller).await?;
    cast.leaves().await
}

/// She asks twice with one event, as a phone on a bad line does, and is
/// answered once (rule G2).
async fn asks_what_she_has(
    alice: &mut Player,
    teller: &mut Storyteller,
) -> anyhow::Result<RestoreData> {
    let first = alice.trader.follow(1).await?;
    let mut alice = Seat::at(alice, first);
    let ask = Ask::about(Action::RestoreSession, None);
    let trade = alice.trade().clone();
    let event = alice.trader().wrap(&trade, &ask, None)?;
    let verdict = alice.trader().publish(&event).await?;
    ensure!(
        verdict.taken && verdict.text.is_empty(),
        "a question is answered with {verdict:?}"
    );
    let heard = alice.hears(Action::RestoreSession, teller).await?;
    let verdict = alice.trader().publish(&event).await?;
    ensure!(
        verdict.taken && verdict.text.starts_with("duplicate:"),
        "a copy of a question is answered with {verdict:?}"
    );
    teller.checks("a copy of the question is a duplicate, and has no other answer");
    alice.leaves().await?;
    let Some(Payload::RestoreData(found)) = heard.message.payload else {
        bail!("nothing is restored: {}", heard.json);
    };
    Ok(found)
}

/// The highest index she has used, her orders in full, and what she is worth.
async fn learns_the_rest(
    alice: &mut Player,
    orders: [Uuid; 2],
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let first = alice.trader.follow(1).await?;
    let mut alice = Seat::at(alice, first);
    let ask = Ask::for_orders(&orders);
    let heard = alice.asks(ask, Action::Orders, teller).await?;
    let Some(Payload::Orders(shown)) = &heard.message.payload else {
        bail!("no orders are shown: {}", heard.json);
    };
    let ids: Vec<_> = shown.iter().filter_map(|order| order.id).collect();
    ensure!(ids == orders, "other orders are shown: {}", heard.json);
    let ask = Ask::about(Action::LastTradeIndex, None);
    let heard = alice.asks(ask, Action::LastTradeIndex, teller).await?;
    let index = heard.message.trade_index;
    ensure!(index == Some(2), "her last index is {index:?} and not 2");
    let ask = Ask::about(Action::UserInfo, None);
    let heard = alice.asks(ask, Action::UserInfo, teller).await?;
    nobody_has_rated_her(&heard)?;
    teller.checks("her last index is 2, and nobody has rated her");
    Ok(alice.leaves().await?)
}

fn nobody_has_rated_her(heard: &Heard) -> anyhow::Result<()> {
    let Some(Payload::UserInfo(info)) = heard.message.payload else {
        bail!("her reputation is not told: {}", heard.json);
    };
    ensure!(
        info.reviews == 0,
        "she was never rated, and has {}",
        info.reviews
    );
    Ok(())
}

/// The key of an untaken offer may be lost, too: it moves to a fresh one, and
/// the old one means nothing from there on (rule L7).
async fn moves_her_offer(
    alice: &mut Player,
    offer: Uuid,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates("Her other offer she moves to a fresh key. The old one commands no more.");
    let fresh = alice.trader.follow(3).await?;
    let mut moved = Seat::at(alice, of(fresh, offer));
    let ask = Ask::about(Action::TradePubkey, Some(offer));
    moved.asks(ask, Action::TradePubkey, teller).await?;
    moved.leaves().await?;
    let old = alice.trader.follow(2).await?;
    let mut before = Seat::at(alice, of(old, offer));
    before
        .is_refused(Action::Cancel, CantDo::IsNotYourOrder, teller)
        .await?;
    before.leaves().await?;
    let fresh = alice.trader.follow(3).await?;
    let mut moved = Seat::at(alice, of(fresh, offer));
    moved.cancels(Action::Canceled, teller).await?;
    moved.sees(offer, BookStatus::Canceled, teller).await?;
    Ok(moved.leaves().await?)
}

async fn the_trade_ends(
    mut alice: Seat<'_>,
    mut bob: Seat<'_>,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    deal::release(&mut alice, &mut bob, None, teller).await?;
    deal::part(alice, bob, terms, teller).await?;
    Ok(())
}

fn of(trade: Trade, order: Uuid) -> Trade {
    Trade {
        order: Some(order),
        ..trade
    }
}

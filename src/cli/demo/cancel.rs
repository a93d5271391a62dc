//! Makers and takers who change their minds before any sat is locked.

use anyhow::ensure;
use escrow_core::wire::{Action, BookStatus, OrderKind};
use nostr::event::Event;

use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::trader::Seat;
use crate::trader::deal::{self, Terms};

const TITLE: &str = "cancel: changing one's mind before any sat is locked";

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    let terms = cast.stand.terms(20_000);
    nobody_has_taken_it(&mut cast, &terms, teller).await?;
    the_taker_leaves(&mut cast, &terms, teller).await?;
    the_maker_leaves(&mut cast, &terms, teller).await?;
    cast.nothing_has_moved(teller).await?;
    cast.leaves().await
}

async fn nobody_has_taken_it(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates("Alice offers to sell and takes her offer back. Nobody has taken it.");
    let mut alice = Seat::new(&mut cast.alice).await?;
    let order = alice.offers(OrderKind::Sell, terms, teller).await?;
    alice.cancels(Action::Canceled, teller).await?;
    alice.sees(order, BookStatus::Canceled, teller).await?;
    Ok(alice.leaves().await?)
}

async fn the_taker_leaves(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates(
        "Alice offers again and Bob takes it, but he leaves before he gives an invoice. \
         The order must be back in the book exactly as Alice offered it.",
    );
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    let order = alice.offers(OrderKind::Sell, terms, teller).await?;
    bob.finds(order, terms, teller).await?;
    let offered = bob.newest_revision(order).cloned();
    bob.takes_sell(order, None, terms, teller).await?;
    alice.hears(Action::WaitingBuyerInvoice, teller).await?;
    bob.sees(order, BookStatus::InProgress, teller).await?;
    bob.cancels(Action::Canceled, teller).await?;
    alice.hears(Action::NewOrder, teller).await?;
    bob.sees(order, BookStatus::Pending, teller).await?;
    must_be_as_offered(offered.as_ref(), bob.newest_revision(order), teller)?;
    bob.leaves().await?;

    teller.narrates("So somebody else could take it; nobody does, and Alice takes it back.");
    alice.cancels(Action::Canceled, teller).await?;
    alice.sees(order, BookStatus::Canceled, teller).await?;
    Ok(alice.leaves().await?)
}

async fn the_maker_leaves(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates("Bob takes a third offer, and this time Alice is the one who leaves.");
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    let order = deal::strike(&mut alice, &mut bob, terms, teller).await?;
    alice.cancels(Action::Canceled, teller).await?;
    bob.hears(Action::Canceled, teller).await?;
    bob.sees(order, BookStatus::Canceled, teller).await?;
    alice.leaves().await?;
    Ok(bob.leaves().await?)
}

/// An order that is back in the book says what it said at first, with a newer
/// stamp (rules S5, S7).
pub(super) fn must_be_as_offered(
    offered: Option<&Event>,
    back: Option<&Event>,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let (Some(offered), Some(back)) = (offered, back) else {
        anyhow::bail!("the order is not in the book");
    };
    ensure!(
        offered.tags == back.tags && offered.content == back.content,
        "the order is back as {:?}, but was offered as {:?}",
        back.tags,
        offered.tags
    );
    ensure!(
        back.created_at > offered.created_at,
        "clients keep the older of two revisions with the same stamp"
    );
    teller.checks("the order in the book says word for word what it said at first");
    Ok(())
}

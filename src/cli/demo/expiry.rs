//! A buyer who is too slow, and an offer that nobody takes.

use std::time::Duration;

use escrow_core::wire::{Action, BookStatus, OrderKind};
use escrow_engine::clock::{Clock, SystemClock};

use super::cancel::must_be_as_offered;
use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::settings::Settings;
use crate::trader::Seat;
use crate::trader::deal::Terms;

const TITLE: &str = "expiry: time that runs out";

/// A waiting step of the box, so short that people can watch it end; the
/// settings file of a box takes no less than two minutes.
const STEP: Duration = Duration::from_secs(2);

/// How long the offer stands that nobody takes: makers choose this themselves.
const OFFER_SECS: u64 = 2;

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let hasty = |settings: &mut Settings| settings.mostro.expiration_seconds = STEP;
    let mut cast = Cast::gather(TITLE, hasty, teller).await?;
    let terms = cast.stand.terms(30_000);
    teller.narrates(
        "The clock is the real one. So that you need not wait, whoever has to act has 2 s in this \
         box. Usual are 15 min (mostro.expiration_seconds), and a box takes no less than 2 min.",
    );
    a_buyer_is_late(&mut cast, &terms, teller).await?;
    nobody_comes(&mut cast, &terms, teller).await?;
    cast.nothing_has_moved(teller).await?;
    cast.leaves().await
}

async fn a_buyer_is_late(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates(
        "Bob takes Alice's offer and gives no invoice. His time runs out: he is out, \
         and the order is back in the book.",
    );
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    let order = alice.offers(OrderKind::Sell, terms, teller).await?;
    bob.finds(order, terms, teller).await?;
    let offered = bob.newest_revision(order).cloned();
    bob.takes_sell(order, None, terms, teller).await?;
    alice.hears(Action::WaitingBuyerInvoice, teller).await?;
    bob.hears(Action::Canceled, teller).await?;
    alice.hears(Action::NewOrder, teller).await?;
    bob.sees(order, BookStatus::Pending, teller).await?;
    must_be_as_offered(offered.as_ref(), bob.newest_revision(order), teller)?;
    alice.cancels(Action::Canceled, teller).await?;
    alice.leaves().await?;
    Ok(bob.leaves().await?)
}

async fn nobody_comes(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates(
        "Alice's next offer shall stand for 2 s. Nobody takes it: it leaves the book, \
         and she is told.",
    );
    let mut alice = Seat::new(&mut cast.alice).await?;
    let until = SystemClock.now().plus(OFFER_SECS);
    let order = alice
        .offers_until(Some(until), OrderKind::Sell, terms, teller)
        .await?;
    alice.sees(order, BookStatus::Pending, teller).await?;
    alice.hears(Action::Canceled, teller).await?;
    alice.sees(order, BookStatus::Canceled, teller).await?;
    Ok(alice.leaves().await?)
}

//! A range that is sold in parts, until nothing is left.

use anyhow::Context;
use escrow_core::amount::{Fiat, Sats};
use escrow_core::wire::{Action, BookStatus, CantDo, OrderKind};
use uuid::Uuid;

use super::cancel::must_be_as_offered;
use super::cast::Cast;
use super::public::book_says;
use super::storyteller::Storyteller;
use crate::trader::deal::{self, Player, Terms};
use crate::trader::{Ask, Asking, Offer, Seat};

const TITLE: &str = "range: an offer that is sold in parts";

/// 1 USD at 50,000 USD per bitcoin, less a premium of 2 % (rule F4).
const SATS_PER_USD: u64 = 1_960;

/// What Bob takes, one part after the other, and what the book says of the
/// rest.
const PARTS: [(u64, &[&str]); 3] = [(50, &["10", "50"]), (40, &["10"]), (10, &[])];

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    teller.narrates(
        "Alice sells for 10 to 100 USD at the market's price, a bitcoin being 50,000 USD, with a \
         premium of 2 %. Who takes it says how much of it.",
    );
    let mut alice = Seat::new(&mut cast.alice).await?;
    let order = alice.offers_so(&offer(), None, teller).await?;
    alice.sees(order, BookStatus::Pending, teller).await?;
    let offered = [
        ("fa", &["10", "100"][..]),
        ("amt", &["0"]),
        ("premium", &["2"]),
    ];
    book_says(order, &alice, &offered, teller)?;
    let terms = PARTS.map(|(part, _)| cast.stand.terms(part * SATS_PER_USD));
    let [half, ..] = &terms;
    a_part_comes_back(&mut alice, &mut cast.bob, order, half, teller).await?;
    for ((part, rest), terms) in PARTS.into_iter().zip(&terms) {
        sells(&mut alice, &mut cast.bob, (part, rest), terms, teller).await?;
    }
    alice.leaves().await?;
    teller.checks("three trades have sold the range, and nothing is left of it");
    let sum = |of: fn(&Terms) -> Sats| Sats(terms.iter().map(|terms| of(terms).0).sum());
    let in_all = Terms {
        sats: sum(|terms| terms.sats),
        fee: sum(|terms| terms.fee),
        by_the_book: true,
    };
    cast.alice_has_sold(&in_all, teller).await?;
    cast.leaves().await
}

/// A take that comes to nothing takes nothing from the range (rule S7).
async fn a_part_comes_back(
    alice: &mut Seat<'_>,
    bob: &mut Player,
    order: Uuid,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates("For 101 USD Bob cannot take it. He takes 50 USD of it, and leaves again.");
    let mut bob = Seat::new(bob).await?;
    bob.finds(order, terms, teller).await?;
    let offered = bob.newest_revision(order).cloned();
    let too_much = Ask::about(Action::TakeSell, Some(order))
        .with_index()
        .of_range(Some(Fiat(101)));
    bob.asks_in_vain(too_much, CantDo::OutOfRangeSatsAmount, teller)
        .await?;
    let half = (order, Some(Fiat(50)));
    deal::take(alice, &mut bob, half, terms, teller).await?;
    bob.sees(order, BookStatus::InProgress, teller).await?;
    book_says(order, &bob, &[("fa", &["50"]), ("amt", &["98000"])], teller)?;
    bob.cancels(Action::Canceled, teller).await?;
    alice.hears(Action::NewOrder, teller).await?;
    bob.sees(order, BookStatus::Pending, teller).await?;
    must_be_as_offered(offered.as_ref(), bob.newest_revision(order), teller)?;
    Ok(bob.leaves().await?)
}

/// Bob takes a part of what Alice has on offer, and she goes on with the rest.
async fn sells(
    alice: &mut Seat<'_>,
    bob: &mut Player,
    (part, rest): (u64, &[&str]),
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates(&format!(
        "Bob takes {part} USD of it. When Alice releases, she names a fresh key for the rest."
    ));
    let order = alice.trade().order.context("there is no order")?;
    let mut bob = Seat::new(bob).await?;
    // What is left of a range in the end is an offer like others.
    let chosen = (part != 10).then_some(Fiat(part));
    bob.takes_sell(order, chosen, terms, teller).await?;
    alice.hears(Action::WaitingBuyerInvoice, teller).await?;
    deal::fund(alice, &mut bob, terms, teller).await?;
    deal::pay_fiat(alice, &mut bob, teller).await?;
    let next = alice.prepares_the_next().await?;
    deal::release(alice, &mut bob, Some(&next), teller).await?;
    alice.rates(5, teller).await?;
    bob.rates(5, teller).await?;
    bob.sees(order, BookStatus::Success, teller).await?;
    bob.leaves().await?;
    alice.turns_to(next).await?;
    if rest.is_empty() {
        return Ok(());
    }
    alice.inherits(teller).await?;
    let order = alice.trade().order.context("there is no order")?;
    alice.sees(order, BookStatus::Pending, teller).await?;
    let left = [("fa", rest), ("amt", &["0"]), ("premium", &["2"])];
    book_says(order, alice, &left, teller)
}

fn offer() -> Offer {
    Offer {
        kind: OrderKind::Sell,
        price: Asking::Range {
            min: Fiat(10),
            max: Fiat(100),
            premium: 2,
        },
        fiat_code: "USD".into(),
        payment_method: "cash".into(),
    }
}

//! Two who rate each other, and what others see of it.

use anyhow::{bail, ensure};
use escrow_core::wire::{Action, BookStatus, CantDo, Payload};
use uuid::Uuid;

use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::trader::deal::{self, Terms};
use crate::trader::{Ask, Heard, Seat};

const TITLE: &str = "rating: what a trader is worth to others";

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    let terms = cast.stand.terms(15_000);

    teller.narrates(
        "Alice sells to Bob. Each may rate the other once, with one to five stars; the first \
         vote counts half.",
    );
    first_trade(&mut cast, &terms, teller).await?;
    teller.narrates(
        "In her next offer everybody sees what Alice is worth, and before she pays she hears \
         what Bob is.",
    );
    second_trade(&mut cast, &terms, teller).await?;

    let twice = cast.stand.terms(30_000);
    cast.alice_has_sold(&twice, teller).await?;
    cast.leaves().await
}

async fn first_trade(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let mut carol = cast.stand.official("carol").await?;
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    let mut carol = Seat::new(&mut carol).await?;
    let order = deal::strike(&mut alice, &mut bob, terms, teller).await?;
    deal::fund(&mut alice, &mut bob, terms, teller).await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;
    deal::release(&mut alice, &mut bob, None, teller).await?;
    bob.sees(order, BookStatus::Success, teller).await?;

    let stars = |stars| Ask::about(Action::RateUser, Some(order)).with(Payload::RatingUser(stars));
    let refused = CantDo::InvalidRating;
    bob.asks_in_vain(stars(6), refused, teller).await?;
    carol
        .asks_in_vain(stars(1), CantDo::InvalidPubkey, teller)
        .await?;
    bob.rates(4, teller).await?;
    bob.asks_in_vain(stars(5), refused, teller).await?;
    alice.rates(5, teller).await?;
    let (alices, bobs) = (key(&alice), key(&bob));
    reads(&mut carol, &alices, ["1", "2", "4", "4", "4"], teller).await?;
    reads(&mut carol, &bobs, ["1", "2.5", "5", "5", "5"], teller).await?;
    for seat in [alice, bob, carol] {
        seat.leaves().await?;
    }
    Ok(())
}

async fn second_trade(
    cast: &mut Cast,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    let order = deal::strike(&mut alice, &mut bob, terms, teller).await?;
    the_offer_shows_it(&bob, order, teller)?;
    bob.adds_invoice(terms, Action::WaitingSellerToPay, teller)
        .await?;
    let told = alice.hears(Action::PayInvoice, teller).await?;
    must_be_worth(&told, 2.5, 1)?;
    let request = alice.hears(Action::PayInvoice, teller).await?;
    alice.pays(&request, terms, teller).await?;
    alice.hears(Action::BuyerTookOrder, teller).await?;
    bob.hears(Action::HoldInvoicePaymentAccepted, teller)
        .await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;
    deal::release(&mut alice, &mut bob, None, teller).await?;
    bob.sees(order, BookStatus::Success, teller).await?;
    bob.rates(5, teller).await?;
    let alices = key(&alice);
    // (5 - 2) / 2 more than before (rule K5).
    reads(&mut bob, &alices, ["2", "3.5", "5", "5", "4"], teller).await?;
    alice.leaves().await?;
    Ok(bob.leaves().await?)
}

/// Rule K3: the vote is public when it is answered, under the rated trade key.
async fn reads(
    reader: &mut Seat<'_>,
    rated: &str,
    [reviews, total, last, max, min]: [&str; 5],
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let says = [
        ("total_reviews", reviews),
        ("total_rating", total),
        ("last_rating", last),
        ("max_rate", max),
        ("min_rate", min),
        ("z", "rating"),
    ];
    reader.trader().reads_notice(rated, &says).await?;
    teller.checks(&format!(
        "everybody reads: {total} stars from {reviews} vote(s), the last of them {last}"
    ));
    Ok(())
}

fn the_offer_shows_it(
    reader: &Seat<'_>,
    order: Uuid,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let shown = r#""total_rating":2.0,"total_reviews":1"#;
    let offered = reader.revisions(order).iter().any(|event| {
        let mut tags = event.tags.iter();
        tags.any(|tag| tag.as_slice().iter().any(|said| said.contains(shown)))
    });
    ensure!(offered, "her offer does not say {shown}");
    teller.checks("her offer says that she has 2 stars from 1 vote");
    Ok(())
}

fn must_be_worth(told: &Heard, rating: f64, reviews: i64) -> anyhow::Result<()> {
    let Some(Payload::Peer(peer)) = &told.message.payload else {
        bail!("Bob's reputation is not told: {}", told.json);
    };
    let known = peer.reputation.map(|info| (info.rating, info.reviews));
    ensure!(
        known == Some((rating, reviews)),
        "Bob is worth {known:?} and not {rating} of {reviews}"
    );
    Ok(())
}

fn key(seat: &Seat<'_>) -> String {
    seat.trade().keys.public_key().to_hex()
}

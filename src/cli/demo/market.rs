//! Sats as the market gives them at the moment of the take.

use escrow_core::amount::Fiat;
use escrow_core::wire::{Action, BookStatus, CantDo, OrderKind};
use uuid::Uuid;

use super::cancel::must_be_as_offered;
use super::cast::Cast;
use super::public::book_says;
use super::storyteller::Storyteller;
use crate::trader::deal::{self, Terms};
use crate::trader::{Ask, Asking, Offer, Seat};

const TITLE: &str = "market: sats as the market gives them";

/// 100 EUR at 45,000 EUR per bitcoin are 222,222.2 sat; 5 % less are 211,111
/// (rule F4).
const SATS: u64 = 211_111;

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    let terms = cast.stand.terms(SATS);
    let mut alice = Seat::new(&mut cast.alice).await?;

    teller.narrates(
        "A box with simulated money has simulated prices: a bitcoin is 45,000 EUR. What makes no \
         sense at this price is refused, and so is a currency that nobody quotes.",
    );
    for (offer, reason) in [
        (buys(1_000, "EUR", 5), CantDo::OutOfRangeSatsAmount),
        (buys(1, "EUR", 100), CantDo::OutOfRangeSatsAmount),
        (buys(100, "XYZ", 0), CantDo::InvalidFiatCurrency),
    ] {
        let ask = Ask::offering(&offer);
        alice.asks_in_vain(ask, reason, teller).await?;
    }

    teller.narrates(
        "Alice buys for 100 EUR, with a premium of 5 %: that much fewer sats. How many they are \
         is not said before somebody takes the offer.",
    );
    let offer = buys(100, "EUR", 5);
    let order = alice.offers_so(&offer, None, teller).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    bob.finds(order, &terms, teller).await?;
    let offered = [
        ("f", &["EUR"][..]),
        ("fa", &["100"]),
        ("amt", &["0"]),
        ("premium", &["5"]),
    ];
    book_says(order, &bob, &offered, teller)?;
    a_taker_leaves(&mut alice, &mut bob, order, teller).await?;
    bob.leaves().await?;

    teller.narrates("Bob thinks again, takes it anew, and the trade is made.");
    let mut bob = Seat::new(&mut cast.bob).await?;
    sells(&mut alice, &mut bob, order, &terms, teller).await?;
    deal::ends(bob, alice, &terms, teller).await?;
    cast.alice_has_bought(&terms, teller).await?;
    cast.leaves().await
}

/// The price is fixed by a take, and forgotten when the take ends.
async fn a_taker_leaves(
    alice: &mut Seat<'_>,
    bob: &mut Seat<'_>,
    order: Uuid,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let offered = bob.newest_revision(order).cloned();
    teller.narrates("Bob takes it, which fixes the sats, and leaves before he has paid them.");
    bob.takes_buy(order, None, teller).await?;
    alice.hears(Action::WaitingSellerToPay, teller).await?;
    bob.sees(order, BookStatus::InProgress, teller).await?;
    book_says(order, bob, &[("amt", &["211111"])], teller)?;
    bob.cancels(Action::Canceled, teller).await?;
    alice.hears(Action::NewOrder, teller).await?;
    bob.sees(order, BookStatus::Pending, teller).await?;
    must_be_as_offered(offered.as_ref(), bob.newest_revision(order), teller)
}

/// Bob sells to Alice, whose sats were fixed by his take.
async fn sells(
    alice: &mut Seat<'_>,
    bob: &mut Seat<'_>,
    order: Uuid,
    terms: &Terms,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    deal::take_buy(alice, bob, order, terms, teller).await?;
    alice.sees(order, BookStatus::InProgress, teller).await?;
    book_says(order, alice, &[("amt", &["211111"])], teller)
}

fn buys(fiat: u64, fiat_code: &str, premium: i64) -> Offer {
    Offer {
        kind: OrderKind::Buy,
        price: Asking::Market {
            fiat: Fiat(fiat),
            premium,
        },
        fiat_code: fiat_code.into(),
        payment_method: "sepa".into(),
    }
}

//! Two who trade without showing who they are.

use anyhow::{bail, ensure};
use escrow_core::wire::{Action, BookStatus, CantDo, OrderKind, Payload, Transport};

use super::cast::Cast;
use super::public::book_says;
use super::storyteller::Storyteller;
use crate::trader::deal;
use crate::trader::{Ask, Seat};

const TITLE: &str = "privacy: a trade between nobody and nobody";

/// What an offer says of a maker who shows no identity.
const NOTHING_KNOWN: &str = r#"["rating",{"days":0,"total_rating":0.0,"total_reviews":0}]"#;

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::in_private(TITLE, teller).await?;
    let terms = cast.stand.terms(45_000);
    teller.narrates(
        "Alice and Bob sign with the key of their trade and with no other; she in gift wraps, \
         which do not even show that key. They trade and rate each other as everybody does.",
    );
    cast.alice.trader.speaks(Transport::GiftWrap);
    deal::sell(&mut cast.alice, &mut cast.bob, &terms, teller).await?;

    teller.narrates(
        "Nothing is remembered of whoever cannot be known again: no vote is shown, and Alice's \
         next offer says as little of her as her first.",
    );
    let mut alice = Seat::new(&mut cast.alice).await?;
    let order = alice.offers(OrderKind::Buy, &terms, teller).await?;
    alice.sees(order, BookStatus::Pending, teller).await?;
    book_says(order, &alice, &[("rating", &[NOTHING_KNOWN])], teller)?;
    ensure!(
        alice.trader().notices().is_empty(),
        "a reputation of nobody is shown"
    );
    teller.checks("no reputation of either was published");

    teller.narrates(
        "So she has no figures and no last index. The key of a trade finds that trade, and none \
         of her others.",
    );
    let ask = Ask::about(Action::UserInfo, None);
    alice
        .asks_in_vain(ask, CantDo::ReputationIdentityRequired, teller)
        .await?;
    let ask = Ask::about(Action::LastTradeIndex, None);
    alice.asks_in_vain(ask, CantDo::NotFound, teller).await?;
    let ask = Ask::about(Action::RestoreSession, None);
    let heard = alice.asks(ask, Action::RestoreSession, teller).await?;
    let Some(Payload::RestoreData(found)) = &heard.message.payload else {
        bail!("nothing is restored: {}", heard.json);
    };
    let ids: Vec<_> = found.orders.iter().map(|order| order.order_id).collect();
    ensure!(ids == [order], "other orders are found: {}", heard.json);
    alice.cancels(Action::Canceled, teller).await?;
    alice.sees(order, BookStatus::Canceled, teller).await?;
    alice.leaves().await?;
    cast.alice_has_sold(&terms, teller).await?;
    cast.leaves().await
}

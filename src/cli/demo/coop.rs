//! Two who call a trade off together, after the fiat was said to be sent.

use escrow_core::wire::{Action, BookStatus, CantDo};

use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::trader::Seat;
use crate::trader::deal;

const TITLE: &str = "coop: calling a trade off together";

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    let terms = cast.stand.terms(60_000);
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;

    teller.narrates("Alice sells, her sats are locked, and Bob says that the fiat is sent.");
    let order = deal::strike(&mut alice, &mut bob, &terms, teller).await?;
    deal::fund(&mut alice, &mut bob, &terms, teller).await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;

    teller.narrates("His bank sent it back. He asks to cancel; alone he cannot, not even twice.");
    bob.cancels(Action::CooperativeCancelInitiatedByYou, teller)
        .await?;
    alice
        .hears(Action::CooperativeCancelInitiatedByPeer, teller)
        .await?;
    bob.is_refused(Action::Cancel, CantDo::InvalidPubkey, teller)
        .await?;

    teller.narrates("Alice agrees, and her sats come back. Asking once more changes nothing.");
    alice
        .cancels(Action::CooperativeCancelAccepted, teller)
        .await?;
    bob.hears(Action::CooperativeCancelAccepted, teller).await?;
    alice.sees(order, BookStatus::Canceled, teller).await?;
    alice
        .is_refused(Action::Cancel, CantDo::OrderAlreadyCanceled, teller)
        .await?;
    alice.leaves().await?;
    bob.leaves().await?;
    cast.nothing_has_moved(teller).await?;
    cast.leaves().await
}

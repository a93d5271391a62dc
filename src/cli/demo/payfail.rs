//! A payout that fails until the buyer gives another invoice.

use std::time::Duration;

use anyhow::{bail, ensure};
use escrow_core::wire::{Action, Payload};
use escrow_lightning::sandbox::FailPayments;

use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::settings::Settings;
use crate::trader::deal;
use crate::trader::{Heard, Seat};

const TITLE: &str = "payfail: a payout that fails";

/// Tries for each invoice, as usual.
const TRIES: u32 = 3;

/// From one try to the next, so short that people can watch it; the settings
/// file of a box takes no less than ten seconds.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let hasty = |settings: &mut Settings| {
        settings.lightning.payment_attempts = TRIES;
        settings.lightning.payment_retries_interval = INTERVAL;
    };
    let mut cast = Cast::gather(TITLE, hasty, teller).await?;
    let terms = cast.stand.terms(40_000);
    teller.narrates(
        "The box tries each invoice 3 times. So that you need not wait, the tries lie 1 s apart. \
         Usual are 60 s (lightning.payment_retries_interval), and a box takes no less than 10 s.",
    );
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    deal::strike(&mut alice, &mut bob, &terms, teller).await?;
    deal::fund(&mut alice, &mut bob, &terms, teller).await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;

    teller.narrates(
        "No route leads to Bob's wallet when Alice releases. Her sats are taken, Bob's claim \
         stays: he is told of the first failure, and after the last he is asked for another \
         invoice.",
    );
    let sandbox = cast.stand.sandbox()?;
    sandbox.apply(FailPayments { count: TRIES }).await?;
    alice.releases(None, teller).await?;
    alice.hears(Action::Rate, teller).await?;
    bob.hears(Action::Released, teller).await?;
    let failed = bob.hears(Action::PaymentFailed, teller).await?;
    must_have_left(TRIES - 1, &failed)?;
    bob.hears(Action::AddInvoice, teller).await?;
    let left = sandbox.look(|world| world.state().failing_payments).await?;
    ensure!(left == 0, "{left} of the tries were never made");
    teller.checks("the box has tried 3 times, no more and no less");

    teller.narrates("Bob gives another invoice, and is paid at once.");
    bob.adds_invoice(&terms, Action::InvoiceUpdated, teller)
        .await?;
    bob.hears(Action::PurchaseCompleted, teller).await?;
    bob.hears(Action::Rate, teller).await?;
    deal::part(alice, bob, &terms, teller).await?;
    cast.alice_has_sold(&terms, teller).await?;
    cast.leaves().await
}

/// The buyer is told the truth about what is still tried (rule P5).
fn must_have_left(tries: u32, failed: &Heard) -> anyhow::Result<()> {
    let Some(Payload::PaymentFailed(told)) = &failed.message.payload else {
        bail!("Bob is not told how many tries are left: {}", failed.json);
    };
    let told = told.payment_attempts;
    ensure!(
        told == tries,
        "Bob is told that {told} tries are left, and {tries} are"
    );
    Ok(())
}

//! A box that dies in mid-trade, and is back two hours later.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use escrow_core::amount::Sats;
use escrow_core::order::OrderId;
use escrow_core::stage::Stage;
use escrow_core::time::UnixTime;
use escrow_core::timer::{Timer, TimerKind};
use escrow_core::wire::Action;
use escrow_engine::clock::{Clock, SystemClock};
use storage::ledger::{Ledger, StorageError};
use tokio::time::sleep;
use uuid::Uuid;

use super::cast::{Cast, Site, Stand};
use super::storyteller::Storyteller;
use crate::node::LEDGER;
use crate::trader::deal;
use crate::trader::{Seat, Wallet};

const TITLE: &str = "restart: a box that dies in mid-trade";

/// How long the box is away the first time, as far as it can tell.
const AWAY_SECS: u64 = 2 * 3_600;

/// The box notes this often that it is alive, and counts as dead from the last
/// note on.
const HEARTBEAT_SECS: u64 = 30;

/// Files of a box that died in this process are closed a moment later.
const FILE_WAIT: Duration = Duration::from_millis(20);
const FILE_TRIES: u32 = 250;

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let mut cast = Cast::gather(TITLE, |_| (), teller).await?;
    let terms = cast.stand.terms(70_000);
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;

    teller.narrates("Bob takes Alice's offer. He has 15 min for his invoice.");
    let order = deal::strike(&mut alice, &mut bob, &terms, teller).await?;
    let deadline = bobs_deadline(&cast.stand, order)?;

    teller.narrates(
        "Then the box dies: nothing is finished, closed or said. It is away for two hours. So \
         that you need not wait, what it wrote down of the time, its last sign of life and \
         Bob's deadline, is set two hours back: to the box that is a clock that has gone on.",
    );
    let site = cast.stand.dies([&mut alice, &mut bob]).await;
    two_hours_pass(&site, order).await?;
    cast.stand = Box::pin(site.open()).await?;
    come_back([&mut alice, &mut bob], &cast.stand, teller).await?;
    bob_has_lost_no_time(&cast.stand, order, deadline, teller)?;

    teller.narrates("Bob gives his invoice, as if nothing had been, and the trade goes on.");
    deal::fund(&mut alice, &mut bob, &terms, teller).await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;

    teller.narrates(
        "Alice releases. The box says OK, which means that it is decided and on disk, and dies \
         again at that moment. When it is back, it does what it had decided.",
    );
    alice.posts(Action::Release).await?;
    let site = cast.stand.dies([&mut alice, &mut bob]).await;
    cast.stand = Box::pin(site.open()).await?;
    come_back([&mut alice, &mut bob], &cast.stand, teller).await?;
    let sellers = [Action::HoldInvoicePaymentSettled, Action::Rate];
    alice.finds_in_the_mail(&sellers, teller).await?;
    let buyers = [Action::Released, Action::PurchaseCompleted, Action::Rate];
    bob.finds_in_the_mail(&buyers, teller).await?;
    deal::part(alice, bob, &terms, teller).await?;
    cast.alice_has_sold(&terms, teller).await?;
    cast.leaves().await
}

/// The traders connect to a box that was started again.
async fn come_back(
    seats: [&mut Seat<'_>; 2],
    stand: &Stand,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    for seat in seats {
        let wallet = Wallet::funded(stand.sandbox()?, seat.name(), Sats(0)).await?;
        seat.takes_wallet(wallet);
        seat.comes_back(&stand.url()).await?;
    }
    teller.checks("the box is back on the same data, and so are the traders");
    Ok(())
}

/// When Bob's time is up, as the ledger has it.
fn bobs_deadline(stand: &Stand, order: Uuid) -> anyhow::Result<UnixTime> {
    let escrow = stand.node.escrow().context("the box has no escrow")?;
    let order = escrow.views().view()?.order(OrderId(order))?;
    let order = order.context("the order is not in the ledger")?;
    let Stage::WaitingInvoice { deadline, .. } = order.stage else {
        bail!("Bob does not owe an invoice: {:?}", order.stage);
    };
    Ok(deadline)
}

/// What he had left when the box died, he has when it is back (rule E11).
fn bob_has_lost_no_time(
    stand: &Stand,
    order: Uuid,
    before: UnixTime,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let after = bobs_deadline(stand, order)?;
    let moved = after.0.checked_sub(before.0);
    ensure!(
        moved.is_some_and(|moved| moved <= 2 * HEARTBEAT_SECS),
        "Bob's deadline was {} and is {}",
        before.0,
        after.0
    );
    let left = after.secs_since(SystemClock.now());
    teller.checks(&format!(
        "Bob still has {} min {} s; by the clock his time was over {} min ago",
        left / 60,
        left % 60,
        (AWAY_SECS - left.min(AWAY_SECS)) / 60,
    ));
    Ok(())
}

/// Sets back what a dead box knows of the time.
async fn two_hours_pass(site: &Site, order: Uuid) -> anyhow::Result<()> {
    let earlier = |at: UnixTime| UnixTime(at.0.saturating_sub(AWAY_SECS));
    let mut ledger = open_ledger(&site.folder().join(LEDGER)).await?;
    let mut page = ledger.page()?;
    let alive = page.heartbeat()?.context("the box never was alive")?;
    page.put_heartbeat(earlier(alive))?;
    let order = page.order(OrderId(order))?;
    let mut order = order.context("the order is not in the ledger")?;
    let Stage::WaitingInvoice { deadline, .. } = &mut order.stage else {
        bail!("Bob does not owe an invoice: {:?}", order.stage);
    };
    *deadline = earlier(*deadline);
    page.put_timer(Timer {
        at: *deadline,
        order: order.id,
        kind: TimerKind::StepDeadline,
    })?;
    page.put_order(order)?;
    Ok(page.commit()?)
}

async fn open_ledger(path: &Path) -> Result<Ledger, StorageError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Ledger::open(path) {
            Err(StorageError::Locked { .. }) if tries < FILE_TRIES => sleep(FILE_WAIT).await,
            opened => return opened,
        }
    }
}

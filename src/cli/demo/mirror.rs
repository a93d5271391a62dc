//! A trader who only knows another relay, and an outage of that relay.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use escrow_core::wire::Action;
use nostr::types::RelayUrl;

use super::cast::{Cast, Site, Stand};
use super::storyteller::Storyteller;
use crate::node::Node;
use crate::settings::Settings;
use crate::trader::Seat;
use crate::trader::deal;

const TITLE: &str = "mirror: a trader elsewhere, and an outage there";

/// The longest pause before the box calls a mirror again. People would wait
/// for the usual five minutes.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// What others would reach the box by: settings want one beside mirrors. The
/// traders of the demonstration are on this machine and do not need it.
const PUBLIC_URL: &str = "wss://box.example";

pub(super) async fn play(teller: &mut Storyteller) -> anyhow::Result<()> {
    let elsewhere = Site::new(|settings| settings.escrow.enabled = false)?;
    let mut elsewhere = Box::pin(elsewhere.open()).await?;
    let relay = elsewhere.node.relay_address();
    let stand = Stand::open(mirrored_to(relay)?, teller).await?;
    let url = elsewhere.url();
    let mut cast = Cast::at(stand, &url, TITLE, teller).await?;
    let terms = cast.stand.terms(25_000);
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;

    teller.narrates(&format!(
        "The box has a mirror: a relay without an escrow, in this process too, at {url}. Alice \
         talks to the box; Bob only knows the mirror, and finds her order there."
    ));
    deal::strike(&mut alice, &mut bob, &terms, teller).await?;
    bob.adds_invoice(&terms, Action::WaitingSellerToPay, teller)
        .await?;

    teller.narrates("Now the mirror goes down. Alice trades on; what Bob shall hear waits.");
    bob.goes_away().await;
    let site = elsewhere.closes().await?;
    deal::lock(&mut alice, &terms, teller).await?;
    let waiting = waits_for_the_mirror(&cast.stand.node)?;
    ensure!(waiting > 0, "nothing waits for a mirror that is away");
    teller.checks(&format!(
        "what waits on disk for the mirror: {waiting} signed events"
    ));

    teller.narrates("The mirror is back. Bob hears that the sats are locked, and trades on.");
    elsewhere = site.open_at(relay).await?;
    bob.comes_back(&elsewhere.url()).await?;
    bob.hears(Action::HoldInvoicePaymentAccepted, teller)
        .await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;
    deal::release(&mut alice, &mut bob, None, teller).await?;
    deal::part(alice, bob, &terms, teller).await?;
    cast.alice_has_sold(&terms, teller).await?;
    cast.leaves().await?;
    elsewhere.closes().await?;
    Ok(())
}

/// Settings of a box whose mirror is at this address.
fn mirrored_to(relay: SocketAddr) -> anyhow::Result<impl FnOnce(&mut Settings)> {
    let mirror = RelayUrl::parse(&format!("ws://{relay}"))?;
    let public_url = RelayUrl::parse(PUBLIC_URL)?;
    Ok(|settings: &mut Settings| {
        settings.mirror.relays = vec![mirror];
        settings.mirror.longest_wait = LONGEST_WAIT;
        settings.relay.public_url = Some(public_url);
    })
}

/// How many events a box still has to bring to its mirrors.
fn waits_for_the_mirror(node: &Node) -> anyhow::Result<u64> {
    let escrow = node.escrow().context("the box has no escrow")?;
    let view = escrow.views().view()?;
    let mut waiting = 0;
    for mirror in escrow.mirrors() {
        waiting += view.backlog_len(*mirror)?;
    }
    Ok(waiting)
}

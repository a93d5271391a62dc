//! The operator's node dies at any moment of a payout. At one of them it leaves
//! a payment behind that it calls in flight for ever and never sends.

use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::payout::Missing;
use escrow_core::wire::Action;
use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_regtest::Payment;
use tokio::time::sleep;

use crate::deal::{Deal, PAID, TRADED};
use crate::town::Town;

/// A payment that no channel carries for so long is lost: LND sends what it
/// will send within a moment of its start.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What the box waits before it believes it (rule P13).
const BELIEF_SECS: u64 = 600;

/// Least blocks after the last time lock at which it is given up.
const MARGIN_BLOCKS: u64 = 7;

/// From the release to the end of the payout, each time a little later.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_node_dies_at_any_moment_of_a_payout() {
    for later in [10, 50, 90, 130, 170, 210].map(Duration::from_millis) {
        let mut town = Town::new().await;
        let invoice = town.network.buyer().invoice(PAID).await.unwrap();
        let pair = town.pair(Direct, GiftWrap).await;
        let mut deal = Deal::of(&town, pair, &invoice.bolt11).await;
        deal.fiat_is_sent().await;
        deal.alice.sends(Action::Release).await;
        // The moment is the point of it: nothing is waited for here.
        sleep(later).await;
        restarts(&town).await;
        if is_lost(&town, &invoice.hash).await {
            gives_up(&mut town, &mut deal, &invoice.hash).await;
        }
        deal.is_paid().await;
        town.adds_up(TRADED).await;
    }
}

async fn restarts(town: &Town) {
    let operator = town.network.operator();
    operator.kill().await.unwrap();
    operator.start().unwrap();
    town.network.is_ready().await.unwrap();
}

/// Whether the node calls a payment in flight that none of its channels carries.
async fn is_lost(town: &Town, hash: &str) -> bool {
    for _ in 0..LOOKS {
        match town.network.operator().payment(hash).await.unwrap() {
            Payment::OnItsWay { .. } | Payment::Unknown => (),
            Payment::Succeeded { .. } | Payment::Failed { .. } => return false,
        }
        sleep(LOOK_EVERY).await;
    }
    let payment = town.network.operator().payment(hash).await.unwrap();
    let carried = town
        .network
        .operator()
        .ask(&["listchannels"])
        .await
        .unwrap();
    let carried = carried.json().to_string().contains(hash);
    matches!(payment, Payment::OnItsWay { parts } if parts > 0) && !carried
}

/// Ten minutes and all time locks pass while the box is away; then it gives the
/// payment up, and Bob another invoice.
async fn gives_up(town: &mut Town, deal: &mut Deal, hash: &str) {
    let locked_until = locked_until(town, hash).await;
    town.box_dies().await;
    town.rewrites_attempt(hash, |attempt| {
        attempt.missing = Some(Missing {
            since: UnixTime(attempt.first_sent_at.0 - BELIEF_SECS),
            locked_until: u32::try_from(locked_until).unwrap(),
            told: false,
        });
    });
    let height = town.network.chain().height().await.unwrap();
    let blocks = u32::try_from(locked_until + MARGIN_BLOCKS - height).unwrap();
    town.network.mine(blocks).await.unwrap();
    town.box_starts(&mut deal.people()).await;
    deal.bob.hears(Action::AddInvoice).await;
    let invoice = town.network.buyer().invoice(PAID).await.unwrap();
    let another = deal.bob.is_paid_at(&invoice.bolt11);
    deal.bob.sends_ask(&another).await;
}

/// The height at which the last time lock of a payment ends.
async fn locked_until(town: &Town, hash: &str) -> u64 {
    let asked = [
        "listpayments",
        "--include_incomplete",
        "--max_payments=1000",
    ];
    let answer = town.network.operator().ask(&asked).await.unwrap();
    let payments = answer.list("/payments");
    let place = payments
        .iter()
        .position(|payment| payment["payment_hash"] == hash);
    let pointer = format!("/payments/{}/htlcs/0/route/total_time_lock", place.unwrap());
    answer.number(&pointer).unwrap()
}

//! The operator's node dies in the moment between writing a payment down and
//! sending it. It calls such a payment in flight for ever, and never sends it.

use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::payout::Missing;
use escrow_core::wire::Action;
use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_lightning::LightningBackend;
use escrow_lightning::backend::PaymentState;
use escrow_regtest::{Invoice, Payment};
use mostro_relay::books::{self, GiveUpOrder};
use mostro_relay::operator_door;
use tokio::time::sleep;

use crate::deal::{Deal, PAID, TRADED};
use crate::town::{Town, lnd, payment_hash};

/// The moment is some 40 ms long, so that it can be missed on a busy machine.
const TRIES: usize = 8;

/// A payment that no channel carries for so long is lost: LND sends what it
/// will send within a moment of its start.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What the box waits before it believes it (rule P13).
const BELIEF_SECS: u64 = 600;

/// Least blocks after the last time lock at which it is given up.
const MARGIN_BLOCKS: u64 = 7;

/// Who gives a lost payment up.
#[derive(Clone, Copy)]
enum Who {
    /// The box, when its time lock has passed.
    Box,
    /// The operator, before.
    Operator,
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn p13_a_payment_that_was_written_down_and_never_sent_is_told_and_made_anew() {
    a_payment_is_lost_and_given_up_by(Who::Box).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn p13_the_operator_gives_a_lost_payment_up_before_its_time_lock_has_passed() {
    a_payment_is_lost_and_given_up_by(Who::Operator).await;
}

async fn a_payment_is_lost_and_given_up_by(who: Who) {
    for number in 1..=TRIES {
        let mut town = Town::new().await;
        let invoice = town.network.buyer().invoice(PAID).await.unwrap();
        let pair = town.pair(Direct, GiftWrap).await;
        let mut deal = Deal::of(&town.network, pair, &invoice.bolt11).await;
        deal.fiat_is_sent().await;
        tokio::join!(
            deal.alice.sends(Action::Release),
            dies_with_the_first_part(&town, &invoice)
        );
        let operator = town.network.operator();
        operator.start().unwrap();
        town.network.is_ready().await.unwrap();
        let is_lost = is_lost(&town, &invoice.hash).await;
        eprintln!("    try {number}: lost is {is_lost}");
        if is_lost {
            is_given_up(&mut town, &mut deal, &invoice.hash, who).await;
        }
        deal.is_paid().await;
        town.adds_up(TRADED).await;
        if is_lost {
            return;
        }
    }
    panic!("{TRIES} deaths, and no payment was lost");
}

/// Kills the operator's node as soon as it says that a part of a payment is out.
async fn dies_with_the_first_part(town: &Town, invoice: &Invoice) {
    let lnd = lnd(&town.network);
    let hash = payment_hash(&invoice.hash);
    while let PaymentState::NotFound | PaymentState::InFlight { parts: 0 } =
        lnd.lookup_payment(hash).await.unwrap()
    {}
    town.network.operator().kill().await.unwrap();
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

/// Ten minutes pass while the box is away, and perhaps all time locks; then the
/// payment is given up, and Bob gives another invoice.
async fn is_given_up(town: &mut Town, deal: &mut Deal, hash: &str, who: Who) {
    let locked_until = locked_until(town, hash).await;
    town.box_dies().await;
    town.rewrites_attempt(hash, |attempt| {
        attempt.missing = Some(Missing {
            since: UnixTime(attempt.first_sent_at.0 - BELIEF_SECS),
            locked_until: u32::try_from(locked_until).unwrap(),
            told: false,
            given_up: false,
        });
    });
    if let Who::Box = who {
        let height = town.network.chain().height().await.unwrap();
        let blocks = u32::try_from(locked_until + MARGIN_BLOCKS - height).unwrap();
        town.network.mine(blocks).await.unwrap();
    }
    town.box_starts(&mut deal.people()).await;
    // It is looked for with each block, and each minute.
    town.network.mine(1).await.unwrap();
    town.box_says(&format!("payment {hash} is lost")).await;
    if let Who::Operator = who {
        let hash = payment_hash(hash);
        let reason = "its channel carries nothing".into();
        let give_up = GiveUpOrder { hash, reason };
        let done: Option<()> = operator_door::tell(&town.data_dir(), books::GIVE_UP, &give_up)
            .await
            .unwrap();
        done.unwrap();
        town.network.mine(1).await.unwrap();
    }
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

//! The operator's node dies, hangs or changes, and the payee does as he likes.

use escrow_core::wire::Action;
use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_regtest::Payment;
use faster_hex::hex_string;
use nostr::key::Keys;
use sha2::{Digest, Sha256};

use crate::deal::{Deal, NOTHING, PAID, TRADED};
use crate::town::{AUTO_CANCEL_MARGIN, Town};

/// Blocks before the end of a hold at which the box acts.
const BOX_ACTS: u64 = 36;

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_node_is_killed_while_it_holds() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    dies_and_starts(&town).await;
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_node_is_dead_at_the_release() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    let operator = town.network.operator();
    operator.kill().await.unwrap();
    deal.alice.sends(Action::Release).await;
    operator.start().unwrap();
    deal.is_settled().await;
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_node_is_killed_and_then_restarted_while_a_payout_is_on_its_way() {
    let town = Town::new().await;
    let pending = Pending::new();
    let mut deal = payout_is_on_its_way(&town, &pending).await;
    dies_and_starts(&town).await;
    let operator = town.network.operator();
    operator.stop().await.unwrap();
    operator.start().unwrap();
    town.network.is_ready().await.unwrap();
    town.network
        .buyer()
        .settles(&pending.preimage)
        .await
        .unwrap();
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

/// The box neither settles nor forgets while its node waits for a password.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_wallet_is_locked_at_the_release() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    let operator = town.network.operator();
    operator.stop().await.unwrap();
    operator.start_locked().unwrap();
    operator.state_is("LOCKED").await.unwrap();
    deal.alice.sends(Action::Release).await;
    town.box_is_ready_but("its wallet is locked").await;
    operator.stop().await.unwrap();
    operator.start().unwrap();
    town.network.is_ready().await.unwrap();
    deal.is_settled().await;
    deal.is_paid().await;
    town.adds_up(TRADED).await;
    town.box_is_ready().await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_payee_who_refuses_after_a_while_is_asked_for_another_invoice() {
    let town = Town::new().await;
    let mut deal = only_the_payout_is_left(&town).await;
    let invoice = town.network.buyer().invoice(PAID).await.unwrap();
    let another = deal.bob.is_paid_at(&invoice.bolt11);
    deal.bob.sends_ask(&another).await;
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_payout_waits_for_a_payee_who_is_away() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    let buyer = town.network.buyer();
    buyer.stop().await.unwrap();
    deal.alice.sends(Action::Release).await;
    deal.is_settled().await;
    buyer.start().unwrap();
    town.network.is_ready().await.unwrap();
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_payout_waits_while_the_chain_hangs() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    town.network.chain().freezes().unwrap();
    deal.alice.sends(Action::Release).await;
    deal.is_settled().await;
    town.network.chain().thaws().unwrap();
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_renewed_certificate_is_read_again() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    let operator = town.network.operator();
    operator.stop().await.unwrap();
    operator.forgets_certificate().unwrap();
    operator.start().unwrap();
    town.network.is_ready().await.unwrap();
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    town.adds_up(TRADED).await;
}

/// An active trade whose hold nears its end goes back to the seller by the
/// box's own act, before LND would do it.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn x3_a_hold_near_its_end_is_given_back() {
    let town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    mines_until_left(&town, &deal, BOX_ACTS).await;
    let operator = town.network.operator();
    operator.invoice_is(&deal.hold, "CANCELED").await.unwrap();
    deal.alice.hears(Action::Canceled).await;
    deal.bob.hears(Action::Canceled).await;
    town.adds_up(NOTHING).await;
}

/// The same while the box is away: LND acts, and the box finds it out.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_hold_that_lnd_gave_back_while_the_box_was_away_ends_its_trade() {
    let mut town = Town::new().await;
    let mut deal = Deal::usual(&town).await;
    town.box_dies().await;
    mines_until_left(&town, &deal, u64::from(AUTO_CANCEL_MARGIN)).await;
    let operator = town.network.operator();
    operator.invoice_is(&deal.hold, "CANCELED").await.unwrap();
    town.box_starts(&mut deal.people()).await;
    deal.alice.hears(Action::Canceled).await;
    deal.bob.hears(Action::Canceled).await;
    town.adds_up(NOTHING).await;
}

/// The invoice of a payee who decides later whether he takes the money.
pub(crate) struct Pending {
    pub(crate) preimage: String,
    pub(crate) hash: String,
}

impl Pending {
    pub(crate) fn new() -> Pending {
        let preimage = Keys::generate().secret_key().to_secret_bytes();
        Pending {
            preimage: hex_string(&preimage),
            hash: hex_string(&Sha256::digest(preimage)),
        }
    }
}

/// A deal that is settled, and whose buyer has the payout locked in his node.
pub(crate) async fn payout_is_on_its_way(town: &Town, pending: &Pending) -> Deal {
    let buyer = town.network.buyer();
    let invoice = buyer.hold_invoice(&pending.hash, PAID).await.unwrap();
    let pair = town.pair(Direct, GiftWrap).await;
    let mut deal = Deal::of(&town.network, pair, &invoice.bolt11).await;
    deal.fiat_is_sent().await;
    deal.alice.sends(Action::Release).await;
    deal.is_settled().await;
    buyer.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
    let payment = town
        .network
        .operator()
        .payment(&pending.hash)
        .await
        .unwrap();
    assert_eq!(payment, Payment::OnItsWay { parts: 1 });
    deal
}

/// A deal that is settled, and whose buyer, having refused the payout, is asked
/// for another invoice: with that the box has nothing to do but to pay.
pub(crate) async fn only_the_payout_is_left(town: &Town) -> Deal {
    let pending = Pending::new();
    let mut deal = payout_is_on_its_way(town, &pending).await;
    town.network.buyer().cancels(&pending.hash).await.unwrap();
    deal.bob.hears(Action::AddInvoice).await;
    deal
}

async fn dies_and_starts(town: &Town) {
    let operator = town.network.operator();
    operator.kill().await.unwrap();
    operator.start().unwrap();
    town.network.is_ready().await.unwrap();
}

/// Mines until the hold of a deal has so many blocks left.
async fn mines_until_left(town: &Town, deal: &Deal, left: u64) {
    let operator = town.network.operator();
    let hold = operator.ask(&["lookupinvoice", &deal.hold]).await.unwrap();
    let end = hold.number("/htlcs/0/expiry_height").unwrap();
    let height = town.network.chain().height().await.unwrap();
    let blocks = u32::try_from(end - height - left).unwrap();
    town.network.mine(blocks).await.unwrap();
}

//! The moves that other tests are made of, on real nodes.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use escrow_regtest::{Balances, Network, Payment};
use faster_hex::hex_string;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

static NETWORK: OnceCell<Mutex<Network>> = OnceCell::const_new();

/// The one network, for one test at a time.
async fn network() -> MutexGuard<'static, Network> {
    let built = async || Mutex::new(Network::for_tests("network").await.unwrap());
    let network = NETWORK.get_or_init(built).await.lock().await;
    network.is_ready().await.unwrap();
    network
}

async fn rest(network: &Network) -> Balances {
    let owned = network.balances().await.unwrap().owned_msat();
    network.comes_to_rest(owned).await.unwrap()
}

/// A preimage and its hash, in hex.
fn secret(seed: u8) -> (String, String) {
    let hash = Sha256::digest([seed; 32]);
    (hex_string(&[seed; 32]), hex_string(&hash))
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_payment_over_two_hops_costs_a_fee_and_nothing_is_lost() {
    let network = network().await;
    let before = rest(&network).await;
    let invoice = network.buyer().invoice(1_000).await.unwrap();
    network.seller().pays(&invoice.bolt11).await.unwrap();
    let end = network.seller().payment_ends(&invoice.hash).await.unwrap();
    let Payment::Succeeded { fee_msat, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(fee_msat, 1_001);
    let after = network.comes_to_rest(before.owned_msat()).await.unwrap();
    assert_eq!(after.gain_msat("seller", &before), -1_001_001);
    assert_eq!(after.gain_msat("operator", &before), 1_001);
    assert_eq!(after.gain_msat("buyer", &before), 1_000_000);
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_hold_outlives_a_power_cut_and_is_settled_or_cancelled() {
    let network = network().await;
    let (operator, seller) = (network.operator(), network.seller());
    let before = rest(&network).await;
    let ((preimage, settled), (_, cancelled)) = (secret(1), secret(2));
    for hash in [&settled, &cancelled] {
        let hold = operator.hold_invoice(hash, 5_000).await.unwrap();
        let sent = seller.pays(&hold.bolt11).await.unwrap();
        assert_eq!(sent, Payment::OnItsWay { parts: 1 });
        operator.invoice_is(hash, "ACCEPTED").await.unwrap();
    }

    operator.kill().await.unwrap();
    assert!(!operator.is_running());
    operator.start().unwrap();
    network.is_ready().await.unwrap();
    assert!(!network.balances().await.unwrap().are_at_rest());

    operator.settles(&preimage).await.unwrap();
    operator.cancels(&cancelled).await.unwrap();
    operator.invoice_is(&settled, "SETTLED").await.unwrap();
    operator.invoice_is(&cancelled, "CANCELED").await.unwrap();
    let paid = seller.payment_ends(&settled).await.unwrap();
    assert!(matches!(paid, Payment::Succeeded { .. }), "{paid:?}");
    let refused = seller.payment_ends(&cancelled).await.unwrap();
    assert!(matches!(refused, Payment::Failed { .. }), "{refused:?}");

    let after = network.comes_to_rest(before.owned_msat()).await.unwrap();
    assert_eq!(after.gain_msat("operator", &before), 5_000_000);
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_frozen_node_goes_on_where_it_was() {
    let network = network().await;
    let buyer = network.buyer();
    let before = rest(&network).await;
    let invoice = buyer.invoice(700).await.unwrap();
    buyer.freezes().unwrap();
    let sent = network.seller().pays(&invoice.bolt11).await.unwrap();
    assert_eq!(sent, Payment::OnItsWay { parts: 1 });
    buyer.thaws().unwrap();
    let end = network.seller().payment_ends(&invoice.hash).await.unwrap();
    assert!(matches!(end, Payment::Succeeded { .. }), "{end:?}");
    network.comes_to_rest(before.owned_msat()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_certificate_is_renewed_at_the_next_start() {
    let network = network().await;
    let operator = network.operator();
    let old = std::fs::read(operator.certificate()).unwrap();
    operator.stop().await.unwrap();
    operator.forgets_certificate().unwrap();
    operator.start().unwrap();
    network.is_ready().await.unwrap();
    assert_ne!(std::fs::read(operator.certificate()).unwrap(), old);
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn all_nodes_know_a_block_once_it_is_mined() {
    let network = network().await;
    let height = network.mine(3).await.unwrap();
    assert_eq!(network.chain().height().await.unwrap(), height);
    for node in [network.seller(), network.operator(), network.buyer()] {
        let info = node.ask(&["getinfo"]).await.unwrap();
        assert_eq!(info.number("/block_height").unwrap(), height);
    }
}

//! Who is let in by a real LND, and what its troubles look like.

use escrow_core::Msat;
use escrow_lightning::backend::{HoldRequest, SettleOutcome};
use escrow_lightning::lnd::{LndRefusal, Macaroon};
use escrow_lightning::{LightningBackend, LnError, Lnd};

use super::{access, backend, fresh_preimage, network, scratch};

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_weak_macaroon_a_foreign_one_and_a_foreign_certificate_are_refused_with_reasons() {
    let network = network().await;
    let good = access(&network).await;
    let operator = network.operator();

    let weak = scratch("weak.macaroon");
    let rights = [
        "uri:/lnrpc.Lightning/GetInfo",
        "uri:/routerrpc.Router/SendPaymentV2",
    ];
    operator.bakes_macaroon(&weak, &rights).await.unwrap();
    let mut access = good.clone();
    access.macaroon = Macaroon::File(weak);
    let told = refusal(access).await.to_string();
    for call in ["SettleInvoice", "SubscribeSingleInvoice", "ListPayments"] {
        assert!(told.contains(call), "{told}");
    }
    assert!(!told.contains("Router/SendPaymentV2,"), "{told}");

    let mut access = good.clone();
    access.macaroon = Macaroon::File(network.seller().admin_macaroon());
    let told = refusal(access).await.to_string();
    assert!(told.contains("belongs to one node"), "{told}");

    let mut access = good;
    access.certificate = network.seller().certificate();
    let told = refusal(access).await.to_string();
    assert!(told.contains("another certificate"), "{told}");
}

async fn refusal(access: escrow_lightning::lnd::LndAccess) -> LndRefusal {
    Lnd::new(access, 18).unwrap().introduce().await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_locked_wallet_is_not_ready_and_says_so() {
    let network = network().await;
    let locked = network.locked_node().unwrap();
    let mut access = access(&network).await;
    access.address = format!("https://{}", locked.grpc());
    while !locked.certificate().exists() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    access.certificate = locked.certificate();
    let lnd = Lnd::new(access, 18).unwrap();
    let why = loop {
        let LnError::Unavailable(why) = lnd.info().await.unwrap_err() else {
            panic!("not ready is not available");
        };
        if why.contains("wallet") {
            break why;
        }
    };
    assert!(why.contains("lncli"), "{why}");
    locked.kill().await.unwrap();
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_hold_survives_a_killed_lnd_and_a_new_certificate() {
    let network = network().await;
    let lnd = backend(&network).await;
    let preimage = fresh_preimage();
    let request = HoldRequest {
        hash: preimage.hash(),
        amount: Msat(70_000_000),
        memo: "killed".into(),
        expires_at: super::now().plus(600),
        cltv_delta: 144,
        private_hints: false,
    };
    let hold = lnd.create_hold(&request).await.unwrap();
    let amount = request.amount;
    let sent = super::payer::sends(&network, &hold.bolt11, amount, amount).await;
    assert_eq!(sent, escrow_lightning::conformance::Sent::Held);
    let before = lnd.lookup_hold(hold.hash).await.unwrap();

    network.operator().kill().await.unwrap();
    let error = lnd.settle_hold(&preimage).await.unwrap_err();
    assert!(matches!(error, LnError::Unavailable(_)), "{error}");
    network.operator().forgets_certificate().unwrap();
    network.operator().start().unwrap();
    network.is_ready().await.unwrap();

    assert_eq!(lnd.lookup_hold(hold.hash).await.unwrap(), before);
    let settled = lnd.settle_hold(&preimage).await.unwrap();
    assert_eq!(settled, SettleOutcome::Settled);
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_chain_that_hangs_makes_the_node_unready_and_leaves_holds_alone() {
    let network = network().await;
    let lnd = backend(&network).await;
    lnd.info().await.unwrap();
    network.chain().freezes().unwrap();
    let info = lnd.info().await;
    let looked_up = lnd.lookup_hold(fresh_preimage().hash()).await;
    network.chain().thaws().unwrap();
    let Err(LnError::Unavailable(why)) = info else {
        panic!("{info:?}");
    };
    assert!(why.contains("chain"), "{why}");
    assert_eq!(looked_up, Ok(None));
}

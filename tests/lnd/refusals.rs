//! Nodes that the box does not start on, and what it says then.

use std::net::SocketAddr;
use std::path::PathBuf;

use nostr::key::Keys;

use crate::running_box::RunningBox;
use crate::town::{network, settings};

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_locked_wallet_is_named() {
    let network = network().await;
    let locked = network.locked_node().unwrap();
    locked.state_is("NON_EXISTING").await.unwrap();
    let macaroon = network.operator().admin_macaroon();
    let said = refuses((locked.certificate(), macaroon), locked.grpc()).await;
    locked.stop().await.unwrap();
    assert!(said.contains("wallet"), "{said}");
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_foreign_certificate_is_named() {
    let network = network().await;
    let operator = network.operator();
    let access = (network.buyer().certificate(), operator.admin_macaroon());
    let said = refuses(access, operator.grpc()).await;
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn a_foreign_macaroon_is_named() {
    let network = network().await;
    let operator = network.operator();
    let access = (operator.certificate(), network.buyer().admin_macaroon());
    let said = refuses(access, operator.grpc()).await;
    assert!(said.contains("macaroon"), "{said}");
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_rights_that_a_macaroon_lacks_are_named() {
    let network = network().await;
    let operator = network.operator();
    let small = operator.certificate().with_file_name("small.macaroon");
    let rights = ["uri:/lnrpc.Lightning/GetInfo"];
    operator.bakes_macaroon(&small, &rights).await.unwrap();
    let said = refuses((operator.certificate(), small), operator.grpc()).await;
    assert!(said.contains("SendPaymentV2"), "{said}");
    assert!(said.contains("SettleInvoice"), "{said}");
}

async fn refuses(access: (PathBuf, PathBuf), node: SocketAddr) -> String {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&access, node, &Keys::generate());
    RunningBox::refuses(folder.path(), &settings).await
}

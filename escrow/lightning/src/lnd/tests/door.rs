//! Who is let in, and when: readiness, identity, credentials and the line itself.

use std::time::Duration;

use escrow_core::{Msat, UnixTime};
use futures_util::StreamExt;

use super::super::rpc::lnrpc::{GetInfoResponse, WalletState};
use super::super::{Lnd, LndRefusal, Macaroon, Tempo};
use super::payments::payment;
use super::scripted::Scripted;
use super::{NO_SWEEP, backend};
use crate::backend::{
    HoldRequest, LightningBackend, LightningIdentity, Liquidity, LnError, LnResult, Network,
    Preimage,
};

fn error<T>(answer: LnResult<T>) -> LnError {
    answer.err().expect("the door is closed")
}

/// Makes each call; the error that all of them ended with.
async fn refused_alike(lnd: &Lnd) -> LnError {
    let preimage = Preimage::new([5; 32]);
    let hold = HoldRequest {
        hash: preimage.hash(),
        amount: Msat(1_000),
        memo: String::new(),
        expires_at: UnixTime(0),
        cltv_delta: 144,
        private_hints: true,
    };
    let errors = [
        error(lnd.info().await),
        error(lnd.liquidity().await),
        error(lnd.create_hold(&hold).await),
        error(lnd.lookup_hold(hold.hash).await),
        error(lnd.settle_hold(&preimage).await),
        error(lnd.cancel_hold(hold.hash).await),
        error(lnd.start_payment(&payment()).await),
        error(lnd.lookup_payment(hold.hash).await),
        error(lnd.list_payments_since(0, 1).await),
    ];
    assert_eq!(lnd.watch_hold(hold.hash).next().await, None);
    assert_eq!(lnd.watch_payment(hold.hash).next().await, None);
    assert_eq!(lnd.watch_blocks().next().await, None);
    assert!(errors.iter().all(|it| *it == errors[0]), "{errors:?}");
    errors[0].clone()
}

#[tokio::test]
async fn before_lnd_is_fully_up_nothing_is_asked_of_it_but_its_state() {
    let rows = [
        (WalletState::NonExisting, "lncli create"),
        (WalletState::Locked, "lncli unlock"),
        (WalletState::Unlocked, "starts to listen"),
        (WalletState::RpcActive, "caught up"),
        (WalletState::WaitingToStart, "waits"),
    ];
    let node = Scripted::start().await;
    let lnd = backend(&node);
    for (state, told) in rows {
        node.script.table().state = state;
        let LnError::Unavailable(why) = refused_alike(&lnd).await else {
            panic!("not ready is not available");
        };
        assert!(why.contains(told), "{state:?}: {why}");
    }
    let table = node.script.table();
    assert!(table.calls.iter().all(|call| *call == "GetState"));
}

#[tokio::test]
async fn a_node_whose_chain_hangs_is_not_ready_but_settles() {
    let node = Scripted::start().await;
    let tempo = Tempo {
        word: Duration::from_secs(1),
        ..NO_SWEEP
    };
    let lnd = Lnd::at(tempo, node.access(), 18).unwrap();
    lnd.info().await.unwrap();
    node.script.table().silent.insert("GetInfo");
    let Err(LnError::Unavailable(why)) = lnd.start_payment(&payment()).await else {
        panic!("not ready is not available");
    };
    assert!(why.contains("chain"), "{why}");
    lnd.settle_hold(&Preimage::new([5; 32])).await.unwrap();
}

#[tokio::test]
async fn x12_another_node_or_chain_behind_the_same_door_is_refused() {
    let changes: [fn(&mut GetInfoResponse); 2] = [
        |info| info.identity_pubkey = "02".repeat(33),
        |info| info.chains[0].network = "signet".into(),
    ];
    for change in changes {
        let node = Scripted::start().await;
        let lnd = backend(&node);
        lnd.info().await.unwrap();
        change(&mut node.script.table().info);
        node.script.hang_up();
        node.script.table().calls.clear();
        assert_eq!(refused_alike(&lnd).await, LnError::IdentityChanged);
        let table = node.script.table();
        let asked = ["GetState", "GetInfo"];
        assert!(table.calls.iter().all(|call| asked.contains(call)));
    }
}

#[tokio::test]
async fn x12_a_node_that_is_expected_is_recognised_at_the_first_call() {
    let node = Scripted::start().await;
    let known = LightningIdentity {
        pubkey: node.script.table().info.identity_pubkey.clone(),
        network: Network::Regtest,
    };
    let open = |expected| {
        let lnd = backend(&node);
        lnd.expect(expected);
        lnd
    };
    open(known.clone()).introduce().await.unwrap();
    let other = LightningIdentity {
        network: Network::Signet,
        ..known
    };
    let refusal = open(other).introduce().await.unwrap_err();
    assert_eq!(refusal, LndRefusal::Lightning(LnError::IdentityChanged));
}

#[tokio::test]
async fn a_node_that_was_away_at_start_is_not_ready_before_it_was_met_and_found_fit() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.expect(LightningIdentity {
        pubkey: node.script.table().info.identity_pubkey.clone(),
        network: Network::Regtest,
    });
    node.script.table().info.version = "0.18.4-beta commit=".into();
    node.script.table().forbidden.insert("SettleInvoice");
    for _ in 0..2 {
        let LnError::Unavailable(why) = error(lnd.info().await) else {
            panic!("not fit is not available");
        };
        assert!(why.contains("0.18.5"), "{why}");
        assert!(why.contains("SettleInvoice"), "{why}");
    }
    // Money that is open is worked on nevertheless.
    assert_eq!(
        lnd.lookup_hold(Preimage::new([5; 32]).hash()).await,
        Ok(None)
    );

    {
        let mut table = node.script.table();
        table.info.version = "0.18.5-beta commit=".into();
        table.forbidden.clear();
    }
    lnd.info().await.unwrap();
    node.script.table().calls.clear();
    lnd.info().await.unwrap();
    assert_eq!(node.script.table().calls, ["GetState", "GetInfo"]);
}

#[tokio::test]
async fn a_macaroon_that_allows_too_little_is_read_again() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.info().await.unwrap();
    std::fs::write(node.file("small.macaroon"), b"a better one").unwrap();
    node.script.table().forbidden.insert("SettleInvoice");
    lnd.introduce().await.unwrap_err();
    {
        let mut table = node.script.table();
        table.macaroon = b"a better one".to_vec();
        table.forbidden.clear();
    }
    lnd.introduce().await.unwrap();
}

#[tokio::test]
async fn a_line_that_was_cut_makes_itself_anew() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let before = lnd.info().await;
    for _ in 0..3 {
        node.script.hang_up();
        assert_eq!(lnd.info().await, before);
    }
}

#[tokio::test]
async fn a_node_that_is_down_is_unavailable_and_nothing_was_sent() {
    let mut node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.info().await.unwrap();
    node.stop().await;
    let error = refused_alike(&lnd).await;
    assert!(matches!(error, LnError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn another_certificate_is_refused_until_the_file_holds_it() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.info().await.unwrap();
    let renewed = node.renew_certificate();
    node.script.hang_up();
    node.script.table().calls.clear();
    let LnError::Auth(why) = refused_alike(&lnd).await else {
        panic!("a foreign certificate is for the operator");
    };
    assert!(why.contains("tls.cert"), "{why}");
    assert!(node.script.table().calls.is_empty());
    std::fs::write(node.file("tls.cert"), renewed).unwrap();
    lnd.info().await.unwrap();
}

#[tokio::test]
async fn a_new_macaroon_is_taken_when_the_old_one_is_refused() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.info().await.unwrap();
    node.script.table().macaroon = b"a new one".to_vec();
    std::fs::write(node.file("small.macaroon"), b"a new one").unwrap();
    let refused = lnd.info().await;
    assert!(matches!(refused, Err(LnError::Auth(_))), "{refused:?}");
    lnd.info().await.unwrap();
}

#[tokio::test]
async fn a_macaroon_may_be_given_as_digits() {
    let node = Scripted::start().await;
    let digits = faster_hex::hex_string(&node.script.table().macaroon);
    let mut access = node.access();
    access.macaroon = Macaroon::Hex(digits.into());
    Lnd::new(access, 18).unwrap().introduce().await.unwrap();
}

#[tokio::test]
async fn the_probe_of_permissions_changes_nothing_and_names_all_that_are_missing() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.introduce().await.unwrap();
    let calls = {
        let table = node.script.table();
        assert!(table.invoices.is_empty() && table.payments.is_empty());
        table.calls.clone()
    };
    let missing = [
        "GetInfo",
        "SettleInvoice",
        "SubscribeSingleInvoice",
        "TrackPaymentV2",
    ];
    node.script.table().forbidden.extend(missing);
    let told = lnd.introduce().await.unwrap_err().to_string();
    for call in calls {
        let is_named = told.contains(&format!("/{call}, ")) || told.contains(&format!("/{call}:"));
        assert_eq!(is_named, missing.contains(&call), "{call}: {told}");
    }
    assert!(told.contains("lncli bakemacaroon"), "{told}");
}

#[tokio::test]
async fn an_old_lnd_and_a_weak_macaroon_are_told_together() {
    let node = Scripted::start().await;
    node.script.table().info.version = "0.18.4-beta commit=v0.18.4-beta".into();
    node.script.table().forbidden.insert("CancelInvoice");
    let Err(LndRefusal::Problems(problems)) = backend(&node).introduce().await else {
        panic!("the operator has to mend it");
    };
    let told = problems.to_string();
    assert!(told.contains("0.18.5"), "{told}");
    assert!(told.contains("CancelInvoice"), "{told}");
}

#[tokio::test]
async fn a_macaroon_of_another_node_is_told_as_such() {
    let node = Scripted::start().await;
    node.script.table().macaroon = b"of this node".to_vec();
    let told = backend(&node).introduce().await.unwrap_err().to_string();
    assert!(told.contains("belongs to one node"), "{told}");
}

#[tokio::test]
async fn liquidity_is_told_with_what_is_locked() {
    let node = Scripted::start().await;
    let liquidity = Liquidity {
        outbound: Msat(1_001),
        inbound: Msat(2_002),
        held_in: Msat(3_003),
        held_out: Msat(4_004),
    };
    assert_eq!(backend(&node).liquidity().await, Ok(liquidity));
}

#[tokio::test]
async fn blocks_are_told_once_each() {
    let node = Scripted::start().await;
    let tempo = Tempo {
        height: Duration::from_millis(10),
        ..NO_SWEEP
    };
    let lnd = Lnd::at(tempo, node.access(), 18).unwrap();
    let mut heights = lnd.watch_blocks();
    assert_eq!(heights.next().await, Some(800));
    node.script.table().info.block_height = 801;
    assert_eq!(heights.next().await, Some(801));
}

//! Each row of LND's tables about hold invoices.

use std::time::Duration;

use escrow_core::{Msat, UnixTime};
use futures_util::StreamExt;
use tonic::Status;

use super::super::rpc::lnrpc::invoice::InvoiceState;
use super::super::rpc::lnrpc::{Channel, Invoice, InvoiceHtlc, InvoiceHtlcState};
use super::super::{Lnd, Tempo};
use super::scripted::Scripted;
use super::{NO_SWEEP, backend};
use crate::backend::{
    Acceptance, CancelOutcome, HoldRequest, HoldState, LightningBackend, LnError, Preimage,
    SettleOutcome,
};

const AMOUNT: Msat = Msat(50_000_000);

fn preimage() -> Preimage {
    Preimage::new([5; 32])
}

fn request() -> HoldRequest {
    HoldRequest {
        hash: preimage().hash(),
        amount: AMOUNT,
        memo: "an order".into(),
        expires_at: UnixTime(4_000_000_000),
        cltv_delta: 144,
        private_hints: false,
    }
}

/// A node with the hold opened, and the backend.
async fn opened() -> (Scripted, Lnd) {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    lnd.create_hold(&request()).await.unwrap();
    (node, lnd)
}

fn change(node: &Scripted, change: impl FnOnce(&mut Invoice)) {
    let hash = preimage().hash().0.to_vec();
    node.script
        .change(|table| change(table.invoices.get_mut(&hash).unwrap()));
}

fn part(amt_msat: u64, expiry_height: i32, state: InvoiceHtlcState) -> InvoiceHtlc {
    InvoiceHtlc {
        amt_msat,
        expiry_height,
        accept_time: i64::from(expiry_height) + 1_000,
        state: state.into(),
        ..InvoiceHtlc::default()
    }
}

/// Pays the hold in two parts, beside one that was given back.
fn pay(invoice: &mut Invoice) {
    invoice.htlcs = vec![
        part(20_000_000, 950, InvoiceHtlcState::Accepted),
        part(30_000_000, 944, InvoiceHtlcState::Accepted),
        part(50_000_000, 900, InvoiceHtlcState::Canceled),
    ];
    invoice.amt_paid_msat = 50_000_000;
    invoice.set_state(InvoiceState::Accepted);
}

fn accepted() -> HoldState {
    HoldState::Accepted(Acceptance {
        paid: AMOUNT,
        parts: 2,
        min_expiry_height: 944,
        at: UnixTime(1_950),
    })
}

#[tokio::test]
async fn a_hold_is_told_with_what_is_locked_at_this_moment() {
    let (node, lnd) = opened().await;
    let hash = preimage().hash();
    let state = async || lnd.lookup_hold(hash).await.unwrap().unwrap().state;
    assert_eq!(state().await, HoldState::Open { partial: Msat(0) });
    change(&node, |it| {
        it.htlcs = vec![part(7, 944, InvoiceHtlcState::Accepted)];
    });
    assert_eq!(state().await, HoldState::Open { partial: Msat(7) });
    change(&node, pay);
    assert_eq!(state().await, accepted());
    change(&node, |it| it.set_state(InvoiceState::Settled));
    assert_eq!(state().await, HoldState::Settled { paid: AMOUNT });
    change(&node, |it| it.set_state(InvoiceState::Canceled));
    assert_eq!(state().await, HoldState::Canceled);
}

#[tokio::test]
async fn an_accepted_hold_without_a_locked_part_breaks_the_contract() {
    let (node, lnd) = opened().await;
    change(&node, |it| it.set_state(InvoiceState::Accepted));
    let answer = lnd.lookup_hold(preimage().hash()).await;
    assert!(matches!(answer, Err(LnError::Contract(_))), "{answer:?}");
}

#[tokio::test]
async fn a_hash_has_no_hold_on_a_fresh_node_and_on_a_used_one() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let unknown = Preimage::new([6; 32]);
    for _ in 0..2 {
        assert_eq!(lnd.lookup_hold(unknown.hash()).await, Ok(None));
        let settled = lnd.settle_hold(&unknown).await;
        assert_eq!(settled, Ok(SettleOutcome::NoSuchHold));
        let canceled = lnd.cancel_hold(unknown.hash()).await;
        assert_eq!(canceled, Ok(CancelOutcome::NoSuchHold));
        assert_eq!(lnd.watch_hold(unknown.hash()).next().await, None);
        lnd.create_hold(&request()).await.unwrap();
    }
}

#[tokio::test]
async fn equal_terms_are_the_same_hold_and_others_are_refused() {
    let (_node, lnd) = opened().await;
    let mut again = request();
    again.memo = "another".into();
    let found = lnd.create_hold(&again).await.unwrap();
    assert_eq!(found.state, HoldState::Open { partial: Msat(0) });
    for other in [
        HoldRequest {
            amount: Msat(1),
            ..request()
        },
        HoldRequest {
            cltv_delta: 145,
            ..request()
        },
    ] {
        let answer = lnd.create_hold(&other).await;
        assert!(matches!(answer, Err(LnError::Contract(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn terms_that_lnd_refuses_break_the_contract_and_open_nothing() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let answer = lnd
        .create_hold(&HoldRequest {
            cltv_delta: 23,
            ..request()
        })
        .await;
    assert!(matches!(answer, Err(LnError::Contract(_))), "{answer:?}");
    assert_eq!(lnd.lookup_hold(preimage().hash()).await, Ok(None));
}

#[tokio::test]
async fn settling_has_an_outcome_for_each_state() {
    let (node, lnd) = opened().await;
    let rows = [
        (InvoiceState::Open, SettleOutcome::NotAccepted),
        (InvoiceState::Canceled, SettleOutcome::AlreadyCanceled),
        (InvoiceState::Settled, SettleOutcome::Settled),
        (InvoiceState::Accepted, SettleOutcome::Settled),
    ];
    for (state, outcome) in rows {
        change(&node, |it| it.set_state(state));
        assert_eq!(lnd.settle_hold(&preimage()).await, Ok(outcome), "{state:?}");
    }
}

#[tokio::test]
async fn canceling_has_an_outcome_for_each_state() {
    let (node, lnd) = opened().await;
    let rows = [
        (InvoiceState::Settled, CancelOutcome::AlreadySettled),
        (InvoiceState::Canceled, CancelOutcome::Canceled),
        (InvoiceState::Accepted, CancelOutcome::Canceled),
        (InvoiceState::Open, CancelOutcome::Canceled),
    ];
    for (state, outcome) in rows {
        change(&node, |it| it.set_state(state));
        let canceled = lnd.cancel_hold(preimage().hash()).await;
        assert_eq!(canceled, Ok(outcome), "{state:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_a_look_up() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let lost = ["AddHoldInvoice", "SettleInvoice", "CancelInvoice"];
    node.script.table().lost.extend(lost);
    let hold = lnd.create_hold(&request()).await.unwrap();
    assert_eq!(hold.state, HoldState::Open { partial: Msat(0) });
    change(&node, pay);
    let settled = lnd.settle_hold(&preimage()).await;
    assert_eq!(settled, Ok(SettleOutcome::Settled));
    let canceled = lnd.cancel_hold(preimage().hash()).await;
    assert_eq!(canceled, Ok(CancelOutcome::AlreadySettled));
}

/// The call may still be on its way, so what the look-up does not show may yet come.
#[tokio::test]
async fn without_an_answer_and_without_its_effect_a_change_is_ambiguous() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let cut_off = ["AddHoldInvoice", "SettleInvoice", "CancelInvoice"];
    node.script.table().cut_off.extend(cut_off);
    let ambiguous = |error: LnError| matches!(error, LnError::Ambiguous(_));
    assert!(ambiguous(lnd.create_hold(&request()).await.unwrap_err()));
    assert!(ambiguous(lnd.settle_hold(&preimage()).await.unwrap_err()));
    assert!(ambiguous(
        lnd.cancel_hold(preimage().hash()).await.unwrap_err()
    ));

    node.script.table().cut_off.remove("AddHoldInvoice");
    lnd.create_hold(&request()).await.unwrap();
    for state in [InvoiceState::Open, InvoiceState::Accepted] {
        change(&node, pay);
        change(&node, |it| it.set_state(state));
        assert!(ambiguous(lnd.settle_hold(&preimage()).await.unwrap_err()));
        assert!(ambiguous(
            lnd.cancel_hold(preimage().hash()).await.unwrap_err()
        ));
    }
    change(&node, |it| it.set_state(InvoiceState::Canceled));
    let settled = lnd.settle_hold(&preimage()).await;
    assert_eq!(settled, Ok(SettleOutcome::AlreadyCanceled));
}

#[tokio::test]
async fn a_change_that_lnd_refused_for_reasons_of_its_own_is_tried_again() {
    let (node, lnd) = opened().await;
    change(&node, pay);
    let stopping = || Status::unknown("invoice registry shutting down");
    let calls = ["SettleInvoice", "CancelInvoice"];
    node.script
        .table()
        .refused
        .extend(calls.map(|call| (call, stopping())));
    let answer = lnd.settle_hold(&preimage()).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
    let answer = lnd.cancel_hold(preimage().hash()).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn a_watch_tells_the_present_the_changes_and_the_end() {
    let (node, lnd) = opened().await;
    let mut news = lnd.watch_hold(preimage().hash());
    let mut next = async || news.next().await.map(|hold| hold.state);
    assert_eq!(next().await, Some(HoldState::Open { partial: Msat(0) }));
    change(&node, pay);
    assert_eq!(next().await, Some(accepted()));
    change(&node, |it| it.set_state(InvoiceState::Settled));
    assert_eq!(next().await, Some(HoldState::Settled { paid: AMOUNT }));
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_silent_stream_is_noticed_by_the_sweep() {
    let node = Scripted::start().await;
    let tempo = Tempo {
        sweep: Duration::from_millis(20),
        ..NO_SWEEP
    };
    let lnd = Lnd::at(tempo, node.access(), 18).unwrap();
    lnd.create_hold(&request()).await.unwrap();
    node.script.table().streams_are_deaf = true;
    let mut news = lnd.watch_hold(preimage().hash());
    news.next().await.unwrap();
    change(&node, pay);
    assert_eq!(news.next().await.unwrap().state, accepted());
}

#[tokio::test]
async fn a_watch_ends_when_its_source_is_lost() {
    let (node, lnd) = opened().await;
    let mut news = lnd.watch_hold(preimage().hash());
    news.next().await.unwrap();
    // The stream is there once it was polled past the look-up.
    let (rest, ()) = tokio::join!(news.next(), async {
        node.script.called("SubscribeSingleInvoice").await;
        node.script.hang_up();
    });
    assert_eq!(rest, None);
    assert!(lnd.lookup_hold(preimage().hash()).await.unwrap().is_some());
}

#[tokio::test]
async fn an_invoice_names_private_channels_if_there_are_no_others() {
    for (private, named) in [
        (vec![], false),
        (vec![true, false], false),
        (vec![true, true], true),
    ] {
        let node = Scripted::start().await;
        let channels = private.iter().map(|private| Channel {
            private: *private,
            ..Channel::default()
        });
        node.script.table().channels = channels.collect();
        backend(&node).create_hold(&request()).await.unwrap();
        assert_eq!(node.script.table().last_add_was_private, named);
    }
}

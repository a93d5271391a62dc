//! Each row of LND's tables about payments.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use escrow_core::{Msat, PaymentHash};
use futures_util::StreamExt;
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use tonic::Status;

use super::super::rpc::lnrpc::htlc_attempt::HtlcStatus;
use super::super::rpc::lnrpc::payment::PaymentStatus;
use super::super::rpc::lnrpc::{HtlcAttempt, Payment, PaymentFailureReason};
use super::super::{Lnd, Tempo};
use super::scripted::{NODE_KEY, Scripted, hex};
use super::{NO_SWEEP, backend};
use crate::backend::{
    FailReason, LightningBackend, LnError, PayRequest, PaymentState, Preimage, RejectReason,
    StartPayment,
};

const AMOUNT: Msat = Msat(21_000_000);

/// What an invoice is written with.
struct Draft {
    payee: [u8; 32],
    amount: Option<Msat>,
    written_at: u64,
}

const DRAFT: Draft = Draft {
    payee: [9; 32],
    amount: Some(AMOUNT),
    written_at: 3_900_000_000,
};

fn preimage() -> Preimage {
    Preimage::new([7; 32])
}

fn hash() -> PaymentHash {
    preimage().hash()
}

/// A payment of an invoice that nothing is wrong with.
pub(super) fn payment() -> PayRequest {
    request(&DRAFT)
}

fn request(draft: &Draft) -> PayRequest {
    let key = SecretKey::from_slice(&draft.payee).unwrap();
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description("coffee".into())
        .payment_hash(sha256::Hash::from_byte_array(hash().0))
        .payment_secret(PaymentSecret([8; 32]))
        .duration_since_epoch(Duration::from_secs(draft.written_at))
        .min_final_cltv_expiry_delta(80);
    let invoice = match draft.amount {
        Some(amount) => invoice.amount_milli_satoshis(amount.0),
        None => invoice,
    };
    let sign = |message: &_| Secp256k1::new().sign_ecdsa_recoverable(message, &key);
    PayRequest {
        bolt11: invoice.build_signed(sign).unwrap().to_string(),
        amount: AMOUNT,
        fee_limit: Msat(10_000),
        cltv_limit: 1_008,
        max_parts: 16,
        timeout: Duration::from_secs(60),
    }
}

fn change(node: &Scripted, change: impl FnOnce(&mut Payment)) {
    node.script
        .change(|table| change(table.payments.get_mut(&hex(hash())).unwrap()));
}

fn succeed(payment: &mut Payment) {
    payment.payment_preimage = faster_hex::hex_string(preimage().expose());
    payment.fee_msat = 1_001;
    payment.set_status(PaymentStatus::Succeeded);
}

fn succeeded() -> PaymentState {
    PaymentState::Succeeded {
        preimage: preimage(),
        fee: Msat(1_001),
    }
}

async fn started() -> (Scripted, Lnd) {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let answer = lnd.start_payment(&request(&DRAFT)).await;
    assert_eq!(answer, Ok(StartPayment::Started));
    (node, lnd)
}

#[tokio::test]
async fn a_payment_that_is_known_is_not_started_again_and_a_failed_one_is() {
    let (node, lnd) = started().await;
    let again = async || lnd.start_payment(&request(&DRAFT)).await.unwrap();
    assert_eq!(again().await, StartPayment::AlreadyKnown);
    change(&node, succeed);
    assert_eq!(again().await, StartPayment::AlreadyKnown);
    change(&node, |it| it.set_status(PaymentStatus::Failed));
    assert_eq!(again().await, StartPayment::Started);
}

#[tokio::test]
async fn a_payment_is_told_by_its_status_alone() {
    let (node, lnd) = started().await;
    let state = async || lnd.lookup_payment(hash()).await.unwrap();
    assert_eq!(state().await, PaymentState::InFlight { parts: 0 });
    change(&node, |it| {
        let part = |status: HtlcStatus| HtlcAttempt {
            status: status.into(),
            ..HtlcAttempt::default()
        };
        it.htlcs = vec![part(HtlcStatus::Failed), part(HtlcStatus::InFlight)];
        it.set_failure_reason(PaymentFailureReason::FailureReasonTimeout);
    });
    assert_eq!(state().await, PaymentState::InFlight { parts: 1 });
    change(&node, succeed);
    assert_eq!(state().await, succeeded());
}

#[tokio::test]
async fn each_failure_keeps_its_reason() {
    let (node, lnd) = started().await;
    let rows = [
        (
            PaymentFailureReason::FailureReasonTimeout,
            FailReason::Timeout,
        ),
        (
            PaymentFailureReason::FailureReasonNoRoute,
            FailReason::NoRoute,
        ),
        (PaymentFailureReason::FailureReasonError, FailReason::Error),
        (PaymentFailureReason::FailureReasonNone, FailReason::Error),
        (
            PaymentFailureReason::FailureReasonIncorrectPaymentDetails,
            FailReason::WrongDetails,
        ),
        (
            PaymentFailureReason::FailureReasonInsufficientBalance,
            FailReason::InsufficientBalance,
        ),
        (
            PaymentFailureReason::FailureReasonCanceled,
            FailReason::Canceled,
        ),
    ];
    for (theirs, reason) in rows {
        change(&node, |it| {
            it.set_status(PaymentStatus::Failed);
            it.set_failure_reason(theirs);
        });
        let state = lnd.lookup_payment(hash()).await;
        assert_eq!(state, Ok(PaymentState::Failed { reason }));
    }
}

#[tokio::test]
async fn a_receipt_that_is_not_the_preimage_is_no_receipt() {
    let (node, lnd) = started().await;
    for receipt in ["00".repeat(32), "7".into(), String::new(), "zz".repeat(32)] {
        change(&node, |it| {
            succeed(it);
            it.payment_preimage.clone_from(&receipt);
        });
        let answer = lnd.lookup_payment(hash()).await;
        assert!(matches!(answer, Err(LnError::Contract(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn an_invoice_without_an_amount_is_paid_as_told_and_any_other_amount_is_refused() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let mut other = request(&DRAFT);
    other.amount = Msat(AMOUNT.0 + 1);
    let answer = lnd.start_payment(&other).await;
    assert!(
        matches!(
            answer,
            Ok(StartPayment::Rejected(RejectReason::BadInvoice(_)))
        ),
        "{answer:?}"
    );
    assert!(!node.script.table().calls.contains(&"SendPaymentV2"));

    let open = request(&Draft {
        amount: None,
        ..DRAFT
    });
    assert_eq!(lnd.start_payment(&open).await, Ok(StartPayment::Started));
    let paid = node.script.table().payments[&hex(hash())].value_msat;
    assert_eq!(u64::try_from(paid), Ok(AMOUNT.0));
}

#[tokio::test]
async fn what_is_known_of_an_invoice_tells_why_it_was_refused() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    let refusal = Status::unknown("whatever LND says");
    node.script.table().refused.insert("SendPaymentV2", refusal);
    let mut short = request(&DRAFT);
    short.cltv_limit = 83;
    let mut long = request(&DRAFT);
    long.cltv_limit = 2_017;
    let rows = [
        (
            request(&Draft {
                payee: NODE_KEY,
                ..DRAFT
            }),
            RejectReason::SelfPayment,
        ),
        (
            request(&Draft {
                written_at: 1_600_000_000,
                ..DRAFT
            }),
            RejectReason::InvoiceExpired,
        ),
        (short, RejectReason::CltvLimit),
        (long, RejectReason::CltvLimit),
        (
            request(&DRAFT),
            RejectReason::BadInvoice("whatever LND says".into()),
        ),
    ];
    for (request, reason) in rows {
        let answer = lnd.start_payment(&request).await;
        assert_eq!(answer, Ok(StartPayment::Rejected(reason)));
    }
}

/// LND looks at the invoice before it looks at the hash, so a paid invoice that has
/// expired since is refused like any other.
#[tokio::test]
async fn p6_a_refusal_is_not_believed_if_the_hash_is_known() {
    let (node, lnd) = started().await;
    change(&node, succeed);
    let refusal = Status::unknown("invoice expired. Valid until …");
    node.script.table().refused.insert("SendPaymentV2", refusal);
    let answer = lnd.start_payment(&request(&DRAFT)).await;
    assert_eq!(answer, Ok(StartPayment::AlreadyKnown));
}

#[tokio::test]
async fn a_lost_answer_is_found_again_and_a_missing_one_is_ambiguous() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    node.script.table().cut_off.insert("SendPaymentV2");
    let answer = lnd.start_payment(&request(&DRAFT)).await;
    assert!(matches!(answer, Err(LnError::Ambiguous(_))), "{answer:?}");
    node.script.table().cut_off.clear();
    node.script.table().lost.insert("SendPaymentV2");
    let answer = lnd.start_payment(&request(&DRAFT)).await;
    assert_eq!(answer, Ok(StartPayment::AlreadyKnown));
}

#[tokio::test]
async fn a_payment_is_not_started_while_it_could_only_fail() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    for change in [
        (|info| info.synced_to_chain = false) as fn(&mut super::super::rpc::lnrpc::GetInfoResponse),
        |info| info.num_active_channels = 0,
    ] {
        let before = node.script.table().info.clone();
        change(&mut node.script.table().info);
        let answer = lnd.start_payment(&request(&DRAFT)).await;
        assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
        node.script.table().info = before;
    }
    assert!(!node.script.table().calls.contains(&"SendPaymentV2"));
}

#[tokio::test]
async fn an_unknown_payment_is_not_found_and_its_watch_ends() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    assert_eq!(lnd.lookup_payment(hash()).await, Ok(PaymentState::NotFound));
    assert_eq!(lnd.watch_payment(hash()).next().await, None);
}

#[tokio::test]
async fn a_watch_tells_the_present_the_changes_and_the_end() {
    let (node, lnd) = started().await;
    let mut news = lnd.watch_payment(hash());
    let first = news.next().await;
    assert_eq!(first, Some(PaymentState::InFlight { parts: 0 }));
    change(&node, succeed);
    assert_eq!(news.next().await, Some(succeeded()));
    assert_eq!(news.next().await, None);
}

#[tokio::test]
async fn a_silent_stream_is_noticed_by_the_sweep_and_a_lost_one_ends() {
    let node = Scripted::start().await;
    let tempo = Tempo {
        sweep: Duration::from_millis(20),
        ..NO_SWEEP
    };
    let swept = Lnd::at(tempo, node.access(), 18).unwrap();
    swept.start_payment(&request(&DRAFT)).await.unwrap();
    let lnd = backend(&node);
    let mut lost = lnd.watch_payment(hash());
    lost.next().await.unwrap();
    let mut news = swept.watch_payment(hash());
    news.next().await.unwrap();

    node.script.table().streams_are_deaf = true;
    change(&node, succeed);
    assert_eq!(news.next().await, Some(succeeded()));
    node.script.hang_up();
    assert_eq!(lost.next().await, None);
}

#[tokio::test]
async fn the_history_comes_in_order_and_in_pages() {
    let node = Scripted::start().await;
    let lnd = backend(&node);
    for index in 1..=2_500_u64 {
        let mut payment = Payment {
            payment_hash: format!("{index:064x}"),
            payment_index: index,
            creation_time_ns: 5_000_000_000,
            ..Payment::default()
        };
        payment.set_status(PaymentStatus::Failed);
        let mut table = node.script.table();
        table.payments.insert(payment.payment_hash.clone(), payment);
    }
    let all = lnd.list_payments_since(10, u32::MAX).await.unwrap();
    assert_eq!(all.len(), 2_490);
    assert!(all.is_sorted_by(|a, b| a.index < b.index));
    assert_eq!(all[0].created_at, escrow_core::UnixTime(5));
    let some = lnd.list_payments_since(2_000, 3).await.unwrap();
    let indices: Vec<_> = some.iter().map(|record| record.index).collect();
    assert_eq!(indices, [2_001, 2_002, 2_003]);
}

//! What ordered faults do, and time that passes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use escrow_lightning::backend::{FailReason, PaymentState, StartPayment};
use escrow_lightning::sandbox::{
    Clock, DEFAULT_WALLET, FailPayments, Fault, FaultAction, LosePayments, Mine, Op,
};
use escrow_lightning::{LightningBackend, LnError, Preimage, Sandbox};
use futures_util::StreamExt;

use crate::{START, hold_request, in_memory, invoice, pay_request, setup};

#[tokio::test]
async fn fail_before_does_nothing_and_fail_after_does_it() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let request = hold_request(&preimage);
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::FailBefore));
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::FailAfter));

    let answer = sandbox.create_hold(&request).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
    assert_eq!(sandbox.lookup_hold(request.hash).await.unwrap(), None);

    let answer = sandbox.create_hold(&request).await;
    assert!(matches!(answer, Err(LnError::Ambiguous(_))), "{answer:?}");
    assert!(sandbox.lookup_hold(request.hash).await.unwrap().is_some());

    sandbox.create_hold(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_done_when_it_is_let_go() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let request = hold_request(&preimage);
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::Hang));
    let patience = Duration::from_secs(8);
    let answer = tokio::time::timeout(patience, sandbox.create_hold(&request)).await;
    assert!(answer.is_err(), "the caller lost patience: {answer:?}");
    assert_eq!(sandbox.lookup_hold(request.hash).await.unwrap(), None);
    sandbox.let_go().await;
    assert!(sandbox.lookup_hold(request.hash).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_streams_and_keeps_holds() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let hold = sandbox.create_hold(&hold_request(&preimage)).await.unwrap();
    let mut news = sandbox.watch_hold(hold.hash);
    let mut heights = sandbox.watch_blocks();
    assert_eq!(news.next().await, Some(hold.clone()));
    assert!(heights.next().await.is_some());

    let away = FaultAction::restart(Duration::from_secs(5));
    sandbox.add_fault(Fault {
        op: None,
        action: away,
    });
    let answer = sandbox.info().await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
    assert_eq!(news.next().await, None, "ended without a final state");
    assert_eq!(heights.next().await, None);
    assert_eq!(sandbox.watch_hold(hold.hash).next().await, None);
    let answer = sandbox.settle_hold(&preimage).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");

    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(sandbox.lookup_hold(hold.hash).await.unwrap(), Some(hold));
}

#[tokio::test]
async fn ordered_failures_fail_so_many_payments() {
    let sandbox = in_memory();
    let bolt11 = sandbox
        .apply(invoice(DEFAULT_WALLET, 1_000_000))
        .await
        .unwrap()
        .unwrap();
    let request = pay_request(bolt11, 1_000_000);
    sandbox.apply(FailPayments { count: 2 }).await.unwrap();
    let mut states = Vec::new();
    for _ in 0..3 {
        assert_eq!(
            sandbox.start_payment(&request).await.unwrap(),
            StartPayment::Started
        );
        states.push(
            sandbox
                .list_payments_since(0, 9)
                .await
                .unwrap()
                .pop()
                .unwrap()
                .state,
        );
    }
    let no_route = PaymentState::Failed {
        reason: FailReason::NoRoute,
    };
    assert_eq!(states[..2], [no_route.clone(), no_route]);
    assert!(
        matches!(states[2], PaymentState::Succeeded { .. }),
        "{states:?}"
    );
}

#[tokio::test]
async fn a_lost_payment_stays_in_flight_and_no_channel_carries_it() {
    let sandbox = in_memory();
    let outbound = sandbox.liquidity().await.unwrap().outbound;
    sandbox.apply(LosePayments { count: 1 }).await.unwrap();
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let order = invoice(DEFAULT_WALLET, 1_000_000);
        let bolt11 = sandbox.apply(order).await.unwrap().unwrap();
        let request = pay_request(bolt11, 1_000_000);
        sandbox.start_payment(&request).await.unwrap();
        let again = sandbox.start_payment(&request).await.unwrap();
        assert_eq!(again, StartPayment::AlreadyKnown);
        let newest = sandbox.list_payments_since(0, 9).await.unwrap().pop();
        hashes.push(newest.unwrap().hash);
    }
    let lost = sandbox.lost_payment(hashes[0]).await.unwrap().unwrap();
    assert_eq!(sandbox.lost_payment(hashes[1]).await.unwrap(), None);
    let left = sandbox.liquidity().await.unwrap().outbound;
    assert!(left.0 > outbound.0 - 2_000_000, "only one has left");

    let height = sandbox.info().await.unwrap().block_height;
    let past = Mine {
        blocks: lost.locked_until - height + 100,
    };
    sandbox.apply(past).await.unwrap();
    let state = sandbox.lookup_payment(hashes[0]).await.unwrap();
    assert_eq!(state, PaymentState::InFlight { parts: 1 });
}

#[tokio::test(start_paused = true)]
async fn time_passes_without_requests_until_told_to_stop() {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock: Clock = {
        let seconds = Arc::clone(&seconds);
        Arc::new(move || START.plus(seconds.load(Ordering::SeqCst)))
    };
    let sandbox = Sandbox::in_memory(&setup(), clock);
    let mut heights = sandbox.watch_blocks();
    let first = heights.next().await.unwrap();
    seconds.store(600, Ordering::SeqCst);
    let told = tokio::select! {
        () = sandbox.run(std::future::pending()) => None,
        height = heights.next() => height,
    };
    assert_eq!(told, Some(first + 1));
    sandbox.run(async {}).await;
}

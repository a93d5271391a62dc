//! What ordered faults do, and time that passes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use escrow_lightning::backend::{FailReason, HoldSnapshot, HoldState, PaymentState, StartPayment};
use escrow_lightning::sandbox::{
    ChangeChannels, Clock, DEFAULT_WALLET, FailPayments, Fault, FaultAction, LosePayments, Mine, Op,
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
async fn a_delayed_call_is_done_later() {
    let sandbox = in_memory();
    let request = hold_request(&Preimage::new([1; 32]));
    sandbox.add_fault(Fault::on(Op::CreateHold, FaultAction::Delay { ms: 5_000 }));
    let asked_at = tokio::time::Instant::now();
    sandbox.create_hold(&request).await.unwrap();
    assert_eq!(asked_at.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_locked_wallet_does_nothing_until_it_is_unlocked() {
    let sandbox = in_memory();
    let preimage = Preimage::new([1; 32]);
    let hold = sandbox.create_hold(&hold_request(&preimage)).await.unwrap();
    let mut news = sandbox.watch_hold(hold.hash);
    assert!(news.next().await.is_some());
    let locked = FaultAction::LockedWallet { for_ms: 5_000 };
    sandbox.add_fault(Fault::on(Op::CancelHold, locked));
    let answer = sandbox.cancel_hold(hold.hash).await;
    assert!(matches!(answer, Err(LnError::Unavailable(_))), "{answer:?}");
    assert!(sandbox.info().await.is_err());
    assert_eq!(news.next().await, None);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(sandbox.lookup_hold(hold.hash).await.unwrap(), Some(hold));
}

#[tokio::test(start_paused = true)]
async fn info_shows_the_condition_of_the_node_for_a_while() {
    let sandbox = in_memory();
    let well = sandbox.info().await.unwrap();
    let table = [
        FaultAction::StaleHeight {
            blocks: 3,
            for_ms: 1_000,
        },
        FaultAction::NotSynced { for_ms: 1_000 },
        FaultAction::StartWindow { for_ms: 1_000 },
    ];
    for fault in table {
        sandbox.add_fault(Fault {
            op: None,
            action: fault,
        });
        sandbox.liquidity().await.unwrap();
        let shown = sandbox.info().await.unwrap();
        let stale = matches!(fault, FaultAction::StaleHeight { .. });
        let starting = matches!(fault, FaultAction::StartWindow { .. });
        let behind = if stale { 3 } else { 0 };
        assert_eq!(shown.block_height, well.block_height - behind, "{fault:?}");
        assert_eq!(shown.synced_to_chain, stale, "{fault:?}");
        assert_eq!(shown.active_channels == 0, starting, "{fault:?}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sandbox.info().await.unwrap(), well);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_info_leaves_everything_else_at_work() {
    let sandbox = in_memory();
    sandbox.add_fault(Fault::on(
        Op::Info,
        FaultAction::InfoHangs { for_ms: 60_000 },
    ));
    for _ in 0..2 {
        let answer = tokio::time::timeout(Duration::from_secs(5), sandbox.info()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    let request = hold_request(&Preimage::new([1; 32]));
    sandbox.create_hold(&request).await.unwrap();
    let asked_at = tokio::time::Instant::now();
    sandbox.info().await.unwrap();
    assert_eq!(asked_at.elapsed(), Duration::from_secs(50));
}

#[tokio::test]
async fn a_payment_in_the_start_window_or_in_a_crash_does_not_leave() {
    let sandbox = in_memory();
    let bolt11 = sandbox
        .apply(invoice(DEFAULT_WALLET, 1_000_000))
        .await
        .unwrap()
        .unwrap();
    let request = pay_request(bolt11, 1_000_000);
    let window = FaultAction::StartWindow { for_ms: 600_000 };
    sandbox.add_fault(Fault::on(Op::Info, window));
    sandbox.info().await.unwrap();
    sandbox.start_payment(&request).await.unwrap();
    let last = async || {
        let records = sandbox.list_payments_since(0, 9).await.unwrap();
        records.into_iter().next_back().unwrap().state
    };
    let reason = FailReason::InsufficientBalance;
    assert_eq!(last().await, PaymentState::Failed { reason });
    sandbox.clear_faults().await;
    sandbox.add_fault(Fault::on(Op::StartPayment, FaultAction::LoseAttempt));
    sandbox.start_payment(&request).await.unwrap();
    assert_eq!(last().await, PaymentState::InFlight { parts: 1 });
    let found = sandbox.apply(ChangeChannels).await.unwrap();
    assert_eq!(found, 1, "one payment never left");
    sandbox.start_payment(&request).await.unwrap();
    let paid = last().await;
    assert!(matches!(paid, PaymentState::Succeeded { .. }), "{paid:?}");
}

#[tokio::test(start_paused = true)]
async fn streams_break_off_fall_silent_or_tell_twice_and_out_of_order() {
    let open = |it: &HoldSnapshot| matches!(it.state, HoldState::Open { .. });
    let table = [
        (FaultAction::DropStream, vec![]),
        (FaultAction::EofStreamNoTerminal, vec![true]),
        (FaultAction::DuplicateUpdate, vec![true, true, false, false]),
        (FaultAction::ReorderUpdate, vec![false, true]),
    ];
    for (fault, told) in table {
        let sandbox = in_memory();
        let preimage = Preimage::new([1; 32]);
        let hold = sandbox.create_hold(&hold_request(&preimage)).await.unwrap();
        sandbox.add_fault(Fault::on(Op::WatchHold, fault));
        let news = sandbox.watch_hold(hold.hash);
        let first_then_cancel = async {
            tokio::task::yield_now().await;
            sandbox.cancel_hold(hold.hash).await.unwrap();
        };
        let (heard, ()) = tokio::join!(news.collect::<Vec<_>>(), first_then_cancel);
        let heard: Vec<bool> = heard.iter().map(open).collect();
        assert_eq!(heard, told, "{fault:?}");
    }
    let sandbox = in_memory();
    let hold = hold_request(&Preimage::new([1; 32]));
    sandbox.create_hold(&hold).await.unwrap();
    sandbox.add_fault(Fault::on(Op::WatchHold, FaultAction::SilentStream));
    let mut news = sandbox.watch_hold(hold.hash);
    let said = tokio::time::timeout(Duration::from_secs(86_400), news.next()).await;
    assert!(said.is_err(), "{said:?}");
    // The next stream is a good one.
    assert!(sandbox.watch_hold(hold.hash).next().await.is_some());
}

#[test]
fn faults_are_ordered_in_json() {
    let table = [
        (
            r#"{"op":"settle-hold","action":"fail-after"}"#,
            Fault::on(Op::SettleHold, FaultAction::FailAfter),
        ),
        (
            r#"{"op":null,"action":{"stale-height":{"blocks":3,"for_ms":9}}}"#,
            Fault {
                op: None,
                action: FaultAction::StaleHeight {
                    blocks: 3,
                    for_ms: 9,
                },
            },
        ),
        (
            r#"{"op":"watch-hold","action":"silent-stream"}"#,
            Fault::on(Op::WatchHold, FaultAction::SilentStream),
        ),
    ];
    for (json, fault) in table {
        assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), fault);
    }
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

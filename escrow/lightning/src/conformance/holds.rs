//! What every backend does with hold invoices.

use std::time::Duration;

use escrow_core::{Msat, PaymentHash};

use super::{
    AMOUNT, CLTV_DELTA, Case, Failure, Harness, Needs, Sent, Verdict, accepted, contract,
    holds_true, look, next, open, same, terms,
};
use crate::backend::{Acceptance, CancelOutcome, HoldState, SettleOutcome};
use crate::invoice_rules::{InvoiceRules, read_payout_invoice};

/// A refused part is refused at once, a held one after two minutes.
const PARTS_WAIT: Duration = Duration::from_secs(121);

pub(super) fn cases() -> Vec<Case> {
    let case = |name, needs, run| Case { name, needs, run };
    vec![
        case("a hold opens and is found again", Needs::Nothing, |h| {
            Box::pin(opens(h))
        }),
        case("equal terms are the same hold", Needs::Nothing, |h| {
            Box::pin(equal_terms(h))
        }),
        case("other terms are refused", Needs::Nothing, |h| {
            Box::pin(other_terms(h))
        }),
        case("terms out of bounds are refused", Needs::Nothing, |h| {
            Box::pin(bad_terms(h))
        }),
        case("an unknown hash has no hold", Needs::Nothing, |h| {
            Box::pin(unknown(h))
        }),
        case(
            "an open hold: not settled, canceled twice",
            Needs::Nothing,
            |h| Box::pin(open_table(h)),
        ),
        case(
            "an accepted hold: settled twice, not canceled",
            Needs::Nothing,
            |h| Box::pin(settled_table(h)),
        ),
        case(
            "an accepted hold: canceled, not settled",
            Needs::Nothing,
            |h| Box::pin(canceled_table(h)),
        ),
        case("settle and cancel at once: one wins", Needs::Nothing, |h| {
            Box::pin(race(h))
        }),
        case(
            "h6 more than asked is held and booked",
            Needs::Nothing,
            |h| Box::pin(overpaid(h)),
        ),
        case("less than asked is refused", Needs::Nothing, |h| {
            Box::pin(underpaid(h))
        }),
        case(
            "h6 parts count when they are complete",
            Needs::Nothing,
            |h| Box::pin(parts(h)),
        ),
        case("a part after the last is refused", Needs::Nothing, |h| {
            Box::pin(late_part(h))
        }),
        case(
            "a canceled hold gives its parts back",
            Needs::Nothing,
            |h| Box::pin(canceled_parts(h)),
        ),
        case("parts go back after two minutes", Needs::Time, |h| {
            Box::pin(lonely_part(h))
        }),
        case("time closes an open hold", Needs::Time, |h| {
            Box::pin(expires(h))
        }),
        case("time does not touch an accepted hold", Needs::Time, |h| {
            Box::pin(outlives(h))
        }),
        case(
            "height cancels an accepted hold at its margin",
            Needs::Nothing,
            |h| Box::pin(height(h)),
        ),
        case(
            "a watch tells the present, the changes and the end",
            Needs::Nothing,
            |h| Box::pin(watch(h)),
        ),
        case("holds survive a restart", Needs::Restart, |h| {
            Box::pin(restart(h))
        }),
    ]
}

async fn opens(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let hash = opened.preimage.hash();
    same("the hash", opened.hold.hash, hash)?;
    same("the value", opened.hold.value, AMOUNT)?;
    same(
        "the state",
        opened.hold.state,
        HoldState::Open { partial: Msat(0) },
    )?;
    same(
        "the hold looked up",
        look(harness, hash).await?,
        opened.hold.clone(),
    )?;
    let node = harness.backend().info().await?;
    let rules = InvoiceRules {
        network: node.network,
        max_final_cltv_expiry_delta: CLTV_DELTA,
        own_node_pubkey: String::new(),
    };
    let read = read_payout_invoice(&opened.hold.bolt11, &rules)
        .map_err(|refusal| Failure(refusal.to_string()))?;
    same("the invoice's hash", read.hash, hash)?;
    same("the invoice's amount", read.amount, Some(AMOUNT))?;
    same("the invoice's payee", read.payee, node.pubkey)?;
    holds_true(
        "the invoice expires when it was told to, to two seconds",
        read.expires_at.0.abs_diff(harness.now().plus(600).0) <= 2,
    )
}

async fn equal_terms(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let mut again = terms(harness, opened.hold.hash);
    again.memo = "another memo".into();
    again.expires_at = harness.now().plus(30);
    same(
        "the second answer",
        harness.backend().create_hold(&again).await?,
        opened.hold,
    )?;

    let settled = accepted(harness).await?;
    harness.backend().settle_hold(&settled.preimage).await?;
    let again = terms(harness, settled.hold.hash);
    let hold = harness.backend().create_hold(&again).await?;
    same(
        "a settled hold opened again",
        hold.state,
        HoldState::Settled { paid: AMOUNT },
    )
}

async fn other_terms(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let mut other = terms(harness, opened.hold.hash);
    other.amount = Msat(AMOUNT.0 + 1_000);
    contract(
        "another amount",
        harness.backend().create_hold(&other).await,
    )?;
    let mut other = terms(harness, opened.hold.hash);
    other.cltv_delta += 1;
    contract(
        "another CLTV delta",
        harness.backend().create_hold(&other).await,
    )
}

async fn bad_terms(harness: &mut dyn Harness) -> Verdict {
    let hash = harness.fresh_preimage().hash();
    let lowest = *harness.backend().capabilities().hold_cltv_delta.start();
    let mut bad = terms(harness, hash);
    bad.cltv_delta = lowest - 1;
    contract(
        "a CLTV delta below the lowest",
        harness.backend().create_hold(&bad).await,
    )?;
    let mut bad = terms(harness, hash);
    bad.memo = "m".repeat(640);
    contract(
        "a memo of 640 bytes",
        harness.backend().create_hold(&bad).await,
    )?;
    same(
        "a hold in spite of it",
        harness.backend().lookup_hold(hash).await?,
        None,
    )?;
    let mut good = terms(harness, hash);
    good.cltv_delta = lowest;
    harness.backend().create_hold(&good).await?;
    Ok(())
}

async fn unknown(harness: &mut dyn Harness) -> Verdict {
    let preimage = harness.fresh_preimage();
    let backend = harness.backend();
    let hash = preimage.hash();
    same("looked up", backend.lookup_hold(hash).await?, None)?;
    same(
        "settled",
        backend.settle_hold(&preimage).await?,
        SettleOutcome::NoSuchHold,
    )?;
    same(
        "canceled",
        backend.cancel_hold(hash).await?,
        CancelOutcome::NoSuchHold,
    )?;
    same("watched", next(&mut backend.watch_hold(hash)).await?, None)
}

async fn open_table(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let (backend, hash) = (harness.backend(), opened.hold.hash);
    let settled = backend.settle_hold(&opened.preimage).await?;
    same("settled while open", settled, SettleOutcome::NotAccepted)?;
    same(
        "canceled",
        backend.cancel_hold(hash).await?,
        CancelOutcome::Canceled,
    )?;
    same(
        "canceled again",
        backend.cancel_hold(hash).await?,
        CancelOutcome::Canceled,
    )?;
    let settled = backend.settle_hold(&opened.preimage).await?;
    same(
        "settled after that",
        settled,
        SettleOutcome::AlreadyCanceled,
    )?;
    let sent = harness
        .payer_sends(&opened.hold.bolt11, AMOUNT, AMOUNT)
        .await;
    same("paid after that", sent, Sent::Refused)?;
    same(
        "the state",
        look(harness, hash).await?.state,
        HoldState::Canceled,
    )
}

async fn settled_table(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payer_balance().await;
    let held = accepted(harness).await?;
    let (backend, hash) = (harness.backend(), held.hold.hash);
    let acceptance = acceptance(look(harness, hash).await?.state)?;
    same("what is held", acceptance.paid, AMOUNT)?;
    let tip = backend.info().await?.block_height;
    holds_true(
        "h7 the parts expire no sooner than asked",
        acceptance.min_expiry_height >= tip + CLTV_DELTA,
    )?;
    for time in ["settled", "settled again"] {
        same(
            time,
            backend.settle_hold(&held.preimage).await?,
            SettleOutcome::Settled,
        )?;
    }
    same(
        "canceled after",
        backend.cancel_hold(hash).await?,
        CancelOutcome::AlreadySettled,
    )?;
    let state = look(harness, hash).await?.state;
    same("the state", state, HoldState::Settled { paid: AMOUNT })?;
    let spent = before.checked_sub(harness.payer_balance().await);
    holds_true(
        "the payer has paid at least the amount",
        spent >= Some(AMOUNT),
    )
}

async fn canceled_table(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payer_balance().await;
    let held = accepted(harness).await?;
    let (backend, hash) = (harness.backend(), held.hold.hash);
    for time in ["canceled", "canceled again"] {
        same(
            time,
            backend.cancel_hold(hash).await?,
            CancelOutcome::Canceled,
        )?;
    }
    let settled = backend.settle_hold(&held.preimage).await?;
    same(
        "settled after that",
        settled,
        SettleOutcome::AlreadyCanceled,
    )?;
    same(
        "the state",
        look(harness, hash).await?.state,
        HoldState::Canceled,
    )?;
    same("the payer's balance", harness.payer_balance().await, before)
}

async fn race(harness: &mut dyn Harness) -> Verdict {
    for _ in 0..8 {
        let held = accepted(harness).await?;
        let (backend, hash) = (harness.backend(), held.hold.hash);
        let both = tokio::join!(
            backend.settle_hold(&held.preimage),
            backend.cancel_hold(hash)
        );
        let (settled, canceled) = (both.0?, both.1?);
        let state = look(harness, hash).await?.state;
        let want = match settled {
            SettleOutcome::Settled => (CancelOutcome::AlreadySettled, true),
            SettleOutcome::AlreadyCanceled => (CancelOutcome::Canceled, false),
            SettleOutcome::NotAccepted | SettleOutcome::NoSuchHold => {
                return Err(Failure(format!("settled: {settled:?}")));
            }
        };
        let is_settled = matches!(state, HoldState::Settled { .. });
        same("the cancel beside the settle", (canceled, is_settled), want)?;
    }
    Ok(())
}

async fn overpaid(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let double = Msat(AMOUNT.0 * 2);
    let sent = harness
        .payer_sends(&opened.hold.bolt11, double, double)
        .await;
    same("twice the amount", sent, Sent::Held)?;
    let acceptance = acceptance(look(harness, opened.hold.hash).await?.state)?;
    same("what is held", acceptance.paid, double)?;
    harness.backend().settle_hold(&opened.preimage).await?;
    let hold = look(harness, opened.hold.hash).await?;
    same(
        "what was paid",
        hold.state,
        HoldState::Settled { paid: double },
    )?;
    same("what was asked", hold.value, AMOUNT)
}

async fn underpaid(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let less = Msat(AMOUNT.0 - 1_000);
    let sent = harness.payer_sends(&opened.hold.bolt11, less, less).await;
    same("a sat too little", sent, Sent::Refused)?;
    let state = look(harness, opened.hold.hash).await?.state;
    same("the state", state, HoldState::Open { partial: Msat(0) })
}

async fn parts(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let (bolt11, hash) = (&opened.hold.bolt11, opened.hold.hash);
    let first = Msat(AMOUNT.0 / 4);
    let rest = Msat(AMOUNT.0 - first.0);
    let sent = harness.payer_sends(bolt11, first, AMOUNT).await;
    same("the first part", sent, Sent::Held)?;
    let state = look(harness, hash).await?.state;
    same(
        "the state after one part",
        state,
        HoldState::Open { partial: first },
    )?;
    let settled = harness.backend().settle_hold(&opened.preimage).await?;
    same(
        "settled after one part",
        settled,
        SettleOutcome::NotAccepted,
    )?;
    same(
        "the rest",
        harness.payer_sends(bolt11, rest, AMOUNT).await,
        Sent::Held,
    )?;
    let acceptance = acceptance(look(harness, hash).await?.state)?;
    same(
        "sum and number of parts",
        (acceptance.paid, acceptance.parts),
        (AMOUNT, 2),
    )?;
    given_back(harness, hash).await
}

async fn late_part(harness: &mut dyn Harness) -> Verdict {
    let held = accepted(harness).await?;
    let before = harness.payer_balance().await;
    let sent = harness.payer_sends(&held.hold.bolt11, AMOUNT, AMOUNT).await;
    same("a second payment", sent, Sent::Refused)?;
    same("the payer's balance", harness.payer_balance().await, before)?;
    let acceptance = acceptance(look(harness, held.hold.hash).await?.state)?;
    same("what is held", acceptance.paid, AMOUNT)?;
    given_back(harness, held.hold.hash).await
}

/// What a case leaves locked would come back in the middle of a later one.
async fn given_back(harness: &mut dyn Harness, hash: PaymentHash) -> Verdict {
    let canceled = harness.backend().cancel_hold(hash).await?;
    same("canceled at the end", canceled, CancelOutcome::Canceled)
}

async fn canceled_parts(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payer_balance().await;
    let opened = open(harness).await?;
    let part = Msat(AMOUNT.0 / 2);
    harness.payer_sends(&opened.hold.bolt11, part, AMOUNT).await;
    let canceled = harness.backend().cancel_hold(opened.hold.hash).await?;
    same("canceled", canceled, CancelOutcome::Canceled)?;
    same("the payer's balance", harness.payer_balance().await, before)
}

async fn lonely_part(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payer_balance().await;
    let opened = open(harness).await?;
    let part = Msat(AMOUNT.0 / 2);
    harness.payer_sends(&opened.hold.bolt11, part, AMOUNT).await;
    harness.pass(PARTS_WAIT).await;
    let state = look(harness, opened.hold.hash).await?.state;
    same(
        "the state after two minutes",
        state,
        HoldState::Open { partial: Msat(0) },
    )?;
    same("the payer's balance", harness.payer_balance().await, before)?;
    let sent = harness
        .payer_sends(&opened.hold.bolt11, AMOUNT, AMOUNT)
        .await;
    same("the whole after that", sent, Sent::Held)
}

async fn expires(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    harness.pass(Duration::from_secs(601)).await;
    let state = look(harness, opened.hold.hash).await?.state;
    same("the state after its expiry", state, HoldState::Canceled)?;
    let sent = harness
        .payer_sends(&opened.hold.bolt11, AMOUNT, AMOUNT)
        .await;
    same("paid after its expiry", sent, Sent::Refused)
}

async fn outlives(harness: &mut dyn Harness) -> Verdict {
    let held = accepted(harness).await?;
    harness.pass(Duration::from_secs(601)).await;
    let state = look(harness, held.hold.hash).await?.state;
    same(
        "what is held after its expiry",
        acceptance(state)?.paid,
        AMOUNT,
    )?;
    let settled = harness.backend().settle_hold(&held.preimage).await?;
    same("settled after its expiry", settled, SettleOutcome::Settled)
}

async fn height(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payer_balance().await;
    let held = accepted(harness).await?;
    let (backend, hash) = (harness.backend(), held.hold.hash);
    let expiry = acceptance(look(harness, hash).await?.state)?.min_expiry_height;
    let margin = backend.capabilities().auto_cancel_margin;
    let tip = backend.info().await?.block_height;
    harness.mine(expiry - margin - tip - 1).await;
    let state = look(harness, hash).await?.state;
    same(
        "what is held one block before",
        acceptance(state)?.paid,
        AMOUNT,
    )?;
    // The node may take a moment to act on a block.
    let mut news = backend.watch_hold(hash);
    harness.mine(1).await;
    let mut last = None;
    while let Some(hold) = next(&mut news).await? {
        last = Some(hold.state);
    }
    same("the state at the margin", last, Some(HoldState::Canceled))?;
    same("the payer's balance", harness.payer_balance().await, before)
}

async fn watch(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let (backend, hash) = (harness.backend(), opened.hold.hash);
    let mut news = backend.watch_hold(hash);
    same(
        "the present",
        next(&mut news).await?,
        Some(opened.hold.clone()),
    )?;
    harness
        .payer_sends(&opened.hold.bolt11, AMOUNT, AMOUNT)
        .await;
    let told = next(&mut news)
        .await?
        .ok_or(Failure("ended too early".into()))?;
    same("the change", acceptance(told.state)?.paid, AMOUNT)?;
    backend.settle_hold(&opened.preimage).await?;
    let told = next(&mut news).await?.map(|hold| hold.state);
    same(
        "the final state",
        told,
        Some(HoldState::Settled { paid: AMOUNT }),
    )?;
    same("the end", next(&mut news).await?, None)?;
    let mut late = backend.watch_hold(hash);
    let told = next(&mut late).await?.map(|hold| hold.state);
    same(
        "the present, watched late",
        told,
        Some(HoldState::Settled { paid: AMOUNT }),
    )?;
    same("the end, watched late", next(&mut late).await?, None)
}

async fn restart(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let held = accepted(harness).await?;
    let settled = accepted(harness).await?;
    harness.backend().settle_hold(&settled.preimage).await?;
    let mut before = Vec::new();
    for hold in [&opened, &held, &settled] {
        before.push(look(harness, hold.hold.hash).await?);
    }
    harness.restart().await;
    for hold in before {
        same(
            "a hold after the restart",
            look(harness, hold.hash).await?,
            hold,
        )?;
    }
    let outcome = harness.backend().settle_hold(&held.preimage).await?;
    same("settled after the restart", outcome, SettleOutcome::Settled)
}

fn acceptance(state: HoldState) -> Result<Acceptance, Failure> {
    match state {
        HoldState::Accepted(acceptance) => Ok(acceptance),
        HoldState::Open { .. } | HoldState::Settled { .. } | HoldState::Canceled => {
            Err(Failure(format!("the hold is not accepted but {state:?}")))
        }
    }
}

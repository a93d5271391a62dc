//! What every backend does with payments.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use escrow_core::{Msat, PaymentHash};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};

use super::{
    AMOUNT, Case, Failure, Harness, Needs, Verdict, holds_true, next, open, payment, same,
};
use crate::backend::{FailReason, Network, PaymentState, RejectReason, StartPayment};
use crate::invoice_rules::{InvoiceRules, read_payout_invoice};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn cases() -> Vec<Case> {
    let case = |name, needs, run| Case { name, needs, run };
    vec![
        case("a payment arrives", Needs::Nothing, |h| {
            Box::pin(arrives(h))
        }),
        case(
            "an invoice without amount is paid as told",
            Needs::Nothing,
            |h| Box::pin(amountless(h)),
        ),
        case(
            "a hash is paid once, also by sixteen at once",
            Needs::Nothing,
            |h| Box::pin(once(h)),
        ),
        case("an unknown hash has no payment", Needs::Nothing, |h| {
            Box::pin(unknown(h))
        }),
        case(
            "another amount than the invoice's is refused",
            Needs::Nothing,
            |h| Box::pin(other_amount(h)),
        ),
        case(
            "v4 the node's own invoice is refused",
            Needs::Nothing,
            |h| Box::pin(own_invoice(h)),
        ),
        case(
            "a CLTV limit out of bounds is refused",
            Needs::Nothing,
            |h| Box::pin(cltv_limit(h)),
        ),
        case(
            "rubbish and other chains are refused",
            Needs::Nothing,
            |h| Box::pin(rubbish(h)),
        ),
        case("a payee nobody knows has no route", Needs::Nothing, |h| {
            Box::pin(stranger(h))
        }),
        case(
            "a failed payment can be started again",
            Needs::Nothing,
            |h| Box::pin(again_after_failure(h)),
        ),
        case(
            "an expired invoice is refused, paid or not",
            Needs::Time,
            |h| Box::pin(expired(h)),
        ),
        case("the history tells payments in order", Needs::Nothing, |h| {
            Box::pin(history(h))
        }),
        case("a mined block is told", Needs::Nothing, |h| {
            Box::pin(blocks(h))
        }),
        case("payments survive a restart", Needs::Restart, |h| {
            Box::pin(restart(h))
        }),
    ]
}

async fn arrives(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payee_balance().await;
    let bolt11 = harness.payee_invoice(Some(AMOUNT), HOUR).await;
    let hash = hash_of(harness, &bolt11).await?;
    let state = pay(harness, &bolt11, AMOUNT).await?;
    let PaymentState::Succeeded { preimage, fee } = state else {
        return Err(Failure(format!("the payment is {state:?}")));
    };
    same("the receipt's hash", preimage.hash(), hash)?;
    holds_true(
        "the fee is within its limit",
        fee <= payment(&bolt11, AMOUNT).fee_limit,
    )?;
    let gained = harness.payee_balance().await.checked_sub(before);
    same("what the payee gained", gained, Some(AMOUNT))?;
    let mut late = harness.backend().watch_payment(hash);
    holds_true(
        "a late watch tells the success",
        is_paid(next(&mut late).await?.as_ref()),
    )?;
    same("a late watch ends", next(&mut late).await?, None)
}

async fn amountless(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payee_balance().await;
    let bolt11 = harness.payee_invoice(None, HOUR).await;
    let amount = Msat(21_000_000);
    holds_true(
        "it is paid",
        is_paid(Some(&pay(harness, &bolt11, amount).await?)),
    )?;
    let gained = harness.payee_balance().await.checked_sub(before);
    same("what the payee gained", gained, Some(amount))
}

async fn once(harness: &mut dyn Harness) -> Verdict {
    let before = harness.payee_balance().await;
    let bolt11 = harness.payee_invoice(Some(AMOUNT), HOUR).await;
    let hash = hash_of(harness, &bolt11).await?;
    let request = payment(&bolt11, AMOUNT);
    let backend = harness.backend();
    let starts = (0..16).map(|_| backend.start_payment(&request));
    let mut started = 0;
    for answer in futures_util::future::join_all(starts).await {
        match answer? {
            StartPayment::Started => started += 1,
            StartPayment::AlreadyKnown => {}
            StartPayment::Rejected(reason) => return Err(Failure(format!("{reason:?}"))),
        }
    }
    same("how many were started", started, 1)?;
    holds_true("it is paid", is_paid(Some(&outcome(harness, hash).await?)))?;
    let again = backend.start_payment(&request).await?;
    same("started when paid", again, StartPayment::AlreadyKnown)?;
    let gained = harness.payee_balance().await.checked_sub(before);
    same("what the payee gained", gained, Some(AMOUNT))
}

async fn unknown(harness: &mut dyn Harness) -> Verdict {
    let hash = harness.fresh_preimage().hash();
    let backend = harness.backend();
    same(
        "looked up",
        backend.lookup_payment(hash).await?,
        PaymentState::NotFound,
    )?;
    same(
        "watched",
        next(&mut backend.watch_payment(hash)).await?,
        None,
    )
}

async fn other_amount(harness: &mut dyn Harness) -> Verdict {
    let bolt11 = harness.payee_invoice(Some(AMOUNT), HOUR).await;
    let request = payment(&bolt11, Msat(AMOUNT.0 + 1_000));
    let answer = harness.backend().start_payment(&request).await?;
    let refused = matches!(answer, StartPayment::Rejected(RejectReason::BadInvoice(_)));
    holds_true("it is refused", refused)?;
    nothing_started(harness, &bolt11).await
}

async fn own_invoice(harness: &mut dyn Harness) -> Verdict {
    let opened = open(harness).await?;
    let answer = harness
        .backend()
        .start_payment(&payment(&opened.hold.bolt11, AMOUNT))
        .await?;
    same(
        "the answer",
        answer,
        StartPayment::Rejected(RejectReason::SelfPayment),
    )?;
    nothing_started(harness, &opened.hold.bolt11).await
}

async fn cltv_limit(harness: &mut dyn Harness) -> Verdict {
    let bolt11 = harness.payee_invoice(Some(AMOUNT), HOUR).await;
    let above = harness.backend().capabilities().max_cltv_limit + 1;
    for limit in [5, above] {
        let mut request = payment(&bolt11, AMOUNT);
        request.cltv_limit = limit;
        let answer = harness.backend().start_payment(&request).await?;
        same(
            "the answer",
            answer,
            StartPayment::Rejected(RejectReason::CltvLimit),
        )?;
    }
    nothing_started(harness, &bolt11).await
}

async fn rubbish(harness: &mut dyn Harness) -> Verdict {
    let node = harness.backend().info().await?;
    let other_chain = match node.network {
        Network::Mainnet => Currency::BitcoinTestnet,
        Network::Testnet | Network::Signet | Network::Regtest => Currency::Bitcoin,
    };
    let foreign = strangers_invoice(harness, other_chain)?;
    for text in ["lnbcrt1rubbish", "", &foreign] {
        let answer = harness
            .backend()
            .start_payment(&payment(text, AMOUNT))
            .await?;
        let refused = matches!(answer, StartPayment::Rejected(RejectReason::BadInvoice(_)));
        holds_true("it is refused", refused)?;
    }
    Ok(())
}

async fn stranger(harness: &mut dyn Harness) -> Verdict {
    let bolt11 = own_chain_stranger(harness).await?;
    let state = pay(harness, &bolt11, AMOUNT).await?;
    same(
        "the payment",
        state,
        PaymentState::Failed {
            reason: FailReason::NoRoute,
        },
    )
}

async fn again_after_failure(harness: &mut dyn Harness) -> Verdict {
    let bolt11 = own_chain_stranger(harness).await?;
    for _ in 0..2 {
        let state = pay(harness, &bolt11, AMOUNT).await?;
        same(
            "the payment",
            state,
            PaymentState::Failed {
                reason: FailReason::NoRoute,
            },
        )?;
    }
    Ok(())
}

async fn expired(harness: &mut dyn Harness) -> Verdict {
    let life = Duration::from_secs(60);
    let paid = harness.payee_invoice(Some(AMOUNT), life).await;
    let unpaid = harness.payee_invoice(Some(AMOUNT), life).await;
    pay(harness, &paid, AMOUNT).await?;
    harness.pass(Duration::from_secs(61)).await;
    for bolt11 in [&paid, &unpaid] {
        let answer = harness
            .backend()
            .start_payment(&payment(bolt11, AMOUNT))
            .await?;
        same(
            "the answer",
            answer,
            StartPayment::Rejected(RejectReason::InvoiceExpired),
        )?;
    }
    let hash = hash_of(harness, &paid).await?;
    let state = harness.backend().lookup_payment(hash).await?;
    holds_true("the paid one is still known as paid", is_paid(Some(&state)))?;
    nothing_started(harness, &unpaid).await
}

async fn history(harness: &mut dyn Harness) -> Verdict {
    let backend = harness.backend();
    let earlier = backend.list_payments_since(0, u32::MAX).await?;
    let start = earlier.last().map_or(0, |record| record.index);
    let mut want = Vec::new();
    for _ in 0..3 {
        let bolt11 = harness.payee_invoice(Some(AMOUNT), HOUR).await;
        want.push(hash_of(harness, &bolt11).await?);
        pay(harness, &bolt11, AMOUNT).await?;
    }
    let told = backend.list_payments_since(start, 10).await?;
    let hashes: Vec<PaymentHash> = told.iter().map(|record| record.hash).collect();
    same("the hashes", hashes, want)?;
    holds_true(
        "the indices grow",
        told.is_sorted_by(|a, b| a.index < b.index),
    )?;
    holds_true(
        "all are paid",
        told.iter().all(|record| is_paid(Some(&record.state))),
    )?;
    same(
        "at most two",
        backend.list_payments_since(start, 2).await?.len(),
        2,
    )
}

async fn blocks(harness: &mut dyn Harness) -> Verdict {
    let backend = harness.backend();
    let tip = backend.info().await?.block_height;
    let mut heights = backend.watch_blocks();
    same("the present height", next(&mut heights).await?, Some(tip))?;
    harness.mine(1).await;
    same("the next height", next(&mut heights).await?, Some(tip + 1))?;
    same(
        "the height asked for",
        backend.info().await?.block_height,
        tip + 1,
    )
}

async fn restart(harness: &mut dyn Harness) -> Verdict {
    let bolt11 = harness.payee_invoice(Some(AMOUNT), HOUR).await;
    let hash = hash_of(harness, &bolt11).await?;
    let before = pay(harness, &bolt11, AMOUNT).await?;
    harness.restart().await;
    let after = harness.backend().lookup_payment(hash).await?;
    same("the payment after the restart", after, before)?;
    let again = harness
        .backend()
        .start_payment(&payment(&bolt11, AMOUNT))
        .await?;
    same(
        "started after the restart",
        again,
        StartPayment::AlreadyKnown,
    )
}

/// Starts a payment and waits for its end.
async fn pay(
    harness: &mut dyn Harness,
    bolt11: &str,
    amount: Msat,
) -> Result<PaymentState, Failure> {
    let answer = harness
        .backend()
        .start_payment(&payment(bolt11, amount))
        .await?;
    same("the start", answer, StartPayment::Started)?;
    let hash = hash_of(harness, bolt11).await?;
    outcome(harness, hash).await
}

/// Follows a payment to its end.
async fn outcome(harness: &dyn Harness, hash: PaymentHash) -> Result<PaymentState, Failure> {
    let mut news = harness.backend().watch_payment(hash);
    let mut last = None;
    while let Some(state) = next(&mut news).await? {
        last = Some(state);
    }
    let last = last.ok_or_else(|| Failure(format!("payment {hash} is not known")))?;
    holds_true("the watch ended with a final state", last.is_final())?;
    same(
        "the payment looked up",
        harness.backend().lookup_payment(hash).await?,
        last.clone(),
    )?;
    Ok(last)
}

async fn nothing_started(harness: &dyn Harness, bolt11: &str) -> Verdict {
    let hash = hash_of(harness, bolt11).await?;
    let state = harness.backend().lookup_payment(hash).await?;
    same("the refused payment", state, PaymentState::NotFound)
}

fn is_paid(state: Option<&PaymentState>) -> bool {
    matches!(state, Some(PaymentState::Succeeded { .. }))
}

async fn hash_of(harness: &dyn Harness, bolt11: &str) -> Result<PaymentHash, Failure> {
    let rules = InvoiceRules {
        network: harness.backend().info().await?.network,
        max_final_cltv_expiry_delta: u32::MAX,
        own_node_pubkey: String::new(),
    };
    let read = read_payout_invoice(bolt11, &rules);
    read.map(|invoice| invoice.hash)
        .map_err(|refusal| Failure(refusal.to_string()))
}

async fn own_chain_stranger(harness: &mut dyn Harness) -> Result<String, Failure> {
    let currency = match harness.backend().info().await?.network {
        Network::Mainnet => Currency::Bitcoin,
        Network::Testnet => Currency::BitcoinTestnet,
        Network::Signet => Currency::Signet,
        Network::Regtest => Currency::Regtest,
    };
    strangers_invoice(harness, currency)
}

/// An invoice whose payee is no node that anybody has heard of.
fn strangers_invoice(harness: &mut dyn Harness, currency: Currency) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure(error.to_string());
    let key = SecretKey::from_slice(harness.fresh_preimage().expose()).map_err(|e| failed(&e))?;
    let hash = harness.fresh_preimage().hash();
    let signer = Secp256k1::signing_only();
    let invoice = InvoiceBuilder::new(currency)
        .description("from nowhere".into())
        .payment_hash(sha256::Hash::from_byte_array(hash.0))
        .payment_secret(PaymentSecret([7; 32]))
        .duration_since_epoch(Duration::from_secs(harness.now().0))
        .expiry_time(HOUR)
        .min_final_cltv_expiry_delta(40)
        .amount_milli_satoshis(AMOUNT.0)
        .build_signed(|message| signer.sign_ecdsa_recoverable(message, &key))
        .map_err(|error| failed(&error))?;
    Ok(invoice.to_string())
}

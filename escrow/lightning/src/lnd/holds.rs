//! Hold invoices on LND.
//!
//! An error of LND's does not tell what became of the hold, so after each the hold is
//! looked up and the look-up decides.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use escrow_core::{Msat, PaymentHash, UnixTime};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::sleep;
use tonic::{Code, Streaming};

use super::contract;
use super::fault::{Fault, limited};
use super::gate::Gate;
use super::line::Line;
use super::rpc::invoicesrpc::lookup_invoice_msg::InvoiceRef;
use super::rpc::invoicesrpc::{
    AddHoldInvoiceRequest, CancelInvoiceMsg, LookupInvoiceMsg, SettleInvoiceMsg,
    SubscribeSingleInvoiceRequest,
};
use super::rpc::lnrpc::invoice::InvoiceState;
use super::rpc::lnrpc::{Invoice, InvoiceHtlc, InvoiceHtlcState};
use crate::backend::{
    Acceptance, CancelOutcome, HoldRequest, HoldSnapshot, HoldState, LnError, LnResult, Preimage,
    SettleOutcome,
};

/// Opens a hold, or finds the one that the hash has.
pub(super) async fn create(
    gate: &Gate,
    request: &HoldRequest,
    private: bool,
) -> LnResult<HoldSnapshot> {
    let line = gate.pass().await?;
    let ask = AddHoldInvoiceRequest {
        memo: request.memo.clone(),
        hash: request.hash.0.to_vec(),
        expiry: i64::try_from(life(request.expires_at, now())).map_err(contract)?,
        cltv_expiry: u64::from(request.cltv_delta),
        private,
        value_msat: i64::try_from(request.amount.0).map_err(contract)?,
    };
    match limited(line.tempo.answer, line.invoices().add_hold_invoice(ask)).await {
        Ok(answer) => Ok(HoldSnapshot {
            hash: request.hash,
            bolt11: answer.into_inner().payment_request,
            value: request.amount,
            state: HoldState::Open { partial: Msat(0) },
        }),
        Err(Fault::Unsent(error)) => Err(error),
        Err(fault) => match invoice(line, request.hash).await {
            Ok(Some(found)) => on_equal_terms(request, found),
            Ok(None) => Err(match fault {
                Fault::Refused { why, .. } => LnError::Contract(why),
                Fault::Forbidden(_) | Fault::Unsent(_) | Fault::Unanswered(_) => {
                    fault.of_a_change()
                }
            }),
            Err(_) => Err(LnError::Ambiguous(
                "it may be open, and cannot be looked up".into(),
            )),
        },
    }
}

/// The hold as it is.
pub(super) async fn lookup(gate: &Gate, hash: PaymentHash) -> LnResult<Option<HoldSnapshot>> {
    let line = gate.pass().await?;
    invoice(line, hash).await?.map(snapshot).transpose()
}

/// Takes the money of an accepted hold.
pub(super) async fn settle(gate: &Gate, preimage: &Preimage) -> LnResult<SettleOutcome> {
    let line = gate.pass().await?;
    let ask = SettleInvoiceMsg {
        preimage: preimage.expose().to_vec(),
    };
    let mut client = line.invoices();
    let Err(fault) = limited(line.tempo.answer, client.settle_invoice(ask)).await else {
        return Ok(SettleOutcome::Settled);
    };
    // Without LND's answer the call may still arrive, and then finds the hold as it is
    // then; what is final by now is final.
    match aftermath(line, preimage.hash(), &fault).await? {
        Some(HoldState::Settled { .. }) => Ok(SettleOutcome::Settled),
        Some(HoldState::Canceled) => Ok(SettleOutcome::AlreadyCanceled),
        Some(HoldState::Open { .. }) if fault.is_answer() => Ok(SettleOutcome::NotAccepted),
        None if fault.is_answer() => Ok(SettleOutcome::NoSuchHold),
        Some(HoldState::Open { .. } | HoldState::Accepted(_)) | None => Err(fault.of_a_change()),
    }
}

/// Gives the money back, or closes an unpaid invoice.
pub(super) async fn cancel(gate: &Gate, hash: PaymentHash) -> LnResult<CancelOutcome> {
    let line = gate.pass().await?;
    let ask = CancelInvoiceMsg {
        payment_hash: hash.0.to_vec(),
    };
    let mut client = line.invoices();
    let Err(fault) = limited(line.tempo.answer, client.cancel_invoice(ask)).await else {
        return Ok(CancelOutcome::Canceled);
    };
    match aftermath(line, hash, &fault).await? {
        Some(HoldState::Canceled) => Ok(CancelOutcome::Canceled),
        Some(HoldState::Settled { .. }) => Ok(CancelOutcome::AlreadySettled),
        None if fault.is_answer() => Ok(CancelOutcome::NoSuchHold),
        Some(HoldState::Open { .. } | HoldState::Accepted(_)) | None => Err(fault.of_a_change()),
    }
}

/// The present state first, then each change; ends after a final state, or when the
/// source is lost.
pub(super) fn watch(gate: Arc<Gate>, hash: PaymentHash) -> BoxStream<'static, HoldSnapshot> {
    let watch = HoldWatch {
        gate,
        hash,
        updates: None,
        last: None,
    };
    stream::unfold(watch, |mut watch| async move {
        let news = watch.next().await?;
        Some((news, watch))
    })
    .boxed()
}

struct HoldWatch {
    gate: Arc<Gate>,
    hash: PaymentHash,
    updates: Option<Streaming<Invoice>>,
    last: Option<HoldSnapshot>,
}

impl HoldWatch {
    async fn next(&mut self) -> Option<HoldSnapshot> {
        loop {
            if self.last.as_ref().is_some_and(|last| last.state.is_final()) {
                return None;
            }
            let seen = match self.look().await {
                Ok(seen) => seen?,
                Err(why) => {
                    tracing::debug!(hash = %self.hash, %why, "the watch of a hold is lost");
                    return None;
                }
            };
            if self.is_news(&seen) {
                self.last = Some(seen.clone());
                return Some(seen);
            }
        }
    }

    /// Waits for the next word of the stream. A stream about an unknown hash is silent
    /// for ever and one that is known may fall silent, so the hold is looked up before
    /// there is a stream, and again and again beside it.
    async fn look(&mut self) -> LnResult<Option<HoldSnapshot>> {
        let Some(updates) = &mut self.updates else {
            let found = lookup(&self.gate, self.hash).await?;
            if found.as_ref().is_some_and(|hold| !hold.state.is_final()) {
                self.updates = Some(self.subscribe().await?);
            }
            return Ok(found);
        };
        tokio::select! {
            update = updates.message() => match update.map_err(Fault::from)? {
                Some(invoice) => snapshot(invoice).map(Some),
                None => Ok(None),
            },
            () = sleep(self.gate.tempo().sweep) => lookup(&self.gate, self.hash).await,
        }
    }

    async fn subscribe(&self) -> LnResult<Streaming<Invoice>> {
        let line = self.gate.pass().await?;
        let ask = SubscribeSingleInvoiceRequest {
            r_hash: self.hash.0.to_vec(),
        };
        let mut client = line.invoices();
        let answer = limited(line.tempo.answer, client.subscribe_single_invoice(ask)).await?;
        Ok(answer.into_inner())
    }

    /// A look-up may be ahead of what the stream still has to say.
    fn is_news(&self, seen: &HoldSnapshot) -> bool {
        let stage = |state: &HoldState| match state {
            HoldState::Open { .. } => 0,
            HoldState::Accepted(_) => 1,
            HoldState::Settled { .. } | HoldState::Canceled => 2,
        };
        self.last
            .as_ref()
            .is_none_or(|last| last != seen && stage(&last.state) <= stage(&seen.state))
    }
}

/// How the hold stands after a change of it went wrong.
async fn aftermath(line: &Line, hash: PaymentHash, fault: &Fault) -> LnResult<Option<HoldState>> {
    if let Fault::Unsent(error) = fault {
        return Err(error.clone());
    }
    match invoice(line, hash).await {
        Ok(found) => Ok(found.map(snapshot).transpose()?.map(|hold| hold.state)),
        Err(error @ LnError::Auth(_)) => Err(error),
        Err(why) => Err(LnError::Ambiguous(format!("it cannot be looked up: {why}"))),
    }
}

async fn invoice(line: &Line, hash: PaymentHash) -> LnResult<Option<Invoice>> {
    let ask = LookupInvoiceMsg {
        invoice_ref: Some(InvoiceRef::PaymentHash(hash.0.to_vec())),
    };
    match limited(line.tempo.answer, line.invoices().lookup_invoice_v2(ask)).await {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(fault) if is_unknown(&fault) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// On a node that never had an invoice LND has another word for "not found", and no
/// code for it.
fn is_unknown(fault: &Fault) -> bool {
    match fault {
        Fault::Refused { code, why } => {
            *code == Code::NotFound || why.contains("there are no existing invoices")
        }
        Fault::Forbidden(_) | Fault::Unsent(_) | Fault::Unanswered(_) => false,
    }
}

fn on_equal_terms(request: &HoldRequest, found: Invoice) -> LnResult<HoldSnapshot> {
    let cltv_delta = found.cltv_expiry;
    let hold = snapshot(found)?;
    if hold.value == request.amount && cltv_delta == u64::from(request.cltv_delta) {
        Ok(hold)
    } else {
        let why = format!("the hash {} has a hold on other terms", request.hash);
        Err(LnError::Contract(why))
    }
}

fn snapshot(invoice: Invoice) -> LnResult<HoldSnapshot> {
    let state = match invoice.state() {
        InvoiceState::Open => HoldState::Open {
            partial: sum(held(&invoice)),
        },
        InvoiceState::Accepted => HoldState::Accepted(acceptance(&invoice)?),
        InvoiceState::Settled => HoldState::Settled {
            paid: msat(invoice.amt_paid_msat)?,
        },
        InvoiceState::Canceled => HoldState::Canceled,
    };
    let hash = <[u8; 32]>::try_from(invoice.r_hash.as_slice()).map_err(contract)?;
    Ok(HoldSnapshot {
        hash: PaymentHash(hash),
        value: msat(invoice.value_msat)?,
        bolt11: invoice.payment_request,
        state,
    })
}

fn acceptance(invoice: &Invoice) -> LnResult<Acceptance> {
    let mut first = i32::MAX;
    let mut last = 0;
    let mut parts = 0;
    for part in held(invoice) {
        first = first.min(part.expiry_height);
        last = last.max(part.accept_time);
        parts += 1;
    }
    if parts == 0 {
        let why = "an accepted hold without a locked part";
        return Err(LnError::Contract(why.into()));
    }
    Ok(Acceptance {
        paid: sum(held(invoice)),
        parts,
        min_expiry_height: u32::try_from(first).map_err(contract)?,
        at: UnixTime(u64::try_from(last).map_err(contract)?),
    })
}

/// The parts that are locked at this moment. LND's own sum is zero while it is open and
/// stays when it was given back.
fn held(invoice: &Invoice) -> impl Iterator<Item = &InvoiceHtlc> {
    let parts = invoice.htlcs.iter();
    parts.filter(|part| part.state() == InvoiceHtlcState::Accepted)
}

fn sum<'a>(parts: impl Iterator<Item = &'a InvoiceHtlc>) -> Msat {
    Msat(parts.fold(0, |sum, part| sum.saturating_add(part.amt_msat)))
}

fn msat(amount: i64) -> LnResult<Msat> {
    u64::try_from(amount).map(Msat).map_err(contract)
}

fn life(expires_at: UnixTime, now: UnixTime) -> u64 {
    expires_at.secs_since(now).max(1)
}

fn now() -> UnixTime {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    UnixTime(since.unwrap_or(Duration::ZERO).as_secs())
}

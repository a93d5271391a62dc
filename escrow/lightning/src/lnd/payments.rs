//! Payments by LND.
//!
//! LND's own gate is the payment hash: one that is on its way or paid is refused with a
//! code of its own. Every other refusal comes before that gate, so it says nothing of an
//! earlier start, and the payment is looked up.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use escrow_core::{Msat, PaymentHash, UnixTime};
use futures_util::stream::{self, BoxStream, StreamExt};
use lightning_invoice::Bolt11Invoice;
use tokio::time::sleep;
use tonic::{Code, Status, Streaming};

use super::fault::{Fault, limited};
use super::gate::Gate;
use super::line::Line;
use super::rpc::lnrpc::htlc_attempt::HtlcStatus;
use super::rpc::lnrpc::payment::PaymentStatus;
use super::rpc::lnrpc::{HtlcAttempt, ListPaymentsRequest, Payment, PaymentFailureReason};
use super::rpc::routerrpc::{SendPaymentRequest, TrackPaymentRequest};
use super::{MAX_CLTV_LIMIT, contract};
use crate::backend::{
    FailReason, LnError, LnResult, PayRequest, PaymentRecord, PaymentState, Preimage, RejectReason,
    StartPayment,
};
use crate::invoice_rules::{amount_of, payment_hash_of};

/// LND adds so many blocks to the last hop of what it pays.
const CLTV_PADDING: u64 = 3;

/// Payments of the history that are asked for at once.
const PAGE: u32 = 1_000;

/// Starts a payment.
pub(super) async fn start(gate: &Gate, request: &PayRequest) -> LnResult<StartPayment> {
    let Some(invoice) = read(request) else {
        let why = "it cannot be read, or asks for another amount";
        return Ok(StartPayment::Rejected(RejectReason::BadInvoice(why.into())));
    };
    let ask = ask(request, &invoice)?;
    let line = gate.pass_to_pay().await?;
    let fault = match limited(line.tempo.answer, first_word(line, ask)).await {
        Ok(()) => return Ok(StartPayment::Started),
        Err(Fault::Unsent(error)) => return Err(error),
        Err(Fault::Refused {
            code: Code::AlreadyExists,
            ..
        }) => {
            return Ok(StartPayment::AlreadyKnown);
        }
        Err(fault) => fault,
    };
    match (look_up(line, payment_hash_of(&invoice)).await, fault) {
        (Ok(PaymentState::NotFound), Fault::Refused { why, .. }) => {
            let own = gate.pubkey();
            let reason = why_refused(request, &invoice, own, why);
            Ok(StartPayment::Rejected(reason))
        }
        (Ok(PaymentState::NotFound), fault) => Err(fault.of_a_change()),
        (Ok(_), _) => Ok(StartPayment::AlreadyKnown),
        (Err(why), _) => Err(LnError::Ambiguous(format!("it cannot be looked up: {why}"))),
    }
}

/// The payment as it is.
pub(super) async fn lookup(gate: &Gate, hash: PaymentHash) -> LnResult<PaymentState> {
    look_up(gate.pass().await?, hash).await
}

/// At most `max` payments after `index`.
pub(super) async fn since(gate: &Gate, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>> {
    let line = gate.pass().await?;
    let (mut records, mut index, mut left) = (Vec::new(), index, max);
    while left > 0 {
        let page = left.min(PAGE);
        let ask = ListPaymentsRequest {
            include_incomplete: true,
            index_offset: index,
            max_payments: u64::from(page),
            reversed: false,
        };
        let answer = limited(line.tempo.answer, line.lightning().list_payments(ask)).await?;
        let payments = answer.into_inner().payments;
        let told = u32::try_from(payments.len()).map_err(contract)?;
        for payment in payments {
            index = index.max(payment.payment_index);
            records.push(record(&payment)?);
        }
        left = left.saturating_sub(told);
        if told < page {
            break;
        }
    }
    Ok(records)
}

/// The present state first, then each change; ends after a final state, or when the
/// source is lost.
pub(super) fn watch(gate: Arc<Gate>, hash: PaymentHash) -> BoxStream<'static, PaymentState> {
    let watch = PaymentWatch {
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

struct PaymentWatch {
    gate: Arc<Gate>,
    hash: PaymentHash,
    updates: Option<Streaming<Payment>>,
    last: Option<PaymentState>,
}

impl PaymentWatch {
    async fn next(&mut self) -> Option<PaymentState> {
        loop {
            if self.last.as_ref().is_some_and(PaymentState::is_final) {
                return None;
            }
            let seen = match self.look().await {
                Ok(PaymentState::NotFound) => return None,
                Ok(seen) => seen,
                Err(why) => {
                    tracing::debug!(hash = %self.hash, %why, "the watch of a payment is lost");
                    return None;
                }
            };
            if self.last.as_ref() != Some(&seen) {
                self.last = Some(seen.clone());
                return Some(seen);
            }
        }
    }

    /// Waits for the next word of the stream, which begins with the present state. A
    /// stream may fall silent, so the payment is looked up again and again beside it.
    async fn look(&mut self) -> LnResult<PaymentState> {
        let updates = match &mut self.updates {
            Some(updates) => updates,
            none => {
                let line = self.gate.pass().await?;
                match limited(line.tempo.answer, track(line, self.hash)).await {
                    Ok(updates) => none.insert(updates),
                    Err(fault) if fault.is_not_found() => return Ok(PaymentState::NotFound),
                    Err(fault) => return Err(fault.into()),
                }
            }
        };
        tokio::select! {
            update = updates.message() => match update.map_err(Fault::from)? {
                Some(payment) => state(&payment, self.hash),
                None => Err(LnError::Unavailable("the stream has ended".into())),
            },
            () = sleep(self.gate.tempo().sweep) => lookup(&self.gate, self.hash).await,
        }
    }
}

/// Sends a payment and waits until LND has written it down. It goes on when the stream
/// is dropped.
async fn first_word(line: &Line, ask: SendPaymentRequest) -> Result<(), Status> {
    let mut updates = line.router().send_payment_v2(ask).await?.into_inner();
    match updates.message().await? {
        Some(_) => Ok(()),
        None => Err(Status::unavailable("the stream ended without a word")),
    }
}

async fn track(line: &Line, hash: PaymentHash) -> Result<Streaming<Payment>, Status> {
    let ask = TrackPaymentRequest {
        payment_hash: hash.0.to_vec(),
        no_inflight_updates: false,
    };
    Ok(line.router().track_payment_v2(ask).await?.into_inner())
}

async fn look_up(line: &Line, hash: PaymentHash) -> LnResult<PaymentState> {
    match told_of(line, hash).await? {
        Some(payment) => state(&payment, hash),
        None => Ok(PaymentState::NotFound),
    }
}

/// The payment in LND's words, if LND knows it.
pub(super) async fn told_of(line: &Line, hash: PaymentHash) -> LnResult<Option<Payment>> {
    let told = async { track(line, hash).await?.message().await };
    match limited(line.tempo.answer, told).await {
        Ok(Some(payment)) => Ok(Some(payment)),
        Ok(None) => Err(LnError::Unavailable(
            "the stream ended without a word".into(),
        )),
        Err(fault) if fault.is_not_found() => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// The invoice, if this is what it asks for. LND would pay an invoice's own amount,
/// whatever we think it is.
fn read(request: &PayRequest) -> Option<Bolt11Invoice> {
    let invoice = Bolt11Invoice::from_str(&request.bolt11).ok()?;
    let asked = amount_of(&invoice).ok()?;
    (asked.is_none() || asked == Some(request.amount)).then_some(invoice)
}

fn ask(request: &PayRequest, invoice: &Bolt11Invoice) -> LnResult<SendPaymentRequest> {
    // An amount beside the invoice's own is refused, also when it is the same.
    let amount = match invoice.amount_milli_satoshis() {
        Some(_) => 0,
        None => i64::try_from(request.amount.0).map_err(contract)?,
    };
    Ok(SendPaymentRequest {
        payment_request: request.bolt11.clone(),
        amt_msat: amount,
        timeout_seconds: i32::try_from(request.timeout.as_secs().max(1)).map_err(contract)?,
        cltv_limit: i32::try_from(request.cltv_limit).map_err(contract)?,
        fee_limit_msat: i64::try_from(request.fee_limit.0).map_err(contract)?,
        max_parts: request.max_parts,
        allow_self_payment: false,
        no_inflight_updates: false,
        cancelable: false,
    })
}

/// LND has refused; what is known of the invoice tells why better than LND's words.
fn why_refused(
    request: &PayRequest,
    invoice: &Bolt11Invoice,
    own: Option<&str>,
    why: String,
) -> RejectReason {
    let needed = invoice.min_final_cltv_expiry_delta() + CLTV_PADDING;
    let limit = request.cltv_limit;
    if own == Some(invoice.get_payee_pub_key().to_string().as_str()) {
        RejectReason::SelfPayment
    } else if is_past(invoice) {
        RejectReason::InvoiceExpired
    } else if limit > MAX_CLTV_LIMIT || (limit > 0 && u64::from(limit) <= needed) {
        RejectReason::CltvLimit
    } else {
        RejectReason::BadInvoice(why)
    }
}

fn is_past(invoice: &Bolt11Invoice) -> bool {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    invoice.would_expire(now)
}

fn record(payment: &Payment) -> LnResult<PaymentRecord> {
    let hash = PaymentHash(bytes(&payment.payment_hash)?);
    let created = u64::try_from(payment.creation_time_ns).map_err(contract)?;
    Ok(PaymentRecord {
        index: payment.payment_index,
        hash,
        amount: msat(payment.value_msat)?,
        created_at: UnixTime(Duration::from_nanos(created).as_secs()),
        state: state(payment, hash)?,
    })
}

/// Decided by the status alone: a failure reason may stand beside a payment that is on
/// its way, or even paid.
fn state(payment: &Payment, hash: PaymentHash) -> LnResult<PaymentState> {
    match payment.status() {
        PaymentStatus::InFlight | PaymentStatus::Initiated => {
            let flying = |part: &&HtlcAttempt| part.status() == HtlcStatus::InFlight;
            let parts = payment.htlcs.iter().filter(flying).count();
            Ok(PaymentState::InFlight {
                parts: u32::try_from(parts).map_err(contract)?,
            })
        }
        PaymentStatus::Succeeded => {
            let preimage = Preimage::new(bytes(&payment.payment_preimage)?);
            if preimage.hash() != hash {
                let why = format!("the receipt of payment {hash} is not its preimage");
                return Err(LnError::Contract(why));
            }
            Ok(PaymentState::Succeeded {
                preimage,
                fee: msat(payment.fee_msat)?,
            })
        }
        PaymentStatus::Failed => Ok(PaymentState::Failed {
            reason: reason(payment.failure_reason()),
        }),
        PaymentStatus::Unknown => Err(LnError::Contract("a payment without a status".into())),
    }
}

fn reason(reason: PaymentFailureReason) -> FailReason {
    match reason {
        PaymentFailureReason::FailureReasonTimeout => FailReason::Timeout,
        PaymentFailureReason::FailureReasonNoRoute => FailReason::NoRoute,
        PaymentFailureReason::FailureReasonIncorrectPaymentDetails => FailReason::WrongDetails,
        PaymentFailureReason::FailureReasonInsufficientBalance => FailReason::InsufficientBalance,
        PaymentFailureReason::FailureReasonCanceled => FailReason::Canceled,
        PaymentFailureReason::FailureReasonError | PaymentFailureReason::FailureReasonNone => {
            FailReason::Error
        }
    }
}

fn bytes(hex: &str) -> LnResult<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return Err(LnError::Contract(
            "a hash that is not 64 digits long".into(),
        ));
    }
    faster_hex::hex_decode(hex.as_bytes(), &mut bytes).map_err(contract)?;
    Ok(bytes)
}

fn msat(amount: i64) -> LnResult<Msat> {
    u64::try_from(amount).map(Msat).map_err(contract)
}

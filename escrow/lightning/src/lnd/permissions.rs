//! Whether the macaroon allows every call that the escrow makes.
//!
//! Each call is made once with arguments that cannot do anything: a hash that nobody
//! has, or one of the wrong length. LND looks at the macaroon first, so any other
//! complaint means that the call is allowed.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tonic::Status;

use super::fault::{Fault, limited};
use super::line::Line;
use super::rpc::invoicesrpc::lookup_invoice_msg::InvoiceRef;
use super::rpc::invoicesrpc::{
    AddHoldInvoiceRequest, CancelInvoiceMsg, LookupInvoiceMsg, SettleInvoiceMsg,
    SubscribeSingleInvoiceRequest,
};
use super::rpc::lnrpc::{ChannelBalanceRequest, ListChannelsRequest, ListPaymentsRequest};
use super::rpc::routerrpc::{SendPaymentRequest, TrackPaymentRequest};
use crate::backend::{LnError, LnResult, Preimage};

/// The secret of no hold: those of holds are drawn at random.
const NOBODYS: [u8; 32] = *b"a preimage that no hold ever has";

/// The command that makes a macaroon with all of them and nothing else.
pub const BAKE: &str = "lncli bakemacaroon --root_key_id 21 --save_to ./mostro.macaroon \
uri:/lnrpc.Lightning/GetInfo uri:/lnrpc.Lightning/ChannelBalance \
uri:/lnrpc.Lightning/ListPayments uri:/lnrpc.Lightning/ListChannels \
uri:/invoicesrpc.Invoices/AddHoldInvoice uri:/invoicesrpc.Invoices/LookupInvoiceV2 \
uri:/invoicesrpc.Invoices/SubscribeSingleInvoice uri:/invoicesrpc.Invoices/SettleInvoice \
uri:/invoicesrpc.Invoices/CancelInvoice uri:/routerrpc.Router/SendPaymentV2 \
uri:/routerrpc.Router/TrackPaymentV2";

/// The calls that the macaroon does not allow, by LND's names.
///
/// # Errors
/// If LND does not answer, which says nothing of the macaroon.
pub(super) async fn missing(line: &Line) -> LnResult<Vec<&'static str>> {
    // Side by side: a line over Tor takes a second for each answer.
    let answers = join_all(
        [
            ("/lnrpc.Lightning/ChannelBalance", balance(line).boxed()),
            ("/lnrpc.Lightning/ListPayments", payments(line).boxed()),
            ("/lnrpc.Lightning/ListChannels", channels(line).boxed()),
            ("/invoicesrpc.Invoices/AddHoldInvoice", add(line).boxed()),
            (
                "/invoicesrpc.Invoices/LookupInvoiceV2",
                look_up(line).boxed(),
            ),
            (
                "/invoicesrpc.Invoices/SubscribeSingleInvoice",
                subscribe(line).boxed(),
            ),
            ("/invoicesrpc.Invoices/SettleInvoice", settle(line).boxed()),
            ("/invoicesrpc.Invoices/CancelInvoice", cancel(line).boxed()),
            ("/routerrpc.Router/SendPaymentV2", send(line).boxed()),
            ("/routerrpc.Router/TrackPaymentV2", track(line).boxed()),
        ]
        .map(|(name, asked)| asked.map(move |answer| (name, answer))),
    );
    let mut missing = Vec::new();
    for (name, answer) in answers.await {
        match answer {
            Ok(()) | Err(Fault::Refused { .. }) => {}
            Err(Fault::Forbidden(_)) => missing.push(name),
            Err(fault @ (Fault::Unsent(_) | Fault::Unanswered(_))) => {
                return Err(LnError::from(fault));
            }
        }
    }
    Ok(missing)
}

async fn asked<T>(line: &Line, call: impl Future<Output = Result<T, Status>>) -> Result<(), Fault> {
    limited(line.tempo.answer, call).await.map(drop)
}

async fn balance(line: &Line) -> Result<(), Fault> {
    asked(
        line,
        line.lightning().channel_balance(ChannelBalanceRequest {}),
    )
    .await
}

async fn payments(line: &Line) -> Result<(), Fault> {
    let ask = ListPaymentsRequest {
        include_incomplete: true,
        max_payments: 1,
        ..ListPaymentsRequest::default()
    };
    asked(line, line.lightning().list_payments(ask)).await
}

async fn channels(line: &Line) -> Result<(), Fault> {
    asked(line, line.lightning().list_channels(ListChannelsRequest {})).await
}

async fn add(line: &Line) -> Result<(), Fault> {
    let ask = AddHoldInvoiceRequest {
        hash: vec![0; 31],
        ..AddHoldInvoiceRequest::default()
    };
    asked(line, line.invoices().add_hold_invoice(ask)).await
}

async fn look_up(line: &Line) -> Result<(), Fault> {
    let hash = Preimage::new(NOBODYS).hash().0.to_vec();
    let ask = LookupInvoiceMsg {
        invoice_ref: Some(InvoiceRef::PaymentHash(hash)),
    };
    asked(line, line.invoices().lookup_invoice_v2(ask)).await
}

/// A stream says whether it is allowed at the earliest with its first message.
async fn subscribe(line: &Line) -> Result<(), Fault> {
    let ask = SubscribeSingleInvoiceRequest {
        r_hash: vec![0; 31],
    };
    let mut client = line.invoices();
    asked(line, async move {
        let answer = client.subscribe_single_invoice(ask).await?;
        answer.into_inner().message().await
    })
    .await
}

async fn settle(line: &Line) -> Result<(), Fault> {
    let ask = SettleInvoiceMsg {
        preimage: NOBODYS.to_vec(),
    };
    asked(line, line.invoices().settle_invoice(ask)).await
}

async fn cancel(line: &Line) -> Result<(), Fault> {
    let ask = CancelInvoiceMsg {
        payment_hash: Preimage::new(NOBODYS).hash().0.to_vec(),
    };
    asked(line, line.invoices().cancel_invoice(ask)).await
}

async fn send(line: &Line) -> Result<(), Fault> {
    let mut client = line.router();
    asked(line, async move {
        let answer = client
            .send_payment_v2(SendPaymentRequest::default())
            .await?;
        answer.into_inner().message().await
    })
    .await
}

async fn track(line: &Line) -> Result<(), Fault> {
    let ask = TrackPaymentRequest {
        payment_hash: Preimage::new(NOBODYS).hash().0.to_vec(),
        no_inflight_updates: false,
    };
    let mut client = line.router();
    asked(line, async move {
        let answer = client.track_payment_v2(ask).await?;
        answer.into_inner().message().await
    })
    .await
}

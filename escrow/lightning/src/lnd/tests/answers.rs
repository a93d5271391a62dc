//! What the scripted LND answers: the tables of a real one, with its texts.

use std::str::FromStr;

use futures_util::stream::{BoxStream, StreamExt};
use lightning_invoice::Bolt11Invoice;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::super::rpc::invoicesrpc::invoices_server::Invoices;
use super::super::rpc::invoicesrpc::lookup_invoice_msg::InvoiceRef;
use super::super::rpc::invoicesrpc::{
    AddHoldInvoiceRequest, AddHoldInvoiceResp, CancelInvoiceMsg, CancelInvoiceResp,
    LookupInvoiceMsg, SettleInvoiceMsg, SettleInvoiceResp, SubscribeSingleInvoiceRequest,
};
use super::super::rpc::lnrpc::invoice::InvoiceState;
use super::super::rpc::lnrpc::lightning_server::Lightning;
use super::super::rpc::lnrpc::payment::PaymentStatus;
use super::super::rpc::lnrpc::state_server::State;
use super::super::rpc::lnrpc::{
    Amount, ChannelBalanceRequest, ChannelBalanceResponse, GetInfoRequest, GetInfoResponse,
    GetStateRequest, GetStateResponse, Invoice, ListChannelsRequest, ListChannelsResponse,
    ListPaymentsRequest, ListPaymentsResponse, Payment,
};
use super::super::rpc::routerrpc::router_server::Router;
use super::super::rpc::routerrpc::{SendPaymentRequest, TrackPaymentRequest};
use super::scripted::{Script, Table};

type Answer<T> = Result<Response<T>, Status>;
type Told<T> = BoxStream<'static, Result<T, Status>>;

fn refuse<T>(why: &str) -> Result<T, Status> {
    Err(Status::unknown(why))
}

#[tonic::async_trait]
impl State for Script {
    async fn get_state(&self, request: Request<GetStateRequest>) -> Answer<GetStateResponse> {
        self.enter("GetState", &request).await?;
        let state = self.table().state.into();
        Ok(Response::new(GetStateResponse { state }))
    }
}

#[tonic::async_trait]
impl Lightning for Script {
    async fn get_info(&self, request: Request<GetInfoRequest>) -> Answer<GetInfoResponse> {
        self.enter("GetInfo", &request).await?;
        Ok(Response::new(self.table().info.clone()))
    }

    async fn channel_balance(
        &self,
        request: Request<ChannelBalanceRequest>,
    ) -> Answer<ChannelBalanceResponse> {
        self.enter("ChannelBalance", &request).await?;
        let msat = |msat| Some(Amount { sat: 0, msat });
        Ok(Response::new(ChannelBalanceResponse {
            local_balance: msat(1_001),
            remote_balance: msat(2_002),
            unsettled_local_balance: msat(3_003),
            unsettled_remote_balance: msat(4_004),
        }))
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Answer<ListChannelsResponse> {
        self.enter("ListChannels", &request).await?;
        let channels = self.table().channels.clone();
        Ok(Response::new(ListChannelsResponse { channels }))
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Answer<ListPaymentsResponse> {
        self.enter("ListPayments", &request).await?;
        let ask = request.into_inner();
        let mut payments: Vec<_> = self.table().payments.values().cloned().collect();
        payments.retain(|payment| payment.payment_index > ask.index_offset);
        payments.sort_by_key(|payment| payment.payment_index);
        payments.truncate(ask.max_payments.try_into().unwrap());
        Ok(Response::new(ListPaymentsResponse {
            payments,
            ..ListPaymentsResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl Invoices for Script {
    type SubscribeSingleInvoiceStream = Told<Invoice>;

    async fn subscribe_single_invoice(
        &self,
        request: Request<SubscribeSingleInvoiceRequest>,
    ) -> Answer<Told<Invoice>> {
        self.enter("SubscribeSingleInvoice", &request).await?;
        let hash = request.into_inner().r_hash;
        if hash.len() != 32 {
            return refuse("invalid hash length of 31, want 32");
        }
        Ok(Response::new(self.follow(move |table| {
            let invoice = table.invoices.get(&hash)?.clone();
            let is_last = is_final(invoice.state());
            Some((invoice, is_last))
        })))
    }

    async fn cancel_invoice(
        &self,
        request: Request<CancelInvoiceMsg>,
    ) -> Answer<CancelInvoiceResp> {
        self.enter("CancelInvoice", &request).await?;
        let hash = request.into_inner().payment_hash;
        let answer = cancel(&mut self.table(), &hash);
        self.leave("CancelInvoice", answer).await
    }

    async fn add_hold_invoice(
        &self,
        request: Request<AddHoldInvoiceRequest>,
    ) -> Answer<AddHoldInvoiceResp> {
        self.enter("AddHoldInvoice", &request).await?;
        let answer = add(&mut self.table(), request.into_inner());
        self.leave("AddHoldInvoice", answer).await
    }

    async fn settle_invoice(
        &self,
        request: Request<SettleInvoiceMsg>,
    ) -> Answer<SettleInvoiceResp> {
        self.enter("SettleInvoice", &request).await?;
        let hash = Sha256::digest(request.into_inner().preimage).to_vec();
        let answer = settle(&mut self.table(), &hash);
        self.leave("SettleInvoice", answer).await
    }

    async fn lookup_invoice_v2(&self, request: Request<LookupInvoiceMsg>) -> Answer<Invoice> {
        self.enter("LookupInvoiceV2", &request).await?;
        let Some(InvoiceRef::PaymentHash(hash)) = request.into_inner().invoice_ref else {
            return Err(Status::invalid_argument("no hash"));
        };
        let table = self.table();
        match table.invoices.get(&hash) {
            Some(invoice) => Ok(Response::new(invoice.clone())),
            None if table.invoices.is_empty() => refuse("there are no existing invoices"),
            None => Err(Status::not_found("unable to locate invoice")),
        }
    }
}

fn add(table: &mut Table, ask: AddHoldInvoiceRequest) -> Result<AddHoldInvoiceResp, Status> {
    if ask.hash.len() != 32 {
        return refuse("invalid hash length of 31, want 32");
    }
    if ask.cltv_expiry < 24 {
        return refuse("CLTV delta of 23 must be greater than minimum of 24");
    }
    if table.invoices.contains_key(&ask.hash) {
        return refuse("invoice with payment hash already exists");
    }
    let payment_request = format!("lnbcrt{}", table.invoices.len());
    table.last_add_was_private = ask.private;
    let invoice = Invoice {
        memo: ask.memo,
        r_hash: ask.hash.clone(),
        payment_request: payment_request.clone(),
        expiry: ask.expiry,
        cltv_expiry: ask.cltv_expiry,
        value_msat: ask.value_msat,
        ..Invoice::default()
    };
    table.invoices.insert(ask.hash, invoice);
    Ok(AddHoldInvoiceResp {
        payment_request,
        ..AddHoldInvoiceResp::default()
    })
}

fn settle(table: &mut Table, hash: &[u8]) -> Result<SettleInvoiceResp, Status> {
    let Some(invoice) = table.invoices.get_mut(hash) else {
        return refuse("unable to locate invoice");
    };
    match invoice.state() {
        InvoiceState::Open => refuse("invoice still open"),
        InvoiceState::Canceled => refuse("invoice already canceled"),
        InvoiceState::Accepted | InvoiceState::Settled => {
            invoice.set_state(InvoiceState::Settled);
            Ok(SettleInvoiceResp {})
        }
    }
}

fn cancel(table: &mut Table, hash: &[u8]) -> Result<CancelInvoiceResp, Status> {
    let Some(invoice) = table.invoices.get_mut(hash) else {
        return refuse("unable to locate invoice");
    };
    match invoice.state() {
        InvoiceState::Settled => refuse("invoice already settled"),
        InvoiceState::Open | InvoiceState::Accepted | InvoiceState::Canceled => {
            invoice.set_state(InvoiceState::Canceled);
            Ok(CancelInvoiceResp {})
        }
    }
}

fn is_final(state: InvoiceState) -> bool {
    matches!(state, InvoiceState::Settled | InvoiceState::Canceled)
}

#[tonic::async_trait]
impl Router for Script {
    type SendPaymentV2Stream = Told<Payment>;
    type TrackPaymentV2Stream = Told<Payment>;

    async fn send_payment_v2(&self, request: Request<SendPaymentRequest>) -> Answer<Told<Payment>> {
        self.enter("SendPaymentV2", &request).await?;
        let ask = request.into_inner();
        if ask.payment_request.is_empty() {
            return refuse("invalid vertex length of 0, want 33");
        }
        let invoice = Bolt11Invoice::from_str(&ask.payment_request).unwrap();
        let hash = invoice.payment_hash().to_string();
        let answer = send(&mut self.table(), &hash, &invoice, &ask);
        let first = self.leave("SendPaymentV2", answer).await?.into_inner();
        Ok(Response::new(
            futures_util::stream::once(async { Ok(first) })
                .chain(futures_util::stream::pending())
                .boxed(),
        ))
    }

    async fn track_payment_v2(
        &self,
        request: Request<TrackPaymentRequest>,
    ) -> Answer<Told<Payment>> {
        self.enter("TrackPaymentV2", &request).await?;
        let hash = faster_hex::hex_string(&request.into_inner().payment_hash);
        if !self.table().payments.contains_key(&hash) {
            return Err(Status::not_found("payment isn't initiated"));
        }
        Ok(Response::new(self.follow(move |table| {
            let payment = table.payments.get(&hash)?.clone();
            let is_last = matches!(
                payment.status(),
                PaymentStatus::Succeeded | PaymentStatus::Failed
            );
            Some((payment, is_last))
        })))
    }
}

fn send(
    table: &mut Table,
    hash: &str,
    invoice: &Bolt11Invoice,
    ask: &SendPaymentRequest,
) -> Result<Payment, Status> {
    if let Some(known) = table.payments.get(hash) {
        match known.status() {
            PaymentStatus::Failed => {}
            PaymentStatus::Succeeded => {
                return Err(Status::already_exists("invoice is already paid"));
            }
            PaymentStatus::InFlight | PaymentStatus::Initiated | PaymentStatus::Unknown => {
                return Err(Status::already_exists("payment is in transition"));
            }
        }
    }
    let own = invoice.amount_milli_satoshis();
    if own.is_some() && ask.amt_msat != 0 {
        return refuse("amount must not be specified when paying a non-zero amount invoice");
    }
    let value = own.map_or(ask.amt_msat, |own| own.try_into().unwrap());
    let mut payment = Payment {
        payment_hash: hash.to_owned(),
        value_msat: value,
        payment_index: table.payments.len() as u64 + 1,
        ..Payment::default()
    };
    payment.set_status(PaymentStatus::InFlight);
    table.payments.insert(hash.to_owned(), payment.clone());
    Ok(payment)
}

//! Between the escrow and Lightning: when each told the other something.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use escrow_core::PaymentHash;
use escrow_lightning::backend::{
    BackendKind, CancelOutcome, Capabilities, HoldRequest, HoldSnapshot, HoldState, Liquidity,
    LostPayment, NodeInfo, PayRequest, PaymentRecord, PaymentState, SettleOutcome, StartPayment,
};
use escrow_lightning::{LightningBackend, LnResult, Preimage};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

/// The moments of one trade, each the first of its kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    /// Lightning told that the hold is paid.
    pub(super) accepted: Option<Instant>,
    /// The escrow asked to settle it.
    pub(super) settle: Option<Instant>,
    /// The escrow asked to pay the buyer.
    pub(super) pay: Option<Instant>,
    /// Lightning told that he is paid.
    pub(super) paid: Option<Instant>,
}

/// Notes moments, for whoever has a copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Notebook(Arc<Mutex<Moments>>);

impl Notebook {
    /// Tears the page out.
    pub(super) fn take(&self) -> Moments {
        std::mem::take(&mut self.page())
    }

    fn page(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, state: HoldState) {
        if let HoldState::Accepted(_) = state {
            self.page().accepted.get_or_insert_with(Instant::now);
        }
    }

    fn payment(&self, state: &PaymentState) {
        if let PaymentState::Succeeded { .. } = state {
            self.page().paid.get_or_insert_with(Instant::now);
        }
    }
}

/// A backend that is overheard.
pub(super) struct Ear {
    pub(super) behind: Arc<dyn LightningBackend>,
    pub(super) notebook: Notebook,
}

#[async_trait]
impl LightningBackend for Ear {
    fn kind(&self) -> BackendKind {
        self.behind.kind()
    }

    fn capabilities(&self) -> &Capabilities {
        self.behind.capabilities()
    }

    async fn info(&self) -> LnResult<NodeInfo> {
        self.behind.info().await
    }

    async fn liquidity(&self) -> LnResult<Liquidity> {
        self.behind.liquidity().await
    }

    async fn create_hold(&self, request: &HoldRequest) -> LnResult<HoldSnapshot> {
        self.behind.create_hold(request).await
    }

    async fn lookup_hold(&self, hash: PaymentHash) -> LnResult<Option<HoldSnapshot>> {
        let hold = self.behind.lookup_hold(hash).await?;
        if let Some(hold) = &hold {
            self.notebook.hold(hold.state);
        }
        Ok(hold)
    }

    fn watch_hold(&self, hash: PaymentHash) -> BoxStream<'static, HoldSnapshot> {
        let notebook = self.notebook.clone();
        let told = self.behind.watch_hold(hash);
        told.inspect(move |hold| notebook.hold(hold.state)).boxed()
    }

    async fn settle_hold(&self, preimage: &Preimage) -> LnResult<SettleOutcome> {
        self.notebook.page().settle.get_or_insert_with(Instant::now);
        self.behind.settle_hold(preimage).await
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> LnResult<CancelOutcome> {
        self.behind.cancel_hold(hash).await
    }

    async fn start_payment(&self, request: &PayRequest) -> LnResult<StartPayment> {
        self.notebook.page().pay.get_or_insert_with(Instant::now);
        self.behind.start_payment(request).await
    }

    async fn lookup_payment(&self, hash: PaymentHash) -> LnResult<PaymentState> {
        let state = self.behind.lookup_payment(hash).await?;
        self.notebook.payment(&state);
        Ok(state)
    }

    fn watch_payment(&self, hash: PaymentHash) -> BoxStream<'static, PaymentState> {
        let notebook = self.notebook.clone();
        let told = self.behind.watch_payment(hash);
        told.inspect(move |state| notebook.payment(state)).boxed()
    }

    async fn lost_payment(&self, hash: PaymentHash) -> LnResult<Option<LostPayment>> {
        self.behind.lost_payment(hash).await
    }

    async fn list_payments_since(&self, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>> {
        self.behind.list_payments_since(index, max).await
    }

    fn watch_blocks(&self) -> BoxStream<'static, u32> {
        self.behind.watch_blocks()
    }
}

//! A line to Lightning that goes dead with the power.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use escrow_core::PaymentHash;
use escrow_lightning::backend::{
    BackendKind, CancelOutcome, Capabilities, HoldRequest, HoldSnapshot, LightningBackend,
    Liquidity, LnResult, LostPayment, NodeInfo, PayRequest, PaymentRecord, PaymentState, Preimage,
    SettleOutcome, StartPayment,
};
use escrow_lightning::{LnError, Sandbox};
use futures_util::stream::BoxStream;

/// Where the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Nowhere.
    Never,
    /// In the sync of the ledger after this many.
    Sync(u64),
    /// In this call that moves money, before or after it reached the node.
    Call { number: u64, is_done: bool },
}

/// A line to Lightning that counts the calls that move money, and goes dead
/// with the power in one of them.
pub(crate) struct Line {
    sandbox: Sandbox,
    calls: AtomicU64,
    cut: Cut,
    is_dead: AtomicBool,
}

impl Line {
    pub(crate) fn new(sandbox: Sandbox, cut: Cut) -> Arc<Line> {
        Arc::new(Line {
            sandbox,
            calls: AtomicU64::new(0),
            cut,
            is_dead: AtomicBool::new(false),
        })
    }

    async fn call<T>(&self, call: impl Future<Output = LnResult<T>> + Send) -> LnResult<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.cut {
            Cut::Call {
                number: cut,
                is_done,
            } if cut == number => {
                if is_done {
                    call.await?;
                }
                self.is_dead.store(true, Ordering::SeqCst);
                Err(LnError::Ambiguous("the power went".into()))
            }
            Cut::Never | Cut::Sync(_) | Cut::Call { .. } => call.await,
        }
    }
}

#[async_trait]
impl LightningBackend for Line {
    fn kind(&self) -> BackendKind {
        self.sandbox.kind()
    }

    fn capabilities(&self) -> &Capabilities {
        self.sandbox.capabilities()
    }

    async fn info(&self) -> LnResult<NodeInfo> {
        self.sandbox.info().await
    }

    async fn liquidity(&self) -> LnResult<Liquidity> {
        self.sandbox.liquidity().await
    }

    async fn create_hold(&self, request: &HoldRequest) -> LnResult<HoldSnapshot> {
        self.call(self.sandbox.create_hold(request)).await
    }

    async fn lookup_hold(&self, hash: PaymentHash) -> LnResult<Option<HoldSnapshot>> {
        self.alive()?;
        self.sandbox.lookup_hold(hash).await
    }

    fn watch_hold(&self, hash: PaymentHash) -> BoxStream<'static, HoldSnapshot> {
        self.sandbox.watch_hold(hash)
    }

    async fn settle_hold(&self, preimage: &Preimage) -> LnResult<SettleOutcome> {
        self.call(self.sandbox.settle_hold(preimage)).await
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> LnResult<CancelOutcome> {
        self.call(self.sandbox.cancel_hold(hash)).await
    }

    async fn start_payment(&self, request: &PayRequest) -> LnResult<StartPayment> {
        self.call(self.sandbox.start_payment(request)).await
    }

    async fn lookup_payment(&self, hash: PaymentHash) -> LnResult<PaymentState> {
        self.alive()?;
        self.sandbox.lookup_payment(hash).await
    }

    fn watch_payment(&self, hash: PaymentHash) -> BoxStream<'static, PaymentState> {
        self.sandbox.watch_payment(hash)
    }

    async fn lost_payment(&self, hash: PaymentHash) -> LnResult<Option<LostPayment>> {
        self.sandbox.lost_payment(hash).await
    }

    async fn list_payments_since(&self, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>> {
        self.sandbox.list_payments_since(index, max).await
    }

    fn watch_blocks(&self) -> BoxStream<'static, u32> {
        self.sandbox.watch_blocks()
    }
}

impl Line {
    /// Whether the power went in one of its calls.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    fn alive(&self) -> LnResult<()> {
        if self.is_dead() {
            return Err(LnError::Unavailable("the power is gone".into()));
        }
        Ok(())
    }
}

//! The sandbox as the escrow's Lightning node.

use async_trait::async_trait;
use escrow_core::PaymentHash;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::acts::{CancelHold, CreateHold, SettleHold, StartPaying};
use super::faults::Op;
use super::holds::{AUTO_CANCEL_MARGIN, MAX_CLTV_DELTA, MIN_CLTV_DELTA};
use super::payments::MAX_CLTV_LIMIT;
use super::shell::Sandbox;
use crate::backend::{
    BackendKind, CancelOutcome, Capabilities, HoldRequest, HoldSnapshot, LightningBackend,
    Liquidity, LnError, LnResult, LostPayment, Network, NodeInfo, PayRequest, PaymentRecord,
    PaymentState, Preimage, SettleOutcome, StartPayment,
};

static CAPABILITIES: Capabilities = Capabilities {
    hold_cltv_delta: MIN_CLTV_DELTA..=MAX_CLTV_DELTA,
    auto_cancel_margin: AUTO_CANCEL_MARGIN,
    max_cltv_limit: MAX_CLTV_LIMIT,
    simulated: true,
};

#[async_trait]
impl LightningBackend for Sandbox {
    fn kind(&self) -> BackendKind {
        BackendKind::Sandbox
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    async fn info(&self) -> LnResult<NodeInfo> {
        self.info_by(|world| NodeInfo {
            pubkey: world.node_key().to_string(),
            alias: "sandbox".into(),
            version: concat!("sandbox-", env!("CARGO_PKG_VERSION")).into(),
            network: Network::Regtest,
            block_height: world.height(),
            best_block_time: world.last_block_at(),
            synced_to_chain: true,
            active_channels: world.active_channels(),
        })
        .await
    }

    async fn liquidity(&self) -> LnResult<Liquidity> {
        self.call(Op::Liquidity, |desk| desk.world.liquidity())
            .await
    }

    async fn create_hold(&self, request: &HoldRequest) -> LnResult<HoldSnapshot> {
        let act = CreateHold::from(request);
        self.call(Op::CreateHold, |desk| desk.apply(act))
            .await?
            .map_err(|refusal| LnError::Contract(refusal.to_string()))
    }

    async fn lookup_hold(&self, hash: PaymentHash) -> LnResult<Option<HoldSnapshot>> {
        self.call(Op::LookupHold, move |desk| desk.world.hold(hash))
            .await
    }

    fn watch_hold(&self, hash: PaymentHash) -> BoxStream<'static, HoldSnapshot> {
        let sandbox = self.clone();
        let news = follow(async move {
            let subscribe = sandbox.call(Op::WatchHold, move |desk| {
                let hold = desk.world.hold(hash)?;
                Some(desk.watchers.hold(hold))
            });
            subscribe.await.ok().flatten()
        });
        self.bend(Op::WatchHold, news)
    }

    async fn settle_hold(&self, preimage: &Preimage) -> LnResult<SettleOutcome> {
        let act = SettleHold::from(preimage);
        self.call(Op::SettleHold, |desk| desk.apply(act)).await
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> LnResult<CancelOutcome> {
        self.call(Op::CancelHold, move |desk| desk.apply(CancelHold { hash }))
            .await
    }

    async fn start_payment(&self, request: &PayRequest) -> LnResult<StartPayment> {
        let act = StartPaying::from(request);
        self.pay_by(act).await
    }

    async fn lookup_payment(&self, hash: PaymentHash) -> LnResult<PaymentState> {
        self.call(Op::LookupPayment, move |desk| desk.world.payment(hash))
            .await
    }

    fn watch_payment(&self, hash: PaymentHash) -> BoxStream<'static, PaymentState> {
        let sandbox = self.clone();
        let news = follow(async move {
            let subscribe = sandbox.call(Op::WatchPayment, move |desk| {
                let state = desk.world.payment(hash);
                let known = state != PaymentState::NotFound;
                known.then(|| desk.watchers.payment(hash, state))
            });
            subscribe.await.ok().flatten()
        });
        self.bend(Op::WatchPayment, news)
    }

    async fn lost_payment(&self, hash: PaymentHash) -> LnResult<Option<LostPayment>> {
        self.call(Op::LostPayment, move |desk| desk.world.lost_payment(hash))
            .await
    }

    async fn list_payments_since(&self, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>> {
        self.call(Op::ListPayments, move |desk| {
            desk.world.payments_since(index, max)
        })
        .await
    }

    fn watch_blocks(&self) -> BoxStream<'static, u32> {
        let sandbox = self.clone();
        let news = follow(async move {
            sandbox
                .call(Op::WatchBlocks, |desk| desk.watchers.height())
                .await
                .ok()
        });
        self.bend(Op::WatchBlocks, news)
    }
}

/// The news of a receiver, for as long as there is a sender.
fn follow<T>(
    subscribe: impl Future<Output = Option<watch::Receiver<T>>> + Send + 'static,
) -> BoxStream<'static, T>
where
    T: Clone + Send + Sync + 'static,
{
    stream::once(subscribe)
        .filter_map(std::future::ready)
        .flat_map(|news| {
            stream::unfold(news, |mut news| async move {
                news.changed().await.ok()?;
                let latest = news.borrow_and_update().clone();
                Some((latest, news))
            })
        })
        .boxed()
}

//! The power goes at every sync of the ledger and around every call that moves
//! money, one cut at a time, in a whole sell trade and a whole buy trade with
//! crossed transports. Whatever is cut, both traders hear all of the trade, in
//! order, the book is the ledger, and every balance is right to the sat.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a crash test ends at its first surprise, and prints its count"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::PaymentHash;
use escrow_core::hold::HoldState;
use escrow_core::order::{Order, OrderId, Side};
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, OrderKind, Payload, Transport};
use escrow_engine::submission::Receipt;
use escrow_lightning::backend::{
    BackendKind, CancelOutcome, Capabilities, HoldRequest, HoldSnapshot, LightningBackend,
    Liquidity, LnResult, NodeInfo, PayRequest, PaymentRecord, PaymentState, Preimage,
    SettleOutcome, StartPayment,
};
use escrow_lightning::{LnError, Sandbox};
use futures_util::stream::BoxStream;
use nostr::event::Event;
use tokio::time::timeout;

use house::{House, SOURCE, Trader};

/// No trade takes longer than this, by the paused clock, crash included.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Where the power goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nowhere.
    Never,
    /// In the sync of the ledger after this many.
    Sync(u64),
    /// In this call that moves money, before or after it reached the node.
    Call { number: u64, is_done: bool },
}

/// A line to Lightning that counts the calls that move money, and goes dead
/// with the power in one of them.
struct Line {
    sandbox: Sandbox,
    calls: AtomicU64,
    cut: Cut,
    is_dead: AtomicBool,
}

impl Line {
    fn new(sandbox: Sandbox, cut: Cut) -> Arc<Line> {
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

    async fn list_payments_since(&self, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>> {
        self.sandbox.list_payments_since(index, max).await
    }

    fn watch_blocks(&self) -> BoxStream<'static, u32> {
        self.sandbox.watch_blocks()
    }
}

impl Line {
    fn alive(&self) -> LnResult<()> {
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(LnError::Unavailable("the power is gone".into()));
        }
        Ok(())
    }
}

/// A trade with its maker Alice and its taker Bob, who go on until it is done.
struct Trade {
    house: House,
    alice: Trader,
    bob: Trader,
    kind: OrderKind,
    cut: Cut,
    line: Arc<Line>,
    crashes: u32,
    /// Sent, but not yet known to be decided; by what it is for.
    letters: BTreeMap<&'static str, Event>,
    decided: Vec<&'static str>,
}

impl Trade {
    async fn begin(kind: OrderKind, cut: Cut) -> Trade {
        let transports = match kind {
            OrderKind::Sell => (Transport::Direct, Transport::GiftWrap),
            OrderKind::Buy => (Transport::GiftWrap, Transport::Direct),
        };
        let house = House::build().await;
        let line = Line::new(house.sandbox.clone(), cut);
        let mut trade = Trade {
            alice: Trader::new(1, "alice", transports.0),
            bob: Trader::new(2, "bob", transports.1),
            house,
            kind,
            cut,
            line,
            crashes: 0,
            letters: BTreeMap::new(),
            decided: Vec::new(),
        };
        trade.house.start_with(trade.line.clone()).await.unwrap();
        if let Cut::Sync(syncs) = cut {
            trade.house.disk.cut_power_after(syncs);
        }
        trade
    }

    async fn run(&mut self) {
        timeout(PATIENCE, async {
            while !self.is_done() {
                self.next_move().await;
                if self.has_no_power() {
                    self.start_again().await;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{:?}: no end; sent {:?}", self.cut, self.decided));
    }

    fn has_no_power(&self) -> bool {
        self.line.is_dead.load(Ordering::SeqCst) || self.house.disk.has_no_power()
    }

    async fn start_again(&mut self) {
        self.crashes += 1;
        self.house.lose_power();
        self.line = Line::new(self.house.sandbox.clone(), Cut::Never);
        self.house.start_with(self.line.clone()).await.unwrap();
    }

    fn order(&self) -> Option<Order> {
        let id = self.alice.mail(&self.house).first()?.id?;
        self.house
            .handle()
            .views()
            .view()
            .ok()?
            .order(OrderId(id))
            .ok()?
    }

    fn is_done(&self) -> bool {
        self.decided.contains(&"maker rates") && self.decided.contains(&"taker rates")
    }

    /// What the trade waits for, done by the one who owes it.
    async fn next_move(&mut self) {
        let Some(order) = self.order() else {
            let payload = Payload::Order(house::offer(self.kind));
            return self
                .say("offer", true, Action::NewOrder, None, Some(payload))
                .await;
        };
        let id = Some(order.id);
        let maker_buys = order.offer.side == Side::Buy;
        match &order.stage {
            Stage::Pending if maker_buys => {
                self.say("take", false, Action::TakeBuy, id, None).await;
            }
            Stage::Pending => self.say("take", false, Action::TakeSell, id, None).await,
            Stage::WaitingInvoice { .. } | Stage::PaidWaitingInvoice { .. } => {
                let buyer = if maker_buys { &self.alice } else { &self.bob };
                let invoice = buyer.invoice(&self.house).await;
                self.say("invoice", maker_buys, Action::AddInvoice, id, Some(invoice))
                    .await;
            }
            Stage::WaitingPayment { hold, .. } => {
                let hold = self.house.view().hold(*hold).unwrap().unwrap();
                let HoldState::Open { bolt11 } = hold.state else {
                    return;
                };
                if !self.decided.contains(&"pay") {
                    self.decided.push("pay");
                    let seller = if maker_buys { &self.bob } else { &self.alice };
                    seller.pays_invoice(&self.house, &bolt11).await;
                }
            }
            Stage::Active { .. } => {
                self.say("fiat", maker_buys, Action::FiatSent, id, None)
                    .await;
            }
            Stage::FiatSent { .. } | Stage::Dispute { .. } => {
                self.say("release", !maker_buys, Action::Release, id, None)
                    .await;
            }
            Stage::Success { .. } => {
                let stars = Some(Payload::RatingUser(5));
                self.say("maker rates", true, Action::RateUser, id, stars.clone())
                    .await;
                self.say("taker rates", false, Action::RateUser, id, stars)
                    .await;
            }
            Stage::OpeningHold { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. } => {}
            Stage::Canceled { .. } | Stage::Expired => panic!("{:?}: {order:?}", self.cut),
        }
    }

    /// Sends a letter, the same one until it is known to be decided.
    async fn say(
        &mut self,
        what: &'static str,
        by_maker: bool,
        action: Action,
        order: Option<OrderId>,
        payload: Option<Payload>,
    ) {
        if self.decided.contains(&what) {
            return;
        }
        let trader = if by_maker { &self.alice } else { &self.bob };
        let letter = match self.letters.get(what) {
            Some(letter) => letter.clone(),
            None => trader.letter(&self.house, action, order, payload),
        };
        self.letters.insert(what, letter.clone());
        let submitting = self.house.handle();
        let receipt = timeout(Duration::from_secs(5), submitting.submit(SOURCE, letter)).await;
        match receipt {
            Ok(Receipt::Decided | Receipt::Duplicate) => self.decided.push(what),
            // The power may have gone; the same letter goes out again.
            Ok(Receipt::Refused(_)) | Err(_) => {}
        }
    }

    /// Everything that must be true of a trade that is done.
    async fn judge(&self) {
        let order = self.order().unwrap();
        assert_eq!(self.house.book_says(order.id), "success", "{:?}", self.cut);
        let (maker, taker) = expected(self.kind);
        assert_eq!(
            self.actions(&self.alice),
            maker,
            "to the maker, {:?}",
            self.cut
        );
        assert_eq!(
            self.actions(&self.bob),
            taker,
            "to the taker, {:?}",
            self.cut
        );
        let whole = 1_000_000;
        let seller = (whole - house::SATS - house::FEE) * 1_000;
        let buyer = (whole + house::SATS - house::FEE) * 1_000;
        let (alice, bob) = match self.kind {
            OrderKind::Sell => (seller, buyer),
            OrderKind::Buy => (buyer, seller),
        };
        assert_eq!(self.house.balance("alice").await.0, alice, "{:?}", self.cut);
        assert_eq!(self.house.balance("bob").await.0, bob, "{:?}", self.cut);
        let view = self.house.view();
        assert!(view.living_holds().unwrap().is_empty());
        assert!(view.sent_attempts().unwrap().is_empty());
        assert!(view.set_aside(1).unwrap().is_empty());
    }

    fn actions(&self, trader: &Trader) -> Vec<(Action, bool)> {
        let mail = trader.mail(&self.house);
        mail.iter()
            .filter(|message| message.action != Action::CantDo)
            // The answer to a release may come too late to echo its id.
            .map(|message| {
                (
                    message.action,
                    is_late_kind(message.action) || message.request_id.is_some(),
                )
            })
            .collect()
    }
}

fn is_late_kind(action: Action) -> bool {
    action == Action::HoldInvoicePaymentSettled
}

type Heard = Vec<(Action, bool)>;

/// What maker and taker hear (`wire.md` §9), and whether it echoes an id.
fn expected(kind: OrderKind) -> (Heard, Heard) {
    use Action::{
        AddInvoice, BuyerTookOrder, FiatSentOk, HoldInvoicePaymentAccepted,
        HoldInvoicePaymentSettled, NewOrder, PayInvoice, PurchaseCompleted, Rate, RateReceived,
        Released, WaitingBuyerInvoice, WaitingSellerToPay,
    };
    match kind {
        OrderKind::Sell => (
            vec![
                (NewOrder, true),
                (WaitingBuyerInvoice, false),
                (PayInvoice, false),
                (PayInvoice, false),
                (BuyerTookOrder, false),
                (FiatSentOk, false),
                (HoldInvoicePaymentSettled, true),
                (Rate, false),
                (RateReceived, true),
            ],
            vec![
                (AddInvoice, true),
                (WaitingSellerToPay, true),
                (HoldInvoicePaymentAccepted, false),
                (FiatSentOk, true),
                (Released, false),
                (PurchaseCompleted, false),
                (Rate, false),
                (RateReceived, true),
            ],
        ),
        OrderKind::Buy => (
            vec![
                (NewOrder, true),
                (WaitingSellerToPay, false),
                (AddInvoice, false),
                (AddInvoice, false),
                (HoldInvoicePaymentAccepted, true),
                (FiatSentOk, true),
                (Released, false),
                (PurchaseCompleted, false),
                (Rate, false),
                (RateReceived, true),
            ],
            vec![
                (PayInvoice, true),
                (WaitingBuyerInvoice, false),
                (BuyerTookOrder, false),
                (FiatSentOk, false),
                (HoldInvoicePaymentSettled, true),
                (Rate, false),
                (RateReceived, true),
            ],
        ),
    }
}

/// One whole trade; whether the power went in it.
async fn trade_with(kind: OrderKind, cut: Cut) -> bool {
    let mut trade = Trade::begin(kind, cut).await;
    trade.run().await;
    // The last letters leave after their receipts, and so may the power.
    tokio::time::sleep(Duration::from_secs(5)).await;
    if trade.has_no_power() {
        trade.start_again().await;
    }
    trade.judge().await;
    trade.crashes > 0
}

async fn every_cut_of(kind: OrderKind) {
    assert!(!trade_with(kind, Cut::Never).await);
    let mut syncs = 0;
    while trade_with(kind, Cut::Sync(syncs)).await {
        syncs += 1;
    }
    let mut calls = 0;
    loop {
        let mut cuts = 0;
        for is_done in [false, true] {
            let cut = Cut::Call {
                number: calls,
                is_done,
            };
            cuts += u32::from(trade_with(kind, cut).await);
        }
        if cuts == 0 {
            break;
        }
        calls += 1;
    }
    println!(
        "{kind:?}: {syncs} cuts in syncs, {} around calls",
        calls * 2
    );
    assert!(syncs >= 20, "a trade commits more often than {syncs} syncs");
    assert!(calls >= 3, "open, settle and pay are calls");
}

#[tokio::test(start_paused = true)]
async fn a_sell_trade_survives_every_power_cut() {
    every_cut_of(OrderKind::Sell).await;
}

#[tokio::test(start_paused = true)]
async fn a_buy_trade_survives_every_power_cut() {
    every_cut_of(OrderKind::Buy).await;
}

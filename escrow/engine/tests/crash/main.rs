//! The power goes at every sync of the ledger and around every call that moves
//! money, one cut at a time, in whole trades with crossed transports and in
//! trades that end before their time. Whatever is cut, both traders hear all of
//! the trade, in order, the book is the ledger, and every balance is right to
//! the sat.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a crash test ends at its first surprise, and prints its count"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

#[path = "../house/mod.rs"]
mod house;
mod line;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::hold::HoldState;
use escrow_core::order::{Order, OrderId, Side};
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, OrderKind, Payload, Transport};
use escrow_engine::submission::Receipt;
use nostr::event::Event;
use tokio::time::timeout;

use house::{House, SOURCE, Trader};
use line::{Cut, Line};

/// No trade takes longer than this, by the paused clock, crash included.
const PATIENCE: Duration = Duration::from_secs(4 * 3_600);

/// Balances in millisats: before a trade, and of each side after it.
const WHOLE: u64 = 1_000_000_000;
const SELLER: u64 = WHOLE - (house::SATS + house::FEE) * 1_000;
const BUYER: u64 = WHOLE + (house::SATS - house::FEE) * 1_000;

/// How a trade goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Alice sells, and all is done and rated.
    Sale,
    /// Alice buys, and all is done and rated.
    Purchase,
    /// As a sale, but the power stays away for an hour.
    LongNight,
    /// Alice sells; Bob cancels before she pays, then she does (C4, C5).
    TakerLeaves,
    /// Alice buys; Bob has paid when she cancels (C6).
    MakerLeavesPaid,
    /// Alice sells; both cancel before the fiat (C8).
    BothCancel,
    /// Alice sells; Bob never gives an invoice, and she cancels then (E2).
    LateBuyer,
    /// Alice sells and never pays (E4).
    LateSeller,
}

impl Way {
    fn kind(self) -> OrderKind {
        match self {
            Way::Purchase | Way::MakerLeavesPaid => OrderKind::Buy,
            Way::Sale
            | Way::LongNight
            | Way::TakerLeaves
            | Way::BothCancel
            | Way::LateBuyer
            | Way::LateSeller => OrderKind::Sell,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Way::Sale | Way::Purchase | Way::LongNight)
    }
}

/// A trade with its maker Alice and its taker Bob, who go on until it is done.
struct Trade {
    house: House,
    alice: Trader,
    bob: Trader,
    way: Way,
    cut: Cut,
    line: Arc<Line>,
    crashes: u32,
    /// Sent, but not yet known to be decided; by what it is for.
    letters: BTreeMap<&'static str, Event>,
    decided: Vec<&'static str>,
}

impl Trade {
    async fn begin(way: Way, cut: Cut) -> Trade {
        let transports = match way.kind() {
            OrderKind::Sell => (Transport::Direct, Transport::GiftWrap),
            OrderKind::Buy => (Transport::GiftWrap, Transport::Direct),
        };
        let house = House::build().await;
        let line = Line::new(house.sandbox.clone(), cut);
        let mut trade = Trade {
            alice: Trader::new(1, "alice", transports.0),
            bob: Trader::new(2, "bob", transports.1),
            house,
            way,
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
        let ended = timeout(PATIENCE, async {
            while !self.is_done() {
                self.next_move().await;
                if self.has_no_power() {
                    self.start_again().await;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
        .await;
        if ended.is_err() {
            let (cut, sent, order) = (self.cut, &self.decided, self.order());
            panic!("{cut:?}: no end; sent {sent:?}; {order:?}");
        }
    }

    fn has_no_power(&self) -> bool {
        self.line.is_dead() || self.house.disk.has_no_power()
    }

    async fn start_again(&mut self) {
        self.crashes += 1;
        self.house.lose_power();
        if self.way == Way::LongNight {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            // What was signed before the night is too old to begin anything,
            // and an opening that it cut short is undone (E7).
            self.letters.clear();
            self.decided.clear();
        }
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
        if self.way.is_whole() {
            return self.decided.contains(&"maker rates") && self.decided.contains(&"taker rates");
        }
        let is_canceled = |order: Order| matches!(order.stage, Stage::Canceled { .. });
        self.order().is_some_and(is_canceled)
            && self.house.view().living_holds().unwrap().is_empty()
    }

    /// What the trade waits for, done by the one who owes it.
    async fn next_move(&mut self) {
        let Some(order) = self.order() else {
            let payload = Payload::Order(house::offer(self.way.kind()));
            return self
                .say("offer", true, Action::NewOrder, None, Some(payload))
                .await;
        };
        let id = Some(order.id);
        let maker_buys = order.offer.side == Side::Buy;
        match &order.stage {
            Stage::Pending if self.decided.contains(&"take") && !self.way.is_whole() => {
                self.say("withdraw", true, Action::Cancel, id, None).await;
            }
            Stage::WaitingInvoice { .. } if self.way == Way::LateBuyer => a_while().await,
            Stage::WaitingPayment { .. } if self.way == Way::LateSeller => a_while().await,
            Stage::WaitingPayment { .. } if self.way == Way::TakerLeaves => {
                self.say("leave", false, Action::Cancel, id, None).await;
            }
            Stage::PaidWaitingInvoice { .. } if self.way == Way::MakerLeavesPaid => {
                self.say("leave", true, Action::Cancel, id, None).await;
            }
            Stage::Active { .. } if self.way == Way::BothCancel => {
                self.say("ask to cancel", false, Action::Cancel, id, None)
                    .await;
                self.say("agree", true, Action::Cancel, id, None).await;
            }
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
            Stage::Canceled { .. } if !self.way.is_whole() => {}
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
            Ok(Receipt::Decided | Receipt::Duplicate | Receipt::Ruled(_)) => {
                self.decided.push(what);
            }
            // The power may have gone; the same letter goes out again.
            Ok(Receipt::Refused(_)) | Err(_) => {}
        }
    }

    /// Everything that must be true of a trade that is over.
    async fn judge(&self) {
        let (way, cut) = (self.way, self.cut);
        let (maker, taker) = (self.actions(&self.alice), self.actions(&self.bob));
        if way == Way::LongNight {
            let (makers, takers) = expected(way.kind());
            assert_eq!(words(&maker), words(&makers), "to the maker, {cut:?}");
            assert_eq!(words(&taker), words(&takers), "to the taker, {cut:?}");
        } else if way.is_whole() {
            let (makers, takers) = expected(way.kind());
            assert_eq!(maker, makers, "to the maker, {way:?}, {cut:?}");
            assert_eq!(taker, takers, "to the taker, {way:?}, {cut:?}");
        } else {
            let (makers, takers) = expected_end(way);
            assert_eq!(words(&maker), makers, "to the maker, {way:?}, {cut:?}");
            assert_eq!(words(&taker), takers, "to the taker, {way:?}, {cut:?}");
        }
        let end = if way.is_whole() {
            "success"
        } else {
            "canceled"
        };
        let order = self.order().unwrap();
        assert_eq!(self.house.book_says(order.id), end, "{way:?}, {cut:?}");
        let (alice, bob) = match (way.is_whole(), way.kind()) {
            (true, OrderKind::Sell) => (SELLER, BUYER),
            (true, OrderKind::Buy) => (BUYER, SELLER),
            (false, _) => (WHOLE, WHOLE),
        };
        assert_eq!(
            self.house.balance("alice").await.0,
            alice,
            "{way:?}, {cut:?}"
        );
        assert_eq!(self.house.balance("bob").await.0, bob, "{way:?}, {cut:?}");
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

/// Who lets his time run out does not look at the clock all the while.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// What was said, and what was said again only once: an invoice that ends with
/// a downtime is replaced by another (E12).
fn words(heard: &Heard) -> Vec<Action> {
    let mut words: Vec<_> = heard.iter().map(|(action, _)| *action).collect();
    words.dedup();
    words
}

/// What maker and taker hear of a trade that ends before its time.
fn expected_end(way: Way) -> (Vec<Action>, Vec<Action>) {
    use Action::{
        AddInvoice, BuyerTookOrder, Canceled, CooperativeCancelAccepted,
        CooperativeCancelInitiatedByPeer, CooperativeCancelInitiatedByYou,
        HoldInvoicePaymentAccepted, NewOrder, PayInvoice, WaitingBuyerInvoice, WaitingSellerToPay,
    };
    match way {
        Way::TakerLeaves => (
            vec![
                NewOrder,
                WaitingBuyerInvoice,
                PayInvoice,
                NewOrder,
                Canceled,
            ],
            vec![AddInvoice, WaitingSellerToPay, Canceled],
        ),
        Way::MakerLeavesPaid => (
            vec![NewOrder, WaitingSellerToPay, AddInvoice, Canceled],
            vec![PayInvoice, WaitingBuyerInvoice, Canceled],
        ),
        Way::BothCancel => (
            vec![
                NewOrder,
                WaitingBuyerInvoice,
                PayInvoice,
                BuyerTookOrder,
                CooperativeCancelInitiatedByPeer,
                CooperativeCancelAccepted,
            ],
            vec![
                AddInvoice,
                WaitingSellerToPay,
                HoldInvoicePaymentAccepted,
                CooperativeCancelInitiatedByYou,
                CooperativeCancelAccepted,
            ],
        ),
        Way::LateBuyer => (
            vec![NewOrder, WaitingBuyerInvoice, NewOrder, Canceled],
            vec![AddInvoice, Canceled],
        ),
        Way::LateSeller => (
            vec![NewOrder, WaitingBuyerInvoice, PayInvoice, Canceled],
            vec![AddInvoice, WaitingSellerToPay, Canceled],
        ),
        Way::Sale | Way::Purchase | Way::LongNight => panic!("{way:?} ends in its time"),
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

/// One trade; whether the power went in it.
async fn trade_with(way: Way, cut: Cut) -> bool {
    let mut trade = Trade::begin(way, cut).await;
    trade.run().await;
    // The last letters leave after their receipts, and so may the power; a hold
    // that Lightning does not know is given up only when it can open no more.
    tokio::time::sleep(Duration::from_secs(150)).await;
    if trade.has_no_power() {
        trade.start_again().await;
    }
    trade.judge().await;
    trade.crashes > 0
}

async fn every_cut_of(way: Way) {
    assert!(!trade_with(way, Cut::Never).await);
    let mut syncs = 0;
    while trade_with(way, Cut::Sync(syncs)).await {
        syncs += 1;
    }
    let calls = every_call_of(way).await;
    println!("{way:?}: {syncs} cuts in syncs, {} around calls", calls * 2);
    let least_calls = match way {
        // Open, settle and pay.
        Way::Sale | Way::Purchase | Way::LongNight => 3,
        // Open and cancel.
        Way::TakerLeaves | Way::MakerLeavesPaid | Way::BothCancel | Way::LateSeller => 2,
        Way::LateBuyer => 0,
    };
    assert!(calls >= least_calls, "{calls} calls");
    assert!(syncs >= 12, "a trade commits more often than {syncs} syncs");
}

/// How many calls there were to cut.
async fn every_call_of(way: Way) -> u64 {
    for number in 0.. {
        let mut cuts = 0;
        for is_done in [false, true] {
            let cut = Cut::Call { number, is_done };
            cuts += u32::from(trade_with(way, cut).await);
        }
        if cuts == 0 {
            return number;
        }
    }
    unreachable!("a trade has an end")
}

#[tokio::test(start_paused = true)]
async fn u33_up_m7_up_s18_a_sell_trade_survives_every_power_cut() {
    every_cut_of(Way::Sale).await;
}

#[tokio::test(start_paused = true)]
async fn u33_up_m7_up_s18_a_buy_trade_survives_every_power_cut() {
    every_cut_of(Way::Purchase).await;
}

#[tokio::test(start_paused = true)]
async fn e11_a_trade_survives_an_hour_without_power_after_every_cut() {
    every_cut_of(Way::LongNight).await;
}

#[tokio::test(start_paused = true)]
async fn c4_c5_a_taker_who_leaves_is_gone_after_every_power_cut() {
    every_cut_of(Way::TakerLeaves).await;
}

#[tokio::test(start_paused = true)]
async fn c6_a_maker_who_leaves_a_paid_trade_is_gone_after_every_power_cut() {
    every_cut_of(Way::MakerLeavesPaid).await;
}

#[tokio::test(start_paused = true)]
async fn c8_a_trade_that_both_cancel_ends_after_every_power_cut() {
    every_cut_of(Way::BothCancel).await;
}

#[tokio::test(start_paused = true)]
async fn e2_a_buyer_is_late_after_every_power_cut() {
    every_cut_of(Way::LateBuyer).await;
}

#[tokio::test(start_paused = true)]
async fn e4_a_seller_is_late_after_every_power_cut() {
    every_cut_of(Way::LateSeller).await;
}

//! The development fee of a whole escrow: paid once and published once, whatever
//! fails around the payment, and at the cost of no trade.
//!
//! An address is asked over a real socket, so time is real here.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "house and line serve other tests too")]

mod house;
#[path = "crash/line.rs"]
mod line;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use escrow_core::books::Account;
use escrow_core::order::OrderId;
use escrow_core::payout::{AttemptState, Payout, PayoutId, PayoutState};
use escrow_core::timer::TimerKind;
use escrow_core::wire::dev_fee_event::DEV_FEE;
use escrow_core::wire::{Action, OrderKind, Transport};
use escrow_core::{Msat, Sats};
use escrow_engine::clock::Clock;
use escrow_engine::submission::{OperatorWord, Receipt};
use escrow_lightning::Sandbox;
use escrow_lightning::sandbox::{Behave, Behaviour, CreateInvoice, Fund};
use serde_json::{Value, json};
use storage::ledger::Ledger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use house::{House, Trader};
use line::{Cut, Line};

/// 30 % of 30 sats from each side.
const FEE_MSAT: u64 = 18_000;

/// What every wallet begins with.
const PURSE: Sats = Sats(1_000_000);

/// Nothing here takes longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server behind every address: it lets the wallet `dev` write invoices.
#[derive(Clone)]
struct AddressServer {
    sandbox: Arc<Mutex<Sandbox>>,
    declines: Arc<AtomicBool>,
    /// The paths it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl AddressServer {
    async fn serve(self, listener: TcpListener) {
        let mut visits = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            visits.spawn(self.clone().answer(stream));
        }
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let body = self.says(&path).await.to_string();
        self.asked.lock().unwrap().push(path);
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }

    async fn says(&self, path: &str) -> Value {
        if self.declines.load(Ordering::SeqCst) {
            return json!({ "status": "ERROR", "reason": "closed" });
        }
        let Some((_, query)) = path.split_once('?') else {
            return json!({
                "tag": "payRequest",
                "callback": "http://wallet.example/cb",
                "minSendable": 1_000,
                "maxSendable": 1_000_000,
                "commentAllowed": 200,
                "metadata": "[]",
            });
        };
        assert!(query.starts_with(&format!("amount={FEE_MSAT}&")), "{query}");
        let invoice = CreateInvoice {
            wallet: "dev".into(),
            amount: Some(Msat(FEE_MSAT)),
            memo: "development".into(),
            expiry_secs: 600,
            cltv_delta: 40,
        };
        let sandbox = self.sandbox.lock().unwrap().clone();
        let bolt11 = sandbox.apply(invoice).await.unwrap().unwrap();
        json!({ "pr": bolt11, "routes": [] })
    }
}

/// A house that pays a development fee.
struct Site {
    house: House,
    server: AddressServer,
    line: Arc<Line>,
    alice: Trader,
    bob: Trader,
    crashes: u32,
    _serving: JoinSet<()>,
}

impl Site {
    async fn open(cut: Cut) -> Site {
        let mut house = House::build().await;
        let wallet = "dev".into();
        let fund = Fund {
            wallet,
            amount: PURSE,
        };
        house.sandbox.apply(fund).await.unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        house.address_server = listener.local_addr().unwrap();
        house.terms.dev_fee_destination = Some("dev@wallet.example".into());
        let server = AddressServer {
            sandbox: Arc::new(Mutex::new(house.sandbox.clone())),
            declines: Arc::default(),
            asked: Arc::default(),
        };
        let mut serving = JoinSet::new();
        serving.spawn(server.clone().serve(listener));
        let mut site = Site {
            line: Line::new(house.sandbox.clone(), cut),
            house,
            server,
            alice: Trader::new(1, "alice", Transport::Direct),
            bob: Trader::new(2, "bob", Transport::GiftWrap),
            crashes: 0,
            _serving: serving,
        };
        site.house.start_with(site.line.clone()).await.unwrap();
        site
    }

    /// The power goes, and comes back so much later.
    async fn loses_power_for(&mut self, secs: i64) {
        self.house.lose_power();
        self.house.clock.is_set_by(secs);
        self.starts().await;
    }

    async fn starts(&mut self) {
        *self.server.sandbox.lock().unwrap() = self.house.sandbox.clone();
        self.line = Line::new(self.house.sandbox.clone(), Cut::Never);
        self.house.start_with(self.line.clone()).await.unwrap();
    }

    /// Alice sells to Bob and lets the sats go.
    async fn trades(&mut self) -> OrderId {
        let Site {
            house, alice, bob, ..
        } = self;
        let order = alice.offers(house, OrderKind::Sell).await;
        let invoice = bob.invoice(house).await;
        let id = Some(order);
        bob.says(house, Action::TakeSell, id, Some(invoice)).await;
        alice.hears(house, Action::PayInvoice).await;
        let wanted = alice.hears(house, Action::PayInvoice).await;
        alice.pays(house, &wanted).await;
        alice.hears(house, Action::BuyerTookOrder).await;
        bob.says(house, Action::FiatSent, id, None).await;
        alice.hears(house, Action::FiatSentOk).await;
        assert_eq!(house.published(DEV_FEE), [], "no fee before its time");
        let released = alice.says(house, Action::Release, id, None).await;
        assert_eq!(released, Receipt::Decided);
        order
    }

    fn fee(&self, order: OrderId) -> Option<Payout> {
        let id = PayoutId::of_dev_fee(order);
        self.house.view().payout(id).unwrap()
    }

    /// Waits until the fee of an order is as it is waited for; power that has
    /// gone comes back.
    async fn until(&mut self, order: OrderId, is_it: impl Fn(&Payout) -> bool) {
        let waiting = async {
            loop {
                if self.line.is_dead() || self.house.disk.has_no_power() {
                    self.crashes += 1;
                    self.loses_power_for(0).await;
                }
                if self.fee(order).as_ref().is_some_and(&is_it) {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("it never comes");
    }

    async fn until_paid_and_published(&mut self, order: OrderId) {
        self.until(order, |fee| fee.state == PayoutState::Paid)
            .await;
        let house = &self.house;
        let published = house.until(|| house.published(DEV_FEE).pop());
        let event = published.await;
        let [attempt] = &*self.attempts(order) else {
            panic!("a fee has one hash");
        };
        let tag = |name| event.tags.iter().find(|tag| tag.kind() == name).unwrap();
        assert_eq!(tag("hash").as_slice()[1], attempt.hash.to_string());
        assert_eq!(tag("order-id").as_slice()[1], order.0.to_string());
        assert_eq!(tag("amount").as_slice()[1], "18");
        let succeeded = matches!(attempt.state, AttemptState::Succeeded { .. });
        assert!(succeeded, "{attempt:?}");
    }

    fn attempts(&self, order: OrderId) -> Vec<escrow_core::payout::Attempt> {
        let id = PayoutId::of_dev_fee(order);
        self.house.view().attempts_of(id).unwrap()
    }

    /// To the millisat, in Lightning and in the books; nothing is left to do.
    async fn all_are_paid_once(&self, order: OrderId, case: &str) {
        let purse = PURSE.0 * 1_000;
        let buyer = (house::SATS - house::FEE) * 1_000;
        let house = &self.house;
        assert_eq!(house.balance("dev").await.0, purse + FEE_MSAT, "{case}");
        assert_eq!(house.balance("bob").await.0, purse + buyer, "{case}");
        let view = house.view();
        let turnovers = view.turnovers().unwrap();
        let got = |account| {
            let found = turnovers.iter().find(|(one, _)| *one == account);
            found.unwrap().1.got.0
        };
        assert_eq!(got(Account::Development), FEE_MSAT, "{case}");
        assert_eq!(got(Account::Buyers), buyer, "{case}");
        assert_eq!(got(Account::House), 2 * house::FEE * 1_000, "{case}");
        assert_eq!(view.latch().unwrap(), None, "{case}");
        assert_eq!(view.living_payouts().unwrap(), [], "{case}");
        let timer = view.timer_of(order, TimerKind::DevFee).unwrap();
        assert_eq!(timer, None, "{case}");
    }
}

/// The calls that move money: a hold is opened and settled, the buyer is paid,
/// and then the development.
#[tokio::test]
async fn j4_j5_up_m2_a_lost_answer_or_a_power_cut_at_the_payment_pays_the_fee_once() {
    let call = |is_done| Cut::Call { number: 3, is_done };
    for cut in [Cut::Never, call(false), call(true)] {
        let mut site = Site::open(cut).await;
        let order = site.trades().await;
        site.until_paid_and_published(order).await;
        let case = format!("{cut:?}");
        site.all_are_paid_once(order, &case).await;
        assert_eq!(site.house.published(DEV_FEE).len(), 1, "{case}");
        let is_cut = !matches!(cut, Cut::Never);
        assert_eq!(site.crashes, u32::from(is_cut), "{case}");
    }
}

#[tokio::test]
async fn j5_up_m2_a_power_cut_at_any_sync_pays_and_publishes_the_fee_once() {
    let mut crashes = 0;
    for syncs in 0..12 {
        let mut site = Site::open(Cut::Never).await;
        let order = site.trades().await;
        site.house.disk.cut_power_after(syncs);
        site.until_paid_and_published(order).await;
        let case = format!("cut after {syncs} syncs");
        site.all_are_paid_once(order, &case).await;
        assert_eq!(site.house.published(DEV_FEE).len(), 1, "{case}");
        crashes += site.crashes;
    }
    assert!(crashes >= 6, "the power goes {crashes} times only");
}

#[tokio::test]
async fn j3_the_development_reads_which_order_of_which_node_it_is_paid_for() {
    let mut site = Site::open(Cut::Never).await;
    let order = site.trades().await;
    site.until_paid_and_published(order).await;
    let asked = site.server.asked.lock().unwrap().join("\n");
    let comment = format!("comment=mostro-dev-fee+order%3D{}+node%3Dnpub1", order.0);
    assert!(asked.contains(&comment), "{asked}");
}

#[tokio::test]
async fn j2_j4_the_trade_ends_without_the_fee_which_is_paid_when_its_address_answers() {
    let mut site = Site::open(Cut::Never).await;
    site.server.declines.store(true, Ordering::SeqCst);
    let order = site.trades().await;
    site.until(order, |fee| fee.tries == 1).await;
    assert_eq!(site.house.book_says(order), "success");
    let fee = site.fee(order).unwrap();
    let PayoutState::Ready { not_before } = fee.state else {
        panic!("{fee:?}");
    };
    let waits_secs = not_before.secs_since(site.house.clock.now());
    assert!((50..=75).contains(&waits_secs), "{waits_secs}");
    assert_eq!(site.house.published(DEV_FEE), []);

    site.server.declines.store(false, Ordering::SeqCst);
    site.loses_power_for(120).await;
    site.until_paid_and_published(order).await;
    site.all_are_paid_once(order, "late").await;
}

#[tokio::test]
async fn j2_p11_a_fee_that_is_held_in_flight_keeps_no_buyer_from_his_sats() {
    let mut site = Site::open(Cut::Never).await;
    site.house.lose_power();
    site.house.terms.max_inflight_payouts = 1;
    site.starts().await;
    let held = Behave {
        wallet: "dev".into(),
        behaviour: Behaviour::Hold,
    };
    site.house.sandbox.apply(held).await.unwrap().unwrap();
    let first = site.trades().await;
    site.until(first, |fee| fee.state == PayoutState::Paying)
        .await;
    site.alice = Trader::new(11, "alice", Transport::Direct);
    site.bob = Trader::new(12, "bob", Transport::Direct);
    let second = site.trades().await;
    site.until(second, |fee| matches!(fee.state, PayoutState::Ready { .. }))
        .await;
    assert_eq!(site.house.book_says(second), "success");
    assert_eq!(site.house.view().sent_attempts().unwrap().len(), 1);
    assert_eq!(site.house.published(DEV_FEE), []);
}

/// A ledger that was set back to before the payment does not know it. Small
/// amounts are met by chance, so no trade is stopped; the fee waits for a word.
#[tokio::test]
async fn up_m2_x13_a_restored_ledger_does_not_pay_a_fee_again_and_stops_nobody() {
    let mut site = Site::open(Cut::Never).await;
    site.server.declines.store(true, Ordering::SeqCst);
    let order = site.trades().await;
    site.until(order, |fee| fee.tries == 1).await;
    let backup = site.house.disk.after_power_cut();
    site.server.declines.store(false, Ordering::SeqCst);
    site.loses_power_for(120).await;
    site.until_paid_and_published(order).await;
    let asked_before = site.server.asked.lock().unwrap().len();

    site.house.lose_power();
    site.house.disk = backup;
    site.starts().await;
    let view = site.house.view();
    assert_eq!(view.latch().unwrap(), None);
    let [(hash, _)] = view.unknown_payments().unwrap()[..] else {
        panic!("one payment is unknown");
    };
    let now = site.house.clock.now();
    let waits = move |fee: &Payout| matches!(fee.state, PayoutState::Ready { not_before } if not_before > now);
    site.until(order, waits).await;
    assert_eq!(site.server.asked.lock().unwrap().len(), asked_before);

    let adopt = OperatorWord::Adopt { hash, order };
    let done = site.house.handle().operate(adopt).await.unwrap();
    assert_eq!(done, Receipt::Decided);
    site.until_paid_and_published(order).await;
    site.all_are_paid_once(order, "adopted").await;
}

#[tokio::test]
async fn j1_up_a16_what_was_owed_on_another_network_is_not_paid_on_this_one() {
    let mut site = Site::open(Cut::Never).await;
    site.server.declines.store(true, Ordering::SeqCst);
    let order = site.trades().await;
    site.until(order, |fee| fee.tries == 1).await;
    site.house.lose_power();
    let mut ledger = Ledger::with_backend(site.house.disk.clone()).unwrap();
    let mut page = ledger.page().unwrap();
    let mut node = page.node_identity().unwrap().unwrap();
    node.network = "signet".into();
    page.put_node_identity(&node).unwrap();
    page.commit().unwrap();
    drop(ledger);

    site.server.declines.store(false, Ordering::SeqCst);
    site.loses_power_for(120).await;
    assert_eq!(site.fee(order).unwrap().state, PayoutState::Parked);
    assert_eq!(site.attempts(order), []);
}

//! The development fee: paid by the operator's node after the trade, to an
//! address behind which the seller's node writes the invoices.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;

use escrow_core::Sats;
use escrow_core::books::Account;
use escrow_core::order::OrderId;
use escrow_core::payout::{AttemptState, Payout, PayoutId, PayoutState};
use escrow_core::stage::Stage;
use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_core::wire::dev_fee_event::DEV_FEE;
use escrow_regtest::{Balances, Line, Network, Payment, Proxy};
use serde_json::{Value, json};
use storage::ledger::View;
use tokio::net::TcpListener;

use crate::addresses::serves_addresses;
use crate::crashes::{CALLS, Call};
use crate::deal::{Deal, PAID, TRADED};
use crate::listener::Listener;
use crate::node_troubles::Pending;
use crate::own_box::OwnBox;
use crate::town::{Town, adds_up, at_rest, network, payment_hash, payments};

const DESTINATION: &str = "dev@wallet.example";

/// Of the 600 sats that both sides of a trade pay.
const SHARE: f64 = 0.25;
const FEE: u64 = 150;

/// What each node gains by a trade whose fee is paid.
const TRADED_AND_GIVEN: [i128; 3] = [-100_300 + 150, 600 - 150, 99_700];

/// What each account of the books has got and given by then, in sats.
const BOOKS: [(Account, u64, u64); 7] = [
    (Account::Sellers, 0, 100_300),
    (Account::Escrow, 100_300, 100_300),
    (Account::Surplus, 0, 0),
    (Account::House, 600, FEE),
    (Account::Buyers, PAID, 0),
    (Account::Routers, 0, 0),
    (Account::Development, FEE, 0),
];

/// The payee holds the fee, so that nothing is left to chance: the trade has
/// ended, the public hears nothing yet, and then it does. What the operator
/// gives of later trades is nothing to one that is taken.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn f5_j2_j5_up_a11_the_dev_fee_of_the_take_is_paid_after_the_trade_and_then_published() {
    let network = network().await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (seller, pending) = (network.seller(), Pending::new());
    let invoice = seller.hold_invoice(&pending.hash, FEE).await.unwrap();
    let story = Box::pin(async {
        let mut house = House::opens(&network, network.operator().grpc(), &door).await;
        let mut deal = house.deal().await;
        house.own.dies();
        house.own.ground.terms.dev_fee_share = 2.0 * SHARE;
        house.own.starts(&mut deal.people()).await;
        deal.fiat_is_sent().await;
        deal.succeeds().await;

        let order = deal.bob.order();
        seller.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
        let ended = house.own.view().order(order).unwrap().unwrap();
        assert!(matches!(ended.stage, Stage::Success { .. }));
        assert_eq!(house.published().await, [""; 0], "it has not arrived yet");
        seller.settles(&pending.preimage).await.unwrap();
        house.publishes(order, &pending.hash).await;
        house.all_are_paid_once(2).await;
    });
    let writes = async |_| Some(invoice.bolt11.clone());
    serves_addresses(&door, writes, story).await;
}

/// First the server refuses, then its invoice is one that its node refuses.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn j2_j4_j6_a_dev_fee_that_cannot_be_paid_is_in_nobodys_way_and_paid_later() {
    let network = network().await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seller = network.seller();
    let refused = seller.invoice(FEE).await.unwrap();
    seller.cancels(&refused.hash).await.unwrap();
    let good = seller.invoice(FEE).await.unwrap();
    let story = Box::pin(async {
        let mut house = House::opens(&network, network.operator().grpc(), &door).await;
        let mut deal = house.deal().await;
        deal.fiat_is_sent().await;
        deal.succeeds().await;

        let order = deal.bob.order();
        for tries in [1, 2] {
            let is_put_off =
                |fee: &Payout| fee.tries == tries && matches!(fee.state, PayoutState::Ready { .. });
            let own = &mut house.own;
            own.until(|view| is_put_off(&fee(view, order))).await;
            let view = own.view();
            assert_eq!(view.living_payouts().unwrap(), [fee(&view, order)]);
            assert_eq!(view.latch().unwrap(), None);
            adds_up(&network, &house.before, TRADED).await;
            assert_eq!(house.published().await, [""; 0], "nothing was paid");
            house.is_left_alone().await;
        }
        house.publishes(order, &good.hash).await;
        house.all_are_paid_once(3).await;
    });
    let answers = [None, Some(refused.bolt11), Some(good.bolt11.clone())];
    let answers = RefCell::new(VecDeque::from(answers));
    let writes = async |_| answers.borrow_mut().pop_front().expect("paid once");
    serves_addresses(&door, writes, story).await;
}

/// The line is spoiled in the moment in which the address answers, so that the
/// box hears nothing of the payment that follows.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn j4_j5_up_m2_a_box_that_dies_while_it_pays_a_dev_fee_pays_it_once() {
    let network = network().await;
    for call in CALLS {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Proxy::to(network.operator().grpc()).await.unwrap();
        let pending = Pending::new();
        let invoice = network.seller().hold_invoice(&pending.hash, FEE).await;
        let (invoice, asked) = (invoice.unwrap(), Cell::new(0));
        let writes = async |_| {
            asked.set(asked.get() + 1);
            line.becomes(call.line_to_pay());
            Some(invoice.bolt11.clone())
        };
        let story = dies_while_it_pays(&network, &door, &line, (call, &pending));
        serves_addresses(&door, writes, Box::pin(story)).await;
        assert_eq!(asked.get(), 1, "{call:?}");
    }
}

async fn dies_while_it_pays(
    network: &Network,
    door: &TcpListener,
    line: &Proxy,
    (call, pending): (Call, &Pending),
) {
    let (seller, hash) = (network.seller(), payment_hash(&pending.hash));
    let mut house = House::opens(network, line.address(), door).await;
    let mut deal = house.deal().await;
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    let is_sent = |view: &View| {
        let attempt = view.attempt(hash).unwrap();
        attempt.is_some_and(|attempt| attempt.state == AttemptState::Sent)
    };
    house.own.until(is_sent).await;
    if call == Call::CarriedOut {
        seller.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
    }
    line.becomes(Line::Silent);
    assert!(is_sent(&house.own.view()), "{call:?}");
    house.own.dies();
    match call {
        Call::Lost => assert_eq!(payments(network).await, house.payments + 1),
        Call::CarriedOut => {
            seller.settles(&pending.preimage).await.unwrap();
            let end = network.operator().payment_ends(&pending.hash).await;
            assert!(matches!(end.unwrap(), Payment::Succeeded { .. }));
        }
    }

    line.becomes(Line::Good);
    house.own.starts(&mut deal.people()).await;
    if call == Call::Lost {
        seller.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
        assert_eq!(house.published().await, [""; 0], "it has not arrived yet");
        seller.settles(&pending.preimage).await.unwrap();
    }
    house.publishes(deal.bob.order(), &pending.hash).await;
    house.all_are_paid_once(2).await;
}

/// The real binary, by its settings; nobody is at home at that address.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn f5_j2_j6_the_real_binary_keeps_what_it_cannot_pay_and_ends_the_trade() {
    let share = SHARE.to_string();
    let settings = [
        ("MOSTRO__DEV_FEE_PERCENTAGE", share.as_str()),
        ("MOSTRO__DEV_FEE_DESTINATION", DESTINATION),
    ];
    let mut town = Town::with(&settings).await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    let order = deal.bob.order();
    for _ in 0..2 {
        town.box_dies().await;
        town.reads(|view| {
            let owed = fee(view, order);
            assert_eq!(owed.amount, Sats(FEE));
            assert_eq!(view.living_payouts().unwrap(), [owed]);
            assert_eq!(view.latch().unwrap(), None);
        });
        town.box_starts(&mut deal.people()).await;
        town.box_is_ready().await;
    }
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn j1_up_a16_no_dev_fee_is_owed_where_no_destination_is_set() {
    let share = SHARE.to_string();
    let mut town = Town::with(&[("MOSTRO__DEV_FEE_PERCENTAGE", &share)]).await;
    let mut deal = Deal::usual(&town).await;
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    town.box_dies().await;
    let order = deal.bob.order();
    let owed = town.reads(|view| view.payouts_of(order).unwrap());
    let owed: Vec<_> = owed.iter().map(|payout| payout.amount).collect();
    assert_eq!(owed, [Sats(PAID)], "the buyer alone");
    town.adds_up(TRADED).await;
}

/// A box that gives of its fees to the development.
struct House<'n> {
    network: &'n Network,
    own: OwnBox<'n>,
    /// What the nodes had before, and how often the operator's had paid.
    before: Balances,
    payments: u64,
}

impl<'n> House<'n> {
    async fn opens(network: &'n Network, node: SocketAddr, door: &TcpListener) -> House<'n> {
        let mut own = OwnBox::new(network, node, door.local_addr().unwrap()).await;
        own.ground.terms.dev_fee_share = SHARE;
        own.ground.terms.dev_fee_destination = Some(DESTINATION.into());
        own.starts(&mut []).await;
        House {
            network,
            own,
            before: at_rest(network).await,
            payments: payments(network).await,
        }
    }

    /// A deal whose buyer is paid at an ordinary invoice.
    async fn deal(&self) -> Deal {
        let alice = self.own.person("alice", Direct).await;
        let bob = self.own.person("bob", GiftWrap).await;
        let invoice = self.network.buyer().invoice(PAID).await.unwrap();
        Deal::of(self.network, (alice, bob), &invoice.bolt11).await
    }

    /// The power goes, for longer than a fee waits for its second or third try.
    async fn is_left_alone(&mut self) {
        self.own.dies();
        self.own.ground.ahead_secs += 300;
        self.own.starts(&mut []).await;
    }

    fn audits(&self) -> Value {
        json!({ "kinds": [DEV_FEE], "authors": [self.own.ground.keys.public_key()] })
    }

    /// The ids of what the public can read of fees.
    async fn published(&self) -> Vec<String> {
        let mut listener = Listener::at(self.own.url()).await;
        listener.subscribes(self.audits()).await.unwrap()
    }

    /// Waits until the public can read of the fee of an order.
    async fn publishes(&self, order: OrderId, hash: &str) {
        let mut listener = Listener::at(self.own.url()).await;
        let audit = listener.hears_event(&self.audits(), |_| true).await;
        audit.verify().unwrap();
        let says = |name, value: &str| {
            let tag = audit.tags.iter().find(|tag| tag.kind() == name).unwrap();
            assert_eq!(tag.as_slice()[1], value, "{name}");
        };
        says("order-id", &order.0.to_string());
        says("amount", &FEE.to_string());
        says("hash", hash);
        says("destination", DESTINATION);
        says("network", "regtest");
    }

    /// To the sat, in the channels and in the books; nothing is left to do, nor
    /// does another start find anything.
    async fn all_are_paid_once(&mut self, payments: u64) {
        self.is_left_alone().await;
        adds_up(self.network, &self.before, TRADED_AND_GIVEN).await;
        let begun = self::payments(self.network).await - self.payments;
        assert_eq!(begun, payments, "payments");
        let view = self.own.view();
        let turnovers = view.turnovers().unwrap();
        let books: Vec<_> = turnovers
            .iter()
            .map(|(account, it)| (*account, it.got.0, it.gave.0))
            .collect();
        assert_eq!(
            books,
            BOOKS.map(|(of, got, gave)| (of, got * 1_000, gave * 1_000))
        );
        assert_eq!(view.living_payouts().unwrap(), []);
        assert_eq!(view.unknown_payments().unwrap(), []);
        assert_eq!(view.latch().unwrap(), None);
        assert_eq!(self.published().await.len(), 1);
    }
}

fn fee(view: &View, order: OrderId) -> Payout {
    let fee = view.payout(PayoutId::of_dev_fee(order)).unwrap();
    fee.expect("it is owed since the buyer is paid")
}

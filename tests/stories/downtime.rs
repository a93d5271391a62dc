//! A node that was away in the middle of trades, as their traders see it. No
//! story waits for hours: while the node is away, what its ledger says of the
//! time is set back, which to the node is a clock that has gone on.

use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::order::OrderId;
use escrow_core::stage::Stage;
use escrow_core::timer::{Timer, TimerKind};
use escrow_core::wire::{Action, Message, OrderKind, Payload, Transport};
use mostro_relay::node::Node;
use mostro_relay::settings::Settings;
use mostro_relay::trader::{Persona, Trader};
use nostr::types::RelayUrl;
use storage::ledger::Ledger;
use tempfile::TempDir;

use crate::envelopes::{now, signed_at};
use crate::person::Person;
use crate::town::{PURSE, Town};

const SATS: u64 = 10_000;
const BUYERS: u64 = 9_970;

const HOUR: u64 = 3_600;

/// A node notes this often that it is alive, in seconds.
const HEARTBEAT: u64 = 30;

impl Town {
    /// The node is away for so long, and its people find it again.
    async fn sleeps_for(&mut self, secs: u64, people: &mut [&mut Person]) {
        self.closes(people).await;
        self.sets_its_ledger_back(secs);
        self.opens().await;
        for person in people {
            person.comes_back(self).await;
        }
    }

    /// What traders wait for, and when the node was last alive, is so much
    /// longer ago. The node must be closed.
    fn sets_its_ledger_back(&self, secs: u64) {
        let mut ledger = Ledger::open(&self.data_dir().join("ledger.redb")).unwrap();
        let mut page = ledger.page().unwrap();
        let alive = page.heartbeat().unwrap().unwrap();
        page.put_heartbeat(UnixTime(alive.0 - secs)).unwrap();
        let living = page.living_orders().unwrap();
        let living: Vec<_> = living.map(Result::unwrap).collect();
        for mut order in living {
            order.stage_since = UnixTime(order.stage_since.0 - secs);
            if let Some(at) = deadline_in(&mut order.stage) {
                *at = UnixTime(at.0 - secs);
                let kind = TimerKind::StepDeadline;
                let (at, order) = (*at, order.id);
                page.put_timer(Timer { at, order, kind }).unwrap();
            }
            page.put_order(order).unwrap();
        }
        for mut hold in page.living_holds().unwrap() {
            hold.expires_at = UnixTime(hold.expires_at.0 - secs);
            page.put_hold(&hold).unwrap();
        }
        page.commit().unwrap();
    }

    /// When the step of somebody's order is over.
    fn deadline_of(&self, person: &Person) -> UnixTime {
        let view = self.node().escrow().unwrap().views().view().unwrap();
        let order = view.order(OrderId(person.order())).unwrap().unwrap();
        order.stage.deadline().unwrap()
    }

    /// Somebody in full privacy who only knows another relay.
    async fn stranger_at(&mut self, relay: &str, name: &str, transport: Transport) -> Person {
        let persona = Persona {
            full_privacy: true,
            ..self.persona(name, transport)
        };
        let wallet = self.wallet(name, PURSE).await;
        let trader = Trader::join(persona, relay, self.key()).await.unwrap();
        Person::new(trader, wallet).await
    }
}

fn deadline_in(stage: &mut Stage) -> Option<&mut UnixTime> {
    match stage {
        Stage::WaitingInvoice { deadline, .. }
        | Stage::WaitingPayment { deadline, .. }
        | Stage::PaidWaitingInvoice { deadline, .. } => Some(deadline),
        _ => None,
    }
}

/// Alice sells; Bob has taken her order and owes an invoice.
async fn an_invoice_is_owed(alice: &mut Person, bob: &mut Person) {
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes(Action::TakeSell, order, "add-invoice{inv 9970} E idx")
        .await;
    alice.hears("waiting-buyer-invoice idx").await;
}

/// From Bob's invoice to the escrow.
async fn the_trade_becomes_active(alice: &mut Person, bob: &mut Person) {
    bob.adds_invoice(BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let request = alice
        .hears("pay-invoice{payment_request pay 10030 expires} idx")
        .await;
    alice.pays(&request).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
}

#[tokio::test]
async fn e11_up_a5_two_hours_of_downtime_are_nobodys_delay() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    an_invoice_is_owed(&mut alice, &mut bob).await;
    let before = town.deadline_of(&alice);
    town.sleeps_for(2 * HOUR, &mut [&mut alice, &mut bob]).await;
    let moved = town.deadline_of(&alice).0.checked_sub(before.0);
    assert!(moved.unwrap() <= 2 * HEARTBEAT, "{moved:?}");
    the_trade_becomes_active(&mut alice, &mut bob).await;
    alice.hears_no_more().await;
    bob.hears_no_more().await;
}

#[tokio::test]
async fn e11_whoever_was_about_to_be_late_has_five_minutes() {
    let mut town = Town::with(|settings: &mut Settings| {
        settings.mostro.expiration_seconds = Duration::from_secs(20);
    })
    .await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    an_invoice_is_owed(&mut alice, &mut bob).await;
    let opened_after = now();
    town.sleeps_for(60, &mut [&mut alice, &mut bob]).await;
    let least = UnixTime(opened_after + 300);
    assert!(town.deadline_of(&alice) >= least);
    the_trade_becomes_active(&mut alice, &mut bob).await;
}

#[tokio::test]
async fn e12_an_invoice_that_ended_meanwhile_is_asked_for_anew() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let order = alice.offers(OrderKind::Sell, SATS).await;
    bob.takes_with_invoice(order, BUYERS, "waiting-seller-to-pay E idx")
        .await;
    alice.hears("pay-invoice{peer 0 of 0}").await;
    let asks = "pay-invoice{payment_request pay 10030 expires} idx";
    let ended = alice.hears(asks).await;
    town.sleeps_for(2 * HOUR, &mut [&mut alice, &mut bob]).await;
    let anew = alice.hears(asks).await;
    let Some(Payload::PaymentRequest(_, bolt11, _)) = &ended.message.payload else {
        panic!("no payment request: {}", ended.json);
    };
    alice.wallet.pays(bolt11).await.unwrap_err();
    alice.pays(&anew).await;
    alice.hears("buyer-took-order{act 10030 expires}").await;
    bob.hears("hold-invoice-payment-accepted{act 9970 expires}")
        .await;
    alice.hears_no_more().await;
    bob.hears_no_more().await;
}

/// Robert only knows a mirror, and speaks while the node is away: what he
/// could know to be right is done, and the rest is refused by letter.
#[tokio::test]
async fn g7_g8_up_r1_what_was_said_on_a_mirror_meanwhile_counts_by_its_age() {
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let (mirror, _folder) = external_relay().await;
        let url = format!("ws://{}", mirror.relay_address());
        let mut town = Town::with(|settings: &mut Settings| {
            settings.mirror.relays = vec![RelayUrl::parse(&url).unwrap()];
            settings.mirror.longest_wait = Duration::from_millis(50);
        })
        .await;
        let (mut alice, mut carol) = town.pair(Transport::Direct, Transport::Direct).await;
        let mut robert = town.stranger_at(&url, "robert", transport).await;
        let mut rupert = town.stranger_at(&url, "rupert", transport).await;
        an_invoice_is_owed(&mut alice, &mut robert).await;
        the_trade_becomes_active(&mut alice, &mut robert).await;
        let other = carol.offers(OrderKind::Sell, SATS).await;

        town.closes(&mut [&mut alice, &mut carol]).await;
        town.sets_its_ledger_back(2 * HOUR);
        // Before the trade was active: he had not seen what he would cancel.
        robert.posts(&town, Action::Cancel, 3 * HOUR).await;
        robert.posts(&town, Action::FiatSent, HOUR / 3).await;
        rupert.trade.order = Some(other);
        rupert.posts(&town, Action::TakeSell, HOUR / 3).await;
        town.opens().await;
        for person in [&mut alice, &mut carol] {
            person.comes_back(&town).await;
        }
        robert
            .hears_an_answer("cant-do{not_allowed_by_status} E")
            .await;
        let sent = format!("fiat-sent-ok{{peer {}}}", alice.key());
        robert.hears_an_answer(&format!("{sent} E")).await;
        let sent = format!("fiat-sent-ok{{peer {}}}", robert.key());
        alice.hears(&sent).await;
        rupert.hears_an_answer("cant-do{too_many_requests} E").await;
        alice.hears_no_more().await;
        carol.hears_no_more().await;
        for person in [&mut robert, &mut rupert] {
            person.trader.hang_up().await;
        }
        mirror.stop().await.unwrap();
    }
}

impl Person {
    /// Leaves a message to the node on his relay, signed so long ago.
    async fn posts(&mut self, town: &Town, action: Action, secs_ago: u64) {
        let message = Message {
            trade_index: None,
            ..self.message(action, None)
        };
        let (transport, node) = (self.trade.transport, town.keys.public_key());
        let event = signed_at(self, &message, transport, node, now() - secs_ago);
        let verdict = self.publishes(&event).await;
        assert!(verdict.taken, "{}", verdict.text);
    }
}

/// A relay without an escrow.
async fn external_relay() -> (Node, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.node.data_dir = folder.path().to_owned();
    settings.relay.listen.set_port(0);
    settings.relay.max_store_gib = 1;
    settings.escrow.enabled = false;
    (Node::start(settings).await.unwrap(), folder)
}

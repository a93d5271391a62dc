//! The box dies around each call to the node: before the call arrives, and
//! after it was carried out and before the answer is heard.

use std::time::Duration;

use escrow_core::payout::AttemptState;
use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_core::wire::{Action, OrderKind, Payload};
use escrow_regtest::{Line, Payment};
use tokio::time::sleep;

use crate::deal::{Deal, NOTHING, PAID, TRADED, locks};
use crate::node_troubles::{Pending, only_the_payout_is_left, payout_is_on_its_way};
use crate::town::{Town, payments};

/// How far a call gets whose answer the box does not live to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Lost,
    CarriedOut,
}

pub(crate) const CALLS: [Call; 2] = [Call::Lost, Call::CarriedOut];

impl Call {
    fn line(self) -> Line {
        match self {
            Call::Lost => Line::Silent,
            // The node is seen to act long before its answer arrives.
            Call::CarriedOut => Line::Slow(Duration::from_millis(400)),
        }
    }

    /// The same for a payment: it takes several words to and fro until the node
    /// is asked to pay.
    pub(crate) fn line_to_pay(self) -> Line {
        match self {
            Call::Lost => Line::Silent,
            Call::CarriedOut => Line::Slow(Duration::from_millis(700)),
        }
    }
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_dies_while_it_opens_a_hold() {
    for call in CALLS {
        let mut town = Town::new().await;
        let (mut alice, mut bob) = town.pair(Direct, GiftWrap).await;
        let order = alice.offers(OrderKind::Sell).await;
        let invoice = town.network.buyer().invoice(PAID).await.unwrap();
        let invoice = Payload::PaymentRequest(None, invoice.bolt11, None);
        let take = bob.take(Action::TakeSell, order).with(invoice);
        let holds = holds(&town).await;

        town.line.becomes(call.line());
        bob.sends_ask(&take).await;
        if call == Call::CarriedOut {
            while self::holds(&town).await == holds {
                tokio::task::yield_now().await;
            }
        }
        town.box_dies().await;
        town.line.becomes(Line::Good);
        town.box_starts(&mut [&mut alice, &mut bob]).await;

        let request = alice.hears_what_to_pay().await;
        let hold = locks(&town.network, &request).await;
        assert_eq!(self::holds(&town).await, holds + 1, "one hold, not two");
        let mut deal = Deal { alice, bob, hold };
        deal.is_active().await;
        deal.fiat_is_sent().await;
        deal.succeeds().await;
        town.adds_up(TRADED).await;
    }
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_is_dead_when_a_hold_is_paid() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Direct, Direct).await;
    let order = bob.offers(OrderKind::Buy).await;
    let take = alice.take(Action::TakeBuy, order);
    let request = alice.asks(take).await;
    town.box_dies().await;
    let hold = locks(&town.network, &request).await;
    town.box_starts(&mut [&mut alice, &mut bob]).await;

    bob.hears(Action::AddInvoice).await;
    let invoice = town.network.buyer().invoice(PAID).await.unwrap();
    let added = bob.asks(bob.is_paid_at(&invoice.bolt11)).await;
    assert_eq!(added.message.action, Action::HoldInvoicePaymentAccepted);
    let mut deal = Deal { alice, bob, hold };
    deal.fiat_is_sent().await;
    deal.succeeds().await;
    town.adds_up(TRADED).await;
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_dies_while_it_settles_a_hold() {
    for call in CALLS {
        let mut town = Town::new().await;
        let mut deal = Deal::usual(&town).await;
        deal.fiat_is_sent().await;
        town.line.becomes(call.line());
        deal.alice.sends(Action::Release).await;
        if call == Call::CarriedOut {
            let operator = town.network.operator();
            operator.invoice_is(&deal.hold, "SETTLED").await.unwrap();
        }
        town.box_dies().await;
        town.line.becomes(Line::Good);
        town.box_starts(&mut deal.people()).await;
        deal.is_settled().await;
        deal.is_paid().await;
        town.adds_up(TRADED).await;
    }
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_dies_while_it_cancels_a_hold() {
    for call in CALLS {
        let mut town = Town::new().await;
        let mut deal = Deal::usual(&town).await;
        town.line.becomes(call.line());
        deal.is_called_off().await;
        let operator = town.network.operator();
        if call == Call::CarriedOut {
            operator.invoice_is(&deal.hold, "CANCELED").await.unwrap();
        }
        town.box_dies().await;
        town.line.becomes(Line::Good);
        town.box_starts(&mut deal.people()).await;
        deal.everybody_hears_of_the_cancel().await;
        let operator = town.network.operator();
        operator.invoice_is(&deal.hold, "CANCELED").await.unwrap();
        town.adds_up(NOTHING).await;
    }
}

/// The node is told to pay, does it, and the box hears nothing of it, neither
/// that it has begun nor how it ended.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_dies_while_it_pays() {
    for call in CALLS {
        let mut town = Town::new().await;
        let mut deal = only_the_payout_is_left(&town).await;
        let (pending, before) = (Pending::new(), payments(&town.network).await);
        let buyer = town.network.buyer();
        let invoice = buyer.hold_invoice(&pending.hash, PAID).await.unwrap();

        town.line.becomes(call.line_to_pay());
        let there = deal.bob.is_paid_at(&invoice.bolt11);
        deal.bob.sends_ask(&there).await;
        if call == Call::CarriedOut {
            buyer.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
        }
        town.line.becomes(Line::Silent);
        town.box_dies().await;
        assert_eq!(town.attempt(&pending.hash).state, AttemptState::Sent);
        let operator = town.network.operator();
        match call {
            Call::Lost => assert_eq!(payments(&town.network).await, before),
            Call::CarriedOut => {
                let buyer = town.network.buyer();
                buyer.settles(&pending.preimage).await.unwrap();
                let end = operator.payment_ends(&pending.hash).await.unwrap();
                assert!(matches!(end, Payment::Succeeded { .. }), "{end:?}");
            }
        }

        town.line.becomes(Line::Good);
        town.box_starts(&mut deal.people()).await;
        if call == Call::Lost {
            let buyer = town.network.buyer();
            buyer.invoice_is(&pending.hash, "ACCEPTED").await.unwrap();
            buyer.settles(&pending.preimage).await.unwrap();
        }
        deal.is_paid().await;
        town.adds_up(TRADED).await;
        assert_eq!(
            payments(&town.network).await,
            before + 1,
            "one payment, not two"
        );
        town.box_dies().await;
        let paid = town.attempt(&pending.hash).state;
        assert!(matches!(paid, AttemptState::Succeeded { .. }), "{paid:?}");
    }
}

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_is_dead_when_its_payout_arrives() {
    let mut town = Town::new().await;
    let pending = Pending::new();
    let mut deal = payout_is_on_its_way(&town, &pending).await;
    town.box_dies().await;
    let buyer = town.network.buyer();
    buyer.settles(&pending.preimage).await.unwrap();
    let operator = town.network.operator();
    let end = operator.payment_ends(&pending.hash).await.unwrap();
    assert!(matches!(end, Payment::Succeeded { .. }), "{end:?}");
    town.box_starts(&mut deal.people()).await;
    deal.is_paid().await;
    town.adds_up(TRADED).await;
}

/// From the release to the payout there are some hundred milliseconds with a
/// settle, a payment and what is written between them; the box dies somewhere
/// in there, each time a little later.
#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn the_box_dies_at_any_moment_after_the_release() {
    for later in [0, 5, 10, 20, 40, 80, 160, 320].map(Duration::from_millis) {
        let mut town = Town::new().await;
        let mut deal = Deal::usual(&town).await;
        deal.fiat_is_sent().await;
        deal.alice.sends(Action::Release).await;
        // The moment is the point of it: nothing is waited for here.
        sleep(later).await;
        town.box_dies().await;
        town.box_starts(&mut deal.people()).await;
        deal.is_paid().await;
        town.adds_up(TRADED).await;
    }
}

/// How many invoices the operator's node has ever written.
async fn holds(town: &Town) -> u64 {
    let asked = ["listinvoices", "--max_invoices=1"];
    let answer = town.network.operator().ask(&asked).await.unwrap();
    answer.number("/last_index_offset").unwrap()
}

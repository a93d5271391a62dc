//! A trade of a hundred thousand sats, step by step.

use escrow_core::amount::{Fiat, Sats};
use escrow_core::order::OrderId;
use escrow_core::wire::{Action, OrderKind, Payload};
use escrow_regtest::{Network, Payment};
use mostro_relay::trader::{Ask, Asking, Heard, Offer, Trade, Trader};
use uuid::Uuid;

use crate::town::Town;

/// What each side agrees on; the fee of 0.6 % is paid by halves.
const SATS: u64 = 100_000;
/// What the seller locks.
pub(crate) const HELD: u64 = 100_300;
/// What the buyer gets.
pub(crate) const PAID: u64 = 99_700;
/// What each node gains by one trade that succeeds.
pub(crate) const TRADED: [i128; 3] = [-100_300, 600, 99_700];
/// What each node gains by one that does not.
pub(crate) const NOTHING: [i128; 3] = [0, 0, 0];

/// A trader in one trade.
pub(crate) struct Person {
    trader: Trader,
    trade: Trade,
}

impl Person {
    pub(crate) async fn new(mut trader: Trader) -> Person {
        let trade = trader.new_trade().await.unwrap();
        Person { trader, trade }
    }

    /// The order he has made or taken.
    pub(crate) fn order(&self) -> OrderId {
        OrderId(self.trade.order.expect("he has an order"))
    }

    pub(crate) async fn comes_back(&mut self, url: &str) {
        self.trader.rejoin(url).await.unwrap();
    }

    pub(crate) async fn offers(&mut self, kind: OrderKind) -> Uuid {
        let offer = Offer {
            kind,
            price: Asking::Fixed {
                sats: Sats(SATS),
                fiat: Fiat(10),
            },
            fiat_code: "USD".into(),
            payment_method: "cash".into(),
        };
        let made = self.trader.offers(&mut self.trade, &offer).await;
        drop(made.unwrap());
        self.trade.order.expect("the order was taken into the book")
    }

    /// Asks and waits for the answer, whatever it is.
    pub(crate) async fn asks(&mut self, ask: Ask) -> Heard {
        self.trader.request(&self.trade, ask).await.unwrap().heard
    }

    /// Says so and waits for the `OK`, not for the answer.
    pub(crate) async fn sends(&mut self, action: Action) {
        let ask = Ask::about(action, self.trade.order);
        self.sends_ask(&ask).await;
    }

    pub(crate) async fn sends_ask(&mut self, ask: &Ask) {
        let event = self.trader.wrap(&self.trade, ask, Some(7)).unwrap();
        let verdict = self.trader.publish(&event).await.unwrap();
        assert!(verdict.taken, "{}", verdict.text);
    }

    /// A request to take this order.
    pub(crate) fn take(&mut self, action: Action, order: Uuid) -> Ask {
        self.trade.order = Some(order);
        Ask::about(action, Some(order)).with_index()
    }

    /// Reads until he is asked to pay, past the notice of who takes his order.
    pub(crate) async fn hears_what_to_pay(&mut self) -> Heard {
        loop {
            let heard = self.hears(Action::PayInvoice).await;
            if let Some(Payload::PaymentRequest(..)) = heard.message.payload {
                return heard;
            }
        }
    }

    /// Reads until he is told this.
    pub(crate) async fn hears(&mut self, wanted: Action) -> Heard {
        loop {
            let heard = self.trader.next_letter(&self.trade).await.unwrap();
            if heard.message.action == wanted {
                return heard;
            }
            eprintln!("    {} hears {}", self.trader.name(), heard.json);
        }
    }

    /// Says where he is paid.
    pub(crate) fn is_paid_at(&self, bolt11: &str) -> Ask {
        let payload = Payload::PaymentRequest(None, bolt11.to_owned(), None);
        Ask::about(Action::AddInvoice, self.trade.order).with(payload)
    }
}

/// The invoice of a payment request.
pub(crate) fn bolt11(request: &Heard) -> String {
    match &request.message.payload {
        Some(Payload::PaymentRequest(_, bolt11, _)) => bolt11.clone(),
        _ => panic!("no payment request: {}", request.json),
    }
}

/// A trade that is under way.
pub(crate) struct Deal {
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    /// The payment hash of what Alice has locked.
    pub(crate) hold: String,
}

impl Deal {
    /// Alice sells, and Bob takes with this invoice or address; her sats are locked.
    pub(crate) async fn of(
        network: &Network,
        (mut alice, mut bob): (Person, Person),
        invoice: &str,
    ) -> Deal {
        let order = alice.offers(OrderKind::Sell).await;
        let invoice = Payload::PaymentRequest(None, invoice.to_owned(), None);
        let take = bob.take(Action::TakeSell, order).with(invoice);
        let answer = bob.asks(take).await;
        assert_eq!(answer.message.action, Action::WaitingSellerToPay);
        let request = alice.hears_what_to_pay().await;
        let hold = locks(network, &request).await;
        let mut deal = Deal { alice, bob, hold };
        deal.is_active().await;
        deal
    }

    /// A deal whose buyer is paid at an ordinary invoice.
    pub(crate) async fn usual(town: &Town) -> Deal {
        use escrow_core::wire::Transport::{Direct, GiftWrap};
        let invoice = town.network.buyer().invoice(PAID).await.unwrap();
        let pair = town.pair(Direct, GiftWrap).await;
        Deal::of(&town.network, pair, &invoice.bolt11).await
    }

    pub(crate) async fn is_active(&mut self) {
        self.alice.hears(Action::BuyerTookOrder).await;
        self.bob.hears(Action::HoldInvoicePaymentAccepted).await;
    }

    pub(crate) async fn fiat_is_sent(&mut self) {
        self.bob.sends(Action::FiatSent).await;
        self.alice.hears(Action::FiatSentOk).await;
    }

    /// Alice gives her sats to Bob, and he gets them.
    pub(crate) async fn succeeds(&mut self) {
        self.alice.sends(Action::Release).await;
        self.is_settled().await;
        self.is_paid().await;
    }

    pub(crate) async fn is_settled(&mut self) {
        self.alice.hears(Action::HoldInvoicePaymentSettled).await;
    }

    pub(crate) async fn is_paid(&mut self) {
        self.bob.hears(Action::PurchaseCompleted).await;
    }

    /// Both agree to end the trade without a deal.
    pub(crate) async fn is_called_off(&mut self) {
        self.alice.sends(Action::Cancel).await;
        self.bob
            .hears(Action::CooperativeCancelInitiatedByPeer)
            .await;
        self.bob.sends(Action::Cancel).await;
    }

    pub(crate) async fn everybody_hears_of_the_cancel(&mut self) {
        self.alice.hears(Action::CooperativeCancelAccepted).await;
        self.bob.hears(Action::CooperativeCancelAccepted).await;
    }

    pub(crate) fn people(&mut self) -> [&mut Person; 2] {
        [&mut self.alice, &mut self.bob]
    }
}

/// Alice pays the hold invoice; the operator's node holds it.
pub(crate) async fn locks(network: &Network, request: &Heard) -> String {
    let (seller, operator) = (network.seller(), network.operator());
    let hold = seller.starts_to_pay(&bolt11(request)).await.unwrap();
    operator.invoice_is(&hold, "ACCEPTED").await.unwrap();
    hold
}

/// The seller's payment has ended as a success.
pub(crate) async fn is_paid_for_good(town: &Town, deal: &Deal) {
    let end = town
        .network
        .seller()
        .payment_ends(&deal.hold)
        .await
        .unwrap();
    assert!(matches!(end, Payment::Succeeded { .. }), "{end:?}");
}

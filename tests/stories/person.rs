//! A person of the town: a trader with his wallet, in one trade at a time.
//!
//! What he hears is written in the notation of the protocol's flow tables: the
//! action, its payload in braces, `E` for the echoed request id, `idx` for his
//! own trade index. Every message must come in its place.

use escrow_core::amount::Sats;
use escrow_core::wire::{
    Action, BookStatus, Message, OrderKind, Payload, SmallOrder, Status, Transport, Wrapper,
};
use mostro_relay::trader::{Ask, Heard, Trade, Trader, TraderError, Verdict, Wallet};
use nostr::event::Event;
use nostr::key::Keys;
use nostr::types::Timestamp;
use uuid::Uuid;

use crate::town::Town;

pub(crate) struct Person {
    pub(crate) trader: Trader,
    pub(crate) wallet: Wallet,
    pub(crate) trade: Trade,
    /// How many letters of the trade were read, each in its place.
    read: u64,
    /// The stamp of the last letter over kind 14.
    last_at: Timestamp,
}

impl Person {
    pub(crate) async fn new(mut trader: Trader, wallet: Wallet) -> Person {
        let trade = trader.new_trade().await.unwrap();
        Person {
            trader,
            wallet,
            trade,
            read: 0,
            last_at: Timestamp::zero(),
        }
    }

    /// Begins another trade, with the next key.
    pub(crate) async fn turns_the_page(&mut self) {
        let next = self.trader.new_trade().await.unwrap();
        self.turns_to(next);
    }

    /// Goes on in a trade that he listens to already.
    pub(crate) fn turns_to(&mut self, trade: Trade) {
        self.trade = trade;
        self.read = 0;
        self.last_at = Timestamp::zero();
    }

    /// Goes on under the key that he named for the rest of his range; returns
    /// the first letter to it.
    pub(crate) async fn goes_on_as(&mut self, next: Trade) -> Heard {
        self.trade = next;
        self.read = 0;
        self.last_at = Timestamp::zero();
        let heard = self.trader.next_letter(&self.trade).await.unwrap();
        self.is_next(&heard);
        self.trade.order = heard.message.id;
        heard
    }

    /// Writes with a key that is no trade's, as solvers do, about an order.
    pub(crate) async fn sits_as(&mut self, keys: Keys, order: Uuid) {
        let desk = self.trader.writes_as(keys).await.unwrap();
        self.turns_to(Trade {
            order: Some(order),
            ..desk
        });
    }

    pub(crate) fn name(&self) -> String {
        self.trader.name().to_owned()
    }

    /// His trade key, in hex.
    pub(crate) fn key(&self) -> String {
        self.trade.keys.public_key().to_hex()
    }

    pub(crate) fn order(&self) -> Uuid {
        self.trade.order.expect("he has an order")
    }

    /// Asks the node; its answer must be the next letter and read so.
    pub(crate) async fn asks(&mut self, ask: Ask, answer: &str) -> Heard {
        let heard = self.asks_anything(ask).await;
        let told = self.told(&heard, true);
        assert_eq!(told, answer, "{}: {}", self.name(), heard.json);
        heard
    }

    /// Asks the node and returns whatever it answers; it must be the next letter.
    pub(crate) async fn asks_anything(&mut self, ask: Ask) -> Heard {
        let order = ask.order;
        let heard = self.trader.request(&self.trade, ask).await.unwrap().heard;
        self.is_next(&heard);
        assert!(
            order.is_none() || heard.message.id == order,
            "{}",
            heard.json
        );
        heard
    }

    /// A request that he may spoil before he sends it.
    pub(crate) fn message(&self, action: Action, payload: Option<Payload>) -> Message {
        Message {
            wrapper: Wrapper::Order,
            version: self.trade.transport.version(),
            request_id: Some(u64::MAX),
            trade_index: Some(i64::from(self.trade.index)),
            id: self.trade.order,
            action,
            payload,
        }
    }

    /// Sends a message as it is; the answer must be the next letter, echo the
    /// request id and the id exactly, and read so.
    pub(crate) async fn sends(&mut self, message: &Message, answer: &str) -> Heard {
        let json = message.to_json();
        let event = self.trader.wrap_json(&self.trade, &json).unwrap();
        let heard = self.sends_event(&event, answer).await;
        assert_eq!(heard.message.request_id, message.request_id, "{json}");
        assert_eq!(heard.message.id, message.id, "{json}");
        heard
    }

    /// Sends an envelope as it is; the node must decide it and answer so.
    pub(crate) async fn sends_event(&mut self, event: &Event, answer: &str) -> Heard {
        let verdict = self.publishes(event).await;
        assert_eq!((verdict.taken, verdict.text.as_str()), (true, ""));
        self.hears_an_answer(answer).await
    }

    /// The next letter must be an answer that reads so.
    pub(crate) async fn hears_an_answer(&mut self, answer: &str) -> Heard {
        let heard = self.trader.next_letter(&self.trade).await.unwrap();
        self.is_next(&heard);
        let told = self.told(&heard, true);
        assert_eq!(told, answer, "{}: {}", self.name(), heard.json);
        heard
    }

    /// The next letter must name the order that this key is for, and read so.
    pub(crate) async fn inherits(&mut self, told: &str) {
        let heard = self.hears_an_answer(told).await;
        self.trade.order = heard.message.id;
    }

    /// The next letter must be a push that reads so.
    pub(crate) async fn hears(&mut self, push: &str) -> Heard {
        let heard = self.trader.next_letter(&self.trade).await.unwrap();
        self.is_next(&heard);
        let told = self.told(&heard, false);
        assert_eq!(told, push, "{}: {}", self.name(), heard.json);
        assert_eq!(heard.message.id, self.trade.order, "{}", heard.json);
        heard
    }

    /// Reads on until a letter of this action comes.
    pub(crate) async fn hears_of(&mut self, action: Action) -> Heard {
        loop {
            let heard = self.trader.next_letter(&self.trade).await.unwrap();
            self.is_next(&heard);
            if heard.message.action == action {
                return heard;
            }
        }
    }

    /// Reads so many pushes that were stored while he was away, and brings them
    /// into the order of their time, as clients do.
    pub(crate) async fn finds_in_the_mail(&mut self, count: usize) -> Vec<String> {
        let mut mail = Vec::new();
        for _ in 0..count {
            self.read += 1;
            mail.push(self.trader.next_letter(&self.trade).await.unwrap());
        }
        mail.sort_by_key(|heard| heard.event.created_at);
        self.last_at = mail
            .last()
            .map_or(self.last_at, |last| last.event.created_at);
        mail.iter().map(|heard| self.told(heard, false)).collect()
    }

    /// Makes sure that everything said to him is read: the answer to another
    /// question would come after it.
    pub(crate) async fn hears_no_more(&mut self) {
        let nonsense = Ask::about(Action::Cancel, Some(Uuid::from_u128(7)));
        self.asks(nonsense, "cant-do{not_found} E").await;
    }

    pub(crate) async fn offers(&mut self, kind: OrderKind, sats: u64) -> Uuid {
        let ack = format!("new-order{{ack {sats} expires}} E idx");
        self.offers_so(offer(kind, sats), &ack).await;
        self.order()
    }

    /// Makes an offer with any terms; it must be answered so.
    pub(crate) async fn offers_so(&mut self, order: SmallOrder, answer: &str) -> Heard {
        let ask = Ask::about(Action::NewOrder, None)
            .with_index()
            .with(Payload::Order(order));
        let heard = self.asks(ask, answer).await;
        self.trade.order = heard.message.id;
        heard
    }

    pub(crate) async fn takes(&mut self, action: Action, order: Uuid, answer: &str) -> Heard {
        self.trade.order = Some(order);
        let ask = Ask::about(action, Some(order)).with_index();
        self.asks(ask, answer).await
    }

    pub(crate) async fn takes_with_invoice(&mut self, order: Uuid, sats: u64, answer: &str) {
        self.trade.order = Some(order);
        let invoice = Payload::PaymentRequest(None, self.invoice(sats).await, None);
        let ask = Ask::about(Action::TakeSell, Some(order)).with_index();
        self.asks(ask.with(invoice), answer).await;
    }

    pub(crate) async fn adds_invoice(&mut self, sats: u64, answer: &str) -> Heard {
        let invoice = Payload::PaymentRequest(None, self.invoice(sats).await, None);
        self.says_with(Action::AddInvoice, invoice, answer).await
    }

    pub(crate) async fn says(&mut self, action: Action, answer: &str) -> Heard {
        self.asks(Ask::about(action, self.trade.order), answer)
            .await
    }

    pub(crate) async fn says_with(
        &mut self,
        action: Action,
        payload: Payload,
        answer: &str,
    ) -> Heard {
        let ask = Ask::about(action, self.trade.order).with(payload);
        self.asks(ask, answer).await
    }

    pub(crate) async fn invoice(&self, sats: u64) -> String {
        self.wallet.invoice(Sats(sats)).await.unwrap()
    }

    /// Pays the hold invoice of a payment request; returns when it is held.
    pub(crate) async fn pays(&mut self, request: &Heard) {
        let Some(Payload::PaymentRequest(_, bolt11, _)) = &request.message.payload else {
            panic!("no payment request: {}", request.json);
        };
        self.wallet.pays(bolt11).await.unwrap();
    }

    /// What he has more than at the beginning, in millisats.
    pub(crate) async fn gained_msat(&self) -> i128 {
        let purse = crate::town::PURSE.to_msat().expect("a purse is small");
        i128::from(self.wallet.balance().await.unwrap().0) - i128::from(purse.0)
    }

    pub(crate) async fn sees(&mut self, status: BookStatus) {
        let order = self.order();
        self.trader.sees(order, status).await.unwrap();
    }

    pub(crate) async fn publishes(&mut self, event: &Event) -> Verdict {
        self.trader.publish(event).await.unwrap()
    }

    /// Reads until the relay hangs up, after it has said why; his own goodbye
    /// leaves with the second reading.
    pub(crate) async fn waits_for_the_hangup(&mut self) {
        let mut goodbyes = 0;
        while goodbyes < 2 {
            match self.trader.sees(Uuid::nil(), BookStatus::Pending).await {
                Err(TraderError::Lost { .. }) => goodbyes += 1,
                Err(TraderError::Unexpected { came, .. }) => {
                    assert_eq!(came, r#"["NOTICE","closing: the relay is stopping"]"#);
                }
                other => panic!("no hangup but {other:?}"),
            }
        }
    }

    /// Connects to the node that was started again.
    pub(crate) async fn comes_back(&mut self, town: &Town) {
        self.wallet = town.wallet(&self.name(), Sats(0)).await;
        self.trader.rejoin(town.url()).await.unwrap();
    }

    /// A letter of the trade's history: it is in its place, and later than all
    /// before it.
    fn is_next(&mut self, heard: &Heard) {
        if self.trade.transport == Transport::Direct {
            let at = heard.event.created_at;
            assert!(at > self.last_at, "the stamps rise: {}", heard.json);
            self.last_at = at;
        }
        // A letter that came out of turn is a failure, although it was found.
        self.read += 1;
        assert_eq!(heard.place, self.read, "{}: {}", self.name(), heard.json);
    }

    /// A letter in the notation of the flow tables.
    pub(crate) fn told(&self, heard: &Heard, is_answer: bool) -> String {
        let message = &heard.message;
        let mut told = message.action.as_str().to_owned();
        if let Some(payload) = &message.payload {
            told = format!("{told}{{{}}}", shape(payload));
        }
        match (message.request_id, is_answer) {
            (Some(_), true) => told += " E",
            (Some(_), false) => told += " a foreign request id",
            (None, _) => (),
        }
        match message.trade_index {
            Some(index) if index == i64::from(self.trade.index) => told += " idx",
            Some(index) => told = format!("{told} index {index}"),
            None => (),
        }
        told
    }
}

/// A plain offer of so many sats.
pub(crate) fn offer(kind: OrderKind, sats: u64) -> SmallOrder {
    SmallOrder {
        kind: Some(kind),
        status: Some(Status::Pending),
        amount: i64::try_from(sats).unwrap(),
        fiat_code: "USD".to_owned(),
        fiat_amount: 10,
        payment_method: "cash,bank".to_owned(),
        ..SmallOrder::default()
    }
}

fn shape(payload: &Payload) -> String {
    match payload {
        Payload::Order(order) => order_shape(order),
        Payload::PaymentRequest(Some(order), _, None) => {
            format!("payment_request {}", order_shape(order))
        }
        Payload::Peer(peer) if peer.pubkey.is_empty() => {
            let reputation = peer.reputation.expect("a notice of reputation has one");
            format!("peer {} of {}", reputation.rating, reputation.reviews)
        }
        Payload::Peer(peer) => format!("peer {}", peer.pubkey),
        Payload::RatingUser(stars) => format!("{stars}"),
        Payload::CantDo(Some(reason)) => reason.as_str().to_owned(),
        Payload::Dispute(_, info) => info.as_ref().map_or("dispute", |_| "info").to_owned(),
        Payload::PaymentFailed(failed) => format!(
            "{} left, {} s",
            failed.payment_attempts, failed.payment_retries_interval
        ),
        other => format!("{other:?}"),
    }
}

/// The variants of an order in a message, told by what only they have.
fn order_shape(order: &SmallOrder) -> String {
    let keys = (
        order.buyer_trade_pubkey.is_some(),
        order.seller_trade_pubkey.is_some(),
    );
    let variant = match (order.status, keys) {
        (Some(Status::Pending), (false, false)) => "ack",
        (Some(Status::Pending), (true, false) | (false, true)) => "back",
        (Some(Status::WaitingBuyerInvoice), (false, false)) => "inv",
        (Some(Status::WaitingPayment), (false, false)) => "pay",
        (Some(Status::Active), (true, true)) => "act",
        (Some(Status::SettledHoldInvoice), (true, true)) => "settled",
        (_, _) => return format!("{order:?}"),
    };
    let mut shape = format!("{variant} {}", order.amount);
    if order.buyer_invoice.is_some() {
        shape += " invoice";
    }
    if order.expires_at.is_some() {
        shape += " expires";
    }
    shape
}

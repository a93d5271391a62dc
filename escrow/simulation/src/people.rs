//! The traders: who they are, what they want, and what they get wrong.

use std::collections::BTreeMap;

use escrow_core::command::{Ask, GivenInvoice, NewOrder, Request, Sender};
use escrow_core::order::{Order, OrderId, Side};
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;
use escrow_core::wire::{CantDo, Transport};
use escrow_core::{Msat, PaymentHash, Sats, UnixTime};
use escrow_engine::submission::{Path, TraderMessage};
use escrow_lightning::backend::HoldState;
use escrow_lightning::sandbox::{CreateInvoice, Fund};
use escrow_lightning::{InvoiceRules, read_payout_invoice};
use nostr::key::{Keys, SecretKey};
use storage::ledger::View;

use crate::dice::Dice;
use crate::lightning::{Line, pays_hold};
use crate::tally::Tally;

/// Sats in each wallet at first.
const FUNDS: u64 = 50_000_000;

/// One person with a wallet.
pub(crate) struct Person {
    pub(crate) identity: Identity,
    pub(crate) wallet: String,
    transport: Transport,
    next_index: i64,
}

/// A trade key and its owner.
pub(crate) struct TradeSelf {
    pub(crate) keys: Keys,
    pub(crate) owner: usize,
    index: i64,
}

/// Everybody, and what they remember.
pub(crate) struct People {
    pub(crate) persons: Vec<Person>,
    pub(crate) selves: BTreeMap<TradeKey, TradeSelf>,
    /// Who wrote an invoice.
    pub(crate) payees: BTreeMap<PaymentHash, usize>,
    /// Good invoices, some of which are given twice.
    invoices: Vec<GivenInvoice>,
    rules: InvoiceRules,
    next_id: u64,
}

/// What traders see: the ledger behind the book, the world, the time.
pub(crate) struct Scene<'a> {
    pub(crate) view: &'a View,
    pub(crate) line: &'a mut Line,
    pub(crate) dice: &'a mut Dice,
    pub(crate) tally: &'a mut Tally,
    pub(crate) now: UnixTime,
}

impl People {
    pub(crate) fn new(line: &mut Line, dice: &mut Dice, rules: InvoiceRules) -> People {
        let persons = (0..5).map(|number| {
            let wallet = format!("wallet-{number}");
            let amount = Sats(FUNDS);
            line.act(Fund {
                wallet: wallet.clone(),
                amount,
            })
            .unwrap();
            let identity = if dice.percent(70) {
                Identity::Known(IdentityKey(fresh_keys(dice).public_key()))
            } else {
                Identity::FullPrivacy
            };
            let transport = if dice.percent(50) {
                Transport::Direct
            } else {
                Transport::GiftWrap
            };
            Person {
                identity,
                wallet,
                transport,
                next_index: 1,
            }
        });
        People {
            persons: persons.collect(),
            selves: BTreeMap::new(),
            payees: BTreeMap::new(),
            invoices: Vec::new(),
            rules,
            next_id: 0,
        }
    }

    /// What a wallet held at first, in millisats.
    pub(crate) fn funds() -> Msat {
        Sats(FUNDS).to_msat().unwrap()
    }

    /// Something a trader may think of by himself.
    pub(crate) fn idea(&mut self, orders: &[OrderId], scene: &mut Scene<'_>) -> Vec<Request> {
        let living: Vec<Order> = scene
            .view
            .living_orders()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let roll = scene.dice.below(100);
        if living.is_empty() || living.len() < 5 && roll < 15 {
            return vec![self.new_order(scene)];
        }
        let order = scene.dice.pick(&living).unwrap().clone();
        match roll {
            0..80 => self.next_move(&order, scene),
            80..94 => vec![self.mistake(orders, scene)],
            _ => {
                let ask = Ask::Cancel;
                let key = party_of(&order, scene.dice);
                vec![self.say(key, Some(order.id), ask, None, scene)]
            }
        }
    }

    /// What the one whose turn it is does to bring the order on.
    pub(crate) fn next_move(&mut self, order: &Order, scene: &mut Scene<'_>) -> Vec<Request> {
        let buyer = order.buyer().map(|party| party.trade_key);
        let seller = order.seller().map(|party| party.trade_key);
        match &order.stage {
            Stage::Pending => {
                let takers = if scene.dice.percent(20) { 2 } else { 1 };
                (0..takers).map(|_| self.take(order, scene)).collect()
            }
            Stage::WaitingInvoice { take, .. } | Stage::PaidWaitingInvoice { take, .. } => {
                vec![self.give_invoice(order.id, buyer.unwrap(), take.buyer_gets(), scene)]
            }
            Stage::WaitingPayment { hold, .. } => {
                let hash = scene.view.hold(*hold).unwrap().unwrap().hash;
                self.pay_hold(seller.unwrap(), hash, scene);
                Vec::new()
            }
            Stage::Active { .. } => {
                vec![self.say(buyer.unwrap(), Some(order.id), Ask::FiatSent, None, scene)]
            }
            Stage::FiatSent { .. } | Stage::Dispute { .. } => {
                vec![self.say(seller.unwrap(), Some(order.id), Ask::Release, None, scene)]
            }
            Stage::PayingBuyer { take, payout, .. } => {
                let state = scene.view.payout(*payout).unwrap().unwrap().state;
                if matches!(state, PayoutState::NeedInvoice { .. }) {
                    vec![self.give_invoice(order.id, buyer.unwrap(), take.buyer_gets(), scene)]
                } else {
                    let ask = Ask::RateUser { stars: 5 };
                    vec![self.say(seller.unwrap(), Some(order.id), ask, None, scene)]
                }
            }
            Stage::OpeningHold { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => Vec::new(),
        }
    }

    fn new_order(&mut self, scene: &mut Scene<'_>) -> Request {
        let person = self.anybody(scene.dice);
        let side = if scene.dice.percent(50) {
            Side::Sell
        } else {
            Side::Buy
        };
        let sats = i64::try_from(1_000 + scene.dice.below(200_000)).unwrap();
        let mut new = NewOrder {
            side: Some(side),
            fiat_code: "EUR".into(),
            sats,
            fiat: 10,
            min_fiat: None,
            max_fiat: None,
            premium: 0,
            payment_method: "cash,bank".into(),
            expires_at: None,
            payout: None,
            names_mint: false,
        };
        if side == Side::Buy && scene.dice.percent(30) {
            // 0.6 % of the amount, half of it from each side.
            let fee = escrow_core::fees::fee_per_side(0.006, Sats(new.sats.unsigned_abs()));
            let owed = Sats(new.sats.unsigned_abs()).checked_sub(fee).unwrap();
            new.payout = Some(self.invoice(person, owed, scene));
        }
        match scene.dice.below(20) {
            0 => new.side = None,
            1 => new.fiat_code = "euro".into(),
            2 => new.sats = -1,
            3 => new.sats = i64::MAX,
            4 => new.min_fiat = Some(3),
            _ => {}
        }
        let key = self.fresh_self(person, scene.dice);
        self.say(
            key,
            None,
            Ask::NewOrder(new),
            Some(self.index_of(key)),
            scene,
        )
    }

    fn take(&mut self, order: &Order, scene: &mut Scene<'_>) -> Request {
        let person = self.anybody(scene.dice);
        let ask = match order.offer.side {
            Side::Buy => Ask::TakeBuy,
            Side::Sell => {
                let owed = order.offer.sats.checked_sub(order.offer.fee).unwrap();
                let given = scene
                    .dice
                    .percent(50)
                    .then(|| self.invoice(person, owed, scene));
                Ask::TakeSell { payout: given }
            }
        };
        let key = self.fresh_self(person, scene.dice);
        self.say(key, Some(order.id), ask, Some(self.index_of(key)), scene)
    }

    fn give_invoice(
        &mut self,
        order: OrderId,
        buyer: TradeKey,
        amount: Sats,
        scene: &mut Scene<'_>,
    ) -> Request {
        let payout = self.invoice(self.selves[&buyer].owner, amount, scene);
        self.say(buyer, Some(order), Ask::AddInvoice { payout }, None, scene)
    }

    /// An invoice as a trader gives it; when the line is good, a good one.
    fn invoice(&mut self, owner: usize, amount: Sats, scene: &mut Scene<'_>) -> GivenInvoice {
        let (mut amount, mut expiry_secs) = (amount.to_msat(), 86_400);
        if !scene.line.is_good {
            match scene.dice.below(20) {
                0 => return GivenInvoice::Unusable,
                1 => amount = Some(Msat(amount.unwrap().0 + 1)),
                2 => expiry_secs = 60,
                3..6 => expiry_secs = 3_700,
                6 => amount = None,
                7 if !self.invoices.is_empty() => {
                    return scene.dice.pick(&self.invoices).unwrap().clone();
                }
                _ => {}
            }
        }
        let invoice = CreateInvoice {
            wallet: self.persons[owner].wallet.clone(),
            amount,
            memo: "payout".into(),
            expiry_secs,
            cltv_delta: 40,
        };
        let text = scene.line.act(invoice).unwrap();
        let invoice = read_payout_invoice(&text, &self.rules).unwrap();
        self.payees.insert(invoice.hash, owner);
        let given = GivenInvoice::Readable(invoice);
        self.invoices.push(given.clone());
        given
    }

    fn pay_hold(&mut self, seller: TradeKey, hash: PaymentHash, scene: &mut Scene<'_>) {
        let Some(hold) = scene.line.world.hold(hash) else {
            return;
        };
        if !matches!(hold.state, HoldState::Open { .. }) {
            return;
        }
        let wallet = &self.persons[self.selves[&seller].owner].wallet;
        pays_hold(scene.line, wallet, &hold, scene.dice, scene.tally);
    }

    /// A command that fits nothing in particular.
    fn mistake(&mut self, orders: &[OrderId], scene: &mut Scene<'_>) -> Request {
        let keys: Vec<TradeKey> = self.selves.keys().copied().collect();
        let person = self.anybody(scene.dice);
        let key = match scene.dice.pick(&keys) {
            Some(key) if scene.dice.percent(80) => *key,
            _ => self.fresh_self(person, scene.dice),
        };
        let order = match scene.dice.below(20) {
            0 => None,
            1 => Some(OrderId(uuid::Uuid::from_u128(7))),
            _ => scene.dice.pick(orders).copied(),
        };
        let ask = match scene.dice.below(9) {
            0 => Ask::TakeSell { payout: None },
            1 => Ask::TakeBuy,
            2 => Ask::AddInvoice {
                payout: self.invoice(self.selves[&key].owner, Sats(2_000), scene),
            },
            3 => Ask::FiatSent,
            4 | 5 => Ask::Release,
            6 => Ask::Cancel,
            7 => Ask::RateUser {
                stars: u8::try_from(scene.dice.below(7)).unwrap(),
            },
            _ => Ask::Refused(CantDo::InvalidParameters),
        };
        let index = match scene.dice.below(4) {
            0 => None,
            1 => Some(0),
            2 => Some(i64::MAX),
            _ => Some(self.index_of(key)),
        };
        self.say(key, order, ask, index, scene)
    }

    fn say(
        &mut self,
        key: TradeKey,
        order: Option<OrderId>,
        ask: Ask,
        trade_index: Option<i64>,
        scene: &mut Scene<'_>,
    ) -> Request {
        let person = &self.persons[self.selves[&key].owner];
        self.next_id += 1;
        // What these two say about other requests is told apart by their ids.
        let needs_name = matches!(ask, Ask::Release | Ask::Cancel);
        let is_nameless = !needs_name && scene.dice.percent(5);
        Request {
            sender: Sender {
                trade_key: key,
                identity: person.identity,
                transport: person.transport,
            },
            request_id: (!is_nameless).then_some(self.next_id),
            trade_index,
            order,
            signed_at: scene.now,
            ask,
        }
    }

    fn index_of(&self, key: TradeKey) -> i64 {
        self.selves[&key].index
    }

    fn anybody(&self, dice: &mut Dice) -> usize {
        let all: Vec<usize> = (0..self.persons.len()).collect();
        *dice.pick(&all).unwrap()
    }

    fn fresh_self(&mut self, owner: usize, dice: &mut Dice) -> TradeKey {
        let keys = fresh_keys(dice);
        let key = TradeKey(keys.public_key());
        let index = self.persons[owner].next_index;
        self.persons[owner].next_index += 1;
        self.selves.insert(key, TradeSelf { keys, owner, index });
        key
    }
}

fn party_of(order: &Order, dice: &mut Dice) -> TradeKey {
    let parties: Vec<_> = order.parties().map(|party| party.trade_key).collect();
    *dice.pick(&parties).unwrap()
}

/// A request in an envelope of its own.
pub(crate) fn envelope(request: Request, dice: &mut Dice) -> TraderMessage {
    let event = dice.bytes();
    let inner = match request.sender.transport {
        Transport::Direct => event,
        Transport::GiftWrap => dice.bytes(),
    };
    TraderMessage {
        event,
        inner,
        request,
        path: Path::OwnRelay,
    }
}

pub(crate) fn fresh_keys(dice: &mut Dice) -> Keys {
    Keys::new(SecretKey::from_slice(&dice.bytes()).unwrap())
}

//! The traders: who they are, and what they think of by themselves.

mod court;
mod invoices;
mod moves;
mod offers;
mod questions;
mod temper;

use std::collections::BTreeMap;

use escrow_core::command::{Ask, GivenInvoice, Request, Sender};
use escrow_core::order::{Order, OrderId};
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::wire::{CantDo, Transport};
use escrow_core::{Msat, Sats, UnixTime};
use escrow_engine::submission::{Path, TraderMessage};
use escrow_lightning::sandbox::Fund;
use nostr::key::{Keys, SecretKey};
use storage::ledger::View;

use crate::dice::Dice;
use crate::lightning::{DEVELOPMENT, Line};
use crate::tally::Tally;

use self::temper::Temper;

pub(crate) use self::court::Court;

/// Sats in each wallet at first.
const FUNDS: u64 = 50_000_000;

/// Those who stay and do what they promised, so that no town dies out.
const RELIABLE: usize = 2;

/// One person with a wallet.
pub(crate) struct Person {
    pub(crate) identity: Identity,
    pub(crate) wallet: String,
    transport: Transport,
    next_index: i64,
    temper: Temper,
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
    /// Good invoices, some of which are given twice.
    invoices: Vec<GivenInvoice>,
    next_id: u64,
    pub(crate) court: Court,
}

/// What traders see: the ledger behind the book, the world, the time.
pub(crate) struct Scene<'a> {
    pub(crate) view: &'a View,
    pub(crate) living: &'a [Order],
    pub(crate) line: &'a mut Line,
    pub(crate) dice: &'a mut Dice,
    pub(crate) tally: &'a mut Tally,
    pub(crate) now: UnixTime,
}

impl People {
    /// Four to 36 of them.
    pub(crate) fn new(line: &mut Line, dice: &mut Dice, operator: Keys) -> People {
        let count = 4 + usize::try_from(dice.below(33)).unwrap();
        let persons = (0..count).map(|number| Person::new(number, line, dice));
        let persons = persons.collect();
        // Nobody of the town owns this one.
        let wallet = DEVELOPMENT.to_owned();
        let amount = Sats(0);
        line.act(Fund { wallet, amount }).unwrap();
        People {
            persons,
            selves: BTreeMap::new(),
            invoices: Vec::new(),
            next_id: 0,
            court: Court::new(operator, dice),
        }
    }

    /// The keys of whoever reads what is written to this key.
    pub(crate) fn keys_of(&self, key: TradeKey) -> &Keys {
        match self.selves.get(&key) {
            Some(own) => &own.keys,
            None => self.court.keys_of(key),
        }
    }

    /// What a wallet held at first, in millisats.
    pub(crate) fn funds() -> Msat {
        Sats(FUNDS).to_msat().unwrap()
    }

    /// Something a trader may think of by himself.
    pub(crate) fn idea(&mut self, orders: &[OrderId], scene: &mut Scene<'_>) -> Vec<Request> {
        let living = scene.living;
        if scene.dice.percent(25)
            && let Some(request) = self.solvers_move(scene)
        {
            return vec![request];
        }
        let roll = scene.dice.below(100);
        if living.is_empty() || living.len() < self.persons.len() && roll < 20 {
            return vec![self.new_order(scene)];
        }
        let order = scene.dice.pick(living).unwrap();
        match roll {
            0..82 => self.next_move(order, scene),
            82..93 => self.mistake(orders, scene),
            93 => self.another_key(order, scene).into_iter().collect(),
            94 => vec![self.question(orders, scene)],
            _ => {
                let parties: Vec<_> = order.parties().map(|party| party.trade_key).collect();
                let key = *scene.dice.pick(&parties).unwrap();
                self.unless_gone(key, order.id, Ask::Cancel, scene)
            }
        }
    }

    /// The maker of an order moves it to another trade key (rule L6).
    fn another_key(&mut self, order: &Order, scene: &mut Scene<'_>) -> Option<Request> {
        let maker = order.maker.trade_key;
        if self.is_gone(maker) {
            return None;
        }
        scene.tally.add("order to be moved to another key");
        let key = self.fresh_self(self.selves[&maker].owner, scene.dice);
        Some(self.say(key, Some(order.id), Ask::TradePubkey, None, scene))
    }

    /// Everybody is back, or his heirs are, with his keys.
    pub(crate) fn come_back(&mut self) {
        for person in &mut self.persons {
            person.temper = Temper::Honest;
        }
    }

    /// A command that fits nothing in particular.
    fn mistake(&mut self, orders: &[OrderId], scene: &mut Scene<'_>) -> Vec<Request> {
        let keys: Vec<TradeKey> = self.selves.keys().copied().collect();
        let person = self.anybody(scene.dice);
        let key = match scene.dice.pick(&keys) {
            Some(key) if scene.dice.percent(80) && !self.is_gone(*key) => *key,
            _ => self.fresh_self(person, scene.dice),
        };
        let order = match scene.dice.below(20) {
            0 => None,
            1 => Some(OrderId(uuid::Uuid::from_u128(7))),
            _ => scene.dice.pick(orders).copied(),
        };
        let ask = match scene.dice.below(10) {
            0 => Ask::TakeSell {
                payout: None,
                fiat: None,
            },
            1 => Ask::TakeBuy { fiat: None },
            2 => Ask::AddInvoice {
                payout: self.invoice(self.selves[&key].owner, Sats(2_000), scene),
            },
            3 => Ask::FiatSent { next: None },
            4 | 5 => Ask::Release { next: None },
            6 => Ask::Cancel,
            7 => Ask::RateUser {
                stars: u8::try_from(scene.dice.below(7)).unwrap(),
            },
            8 => Ask::Dispute,
            _ => Ask::Refused(CantDo::InvalidParameters),
        };
        let index = match scene.dice.below(4) {
            0 => None,
            1 => Some(0),
            2 => Some(i64::MAX),
            _ => Some(self.selves[&key].index),
        };
        vec![self.say(key, order, ask, index, scene)]
    }

    fn unless_gone(
        &mut self,
        key: TradeKey,
        order: OrderId,
        ask: Ask,
        scene: &mut Scene<'_>,
    ) -> Vec<Request> {
        if self.is_gone(key) {
            return Vec::new();
        }
        vec![self.say(key, Some(order), ask, None, scene)]
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
        let needs_name = matches!(ask, Ask::Release { .. } | Ask::Cancel);
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

    fn is_gone(&self, key: TradeKey) -> bool {
        let owner = self.selves[&key].owner;
        self.persons[owner].temper.is_gone()
    }

    /// Somebody who has not walked away.
    fn anybody(&self, dice: &mut Dice) -> usize {
        let all = 0..self.persons.len();
        let here: Vec<usize> = all
            .filter(|person| !self.persons[*person].temper.is_gone())
            .collect();
        *dice.pick(&here).unwrap()
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

impl Person {
    fn new(number: usize, line: &mut Line, dice: &mut Dice) -> Person {
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
        let temper = if number < RELIABLE {
            Temper::Honest
        } else {
            Temper::drawn(dice)
        };
        Person {
            identity,
            wallet,
            transport,
            next_index: 1,
            temper,
        }
    }
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

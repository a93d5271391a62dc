//! Everything there is in the simulation, and the two doors into it:
//! [`World::apply`] changes it, the other public methods look.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::secp256k1::PublicKey;
use escrow_core::{Msat, PaymentHash, Sats, UnixTime};
use serde::{Deserialize, Serialize};

use super::acts::Act;
use super::clockwork::Due;
use super::holds::Hold;
use super::payees::Behaviour;
use super::payments::Payment;
use super::pen::{Dice, Owner, Pen};
use super::wallets::Invoice;
use crate::backend::{HoldSnapshot, Liquidity, LostPayment, PaymentRecord, PaymentState};

/// The wallet that exists from the start.
pub const DEFAULT_WALLET: &str = "trader";

/// The height of the chain when a world begins.
const FIRST_HEIGHT: u32 = 1_000;

/// Bounds every sum in the world far below what a `u64` holds.
const ALL_BITCOIN: Msat = Msat(2_100_000_000_000_000_000);

/// How a world begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// All keys, preimages and chance follow from it.
    pub seed: [u8; 32],
    /// What the node can send at first.
    pub outbound: Sats,
    /// What the node can receive at first.
    pub inbound: Sats,
    /// What the default wallet holds.
    pub default_wallet: Sats,
}

impl Setup {
    /// Ten bitcoin of liquidity each way and one in the default wallet.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Setup {
            seed,
            outbound: Sats(1_000_000_000),
            inbound: Sats(1_000_000_000),
            default_wallet: Sats(100_000_000),
        }
    }
}

/// A node, wallets and a chain. The same acts at the same times make the same
/// world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct World {
    pub(super) dice: Dice,
    pub(super) now: UnixTime,
    pub(super) height: u32,
    pub(super) next_block_at: UnixTime,
    /// What the node owns and could send.
    pub(super) outbound: Msat,
    /// What others could send to it; capacity, not money of its own.
    pub(super) inbound: Msat,
    /// Earned by those who forwarded the node's payments.
    pub(super) routing_fees: Msat,
    /// Everything that was ever given out.
    pub(super) minted: Msat,
    pub(super) wallets: BTreeMap<String, Msat>,
    pub(super) holds: BTreeMap<PaymentHash, Hold>,
    pub(super) invoices: BTreeMap<PaymentHash, Invoice>,
    /// Who wrote an invoice, by its text.
    pub(super) written: BTreeMap<String, (Owner, PaymentHash)>,
    pub(super) payments: BTreeMap<PaymentHash, Payment>,
    pub(super) history: BTreeMap<u64, PaymentHash>,
    /// So many payments of the node will still find no route.
    pub(super) failing: u32,
    /// So many payments of the node will be noted and never leave.
    #[serde(default)]
    pub(super) losing: u32,
    #[serde(default)]
    pub(super) peers_are_away: bool,
    /// How wallets treat payments of the node; who is not in it takes them.
    #[serde(default)]
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    /// What happens by itself, by time and by height.
    pub(super) due: BTreeSet<(UnixTime, Due)>,
    pub(super) cancel_at_height: BTreeSet<(u32, PaymentHash)>,
    /// Payments that wallets hold, by the end of their time locks.
    #[serde(default)]
    pub(super) fail_at_height: BTreeSet<(u32, PaymentHash)>,
    #[serde(skip)]
    pub(super) changes: Vec<Change>,
    #[serde(skip)]
    pub(super) pen: Pen,
}

/// The answer to an act and what changed with it, in order.
#[derive(Debug)]
pub struct Applied<R> {
    /// What the doer is told.
    pub reply: R,
    /// What watchers are told, time's own work included.
    pub changes: Vec<Change>,
    /// Whether anything happened by itself before the act.
    pub time_worked: bool,
}

/// Something a watcher of the node sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A hold was opened, or moved on.
    Hold(HoldSnapshot),
    /// A payment was started, or moved on.
    Payment(PaymentHash, PaymentState),
    /// The chain has a new height.
    Block(u32),
}

/// A world at a glance, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorldState {
    /// Identity key of the node, 66 hex digits.
    pub node: String,
    /// Unix seconds.
    pub now: UnixTime,
    /// Height of the chain.
    pub height: u32,
    /// What the node can send, in millisats.
    pub outbound: Msat,
    /// What the node can receive, in millisats.
    pub inbound: Msat,
    /// Locked in holds, in millisats.
    pub held_in: Msat,
    /// On its way in payments, in millisats.
    pub held_out: Msat,
    /// Paid for routing so far, in millisats.
    pub routing_fees: Msat,
    /// So many payments will still fail.
    pub failing_payments: u32,
    /// Payments that wallets hold until they are told to answer.
    #[serde(default)]
    pub held_payments: Vec<PaymentHash>,
    /// Balances of the wallets, in millisats.
    pub wallets: BTreeMap<String, Msat>,
    /// The holds that are neither settled nor canceled.
    pub holds: Vec<HoldSnapshot>,
}

impl World {
    /// A world as it begins.
    #[must_use]
    pub fn new(setup: &Setup, now: UnixTime) -> Self {
        let mut world = World {
            dice: Dice::new(setup.seed),
            now,
            height: FIRST_HEIGHT,
            next_block_at: now.plus(super::clockwork::BLOCK_SECS),
            outbound: Msat(0),
            inbound: bounded(setup.inbound),
            routing_fees: Msat(0),
            minted: Msat(0),
            wallets: BTreeMap::new(),
            holds: BTreeMap::new(),
            invoices: BTreeMap::new(),
            written: BTreeMap::new(),
            payments: BTreeMap::new(),
            history: BTreeMap::new(),
            failing: 0,
            losing: 0,
            peers_are_away: false,
            behaviours: BTreeMap::new(),
            due: BTreeSet::new(),
            cancel_at_height: BTreeSet::new(),
            fail_at_height: BTreeSet::new(),
            changes: Vec::new(),
            pen: Pen::default(),
        };
        world.outbound = world.mint(setup.outbound).unwrap_or_default();
        let balance = world.mint(setup.default_wallet).unwrap_or_default();
        world.wallets.insert(DEFAULT_WALLET.to_owned(), balance);
        world
    }

    /// Lets time pass up to `now`, then does `act`.
    ///
    /// Time never runs backwards: an earlier `now` counts as the latest one
    /// the world has seen.
    pub fn apply<A: Act>(&mut self, now: UnixTime, act: A) -> Applied<A::Reply> {
        let time_worked = self.pass_time(now);
        let reply = act.act(self);
        Applied {
            reply,
            changes: std::mem::take(&mut self.changes),
            time_worked,
        }
    }

    /// The hold as the node sees it.
    #[must_use]
    pub fn hold(&self, hash: PaymentHash) -> Option<HoldSnapshot> {
        self.holds.get(&hash).map(|hold| hold.snapshot(hash))
    }

    /// The payment as the node sees it.
    #[must_use]
    pub fn payment(&self, hash: PaymentHash) -> PaymentState {
        self.payments
            .get(&hash)
            .map_or(PaymentState::NotFound, Payment::state)
    }

    /// Whether a payment is in flight by the node's books alone.
    #[must_use]
    pub fn lost_payment(&self, hash: PaymentHash) -> Option<LostPayment> {
        self.payments.get(&hash).and_then(Payment::lost)
    }

    /// At most `max` payments with an index above `index`, oldest first.
    #[must_use]
    pub fn payments_since(&self, index: u64, max: u32) -> Vec<PaymentRecord> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.history
            .range(index.saturating_add(1)..)
            .filter_map(|(index, hash)| Some((index, self.payments.get(hash)?.record(*hash))))
            // A number whose payment was forgotten stays as a mark.
            .filter(|(index, record)| record.index == **index)
            .map(|(_, record)| record)
            .take(max)
            .collect()
    }

    /// Balances of the wallets by name.
    #[must_use]
    pub fn wallets(&self) -> &BTreeMap<String, Msat> {
        &self.wallets
    }

    /// The balance of one wallet; zero if there is none of that name.
    #[must_use]
    pub fn balance(&self, wallet: &str) -> Msat {
        self.wallets.get(wallet).copied().unwrap_or_default()
    }

    /// What the node could send and receive.
    #[must_use]
    pub fn liquidity(&self) -> Liquidity {
        Liquidity {
            outbound: self.outbound,
            inbound: self.inbound,
            held_in: self.held_in(),
            held_out: self.held_out(),
        }
    }

    /// Identity key of the node.
    #[must_use]
    pub fn node_key(&self) -> PublicKey {
        self.pen.public_key(&self.dice.key(&Owner::Node))
    }

    /// The latest time the world has seen.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.now
    }

    /// Height of the chain.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// When the last block of the clock was found.
    #[must_use]
    pub fn last_block_at(&self) -> UnixTime {
        UnixTime(
            self.next_block_at
                .0
                .saturating_sub(super::clockwork::BLOCK_SECS),
        )
    }

    /// Every millisat there is: wallets, node, locked, on its way, and fees.
    /// Always equal to [`Self::minted_msat`].
    #[must_use]
    pub fn total_msat(&self) -> u64 {
        let wallets: u64 = self.wallets.values().map(|balance| balance.0).sum();
        let on_the_way = self.held_in().0 + self.held_out().0;
        wallets + on_the_way + self.outbound.0 + self.routing_fees.0
    }

    /// Every millisat that was ever given out.
    #[must_use]
    pub fn minted_msat(&self) -> u64 {
        self.minted.0
    }

    /// The whole at a glance.
    #[must_use]
    pub fn state(&self) -> WorldState {
        WorldState {
            node: self.node_key().to_string(),
            now: self.now,
            height: self.height,
            outbound: self.outbound,
            inbound: self.inbound,
            held_in: self.held_in(),
            held_out: self.held_out(),
            routing_fees: self.routing_fees,
            failing_payments: self.failing,
            held_payments: self.held_payments(),
            wallets: self.wallets.clone(),
            holds: self
                .holds
                .iter()
                .map(|(hash, hold)| hold.snapshot(*hash))
                .filter(|hold| !hold.state.is_final())
                .collect(),
        }
    }

    /// Makes new money, unless there would be more than there can be.
    pub(super) fn mint(&mut self, amount: Sats) -> Option<Msat> {
        let amount = amount.to_msat()?;
        let minted = self
            .minted
            .checked_add(amount)
            .filter(|sum| *sum <= ALL_BITCOIN)?;
        self.minted = minted;
        Some(amount)
    }

    fn held_in(&self) -> Msat {
        Msat(self.holds.values().map(|hold| hold.locked().0).sum())
    }

    fn held_out(&self) -> Msat {
        Msat(
            self.payments
                .values()
                .map(|payment| payment.on_its_way().0)
                .sum(),
        )
    }
}

fn bounded(amount: Sats) -> Msat {
    amount.to_msat().unwrap_or(ALL_BITCOIN).min(ALL_BITCOIN)
}

/// Puts `amount` onto a balance.
pub(super) fn credit(balance: &mut Msat, amount: Msat) {
    *balance = balance
        .checked_add(amount)
        .expect("all money together fits");
}

/// Takes `amount` from a balance, or leaves it and says no.
#[must_use]
pub(super) fn debit(balance: &mut Msat, amount: Msat) -> bool {
    match balance.checked_sub(amount) {
        Some(rest) => {
            *balance = rest;
            true
        }
        None => false,
    }
}

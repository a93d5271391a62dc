//! Random pages against a ledger of plain maps, through crashes and restarts.

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::hold::{Hold, HoldId};
use escrow_core::order::{Order, OrderId};
use escrow_core::party::Identity;
use escrow_core::payout::{Attempt, AttemptState, Payout, PayoutId};
use escrow_core::stage::Stage;
use escrow_core::timer::TimerKind;
use escrow_core::{Destination, PaymentHash, UnixTime};
use proptest::prelude::*;

use super::samples::{hash, identity, order_id, trade_key};
use super::steps::{Step, apply, step};
use crate::ledger::{HoldCounts, Ledger, OutboxRow, OutboxSeq, SeenKey, View};
use crate::testing::PowerCutDisk;

/// The ledger as plain maps.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) orders: BTreeMap<OrderId, Order>,
    pub(super) holds: BTreeMap<HoldId, Hold>,
    pub(super) payouts: BTreeMap<PayoutId, Payout>,
    pub(super) attempts: BTreeMap<PaymentHash, Attempt>,
    pub(super) timers: BTreeMap<(OrderId, TimerKind), UnixTime>,
    pub(super) stamps: BTreeMap<String, UnixTime>,
    pub(super) seen: BTreeMap<SeenKey, UnixTime>,
    pub(super) outbox: BTreeMap<u64, OutboxRow>,
    pub(super) pushed: u64,
}

impl Model {
    fn living(&self) -> impl Iterator<Item = &Order> {
        self.orders
            .values()
            .filter(|order| !order.stage.is_terminal())
    }

    /// Who wants to be paid to an invoice.
    fn owners(&self, hash: PaymentHash) -> BTreeSet<OrderId> {
        let of_order = |order: &&Order| {
            let taken = order.stage.take().and_then(|take| take.payout.as_ref());
            order
                .offer
                .payout
                .iter()
                .chain(taken)
                .filter_map(Destination::invoice)
                .any(|invoice| invoice.hash == hash)
        };
        let of_payout =
            |p: &&Payout| !p.state.is_closed() && p.invoice().is_some_and(|it| it.hash == hash);
        let orders = self.living().filter(of_order).map(|order| order.id);
        orders
            .chain(self.payouts.values().filter(of_payout).map(|p| p.order))
            .collect()
    }

    fn is_free_for(&self, hash: PaymentHash, order: OrderId) -> bool {
        self.owners(hash).iter().all(|owner| *owner == order)
    }

    pub(super) fn takes_order(&self, order: &Order) -> bool {
        let has_ended = self
            .orders
            .get(&order.id)
            .is_some_and(|o| o.stage.is_terminal());
        let taken = order.stage.take().and_then(|take| take.payout.as_ref());
        let taken = taken.and_then(Destination::invoice);
        order.stage.is_terminal()
            || !has_ended && taken.is_none_or(|invoice| self.is_free_for(invoice.hash, order.id))
    }

    pub(super) fn takes_hold(&self, hold: &Hold) -> bool {
        match self.holds.get(&hold.id) {
            Some(before) => before.hash == hold.hash && before.order == hold.order,
            None => {
                !self.attempts.contains_key(&hold.hash)
                    && self.holds.values().all(|other| other.hash != hold.hash)
            }
        }
    }

    pub(super) fn takes_payout(&self, payout: &Payout) -> bool {
        self.payouts
            .get(&payout.id)
            .is_none_or(|before| before.order == payout.order)
            && (payout.state.is_closed()
                || payout
                    .invoice()
                    .is_none_or(|it| self.is_free_for(it.hash, payout.order)))
    }

    pub(super) fn takes_attempt(&self, attempt: &Attempt) -> bool {
        let is_foreign = self.holds.values().any(|hold| hold.hash == attempt.hash)
            || self
                .attempts
                .get(&attempt.hash)
                .is_some_and(|a| a.payout != attempt.payout);
        let has_another_sent = self.attempts.values().any(|other| {
            other.payout == attempt.payout
                && other.hash != attempt.hash
                && other.state == AttemptState::Sent
        });
        let is_second = attempt.state == AttemptState::Sent && has_another_sent;
        !is_foreign && !is_second
    }
}

/// Asks the ledger everything the model can answer.
fn agree(view: &View, model: &Model) {
    orders_agree(view, model);
    money_agrees(view, model);
    let mut timers: Vec<_> = model
        .timers
        .iter()
        .map(|((order, kind), at)| (*at, *order, *kind))
        .collect();
    timers.sort_unstable();
    let due = view.due_timers(UnixTime(u64::MAX), usize::MAX).unwrap();
    let due: Vec<_> = due
        .iter()
        .map(|timer| (timer.at, timer.order, timer.kind))
        .collect();
    assert_eq!(due, timers);
    assert_eq!(
        view.next_timer().unwrap(),
        timers.first().map(|timer| timer.0)
    );
    for n in 1..4 {
        let key = SeenKey::Inner([n; 32]);
        assert_eq!(view.seen(key).unwrap().as_ref(), model.seen.get(&key));
        let address = format!("38383:node:{n}");
        assert_eq!(
            view.stamp(&address).unwrap(),
            model.stamps.get(&address).copied()
        );
    }
    assert_eq!(view.seen_len().unwrap(), model.seen.len() as u64);
    let waiting = view.outbox_from(OutboxSeq(0), usize::MAX).unwrap();
    let expected: Vec<_> = model
        .outbox
        .iter()
        .map(|(seq, row)| (OutboxSeq(*seq), row.clone()))
        .collect();
    assert_eq!(waiting, expected);
    assert_eq!(view.outbox_len().unwrap(), expected.len() as u64);
}

fn orders_agree(view: &View, model: &Model) {
    let living: Vec<Order> = view.living_orders().unwrap().map(Result::unwrap).collect();
    assert_eq!(living, model.living().cloned().collect::<Vec<_>>());
    assert_eq!(view.living_order_count().unwrap(), living.len() as u64);
    for n in 1..4 {
        assert_eq!(
            view.order(order_id(n)).unwrap().as_ref(),
            model.orders.get(&order_id(n))
        );
    }
    let keys: BTreeSet<_> = model
        .living()
        .flat_map(Order::parties)
        .map(|party| party.trade_key)
        .collect();
    assert_eq!(view.living_trade_keys().unwrap(), keys);
    for n in 1..7 {
        assert_eq!(
            view.trade_key_is_living(trade_key(n)).unwrap(),
            keys.contains(&trade_key(n))
        );
        let known = Identity::Known(identity(n));
        let of_identity = model
            .living()
            .filter(|order| order.parties().any(|party| party.identity == known));
        assert_eq!(
            view.living_orders_of(identity(n)).unwrap(),
            of_identity.cloned().collect::<Vec<_>>()
        );
    }
    let private = model.living().filter(|order| {
        order.stage == Stage::Pending && order.maker.identity == Identity::FullPrivacy
    });
    assert_eq!(
        view.pending_without_identity().unwrap(),
        private.count() as u64
    );
}

fn money_agrees(view: &View, model: &Model) {
    let living: BTreeSet<HoldId> = model
        .holds
        .values()
        .filter(|hold| !hold.state.is_terminal())
        .map(|hold| hold.id)
        .collect();
    let found: Vec<Hold> = view.living_holds().unwrap();
    assert_eq!(
        found.iter().map(|hold| hold.id).collect::<BTreeSet<_>>(),
        living
    );
    let HoldCounts {
        opening,
        open,
        closing,
    } = view.hold_counts().unwrap();
    assert_eq!(opening + open + closing, living.len() as u64);
    let unpaid = model
        .payouts
        .values()
        .filter(|payout| !payout.state.is_closed());
    assert_eq!(
        view.living_payouts().unwrap(),
        unpaid.cloned().collect::<Vec<_>>()
    );
    let sent: BTreeSet<_> = model
        .attempts
        .values()
        .filter(|attempt| attempt.state == AttemptState::Sent)
        .map(|attempt| attempt.hash)
        .collect();
    let found = view.sent_attempts().unwrap();
    assert_eq!(
        found
            .iter()
            .map(|attempt| attempt.hash)
            .collect::<BTreeSet<_>>(),
        sent
    );
    for hash in (10..16).map(hash) {
        let hold = model.holds.values().find(|hold| hold.hash == hash);
        assert_eq!(view.hold_by_hash(hash).unwrap().as_ref(), hold);
        assert_eq!(
            view.attempt(hash).unwrap().as_ref(),
            model.attempts.get(&hash)
        );
        let is_known = hold.is_some() || model.attempts.contains_key(&hash);
        assert_eq!(view.invoice_hash_is_known(hash).unwrap(), is_known);
        assert_eq!(
            view.order_with_invoice(hash).unwrap(),
            model.owners(hash).first().copied()
        );
    }
}

/// Runs steps page by page; every page ends committed, given up or cut off.
fn run(steps: &[Step]) {
    let mut disk = PowerCutDisk::new();
    let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
    let mut committed = Model::default();
    let is_end = |step: &Step| matches!(step, Step::Commit | Step::GiveUp | Step::PowerCut { .. });
    for steps in steps.split_inclusive(is_end) {
        let mut model = committed.clone();
        let mut page = ledger.page().unwrap();
        for step in steps {
            apply(step, &mut page, &mut model);
        }
        agree(&page, &model);
        match steps.last() {
            Some(Step::Commit) => {
                page.commit().unwrap();
                committed = model;
            }
            Some(Step::PowerCut { seed }) => {
                disk.cut_power_after(0);
                let result = page.commit();
                disk = disk.after_messy_power_cut(*seed);
                ledger = Ledger::with_backend(disk.clone()).unwrap();
                if result.is_ok() {
                    committed = model;
                }
            }
            _ => drop(page),
        }
        agree(&ledger.views().view().unwrap(), &committed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_ledger_equals_plain_maps(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps);
    }
}

//! Random pages against a ledger of plain maps, through crashes and restarts.

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::hold::{Hold, HoldId};
use escrow_core::order::{Order, OrderId};
use escrow_core::party::Identity;
use escrow_core::payout::{Attempt, AttemptState, Payout, PayoutId, PayoutState};
use escrow_core::stage::Stage;
use escrow_core::timer::{Timer, TimerKind};
use escrow_core::{PaymentHash, UnixTime};
use proptest::prelude::*;

use super::samples::{
    at_line, attempt, attempts, hash, hold, holds, identity, letter, order_id, orders, payout,
    payouts, pending, private, trade_key,
};
use crate::ledger::{HoldCounts, Ledger, OutboxRow, OutboxSeq, Page, Seen, SeenKey, View};
use crate::testing::PowerCutDisk;

/// Small numbers, so that rows meet.
type Small = u8;

#[derive(Clone, Debug)]
enum Step {
    Order {
        n: Small,
        is_private: bool,
        line: usize,
        taker: Small,
        invoice: Option<Small>,
    },
    Hold {
        n: Small,
        order: Small,
        hash: Small,
        line: usize,
    },
    Payout {
        n: Small,
        order: Small,
        hash: Small,
        line: usize,
    },
    Attempt {
        hash: Small,
        payout: Small,
        line: usize,
    },
    Timer {
        at: u64,
        order: Small,
        is_retry: bool,
    },
    RemoveTimer {
        at: u64,
        order: Small,
        is_retry: bool,
    },
    Stamp {
        address: Small,
        now: u64,
    },
    Seen {
        key: Small,
        at: u64,
    },
    PurgeSeen {
        older_than: u64,
    },
    Push {
        to: Small,
    },
    Done {
        seq: u64,
    },
    Commit,
    GiveUp,
    PowerCut {
        seed: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 1..4_u8;
    let h = || 10..16_u8;
    prop_oneof![
        8 => (n(), any::<bool>(), 0..orders().len(), 4..7_u8, proptest::option::of(h())).prop_map(
            |(n, is_private, line, taker, invoice)| Step::Order {
                n, is_private, line, taker, invoice
            }
        ),
        4 => (n(), n(), h(), 0..holds().len())
            .prop_map(|(n, order, hash, line)| Step::Hold { n, order, hash, line }),
        4 => (n(), n(), h(), 0..payouts().len())
            .prop_map(|(n, order, hash, line)| Step::Payout { n, order, hash, line }),
        4 => (h(), n(), 0..attempts().len())
            .prop_map(|(hash, payout, line)| Step::Attempt { hash, payout, line }),
        2 => (0..9_u64, n(), any::<bool>())
            .prop_map(|(at, order, is_retry)| Step::Timer { at, order, is_retry }),
        1 => (0..9_u64, n(), any::<bool>())
            .prop_map(|(at, order, is_retry)| Step::RemoveTimer { at, order, is_retry }),
        1 => (n(), 0..9_u64).prop_map(|(address, now)| Step::Stamp { address, now }),
        2 => (n(), 0..9_u64).prop_map(|(key, at)| Step::Seen { key, at }),
        1 => (0..9_u64).prop_map(|older_than| Step::PurgeSeen { older_than }),
        2 => n().prop_map(|to| Step::Push { to }),
        1 => (1..20_u64).prop_map(|seq| Step::Done { seq }),
        4 => Just(Step::Commit),
        1 => Just(Step::GiveUp),
        2 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
    ]
}

/// The ledger as plain maps.
#[derive(Clone, Debug, Default)]
struct Model {
    orders: BTreeMap<OrderId, Order>,
    holds: BTreeMap<HoldId, Hold>,
    payouts: BTreeMap<PayoutId, Payout>,
    attempts: BTreeMap<PaymentHash, Attempt>,
    timers: BTreeMap<(OrderId, TimerKind), (UnixTime, u64)>,
    stamps: BTreeMap<String, UnixTime>,
    seen: BTreeMap<SeenKey, Seen>,
    outbox: BTreeMap<u64, OutboxRow>,
    pushed: u64,
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
                .any(|invoice| invoice.hash == hash)
        };
        let of_payout = |p: &&Payout| p.state != PayoutState::Paid && p.destination.hash == hash;
        let orders = self.living().filter(of_order).map(|order| order.id);
        orders
            .chain(self.payouts.values().filter(of_payout).map(|p| p.order))
            .collect()
    }

    fn is_free_for(&self, hash: PaymentHash, order: OrderId) -> bool {
        self.owners(hash).iter().all(|owner| *owner == order)
    }

    fn takes_order(&self, order: &Order) -> bool {
        let has_ended = self
            .orders
            .get(&order.id)
            .is_some_and(|o| o.stage.is_terminal());
        let taken = order.stage.take().and_then(|take| take.payout.as_ref());
        order.stage.is_terminal()
            || !has_ended && taken.is_none_or(|invoice| self.is_free_for(invoice.hash, order.id))
    }

    fn takes_hold(&self, hold: &Hold) -> bool {
        match self.holds.get(&hold.id) {
            Some(before) => before.hash == hold.hash && before.order == hold.order,
            None => {
                !self.attempts.contains_key(&hold.hash)
                    && self.holds.values().all(|other| other.hash != hold.hash)
            }
        }
    }

    fn takes_payout(&self, payout: &Payout) -> bool {
        self.payouts
            .get(&payout.id)
            .is_none_or(|before| before.order == payout.order)
            && (payout.state == PayoutState::Paid
                || self.is_free_for(payout.destination.hash, payout.order))
    }

    fn takes_attempt(&self, attempt: &Attempt) -> bool {
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
        !is_foreign && !(attempt.state == AttemptState::Sent && has_another_sent)
    }
}

/// Does the step to both; they must agree on whether it is allowed.
fn apply(step: &Step, page: &mut Page<'_>, model: &mut Model) {
    let kind = |is_retry| {
        if is_retry {
            TimerKind::PayoutRetry
        } else {
            TimerKind::OpeningHold
        }
    };
    let timer = |at, order, is_retry| Timer {
        at: UnixTime(at),
        order: order_id(order),
        kind: kind(is_retry),
    };
    match *step {
        Step::Order {
            n,
            is_private,
            line,
            taker,
            invoice,
        } => {
            let base = if is_private { private(n) } else { pending(n) };
            let order = at_line(base, line, taker, invoice.map(hash));
            let is_taken = model.takes_order(&order);
            let stored = page.put_order(order.clone());
            assert_eq!(stored.is_ok(), is_taken, "{stored:?}");
            if let Ok(stored) = stored {
                let before = model
                    .orders
                    .get(&order.id)
                    .map_or(0, |before| before.revision);
                assert_eq!(
                    stored,
                    Order {
                        revision: before + 1,
                        ..order
                    }
                );
                model.orders.insert(stored.id, stored);
            }
        }
        Step::Hold {
            n,
            order,
            hash: h,
            line,
        } => {
            let hold = hold(n, order, hash(h), holds()[line].state.clone());
            let is_taken = model.takes_hold(&hold);
            assert_eq!(page.put_hold(&hold).is_ok(), is_taken);
            if is_taken {
                model.holds.insert(hold.id, hold);
            }
        }
        Step::Payout {
            n,
            order,
            hash: h,
            line,
        } => {
            let payout = payout(n, order, hash(h), payouts()[line].state);
            let is_taken = model.takes_payout(&payout);
            assert_eq!(page.put_payout(&payout).is_ok(), is_taken);
            if is_taken {
                model.payouts.insert(payout.id, payout);
            }
        }
        Step::Attempt {
            hash: h,
            payout,
            line,
        } => {
            let attempt = attempt(hash(h), payout, attempts()[line].state);
            let is_taken = model.takes_attempt(&attempt);
            assert_eq!(page.put_attempt(&attempt).is_ok(), is_taken);
            if is_taken {
                model.attempts.insert(attempt.hash, attempt);
            }
        }
        Step::Timer {
            at,
            order,
            is_retry,
        } => {
            page.put_timer(timer(at, order, is_retry), at).unwrap();
            model
                .timers
                .insert((order_id(order), kind(is_retry)), (UnixTime(at), at));
        }
        Step::RemoveTimer {
            at,
            order,
            is_retry,
        } => {
            page.remove_timer(timer(at, order, is_retry)).unwrap();
            let name = (order_id(order), kind(is_retry));
            if model
                .timers
                .get(&name)
                .is_some_and(|(set, _)| *set == UnixTime(at))
            {
                model.timers.remove(&name);
            }
        }
        Step::Stamp { address, now } => {
            let address = format!("38383:node:{address}");
            let last = model.stamps.get(&address).map_or(0, |last| last.0 + 1);
            let stamp = page.next_stamp(&address, UnixTime(now)).unwrap();
            assert_eq!(stamp, UnixTime(last.max(now)));
            model.stamps.insert(address, stamp);
        }
        Step::Seen { key, at } => {
            let seen = Seen {
                at: UnixTime(at),
                receipt: format!("{at}"),
            };
            page.put_seen(SeenKey::Inner([key; 32]), &seen).unwrap();
            model.seen.insert(SeenKey::Inner([key; 32]), seen);
        }
        Step::PurgeSeen { older_than } => {
            let before = model.seen.len();
            model.seen.retain(|_, seen| seen.at.0 >= older_than);
            let purged = page.purge_seen(UnixTime(older_than), usize::MAX).unwrap();
            assert_eq!(purged, before - model.seen.len());
        }
        Step::Push { to } => {
            model.pushed += 1;
            assert_eq!(
                page.push_outbox(&letter(to, 1)).unwrap(),
                OutboxSeq(model.pushed)
            );
            model.outbox.insert(model.pushed, letter(to, 1));
        }
        Step::Done { seq } => {
            page.done_outbox(&[OutboxSeq(seq)]).unwrap();
            model.outbox.remove(&seq);
        }
        Step::Commit | Step::GiveUp | Step::PowerCut { .. } => {}
    }
}

/// Asks the ledger everything the model can answer.
fn agree(view: &View, model: &Model) {
    orders_agree(view, model);
    money_agrees(view, model);
    let mut timers: Vec<_> = model
        .timers
        .iter()
        .map(|((order, kind), (at, revision))| (*at, *order, *kind, *revision))
        .collect();
    timers.sort_unstable();
    let due = view.due_timers(UnixTime(u64::MAX), usize::MAX).unwrap();
    let due: Vec<_> = due
        .iter()
        .map(|d| (d.timer.at, d.timer.order, d.timer.kind, d.revision))
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
        .filter(|payout| payout.state != PayoutState::Paid);
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
        steps
            .iter()
            .for_each(|step| apply(step, &mut page, &mut model));
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
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_equals_plain_maps(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps);
    }
}

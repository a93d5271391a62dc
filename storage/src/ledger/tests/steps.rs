//! Single steps, done to the ledger and to the model alike.

use escrow_core::UnixTime;
use escrow_core::order::Order;
use escrow_core::timer::{Timer, TimerKind};
use proptest::prelude::*;

use super::model::Model;
use super::samples::{
    at_line, attempt, attempts, hash, hold, holds, letter, order_id, orders, payout, payouts,
    pending, private,
};
use crate::ledger::{OutboxSeq, Page, SeenKey};

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Order {
        n: u8,
        is_private: bool,
        line: usize,
        taker: u8,
        invoice: Option<u8>,
    },
    Hold {
        n: u8,
        order: u8,
        hash: u8,
        line: usize,
    },
    Payout {
        n: u8,
        order: u8,
        hash: u8,
        line: usize,
    },
    Attempt {
        hash: u8,
        payout: u8,
        line: usize,
    },
    Timer {
        at: u64,
        order: u8,
        is_retry: bool,
    },
    RemoveTimer {
        at: u64,
        order: u8,
        is_retry: bool,
    },
    Stamp {
        address: u8,
        now: u64,
    },
    Seen {
        key: u8,
        at: u64,
    },
    PurgeSeen {
        older_than: u64,
    },
    Push {
        to: u8,
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

/// Any step.
pub(super) fn step() -> impl Strategy<Value = Step> {
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

/// Does the step to both; they must agree on whether it is allowed.
pub(super) fn apply(step: &Step, page: &mut Page<'_>, model: &mut Model) {
    match *step {
        Step::Order {
            n,
            is_private,
            line,
            taker,
            invoice,
        } => {
            let base = if is_private { private(n) } else { pending(n) };
            put_order(page, model, at_line(base, line, taker, invoice.map(hash)));
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
            is_taken.then(|| model.holds.insert(hold.id, hold));
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
            is_taken.then(|| model.payouts.insert(payout.id, payout));
        }
        Step::Attempt {
            hash: h,
            payout,
            line,
        } => {
            let attempt = attempt(hash(h), payout, attempts()[line].state);
            let is_taken = model.takes_attempt(&attempt);
            assert_eq!(page.put_attempt(&attempt).is_ok(), is_taken);
            is_taken.then(|| model.attempts.insert(attempt.hash, attempt));
        }
        Step::Timer {
            at,
            order,
            is_retry,
        } => {
            let timer = timer(at, order, is_retry);
            page.put_timer(timer).unwrap();
            model.timers.insert((timer.order, timer.kind), timer.at);
        }
        Step::RemoveTimer {
            at,
            order,
            is_retry,
        } => {
            let timer = timer(at, order, is_retry);
            page.remove_timer(timer).unwrap();
            model
                .timers
                .retain(|name, at| *name != (timer.order, timer.kind) || *at != timer.at);
        }
        Step::Stamp { address, now } => {
            let address = format!("38383:node:{address}");
            let last = model.stamps.get(&address).map_or(0, |last| last.0 + 1);
            let stamp = page.next_stamp(&address, UnixTime(now)).unwrap();
            assert_eq!(stamp, UnixTime(last.max(now)));
            model.stamps.insert(address, stamp);
        }
        Step::Seen { key, at } => {
            page.put_seen(SeenKey::Inner([key; 32]), UnixTime(at))
                .unwrap();
            model.seen.insert(SeenKey::Inner([key; 32]), UnixTime(at));
        }
        Step::PurgeSeen { older_than } => {
            let before = model.seen.len();
            model.seen.retain(|_, at| at.0 >= older_than);
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

fn put_order(page: &mut Page<'_>, model: &mut Model, order: Order) {
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

fn timer(at: u64, order: u8, is_retry: bool) -> Timer {
    let kind = if is_retry {
        TimerKind::PayoutRetry
    } else {
        TimerKind::OpeningHold
    };
    Timer {
        at: UnixTime(at),
        order: order_id(order),
        kind,
    }
}

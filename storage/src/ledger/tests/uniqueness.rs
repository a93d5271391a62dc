//! One hash, one use: rows that could move money twice are refused.

use escrow_core::hold::HoldState;
use escrow_core::payout::{AttemptState, PayoutState};

use super::samples::{
    at_line, attempt, failed, hash, hold, hold_id, need_invoice, order_id, payout, payout_id,
    pending,
};
use crate::ledger::{HoldCounts, Ledger, StorageError};

fn is_conflict<T>(result: &Result<T, StorageError>) -> bool {
    matches!(result, Err(StorageError::Conflict { .. }))
}

fn is_invariant<T>(result: &Result<T, StorageError>) -> bool {
    matches!(result, Err(StorageError::Invariant { .. }))
}

#[test]
fn a_hash_belongs_to_one_hold_or_one_attempt() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_hold(&hold(1, 1, hash(1), HoldState::New)).unwrap();
    page.put_attempt(&attempt(hash(2), 1, AttemptState::Sent))
        .unwrap();
    page.commit().unwrap();

    let mut page = ledger.page().unwrap();
    assert!(is_conflict(&page.put_hold(&hold(
        2,
        2,
        hash(1),
        HoldState::New
    ))));
    assert!(is_conflict(&page.put_hold(&hold(
        2,
        2,
        hash(2),
        HoldState::New
    ))));
    assert!(is_conflict(&page.put_attempt(&attempt(
        hash(1),
        2,
        AttemptState::Sent
    ))));
    assert!(is_conflict(&page.put_attempt(&attempt(
        hash(2),
        2,
        AttemptState::Sent
    ))));
    assert!(is_invariant(&page.put_hold(&hold(
        1,
        1,
        hash(3),
        HoldState::New
    ))));
    assert!(is_invariant(&page.put_hold(&hold(
        1,
        2,
        hash(1),
        HoldState::New
    ))));

    assert!(page.invoice_hash_is_known(hash(1)).unwrap());
    assert!(page.invoice_hash_is_known(hash(2)).unwrap());
    assert!(!page.invoice_hash_is_known(hash(3)).unwrap());
    assert_eq!(page.hold_by_hash(hash(1)).unwrap().unwrap().id, hold_id(1));
    assert_eq!(page.hold(hold_id(2)).unwrap(), None);
}

#[test]
fn a_payout_never_has_two_live_hashes() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_attempt(&attempt(hash(1), 1, AttemptState::Sent))
        .unwrap();
    assert!(is_invariant(&page.put_attempt(&attempt(
        hash(2),
        1,
        AttemptState::Sent
    ))));
    assert_eq!(page.attempt(hash(2)).unwrap(), None);

    page.put_attempt(&attempt(hash(1), 1, failed())).unwrap();
    assert_eq!(page.sent_attempt_of(payout_id(1)).unwrap(), None);
    page.put_attempt(&attempt(hash(2), 1, AttemptState::Sent))
        .unwrap();
    assert!(is_invariant(&page.put_attempt(&attempt(
        hash(1),
        1,
        AttemptState::Sent
    ))));
    page.put_attempt(&attempt(hash(1), 1, failed())).unwrap();

    assert_eq!(
        page.sent_attempt_of(payout_id(1)).unwrap().unwrap().hash,
        hash(2)
    );
    assert_eq!(page.sent_attempts().unwrap().len(), 1);
    assert_eq!(page.attempts_of(payout_id(1)).unwrap().len(), 2);
}

#[test]
fn the_same_attempt_may_be_sent_again() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for state in [
        AttemptState::Sent,
        AttemptState::Sent,
        failed(),
        AttemptState::Sent,
    ] {
        page.put_attempt(&attempt(hash(1), 1, state)).unwrap();
        assert_eq!(page.attempt(hash(1)).unwrap().unwrap().state, state);
    }
}

#[test]
fn one_invoice_is_not_given_to_two_living_orders() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_order(at_line(pending(1), 9, 8, Some(hash(1))))
        .unwrap();
    page.put_payout(&payout(1, 1, hash(1), PayoutState::Paying))
        .unwrap();
    assert!(is_conflict(&page.put_order(at_line(
        pending(2),
        4,
        9,
        Some(hash(1))
    ))));
    assert!(is_conflict(&page.put_payout(&payout(
        2,
        2,
        hash(1),
        PayoutState::WaitFunds
    ))));

    // The order ends before its payout is paid: the invoice is still taken.
    page.put_order(at_line(pending(1), 10, 8, Some(hash(1))))
        .unwrap();
    assert_eq!(page.order_with_invoice(hash(1)).unwrap(), Some(order_id(1)));
    assert!(is_conflict(&page.put_order(at_line(
        pending(2),
        4,
        9,
        Some(hash(1))
    ))));

    page.put_payout(&payout(1, 1, hash(1), PayoutState::Paid))
        .unwrap();
    assert_eq!(page.order_with_invoice(hash(1)).unwrap(), None);
    page.put_order(at_line(pending(2), 4, 9, Some(hash(1))))
        .unwrap();
}

#[test]
fn a_payout_stays_with_its_order_and_forgets_an_invoice_it_gave_up() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_payout(&payout(1, 1, hash(1), need_invoice()))
        .unwrap();
    page.put_payout(&payout(1, 1, hash(2), PayoutState::Paying))
        .unwrap();
    assert_eq!(page.order_with_invoice(hash(1)).unwrap(), None);
    assert_eq!(page.order_with_invoice(hash(2)).unwrap(), Some(order_id(1)));
    assert!(is_invariant(&page.put_payout(&payout(
        1,
        2,
        hash(2),
        PayoutState::Paying
    ))));
    assert_eq!(page.living_payouts().unwrap().len(), 1);

    page.put_payout(&payout(1, 1, hash(2), PayoutState::Paid))
        .unwrap();
    assert_eq!(page.living_payouts().unwrap(), []);
    assert_eq!(page.payouts_of(order_id(1)).unwrap().len(), 1);
}

#[test]
fn holds_are_counted_by_what_lightning_has_to_do() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for (n, sample) in (1..).zip(super::samples::holds()) {
        page.put_hold(&hold(n, 1, hash(n), sample.state)).unwrap();
    }
    let counts = HoldCounts {
        opening: 1,
        open: 2,
        closing: 2,
    };
    assert_eq!(page.hold_counts().unwrap(), counts);
    assert_eq!(page.living_holds().unwrap().len(), 5);
    assert_eq!(page.holds_of(order_id(1)).unwrap().len(), 8);

    page.put_hold(&hold(1, 1, hash(1), HoldState::Canceling))
        .unwrap();
    assert_eq!(
        page.hold_counts().unwrap(),
        HoldCounts {
            opening: 0,
            open: 2,
            closing: 3
        }
    );
    page.put_hold(&hold(1, 1, hash(1), HoldState::Canceled))
        .unwrap();
    assert_eq!(
        page.hold_counts().unwrap(),
        HoldCounts {
            opening: 0,
            open: 2,
            closing: 2
        }
    );
}

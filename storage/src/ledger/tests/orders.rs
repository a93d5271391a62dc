//! Orders and their indexes through a whole trade.

use std::collections::BTreeSet;

use escrow_core::Destination;
use escrow_core::order::Order;

use super::samples::{
    at_line, hash, identity, order_id, orders, payout_invoice, pending, private, trade_key,
};
use crate::ledger::{Ledger, StorageError};

/// Lines of the fixture in the order of a trade: taken, undone, taken again by
/// another, paid out.
const TRADE: [(usize, Option<u8>); 10] = [
    (0, None),
    (1, Some(8)),
    (0, None),
    (3, Some(9)),
    (4, Some(9)),
    (6, Some(9)),
    (7, Some(9)),
    (8, Some(9)),
    (9, Some(9)),
    (10, Some(9)),
];

#[test]
fn y3_a_key_is_known_in_the_commit_that_makes_it_so() {
    let mut ledger = Ledger::in_memory();
    for (line, taker) in TRADE {
        let order = at_line(pending(1), line, taker.unwrap_or(0), Some(hash(5)));
        let is_living = !order.stage.is_terminal();
        let mut page = ledger.page().unwrap();
        page.put_order(order).unwrap();
        page.commit().unwrap();

        let view = ledger.views().view().unwrap();
        let expected: BTreeSet<_> = [Some(1), taker]
            .into_iter()
            .flatten()
            .filter(|_| is_living)
            .map(trade_key)
            .collect();
        assert_eq!(view.living_trade_keys().unwrap(), expected, "line {line}");
        for n in [1, 8, 9] {
            let is_party = expected.contains(&trade_key(n));
            assert_eq!(view.trade_key_is_living(trade_key(n)).unwrap(), is_party);
            assert_eq!(
                view.living_orders_with(trade_key(n)).unwrap().len(),
                usize::from(is_party)
            );
            let of_identity = view.living_orders_of(identity(n)).unwrap();
            assert_eq!(
                of_identity.len(),
                usize::from(is_party),
                "identity {n}, line {line}"
            );
        }
        let owner = (is_living && taker.is_some()).then(|| order_id(1));
        assert_eq!(
            view.order_with_invoice(hash(5)).unwrap(),
            owner,
            "line {line}"
        );
    }
}

#[test]
fn every_write_of_an_order_counts_its_revision() {
    let mut ledger = Ledger::in_memory();
    for (written, (line, _)) in (1..).zip(TRADE) {
        let mut page = ledger.page().unwrap();
        let stored = page.put_order(at_line(pending(1), line, 9, None)).unwrap();
        assert_eq!(stored.revision, written);
        assert_eq!(page.order(order_id(1)).unwrap(), Some(stored));
        page.commit().unwrap();
    }
}

#[test]
fn an_order_that_ends_moves_to_the_archive_and_stays_there() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_order(pending(1)).unwrap();
    page.put_order(pending(2)).unwrap();
    let mut ended = page.put_order(at_line(pending(1), 10, 9, None)).unwrap();
    ended.rated.by_seller = true;
    let rated = page.put_order(ended).unwrap();
    page.commit().unwrap();

    let view = ledger.views().view().unwrap();
    let living: Vec<Order> = view.living_orders().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        living.iter().map(|order| order.id).collect::<Vec<_>>(),
        [order_id(2)]
    );
    assert_eq!(view.living_order_count().unwrap(), 1);
    assert_eq!(view.order(order_id(1)).unwrap(), Some(rated));
}

#[test]
fn a_terminal_order_never_lives_again() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_order(at_line(pending(1), 11, 0, None)).unwrap();
    let error = page.put_order(pending(1)).unwrap_err();
    assert!(matches!(
        error,
        StorageError::Invariant {
            table: "orders",
            ..
        }
    ));
}

#[test]
fn y5_pending_orders_without_identity_are_counted() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_order(private(1)).unwrap();
    page.put_order(private(2)).unwrap();
    page.put_order(pending(3)).unwrap();
    assert_eq!(page.pending_without_identity().unwrap(), 2);
    page.commit().unwrap();

    let mut page = ledger.page().unwrap();
    page.put_order(private(1)).unwrap();
    page.put_order(at_line(private(2), 4, 9, None)).unwrap();
    assert_eq!(page.pending_without_identity().unwrap(), 1);
    page.commit().unwrap();
    assert_eq!(
        ledger
            .views()
            .view()
            .unwrap()
            .pending_without_identity()
            .unwrap(),
        1
    );
}

#[test]
fn one_key_may_be_party_of_two_orders() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_order(at_line(pending(1), 6, 9, None)).unwrap();
    page.put_order(at_line(pending(2), 6, 9, None)).unwrap();
    page.put_order(at_line(pending(1), 10, 9, None)).unwrap();
    assert!(page.trade_key_is_living(trade_key(9)).unwrap());
    let left = page.living_orders_of(identity(9)).unwrap();
    assert_eq!(
        left.iter().map(|order| order.id).collect::<Vec<_>>(),
        [order_id(2)]
    );
}

#[test]
fn both_invoices_of_an_order_are_known_while_it_lives() {
    let mut order = at_line(pending(1), 4, 9, Some(hash(6)));
    order.offer.payout = Some(Destination::Invoice(payout_invoice(hash(5))));
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_order(order.clone()).unwrap();
    assert_eq!(page.order_with_invoice(hash(5)).unwrap(), Some(order_id(1)));
    assert_eq!(page.order_with_invoice(hash(6)).unwrap(), Some(order_id(1)));
    order.stage = orders()[11].stage.clone();
    page.put_order(order).unwrap();
    assert_eq!(page.order_with_invoice(hash(5)).unwrap(), None);
    assert_eq!(page.order_with_invoice(hash(6)).unwrap(), None);
}

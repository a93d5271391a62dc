//! The smaller tables, each by its promise.

use std::collections::BTreeSet;

use escrow_core::books::{Account, Breach, Entry};
use escrow_core::hold::HoldState;
use escrow_core::order::EndedTake;
use escrow_core::payout::PayoutState;
use escrow_core::timer::{Timer, TimerKind};
use escrow_core::{Msat, PaymentHash, UnixTime};
use nostr::key::PublicKey;

use super::samples::{self, fixture, letter, order_id, trade_key};
use crate::ledger::table::Table;
use crate::ledger::{
    JournalEntry, Latch, Ledger, LightningNode, NodeIdentity, OutboxSeq, Page, SET_ASIDE_LIMIT,
    SeenKey, SetAside, StorageError, Tip, UnknownPayment,
};

#[test]
fn tables_are_listed_in_the_order_of_the_enum() {
    for (place, table) in Table::ALL.into_iter().enumerate() {
        assert_eq!(table as usize, place, "{}", table.name());
    }
    let names: BTreeSet<_> = Table::ALL.map(Table::name).into();
    assert_eq!(names.len(), Table::ALL.len());
}

#[test]
fn views_may_go_to_any_thread() {
    fn goes_anywhere<T: Send + Sync + 'static>() {}
    goes_anywhere::<Ledger>();
    goes_anywhere::<crate::ledger::Views>();
    goes_anywhere::<crate::ledger::View>();
}

#[test]
fn g2_a_message_is_known_by_either_key_until_it_is_purged() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for at in 0..10 {
        let n = u8::try_from(at).unwrap();
        for key in [SeenKey::Event([n; 32]), SeenKey::Inner([n; 32])] {
            page.put_seen(key, UnixTime(at)).unwrap();
        }
    }
    page.commit().unwrap();

    let mut page = ledger.page().unwrap();
    assert_eq!(page.purge_seen(UnixTime(5), 3).unwrap(), 3);
    assert_eq!(page.purge_seen(UnixTime(5), 100).unwrap(), 7);
    assert_eq!(page.purge_seen(UnixTime(5), 100).unwrap(), 0);
    page.commit().unwrap();

    let view = ledger.views().view().unwrap();
    assert_eq!(view.seen(SeenKey::Event([4; 32])).unwrap(), None);
    assert_eq!(
        view.seen(SeenKey::Inner([5; 32])).unwrap(),
        Some(UnixTime(5))
    );
    assert_eq!(view.seen_len().unwrap(), 10);
}

#[test]
fn g2_a_message_that_is_seen_again_lives_from_then_on() {
    let key = SeenKey::Event([1; 32]);
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for at in [10, 20] {
        page.put_seen(key, UnixTime(at)).unwrap();
    }
    assert_eq!(page.purge_seen(UnixTime(20), 100).unwrap(), 0);
    assert!(page.seen(key).unwrap().is_some());
}

#[test]
fn outbox_numbers_are_never_used_twice() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let first = page.push_outbox(&letter(1, 100)).unwrap();
    let second = page.push_outbox(&letter(2, 100)).unwrap();
    page.done_outbox(&[second]).unwrap();
    page.commit().unwrap();
    ledger.reopen().unwrap();

    let mut page = ledger.page().unwrap();
    let third = page.push_outbox(&letter(3, 100)).unwrap();
    assert!(first < second && second < third);
    assert_eq!(page.outbox_len().unwrap(), 2);
    let waiting = page.outbox_from(OutboxSeq(0), 10).unwrap();
    assert_eq!(waiting, [(first, letter(1, 100)), (third, letter(3, 100))]);
    assert_eq!(
        page.outbox_from(second, 1).unwrap(),
        [(third, letter(3, 100))]
    );
    page.done_outbox(&[first, second, third]).unwrap();
    assert_eq!(page.outbox_len().unwrap(), 0);
}

#[test]
fn s9_a_timer_is_due_at_its_moment_and_replaces_the_one_before() {
    let timer = |at, n, kind| Timer {
        at: UnixTime(at),
        order: order_id(n),
        kind,
    };
    let opening = timer(30, 1, TimerKind::OpeningHold);
    let retry = timer(20, 1, TimerKind::PayoutRetry);
    let later = timer(25, 1, TimerKind::PayoutRetry);
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put_timer(opening).unwrap();
    page.put_timer(retry).unwrap();
    assert_eq!(page.next_timer().unwrap(), Some(UnixTime(20)));
    page.put_timer(later).unwrap();
    page.commit().unwrap();

    let mut page = ledger.page().unwrap();
    assert_eq!(page.next_timer().unwrap(), Some(UnixTime(25)));
    assert_eq!(page.due_timers(UnixTime(24), 10).unwrap(), []);
    let due = page.due_timers(UnixTime(30), 10).unwrap();
    assert_eq!(due, [later, opening]);
    assert_eq!(page.due_timers(UnixTime(30), 1).unwrap().len(), 1);

    // A worker that still holds the replaced timer does not stop the later one.
    page.remove_timer(retry).unwrap();
    assert_eq!(
        page.timer_of(order_id(1), TimerKind::PayoutRetry).unwrap(),
        Some(later)
    );
    page.remove_timer(later).unwrap();
    assert_eq!(
        page.timer_of(order_id(1), TimerKind::PayoutRetry).unwrap(),
        None
    );
    page.remove_timer(opening).unwrap();
    assert_eq!(page.next_timer().unwrap(), None);
}

#[test]
fn s5_up_r10_stamps_strictly_increase_also_over_a_restart() {
    let mut ledger = Ledger::in_memory();
    let mut last = UnixTime(0);
    for now in [100, 100, 50, 101, 200] {
        let mut page = ledger.page().unwrap();
        let public = page.next_stamp("38383:node:a", UnixTime(now)).unwrap();
        let letter = page.next_letter_stamp(trade_key(1), UnixTime(now)).unwrap();
        assert_eq!(public, letter);
        assert!(public > last && public >= UnixTime(now));
        last = public;
        page.commit().unwrap();
        ledger.reopen().unwrap();
    }
    assert_eq!(last, UnixTime(200));
    let mut page = ledger.page().unwrap();
    assert_eq!(
        page.next_stamp("38383:node:b", UnixTime(7)).unwrap(),
        UnixTime(7)
    );
}

#[test]
fn letter_stamps_are_purged_by_age_and_public_ones_are_kept() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.next_stamp("38383:node:a", UnixTime(1)).unwrap();
    page.next_letter_stamp(trade_key(1), UnixTime(1)).unwrap();
    page.next_letter_stamp(trade_key(2), UnixTime(1)).unwrap();
    page.next_letter_stamp(trade_key(2), UnixTime(9)).unwrap();
    assert_eq!(page.purge_letter_stamps(UnixTime(9), 10).unwrap(), 1);
    assert_eq!(page.letter_stamp(trade_key(1)).unwrap(), None);
    assert_eq!(page.letter_stamp(trade_key(2)).unwrap(), Some(UnixTime(9)));
    assert_eq!(page.stamp("38383:node:a").unwrap(), Some(UnixTime(1)));
}

#[test]
fn the_journal_is_read_by_number_and_pruned_by_age() {
    let entry = |at| JournalEntry {
        at: UnixTime(at),
        origin: "trader".into(),
        order: Some(order_id(1)),
        command: "release".into(),
        outcome: "releasing".into(),
    };
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for at in 1..=6 {
        assert_eq!(page.push_journal(&entry(at)).unwrap(), at);
    }
    assert_eq!(page.prune_journal(UnixTime(4), 2).unwrap(), 2);
    assert_eq!(page.prune_journal(UnixTime(4), 100).unwrap(), 1);
    assert_eq!(page.prune_journal(UnixTime(4), 100).unwrap(), 0);
    let numbers = |rows: Vec<(u64, JournalEntry)>| rows.iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(numbers(page.journal_from(0, 100).unwrap()), [4, 5, 6]);
    assert_eq!(numbers(page.journal_from(5, 1).unwrap()), [5]);
    assert_eq!(numbers(page.journal_since(UnixTime(5), 9).unwrap()), [5, 6]);
    assert_eq!(numbers(page.journal_since(UnixTime(0), 2).unwrap()), [5, 6]);
    assert_eq!(numbers(page.journal_of(order_id(1)).unwrap()), [4, 5, 6]);
    assert_eq!(numbers(page.journal_of(order_id(2)).unwrap()), [0; 0]);
}

#[test]
fn messages_set_aside_are_bounded_and_the_oldest_goes() {
    let message = SetAside {
        at: UnixTime(1),
        event: "{}".into(),
        why: "panic: index out of bounds".into(),
    };
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for _ in 0..SET_ASIDE_LIMIT + 2 {
        page.push_set_aside(&message).unwrap();
    }
    page.commit().unwrap();
    let kept = ledger
        .views()
        .view()
        .unwrap()
        .set_aside(usize::MAX)
        .unwrap();
    assert_eq!(kept.len() as u64, SET_ASIDE_LIMIT);
    assert_eq!(kept[0], (3, message));
}

#[test]
fn the_ledger_says_whose_it_is() {
    let node = NodeIdentity {
        public_key: PublicKey::from_byte_array([1; 32]),
        network: "regtest".into(),
    };
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    assert_eq!(page.node_identity().unwrap(), None);
    assert_eq!(page.heartbeat().unwrap(), None);
    page.put_node_identity(&node).unwrap();
    page.put_heartbeat(UnixTime(5)).unwrap();
    page.commit().unwrap();
    let view = ledger.views().view().unwrap();
    assert_eq!(view.node_identity().unwrap(), Some(node));
    assert_eq!(view.heartbeat().unwrap(), Some(UnixTime(5)));
}

#[test]
fn x12_the_ledger_says_which_lightning_node_holds_the_money() {
    let node = LightningNode {
        pubkey: "02".repeat(33),
        network: "regtest".into(),
    };
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    assert_eq!(page.lightning_node().unwrap(), None);
    page.put_lightning_node(&node).unwrap();
    page.commit().unwrap();
    let view = ledger.views().view().unwrap();
    assert_eq!(view.lightning_node().unwrap(), Some(node));
}

#[test]
fn a_page_that_is_dropped_leaves_no_trace_and_a_view_does_not_move() {
    let mut ledger = Ledger::in_memory();
    let views = ledger.views();
    let before = views.view().unwrap();
    let mut page = ledger.page().unwrap();
    page.put_heartbeat(UnixTime(1)).unwrap();
    drop(page);
    assert_eq!(views.view().unwrap().heartbeat().unwrap(), None);

    let mut page = ledger.page().unwrap();
    page.put_heartbeat(UnixTime(2)).unwrap();
    page.commit().unwrap();
    assert_eq!(before.heartbeat().unwrap(), None);
    assert_eq!(
        views.view().unwrap().heartbeat().unwrap(),
        Some(UnixTime(2))
    );
}

/// What opening says of a file that claims this format.
fn opening_format(format: u32) -> StorageError {
    let disk = crate::testing::PowerCutDisk::new();
    let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
    let mut page = ledger.page().unwrap();
    page.put(
        Table::Node,
        b"format".to_vec(),
        format.to_be_bytes().to_vec(),
    )
    .unwrap();
    page.commit().unwrap();
    drop(ledger);
    Ledger::with_backend(disk).unwrap_err()
}

#[test]
fn s8_up_s20_ended_takes_are_kept_by_order_and_time() {
    let ended: EndedTake = fixture(
        Table::EndedTakes,
        include_bytes!("../fixtures/ended_takes.v1"),
    )
    .remove(0);
    let at = |n, at| EndedTake {
        order: order_id(n),
        ended_at: UnixTime(at),
        ..ended.clone()
    };
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for take in [at(1, 20), at(2, 5), at(1, 10)] {
        page.put_ended_take(&take).unwrap();
    }
    let of_first = page.ended_takes_of(order_id(1)).unwrap();
    assert_eq!(of_first, [at(1, 10), at(1, 20)]);
    assert_eq!(page.ended_takes_of(order_id(3)).unwrap(), []);
}

#[test]
fn s9_an_order_has_exactly_the_timers_that_are_due_to_it() {
    let timer = |at, n, kind| Timer {
        at: UnixTime(at),
        order: order_id(n),
        kind,
    };
    let (stale, step) = (
        timer(10, 1, TimerKind::OpeningHold),
        timer(20, 1, TimerKind::StepDeadline),
    );
    let other = timer(15, 2, TimerKind::Refresh);
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for set in [stale, step, other] {
        page.put_timer(set).unwrap();
    }
    let later = timer(30, 1, TimerKind::StepDeadline);
    let offer = timer(40, 1, TimerKind::OfferDeadline);
    page.set_timers(order_id(1), &[later, offer]).unwrap();
    let all = |page: &Page<'_>| page.due_timers(UnixTime(99), 9).unwrap();
    assert_eq!(all(&page), [other, later, offer]);
    page.set_timers(order_id(1), &[]).unwrap();
    assert_eq!(all(&page), [other]);
    assert_eq!(
        page.timer_of(order_id(1), TimerKind::StepDeadline).unwrap(),
        None
    );
}

#[test]
fn x1_the_highest_tip_is_kept_and_holds_are_found_by_their_last_height() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let tip = |height, at| Tip {
        height,
        seen_at: UnixTime(at),
    };
    assert_eq!(page.tip().unwrap(), None);
    for seen in [tip(100, 5), tip(100, 6), tip(99, 7)] {
        page.put_tip(seen).unwrap();
    }
    assert_eq!(page.tip().unwrap(), Some(tip(100, 6)));

    let accepted = |height| {
        let sample = samples::holds().into_iter();
        let mut states = sample.map(|hold| hold.state);
        let state = states.find(|state| matches!(state, HoldState::Accepted(_)));
        let Some(HoldState::Accepted(acceptance)) = state else {
            unreachable!("there is a sample of each state")
        };
        HoldState::Accepted(escrow_core::hold::Acceptance {
            expiry_height: height,
            ..acceptance
        })
    };
    let hold = |n, state| samples::hold(n, n, PaymentHash([n; 32]), state);
    for (n, height) in [(1, 300), (2, 200), (3, 301)] {
        page.put_hold(&hold(n, accepted(height))).unwrap();
    }
    let found = |page: &Page<'_>| {
        let holds = page.holds_expiring_by(300).unwrap();
        holds.iter().map(|hold| hold.hash.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(found(&page), [2, 1]);
    page.put_hold(&hold(2, HoldState::Canceling)).unwrap();
    assert_eq!(found(&page), [1]);
}

#[test]
fn a_file_of_another_format_is_refused() {
    let newer = opening_format(8);
    assert!(matches!(
        newer,
        StorageError::NewerFormat { found: 8, known: 7 }
    ));
    for older in 1..7 {
        let refused = opening_format(older);
        assert!(
            matches!(refused, StorageError::OlderFormat { found, known: 7 } if found == older),
            "{refused}"
        );
    }
    assert!(matches!(
        opening_format(0),
        StorageError::Damaged { table: "file", .. }
    ));
}

#[test]
fn another_programs_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let stranger: redb::TableDefinition<u64, u64> = redb::TableDefinition::new("bees");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(stranger).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error, StorageError::Damaged { table: "file", .. }));
}

#[test]
fn a_second_process_is_told_that_the_file_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let ledger = Ledger::open(&path).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(&error, StorageError::Locked { path: locked } if *locked == path));
    drop(ledger);
    Ledger::open(&path).unwrap();
}

#[test]
fn p11_who_waits_for_a_place_stands_in_line_until_he_is_tried() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let queued = |since| PayoutState::Queued {
        since: UnixTime(since),
        again_at: UnixTime(since + 60),
    };
    let payout = |n: u8, state| samples::payout(n, n, samples::hash(n), state);
    page.put_payout(&payout(1, queued(20))).unwrap();
    page.put_payout(&payout(2, queued(10))).unwrap();
    page.put_payout(&payout(3, PayoutState::Paying)).unwrap();
    let line = |page: &Page<'_>, limit| {
        let line = page.queued_payouts(limit).unwrap();
        line.iter().map(|payout| payout.id).collect::<Vec<_>>()
    };
    let [one, two] = [1, 2].map(samples::payout_id);
    assert_eq!(line(&page, 9), [two, one]);
    assert_eq!(line(&page, 1), [two]);
    page.put_payout(&payout(2, PayoutState::Paying)).unwrap();
    assert_eq!(line(&page, 9), [one]);
}

#[test]
fn f8_the_books_keep_every_entry_and_what_each_account_has_turned_over() {
    let entry = |n: u8, from, to, amount| Entry {
        at: UnixTime(7),
        order: order_id(n),
        hash: samples::hash(n),
        from,
        to,
        amount: Msat(amount),
    };
    let (sellers, escrow, buyers) = (Account::Sellers, Account::Escrow, Account::Buyers);
    let of_one = [entry(1, sellers, escrow, 10), entry(1, escrow, buyers, 8)];
    let of_two = [
        entry(2, sellers, escrow, 5),
        entry(2, escrow, Account::Surplus, 1),
    ];
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for entry in [of_one[0], of_two[0], of_one[1], of_two[1]] {
        page.push_entry(&entry).unwrap();
    }
    page.commit().unwrap();
    let view = ledger.views().view().unwrap();
    assert_eq!(view.entries_of(order_id(1)).unwrap(), of_one);
    assert_eq!(view.entries_of(order_id(2)).unwrap(), of_two);
    assert_eq!(view.surpluses().unwrap(), of_two[1..]);
    let turnovers: Vec<_> = view.turnovers().unwrap();
    let of = |account| {
        let found = turnovers.iter().find(|(one, _)| *one == account);
        found.map(|(_, turnover)| (turnover.got.0, turnover.gave.0))
    };
    assert_eq!(of(sellers), Some((0, 15)));
    assert_eq!(of(escrow), Some((15, 9)));
    assert_eq!(of(buyers), Some((8, 0)));
}

#[test]
fn x13_the_latch_stays_until_it_is_removed_and_so_do_unknown_payments() {
    let mut ledger = Ledger::in_memory();
    let latch = Latch {
        at: UnixTime(9),
        breach: Breach::UnknownPayment(samples::hash(4)),
    };
    let unknown = UnknownPayment {
        amount: Msat(5),
        created_at: UnixTime(8),
    };
    let mut page = ledger.page().unwrap();
    page.put_latch(&latch).unwrap();
    page.put_unknown_payment(samples::hash(4), &unknown)
        .unwrap();
    page.put_payment_index(17).unwrap();
    page.commit().unwrap();
    let view = ledger.views().view().unwrap();
    assert_eq!(view.latch().unwrap(), Some(latch));
    assert_eq!(view.payment_index().unwrap(), 17);
    let all = view.unknown_payments().unwrap();
    assert_eq!(all, [(samples::hash(4), unknown)]);

    let mut page = ledger.page().unwrap();
    page.remove_latch().unwrap();
    page.remove_unknown_payment(samples::hash(4)).unwrap();
    page.commit().unwrap();
    let view = ledger.views().view().unwrap();
    assert_eq!(view.latch().unwrap(), None);
    assert_eq!(view.unknown_payment(samples::hash(4)).unwrap(), None);
}

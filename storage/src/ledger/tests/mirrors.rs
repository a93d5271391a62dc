//! What waits for mirrors, and who asked through them.

use escrow_core::UnixTime;
use nostr::event::EventId;

use super::samples::{letter, trade_key};
use crate::ledger::table::Table;
use crate::ledger::{Filled, Lane, Ledger, Mirror, OutboxRow, OutboxSeq, Page};

fn revision(address: &str, at: u64) -> OutboxRow {
    OutboxRow {
        lane: Lane::Address(address.into()),
        event: format!("{{\"at\":{at}}}"),
        event_id: EventId::from_byte_array([9; 32]),
        created_at: UnixTime(at),
    }
}

fn urls(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("wss://{name}")).collect()
}

fn waiting(page: &Page<'_>, mirror: crate::ledger::MirrorNo) -> Vec<u64> {
    let rows = page.backlog_from(mirror, OutboxSeq(0), 100).unwrap();
    assert_eq!(page.backlog_len(mirror).unwrap(), rows.len() as u64);
    rows.iter().map(|(seq, _)| seq.0).collect()
}

#[test]
fn of_each_address_the_newest_revision_waits_and_of_letters_all() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let [here, there] = page.set_mirrors(&urls(&["a", "b"])).unwrap()[..] else {
        panic!("two mirrors were set")
    };
    let rows = [
        revision("38383:n:1", 10),
        letter(1, 11),
        revision("38383:n:12", 12),
        revision("38383:n:1", 13),
        letter(1, 14),
    ];
    for (seq, row) in (1..).zip(&rows) {
        page.push_backlog(here, OutboxSeq(seq), row).unwrap();
    }
    page.push_backlog(there, OutboxSeq(1), &rows[0]).unwrap();
    assert_eq!(waiting(&page, here), [2, 3, 4, 5]);
    assert_eq!(waiting(&page, there), [1]);

    // The acknowledgement of the older revision comes late.
    page.done_backlog(here, &[OutboxSeq(1), OutboxSeq(3)])
        .unwrap();
    assert_eq!(waiting(&page, here), [2, 4, 5]);
    page.push_backlog(here, OutboxSeq(6), &rows[2]).unwrap();
    page.commit().unwrap();
    ledger.reopen().unwrap();

    let mut page = ledger.page().unwrap();
    assert_eq!(waiting(&page, here), [2, 4, 5, 6]);
    let from_the_middle = page.backlog_from(here, OutboxSeq(3), 2).unwrap();
    assert_eq!(
        from_the_middle,
        [
            (OutboxSeq(4), rows[3].clone()),
            (OutboxSeq(5), rows[4].clone())
        ]
    );
    assert_eq!(page.purge_backlog(here, UnixTime(14), 1).unwrap(), 1);
    assert_eq!(page.purge_backlog(here, UnixTime(14), 100).unwrap(), 1);
    assert_eq!(waiting(&page, here), [5, 6]);
}

#[test]
fn a_mirror_keeps_its_number_and_leaves_nothing_behind() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let before = page.set_mirrors(&urls(&["a", "b"])).unwrap();
    for mirror in &before {
        page.push_backlog(*mirror, OutboxSeq(1), &revision("38383:n:1", 10))
            .unwrap();
        let known = page.mirror(*mirror).unwrap().unwrap();
        let refused = Mirror {
            given_up: 3,
            ..known
        };
        page.put_mirror(*mirror, &refused).unwrap();
    }
    page.commit().unwrap();

    let mut page = ledger.page().unwrap();
    let after = page.set_mirrors(&urls(&["c", "b"])).unwrap();
    assert_eq!(after[1], before[1]);
    assert!(!before.contains(&after[0]));
    assert_eq!(waiting(&page, before[0]), [] as [u64; 0]);
    assert_eq!(page.count(Table::BacklogAddresses).unwrap(), 1);
    assert_eq!(waiting(&page, after[1]), [1]);
    let given_up: Vec<_> = page
        .mirrors()
        .unwrap()
        .iter()
        .map(|(_, m)| m.given_up)
        .collect();
    assert_eq!(given_up, [3, 0]);

    let gone = page.mirror(after[0]).unwrap().unwrap();
    page.put_mirror(before[0], &gone).unwrap();
    assert_eq!(
        page.mirror(before[0]).unwrap(),
        None,
        "it does not come back"
    );
}

#[test]
fn a_new_mirror_gets_what_is_on_its_way_to_the_own_relay() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for row in [revision("38383:n:1", 10), letter(1, 11)] {
        page.push_outbox(&row).unwrap();
    }
    let mirrors = page.set_mirrors(&urls(&["a"])).unwrap();
    assert_eq!(waiting(&page, mirrors[0]), [1], "letters are for who asks");
    page.done_outbox(&[OutboxSeq(1)]).unwrap();
    let again = page.set_mirrors(&urls(&["a", "b"])).unwrap();
    assert_eq!(waiting(&page, again[0]), [1]);
    assert_eq!(waiting(&page, again[1]), [] as [u64; 0]);
}

#[test]
fn what_was_published_before_waits_once_and_behind_what_is_newer() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let mirror = page.set_mirrors(&urls(&["a"])).unwrap()[0];
    assert_eq!(
        page.mirror(mirror).unwrap().unwrap().filled,
        Filled::Nothing
    );
    let newer = revision("38383:n:1", 20);
    let seq = page.push_outbox(&newer).unwrap();
    page.push_backlog(mirror, seq, &newer).unwrap();
    for before in [revision("38383:n:1", 10), revision("38383:n:2", 9)] {
        page.fill_backlog(mirror, &before).unwrap();
        page.fill_backlog(mirror, &before).unwrap();
    }
    let rows = page.backlog_from(mirror, OutboxSeq(0), 10).unwrap();
    let times: Vec<_> = rows.iter().map(|(_, row)| row.created_at.0).collect();
    assert_eq!(times, [20, 9]);
    let next = page.push_outbox(&newer).unwrap();
    assert!(next > rows[1].0, "no number is given twice");
}

#[test]
fn a_path_lives_from_its_last_use() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    let mirrors = page.set_mirrors(&urls(&["a", "b"])).unwrap();
    let (alice, bob) = (trade_key(1), trade_key(2));
    page.put_path(alice, mirrors[0], UnixTime(10)).unwrap();
    page.put_path(alice, mirrors[1], UnixTime(10)).unwrap();
    page.put_path(bob, mirrors[1], UnixTime(11)).unwrap();
    page.put_path(alice, mirrors[1], UnixTime(12)).unwrap();
    assert_eq!(page.paths_of(alice).unwrap(), mirrors);
    assert_eq!(page.purge_paths(UnixTime(12), 100).unwrap(), 2);
    assert_eq!(page.paths_of(alice).unwrap(), [mirrors[1]]);
    assert_eq!(page.paths_of(bob).unwrap(), []);
}

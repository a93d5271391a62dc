//! The journal shows every change that was made behind the node's back.

use escrow_core::UnixTime;

use super::samples::order_id;
use crate::ledger::journal::ChainedEntry;
use crate::ledger::key::key;
use crate::ledger::table::Table;
use crate::ledger::{BrokenJournal, JournalEntry, Ledger, Page, VerifiedJournal};

const ENTRIES: u64 = 9;

fn entry(at: u64) -> JournalEntry {
    JournalEntry {
        at: UnixTime(at),
        origin: "operator".into(),
        order: at
            .is_multiple_of(2)
            .then(|| order_id(u8::try_from(at).unwrap())),
        command: "admin-settle".into(),
        outcome: "done".into(),
    }
}

fn written() -> Ledger {
    let mut ledger = Ledger::in_memory();
    for at in 1..=ENTRIES {
        let mut page = ledger.page().unwrap();
        page.push_journal(&entry(at)).unwrap();
        page.commit().unwrap();
    }
    ledger
}

fn verify(ledger: &Ledger) -> Result<VerifiedJournal, BrokenJournal> {
    let view = ledger.views().view().unwrap();
    view.verify_journal().unwrap()
}

fn tampered(with: impl FnOnce(&mut Page<'_>)) -> Result<VerifiedJournal, BrokenJournal> {
    let mut ledger = written();
    let mut page = ledger.page().unwrap();
    with(&mut page);
    page.commit().unwrap();
    verify(&ledger)
}

fn rewrite(page: &mut Page<'_>, number: u64, change: impl FnOnce(&mut ChainedEntry)) {
    let mut row: ChainedEntry = page.record(Table::Journal, &number).unwrap().unwrap();
    change(&mut row);
    page.put_record(Table::Journal, &number, &row).unwrap();
}

#[test]
fn a_journal_that_nobody_touched_is_verified_up_to_its_head() {
    let ledger = written();
    let verified = verify(&ledger).unwrap();
    assert_eq!(verified.entries, ENTRIES);
    assert_eq!(verified.head.number, ENTRIES);
    assert_eq!(verified.checkpoint.number, 0);
    assert_eq!(verify(&Ledger::in_memory()).unwrap().entries, 0);
}

#[test]
fn every_field_of_every_entry_is_sealed() {
    let changes: [fn(&mut ChainedEntry); 6] = [
        |row| row.entry.at.0 += 1,
        |row| row.entry.origin.push('!'),
        |row| row.entry.order = Some(order_id(99)),
        |row| row.entry.command = "admin-cancel".into(),
        |row| row.entry.outcome.clear(),
        |row| row.digest = None,
    ];
    for number in [1, 5, ENTRIES] {
        for change in changes {
            let broken = tampered(|page| rewrite(page, number, change));
            assert_eq!(broken, Err(BrokenJournal::Changed(number)));
        }
    }
}

#[test]
fn text_that_moves_from_one_field_to_the_next_shows() {
    let broken = tampered(|page| {
        rewrite(page, 3, |row| {
            row.entry.command = "admin-settled".into();
            row.entry.outcome = "one".into();
        });
    });
    assert_eq!(broken, Err(BrokenJournal::Changed(3)));
}

#[test]
fn an_entry_that_is_gone_or_swapped_shows() {
    for number in [1, 5, ENTRIES] {
        let broken = tampered(|page| page.remove(Table::Journal, key(&number)).unwrap());
        assert_eq!(broken, Err(BrokenJournal::Missing(number)));
    }
    let broken = tampered(|page| {
        let four: ChainedEntry = page.record(Table::Journal, &4u64).unwrap().unwrap();
        let five: ChainedEntry = page.record(Table::Journal, &5u64).unwrap().unwrap();
        page.put_record(Table::Journal, &4u64, &five).unwrap();
        page.put_record(Table::Journal, &5u64, &four).unwrap();
    });
    assert_eq!(broken, Err(BrokenJournal::Changed(4)));
}

#[test]
fn a_forged_end_does_not_fit_a_head_that_somebody_wrote_down() {
    let mut ledger = written();
    let head = verify(&ledger).unwrap().head;
    let mut other = Ledger::in_memory();
    for at in 1..=ENTRIES {
        let mut page = other.page().unwrap();
        let mut entry = entry(at);
        if at == 5 {
            entry.outcome = "not_found".into();
        }
        page.push_journal(&entry).unwrap();
        page.commit().unwrap();
    }
    assert_ne!(verify(&other).unwrap().head, head);
    let mut page = ledger.page().unwrap();
    page.push_journal(&entry(10)).unwrap();
    page.commit().unwrap();
    assert_ne!(verify(&ledger).unwrap().head, head);
}

#[test]
fn what_is_pruned_leaves_a_checkpoint_from_which_the_rest_is_verified() {
    let mut ledger = written();
    let before = verify(&ledger).unwrap();
    let mut page = ledger.page().unwrap();
    assert_eq!(page.prune_journal(UnixTime(4), 100).unwrap(), 3);
    page.commit().unwrap();
    let pruned = verify(&ledger).unwrap();
    assert_eq!(pruned.head, before.head);
    assert_eq!((pruned.checkpoint.number, pruned.entries), (3, 6));

    let mut page = ledger.page().unwrap();
    rewrite(&mut page, 4, |row| row.entry.outcome.clear());
    page.commit().unwrap();
    assert_eq!(verify(&ledger), Err(BrokenJournal::Changed(4)));

    let mut emptied = written();
    let mut page = emptied.page().unwrap();
    page.prune_journal(UnixTime(100), 100).unwrap();
    page.push_journal(&entry(100)).unwrap();
    page.commit().unwrap();
    assert_eq!(verify(&emptied).unwrap().entries, 1);
}

#[test]
fn a_chain_begins_behind_entries_that_are_older_than_it() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    for number in 1..=2u64 {
        assert_eq!(page.push_journal(&entry(number)).unwrap(), number);
        rewrite(&mut page, number, |row| row.digest = None);
    }
    page.remove(Table::Node, b"journal_head".to_vec()).unwrap();
    assert_eq!(page.push_journal(&entry(3)).unwrap(), 3);
    page.commit().unwrap();
    let verified = verify(&ledger).unwrap();
    assert_eq!((verified.checkpoint.number, verified.entries), (2, 1));
}

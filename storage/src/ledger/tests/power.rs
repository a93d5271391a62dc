//! Power cuts and failing disks.

use escrow_core::UnixTime;

use super::samples::{letter, order_id, pending};
use crate::ledger::{Ledger, OutboxSeq, StorageError, Views};
use crate::testing::{PowerCutDisk, Trouble};

/// Commits an order with its letter, as a decision would.
fn trade(ledger: &mut Ledger, n: u8) -> Result<(), StorageError> {
    let mut page = ledger.page()?;
    page.put_order(pending(n))?;
    page.push_outbox(&letter(n, n.into()))?;
    page.commit()
}

/// The orders 1 … n that are there; an order without its letter fails.
fn trades(views: &Views) -> u8 {
    let view = views.view().unwrap();
    let letters = view.outbox_from(OutboxSeq(0), usize::MAX).unwrap();
    let orders: Vec<_> = view
        .living_orders()
        .unwrap()
        .map(|order| order.unwrap().id)
        .collect();
    let count = u8::try_from(orders.len()).unwrap();
    assert_eq!(orders, (1..=count).map(order_id).collect::<Vec<_>>());
    assert_eq!(
        letters,
        (1..=count)
            .map(|n| (OutboxSeq(n.into()), letter(n, n.into())))
            .collect::<Vec<_>>()
    );
    count
}

#[test]
fn what_is_committed_survives_every_power_cut() {
    let disk = PowerCutDisk::new();
    let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
    for n in 1..=20 {
        trade(&mut ledger, n).unwrap();
        let mut after = Ledger::with_backend(disk.after_power_cut()).unwrap();
        assert_eq!(trades(&after.views()), n);
        trade(&mut after, n + 1).unwrap();
        assert_eq!(trades(&after.views()), n + 1);
    }
}

#[test]
fn a_power_cut_inside_a_commit_leaves_it_whole_or_not_at_all() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..60 {
        let disk = PowerCutDisk::new();
        let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
        (1..=3).for_each(|n| trade(&mut ledger, n).unwrap());
        disk.cut_power_after(seed % 2);
        assert!(trade(&mut ledger, 4).unwrap_err().is_temporary());

        let left = Ledger::with_backend(disk.after_messy_power_cut(seed)).unwrap();
        match trades(&left.views()) {
            3 => before += 1,
            4 => after += 1,
            other => panic!("seed {seed}: {other} trades"),
        }
    }
    assert!(
        before > 0 && after > 0,
        "both outcomes were tried: {before} and {after}"
    );
}

#[test]
fn a_power_cut_while_the_tables_are_made_leaves_all_of_them_or_none() {
    let mut cuts = 0;
    for syncs in 0.. {
        let disk = PowerCutDisk::new();
        drop(
            redb::Builder::new()
                .create_with_backend(disk.clone())
                .unwrap(),
        );
        disk.cut_power_after(syncs);
        let is_made = Ledger::with_backend(disk.clone()).is_ok();
        let mut ledger = Ledger::with_backend(disk.after_power_cut()).unwrap();
        trade(&mut ledger, 1).unwrap();
        assert_eq!(trades(&ledger.views()), 1);
        if is_made {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 0, "making the tables syncs at least once");
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    Ledger::open(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_whose_making_was_cut_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let unfinished = folder.path().join("ledger.redb.new");
    std::fs::write(&unfinished, [0; 4096]).unwrap();
    let mut ledger = Ledger::open(&path).unwrap();
    trade(&mut ledger, 1).unwrap();
    assert!(!unfinished.exists());
    drop(ledger);
    assert_eq!(trades(&Ledger::open(&path).unwrap().views()), 1);
}

#[test]
fn after_a_failed_commit_reopening_tells_whether_it_happened() {
    for trouble in [Trouble::Refuses, Trouble::SyncsAndComplains] {
        let disk = PowerCutDisk::new();
        let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
        let views = ledger.views();
        trade(&mut ledger, 1).unwrap();
        let reader = views.view().unwrap();

        disk.set_trouble(trouble);
        let error = trade(&mut ledger, 2).unwrap_err();
        assert!(error.is_temporary(), "{error}");
        assert!(
            trade(&mut ledger, 2).is_err(),
            "the ledger stays shut until it is reopened"
        );
        assert!(
            ledger.reopen().is_err(),
            "and cannot be reopened on a broken disk"
        );
        assert!(views.view().unwrap_err().is_temporary());

        disk.set_trouble(Trouble::None);
        ledger.reopen().unwrap();
        let found = trades(&views);
        let is_possible = found == 1 || found == 2 && trouble == Trouble::SyncsAndComplains;
        assert!(is_possible, "{trouble:?}: {found}");
        trade(&mut ledger, found + 1).unwrap();
        assert_eq!(
            trades(&views),
            found + 1,
            "the old handle reads the reopened ledger"
        );
        drop(reader);
    }
}

#[test]
fn a_commit_may_have_happened_although_it_failed() {
    let disk = PowerCutDisk::new();
    let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
    trade(&mut ledger, 1).unwrap();
    // The first of the two syncs of a commit passes. Of what the second would
    // have made durable, some seed keeps everything that counts.
    disk.cut_power_after(1);
    trade(&mut ledger, 2).unwrap_err();
    let found = |seed| {
        trades(
            &Ledger::with_backend(disk.after_messy_power_cut(seed))
                .unwrap()
                .views(),
        )
    };
    assert!((0..32).any(|seed| found(seed) == 2));
}

#[test]
fn a_commit_syncs_and_an_empty_page_does_not() {
    let disk = PowerCutDisk::new();
    let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
    let before = disk.counts();
    let mut page = ledger.page().unwrap();
    page.remove_timer(escrow_core::timer::Timer {
        at: UnixTime(1),
        order: order_id(1),
        kind: escrow_core::timer::TimerKind::OpeningHold,
    })
    .unwrap();
    page.commit().unwrap();
    assert_eq!(
        disk.counts(),
        before,
        "nothing was changed, nothing is written"
    );

    trade(&mut ledger, 1).unwrap();
    assert_eq!(disk.counts().syncs - before.syncs, 2);
    assert!(disk.counts().written_bytes > before.written_bytes);
}

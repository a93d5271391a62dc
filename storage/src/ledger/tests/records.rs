//! Old records are read, records from the future are refused.

use std::collections::HashSet;
use std::fmt::Debug;
use std::mem::discriminant;

use escrow_core::UnixTime;
use escrow_core::books::Entry;
use escrow_core::dispute::Dispute;
use escrow_core::hold::Hold;
use escrow_core::order::EndedTake;
use escrow_core::payout::{Attempt, Payout, PayoutState};
use escrow_core::user::User;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::samples::{attempts, fixture, holds, orders, payouts};
use crate::ledger::journal::ChainedEntry;
use crate::ledger::record::{Record, decode, encode};
use crate::ledger::seen::Seen;
use crate::ledger::table::Table;
use crate::ledger::{
    Latch, Ledger, LightningNode, Mirror, NodeIdentity, OutboxRow, SetAside, StorageError,
    UnknownPayment,
};

/// Reads the bytes that version 1 wrote, and what this version makes of them.
fn survives<R: Record + PartialEq + Debug>(table: Table, bytes: &[u8]) {
    let records: Vec<R> = fixture(table, bytes);
    assert!(!records.is_empty(), "{} has a fixture", table.name());
    for record in records {
        assert_eq!(decode::<R>(table, &encode(&record)).unwrap(), record);
    }
}

#[test]
fn records_of_version_1_are_read() {
    survives::<User>(Table::Users, include_bytes!("../fixtures/users.v1"));
    survives::<Dispute>(Table::Disputes, include_bytes!("../fixtures/disputes.v1"));
    survives::<EndedTake>(
        Table::EndedTakes,
        include_bytes!("../fixtures/ended_takes.v1"),
    );
    survives::<Hold>(
        Table::Holds,
        include_bytes!("../fixtures/holds_near_their_end.v1"),
    );
    survives::<Attempt>(
        Table::Attempts,
        include_bytes!("../fixtures/attempts_lost.v1"),
    );
    survives::<Entry>(Table::Entries, include_bytes!("../fixtures/entries.v1"));
    survives::<Latch>(Table::Node, include_bytes!("../fixtures/latch.v1"));
    survives::<UnknownPayment>(
        Table::UnknownPayments,
        include_bytes!("../fixtures/unknown_payments.v1"),
    );
    survives::<Seen>(Table::Seen, include_bytes!("../fixtures/seen.v1"));
    survives::<OutboxRow>(Table::Outbox, include_bytes!("../fixtures/outbox.v1"));
    survives::<ChainedEntry>(Table::Journal, include_bytes!("../fixtures/journal.v1"));
    survives::<SetAside>(Table::SetAside, include_bytes!("../fixtures/set_aside.v1"));
    survives::<Mirror>(Table::Mirrors, include_bytes!("../fixtures/mirrors.v1"));
    survives::<NodeIdentity>(Table::Node, include_bytes!("../fixtures/node.v1"));
    survives::<LightningNode>(Table::Node, include_bytes!("../fixtures/lightning_node.v1"));
}

#[test]
fn records_of_version_1_are_read_in_every_state() {
    fn round<R: Record + PartialEq + Debug>(table: Table, records: &[R]) {
        for record in records {
            assert_eq!(&decode::<R>(table, &encode(record)).unwrap(), record);
        }
    }
    round(Table::Orders, &orders());
    round(Table::Holds, &holds());
    round(Table::Payouts, &payouts());
    round(Table::Attempts, &attempts());

    let stages: HashSet<_> = orders()
        .iter()
        .map(|order| discriminant(&order.stage))
        .collect();
    let holds: HashSet<_> = holds()
        .iter()
        .map(|hold| discriminant(&hold.state))
        .collect();
    let payouts: HashSet<_> = payouts().iter().map(|p| discriminant(&p.state)).collect();
    let attempts: HashSet<_> = attempts().iter().map(|a| discriminant(&a.state)).collect();
    assert_eq!(
        (stages.len(), holds.len(), payouts.len(), attempts.len()),
        (14, 8, 6, 3)
    );
}

#[test]
fn payouts_of_version_2_are_read_and_those_of_version_1_ask_at_once() {
    survives::<Payout>(Table::Payouts, include_bytes!("../fixtures/payouts.v2"));
    survives::<Payout>(
        Table::Payouts,
        include_bytes!("../fixtures/payouts_queued.v2"),
    );
    survives::<Payout>(
        Table::Payouts,
        include_bytes!("../fixtures/payouts_to_addresses.v2"),
    );
    survives::<Payout>(
        Table::Payouts,
        include_bytes!("../fixtures/payouts_written_off.v2"),
    );
    let states: Vec<_> = payouts().iter().map(|payout| payout.state).collect();
    let at_once = PayoutState::NeedInvoice {
        asked: 0,
        again_at: UnixTime(0),
    };
    assert!(states.contains(&at_once), "{states:?}");
}

/// A kind of record whose shape has changed twice.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    sats: u64,
    fee: u64,
}

impl Record for Price {
    const VERSION: u8 = 3;

    fn upgrade(from: u8, mut json: Value) -> Value {
        if from == 1 {
            json = json!({ "sats": json["amount"] });
        } else {
            json["fee"] = json!(0);
        }
        json
    }
}

#[test]
fn an_older_record_is_upgraded_step_by_step() {
    let read = |bytes: &[u8]| decode::<Price>(Table::Orders, bytes).unwrap();
    assert_eq!(read(b"\x01{\"amount\":7}"), Price { sats: 7, fee: 0 });
    assert_eq!(read(b"\x02{\"sats\":7}"), Price { sats: 7, fee: 0 });
    assert_eq!(
        read(b"\x03{\"sats\":7,\"fee\":1}"),
        Price { sats: 7, fee: 1 }
    );
    assert_eq!(
        encode(&Price { sats: 7, fee: 1 }),
        b"\x03{\"sats\":7,\"fee\":1}"
    );
}

#[test]
fn a_record_from_the_future_is_a_clear_error() {
    let error = decode::<Price>(Table::Orders, b"\x04{}").unwrap_err();
    assert!(matches!(
        error,
        StorageError::NewerRecord {
            table: "orders",
            found: 4,
            known: 3
        }
    ));
    assert!(!error.is_temporary());
}

#[test]
fn a_damaged_record_names_its_table() {
    for bytes in [
        &b""[..],
        b"\x00{}",
        b"\x01{}",
        b"\x03",
        b"\x03{\"sats\":-1,\"fee\":0}",
    ] {
        let error = decode::<Price>(Table::Holds, bytes).unwrap_err();
        assert!(
            matches!(error, StorageError::Damaged { table: "holds", .. }),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_damaged_row_is_an_error_of_the_question_that_reads_it() {
    let mut ledger = Ledger::in_memory();
    let mut page = ledger.page().unwrap();
    page.put(Table::Orders, vec![7; 16], b"\x09{}".to_vec())
        .unwrap();
    page.put(Table::Timers, vec![7; 3], Vec::new()).unwrap();
    page.commit().unwrap();

    let view = ledger.views().view().unwrap();
    let order = view.living_orders().unwrap().next().unwrap();
    assert!(matches!(
        order,
        Err(StorageError::NewerRecord { found: 9, .. })
    ));
    assert!(matches!(
        view.next_timer(),
        Err(StorageError::Damaged {
            table: "timers",
            ..
        })
    ));
}

//! The time of the ledger: it never runs backwards, and tells how long the
//! node was away.
#![expect(clippy::unwrap_used, reason = "a story ends at its first surprise")]

use std::sync::Arc;

use escrow_core::UnixTime;
use escrow_core::command::{Ask, NewOrder, Request, Sender};
use escrow_core::order::{OrderId, Side};
use escrow_core::party::{Identity, TradeKey};
use escrow_core::stage::Stage;
use escrow_core::terms::Terms;
use escrow_core::wire::Transport;
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::known_keys::KnownKeys;
use escrow_engine::preimages::Preimages;
use escrow_engine::prices::NoPrices;
use escrow_engine::submission::{Path, Receipt, Submission, TraderMessage};
use escrow_engine::writer::Engine;
use nostr::key::{Keys, SecretKey};
use secrecy::SecretBox;
use storage::ledger::{Ledger, SeenKey, Tip};
use storage::testing::{PowerCutDisk, Trouble};

const START: UnixTime = UnixTime(1_700_000_000);

fn keys(number: u8) -> Keys {
    Keys::new(SecretKey::from_slice(&[number; 32]).unwrap())
}

/// A process on what a power cut has left of the disk.
fn process(disk: &PowerCutDisk) -> Engine {
    let writing_desk = Desk {
        keys: keys(9),
        terms: Terms::default(),
        stationery: Stationery {
            network: "regtest".into(),
            relays: Vec::new(),
            instance: None,
            closed_order_secs: 86_400,
            dispute_secs: 86_400,
            rating_secs: 86_400,
            dev_fee_secs: 365 * 86_400,
            letter_secs: 86_400,
        },
        preimages: Arc::new(Preimages::new(SecretBox::new(Box::new([7; 32])))),
        entropy: Entropy::seeded(1),
        prices: Arc::new(NoPrices),
        lightning_is_ready: true,
        sealing: Sealing::Off,
    };
    let ledger = Ledger::with_backend(disk.clone()).unwrap();
    Engine::new(ledger, writing_desk, KnownKeys::default()).unwrap()
}

fn says(number: u8, order: Option<OrderId>, ask: Ask) -> Submission {
    let request = Request {
        sender: Sender {
            trade_key: TradeKey(keys(number).public_key()),
            identity: Identity::FullPrivacy,
            transport: Transport::Direct,
        },
        request_id: None,
        trade_index: None,
        order,
        signed_at: START,
        ask,
    };
    Submission::Message(TraderMessage {
        event: [number; 32],
        inner: [number; 32],
        request,
        path: Path::OwnRelay,
    })
}

/// An order that was taken at `START`; its buyer owes an invoice.
fn taken(engine: &mut Engine) -> OrderId {
    let offer = NewOrder {
        side: Some(Side::Sell),
        fiat_code: "EUR".into(),
        sats: 10_000,
        fiat: 10,
        min_fiat: None,
        max_fiat: None,
        premium: 0,
        payment_method: "cash".into(),
        expires_at: None,
        payout: None,
        names_mint: false,
    };
    decides(engine, says(1, None, Ask::NewOrder(offer)));
    let id = living(engine);
    let take = Ask::TakeSell {
        payout: None,
        fiat: None,
    };
    decides(engine, says(2, Some(id), take));
    id
}

fn decides(engine: &mut Engine, message: Submission) {
    let outcome = engine.step(START, &[message], &[]).unwrap();
    assert_eq!(outcome.receipts, [Receipt::Decided]);
}

fn living(engine: &Engine) -> OrderId {
    let view = engine.views().view().unwrap();
    view.living_orders().unwrap().next().unwrap().unwrap().id
}

fn deadline(engine: &Engine, order: OrderId) -> UnixTime {
    let order = engine.views().view().unwrap().order(order).unwrap();
    order.unwrap().stage.deadline().unwrap()
}

#[test]
fn now_never_runs_backwards_inside_the_ledger_not_across_a_restart_either() {
    let disk = PowerCutDisk::new();
    let mut engine = process(&disk);
    let later = START.plus(3_600);
    engine
        .step(later, &[Submission::Tip(Some(10))], &[])
        .unwrap();
    drop(engine);
    let mut engine = process(&disk.after_power_cut());
    engine
        .step(START, &[Submission::Tip(Some(11))], &[])
        .unwrap();
    let tip = engine.views().view().unwrap().tip().unwrap();
    let seen_at = later;
    assert_eq!(
        tip,
        Some(Tip {
            height: 11,
            seen_at
        })
    );
}

#[test]
fn e11_the_node_was_alive_until_its_last_commit() {
    let disk = PowerCutDisk::new();
    let mut engine = process(&disk);
    let order = taken(&mut engine);
    let before = deadline(&engine, order);
    let last = START.plus(500);
    engine
        .step(last, &[Submission::Tip(Some(10))], &[])
        .unwrap();
    drop(engine);
    let mut engine = process(&disk.after_power_cut());
    engine.take_up(last.plus(7_200)).unwrap();
    assert_eq!(deadline(&engine, order), before.plus(7_200));
    engine.take_up(last.plus(7_200)).unwrap();
    assert_eq!(deadline(&engine, order), before.plus(7_200), "done once");
}

#[test]
fn e14_a_jump_moves_deadlines_once_however_often_it_is_written() {
    let mut engine = process(&PowerCutDisk::new());
    let order = taken(&mut engine);
    let before = deadline(&engine, order);
    engine.hold_timers();
    let jumped = START.plus(100 + 3_600);
    // The step after the first may have failed, or its own commit may have
    // been on disk although it was said to have failed.
    for _ in 0..2 {
        engine.let_timers_go(jumped, 3_600).unwrap();
        assert_eq!(deadline(&engine, order), before.plus(3_600));
    }
}

#[test]
fn e14_the_ledger_follows_a_clock_that_is_set_back_once_however_often_it_is_written() {
    let disk = PowerCutDisk::new();
    let mut engine = process(&disk);
    let order = taken(&mut engine);
    let before = deadline(&engine, order);
    engine.hold_timers();
    let back = UnixTime(START.0 - 1_800);
    let moved = UnixTime(before.0 - 1_800);
    for _ in 0..2 {
        engine.let_timers_go(back, 0).unwrap();
        assert_eq!(deadline(&engine, order), moved);
    }
    drop(engine);
    // It is only drift for the next process, and nobody was away.
    let mut engine = process(&disk.after_power_cut());
    engine.take_up(UnixTime(back.0 - 60)).unwrap();
    assert_eq!(deadline(&engine, order), moved);
    engine.step(moved, &[], &[]).unwrap();
    let taken = engine.views().view().unwrap().order(order).unwrap();
    assert_eq!(
        taken.unwrap().stage,
        Stage::Pending,
        "its step was over in time"
    );
}

#[test]
fn e14_a_commit_of_unknown_outcome_moves_nothing_twice() {
    for trouble in [Trouble::Refuses, Trouble::SyncsAndComplains] {
        let disk = PowerCutDisk::new();
        let mut engine = process(&disk);
        let order = taken(&mut engine);
        let before = deadline(&engine, order);
        engine.hold_timers();
        let back = UnixTime(START.0 - 1_800);
        disk.set_trouble(trouble);
        engine.let_timers_go(back, 0).unwrap_err();
        disk.set_trouble(Trouble::None);
        engine.reopen().unwrap();
        engine.let_timers_go(back, 0).unwrap();
        assert_eq!(
            deadline(&engine, order),
            UnixTime(before.0 - 1_800),
            "{trouble:?}"
        );
    }
}

#[test]
fn e14_a_process_that_starts_with_the_clock_set_back_follows_it() {
    let disk = PowerCutDisk::new();
    let mut engine = process(&disk);
    let order = taken(&mut engine);
    let before = deadline(&engine, order);
    drop(engine);
    let mut engine = process(&disk.after_power_cut());
    engine.take_up(UnixTime(START.0 - 86_400)).unwrap();
    assert_eq!(deadline(&engine, order), UnixTime(before.0 - 86_400));
}

#[test]
fn what_is_too_old_is_forgotten_step_by_step_until_nothing_is_left() {
    let disk = PowerCutDisk::new();
    let mut ledger = Ledger::with_backend(disk.clone()).unwrap();
    let mut page = ledger.page().unwrap();
    for number in 0..1_200_u32 {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&number.to_be_bytes());
        page.put_seen(SeenKey::Event(name), START).unwrap();
    }
    page.commit().unwrap();
    drop(ledger);
    let mut engine = process(&disk);
    let mut left_after = |secs: u64, batch: &[Submission]| {
        engine.step(START.plus(secs), batch, &[]).unwrap();
        engine.views().view().unwrap().seen_len().unwrap()
    };
    let three_days = 72 * 3_600 + 1;
    assert_eq!(
        left_after(three_days, &[]),
        1_200,
        "nobody asks before the heartbeat"
    );
    assert_eq!(left_after(three_days, &[Submission::Heartbeat]), 688);
    assert_eq!(left_after(three_days, &[]), 176);
    assert_eq!(left_after(three_days, &[]), 0);
}

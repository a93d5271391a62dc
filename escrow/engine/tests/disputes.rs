//! Stories of disputes: solvers who rule, and the operator's own hand.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use escrow_core::command::{Ask, Govern};
use escrow_core::freshness::Stale;
use escrow_core::maintenance::BegunBy;
use escrow_core::order::OrderId;
use escrow_core::wire::{Action, CantDo, OrderKind, Payload, Transport};
use escrow_engine::clock::Clock;
use escrow_engine::submission::{OperatorWord, Receipt, Refusal};
use storage::ledger::JournalEntry;

use house::steps::{alice, bob, operator_says, refused, secs, trade_until_fiat_sent};
use house::{House, Trader, offer};

/// Writes from his identity itself, as solvers' clients do.
fn judge(number: u8, transport: Transport) -> Trader {
    Trader::new(number, "carol", transport).under_his_identity()
}

async fn operates(house: &House, ask: Ask, order: Option<OrderId>) -> Result<(), CantDo> {
    let ask = Box::new(ask);
    let receipt = operator_says(house, OperatorWord::Asks { ask, order }).await;
    let Receipt::Ruled(outcome) = receipt else {
        panic!("{receipt:?} is no ruling");
    };
    outcome
}

async fn registers(house: &House, judge: &Trader, permission: &str) {
    let text = Some(format!("{}{permission}", judge.keys.public_key().to_hex()));
    let add = Ask::Govern(Govern::AddSolver { text });
    assert_eq!(operates(house, add, None).await, Ok(()));
}

/// Alice sells, Bob has sent the fiat, and Alice does not agree.
async fn disputed(house: &House, alice: &mut Trader, bob: &mut Trader) -> (OrderId, OrderId) {
    let order = trade_until_fiat_sent(house, alice, bob).await;
    alice.says(house, Action::Dispute, Some(order), None).await;
    let opened = alice.hears(house, Action::DisputeInitiatedByYou).await;
    bob.hears(house, Action::DisputeInitiatedByPeer).await;
    let Some(Payload::Dispute(dispute, None)) = opened.payload else {
        panic!("no dispute");
    };
    // A solver names the dispute in the place of the order.
    (order, OrderId(dispute))
}

#[tokio::test(start_paused = true)]
async fn a2_a10_d5_d9_a_solver_rules_for_the_buyer_on_both_transports() {
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let house = House::open().await;
        let (mut alice, mut bob) = (alice(), bob());
        let (mut judge, mut other) = (judge(7, transport), judge(8, transport));
        registers(&house, &judge, ":read-write").await;
        registers(&house, &other, "").await;
        let known = house.handle().known_keys();
        assert!(known.knows(&judge.keys.public_key()), "d9");
        let (order, dispute) = disputed(&house, &mut alice, &mut bob).await;

        judge
            .says(&house, Action::AdminSettle, Some(order), None)
            .await;
        let why = refused(&judge.hears(&house, Action::CantDo).await);
        assert_eq!(why, CantDo::IsNotYourDispute);
        judge
            .says(&house, Action::AdminTakeDispute, Some(dispute), None)
            .await;
        let taken = judge.hears(&house, Action::AdminTookDispute).await;
        assert_eq!(taken.id, Some(dispute.0));
        let Some(Payload::Dispute(_, Some(info))) = taken.payload else {
            panic!("no info");
        };
        assert_eq!((info.hash, info.preimage), (None, None), "d5");
        alice.hears(&house, Action::AdminTookDispute).await;
        bob.hears(&house, Action::AdminTookDispute).await;
        other
            .says(&house, Action::AdminTakeDispute, Some(dispute), None)
            .await;
        let why = refused(&other.hears(&house, Action::CantDo).await);
        assert_eq!(why, CantDo::InvalidPubkey);

        judge
            .says(&house, Action::AdminSettle, Some(order), None)
            .await;
        judge.hears(&house, Action::AdminSettled).await;
        alice.hears(&house, Action::AdminSettled).await;
        bob.hears(&house, Action::AdminSettled).await;
        bob.hears(&house, Action::PurchaseCompleted).await;
        bob.hears(&house, Action::Rate).await;
        let paid = house::SATS - house::FEE;
        assert_eq!(house.balance("bob").await.0, (1_000_000 + paid) * 1_000);
        assert!(house.view().open_disputes().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a11_a_solver_rules_for_the_seller_across_a_power_cut() {
    let mut house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let mut judge = judge(7, Transport::Direct);
    registers(&house, &judge, "").await;
    let (order, dispute) = disputed(&house, &mut alice, &mut bob).await;
    judge
        .says(&house, Action::AdminTakeDispute, Some(dispute), None)
        .await;
    judge.hears(&house, Action::AdminTookDispute).await;
    alice.hears(&house, Action::AdminTookDispute).await;
    bob.hears(&house, Action::AdminTookDispute).await;

    let ruled = judge
        .says(&house, Action::AdminCancel, Some(order), None)
        .await;
    assert_eq!(ruled, Receipt::Decided);
    house.lose_power();
    house.start().await.unwrap();
    judge.hears(&house, Action::AdminCanceled).await;
    alice.hears(&house, Action::AdminCanceled).await;
    bob.hears(&house, Action::AdminCanceled).await;
    assert_eq!(house.balance("alice").await.0, 1_000_000_000);
    assert_eq!(
        house.until(|| Some(house.book_says(order))).await,
        "canceled"
    );
}

#[tokio::test(start_paused = true)]
async fn a6_a14_a15_the_operator_takes_a_dispute_over_and_solvers_come_and_go() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let mut judge = judge(7, Transport::Direct);
    registers(&house, &judge, ":read").await;
    let (order, dispute) = disputed(&house, &mut alice, &mut bob).await;
    judge
        .says(&house, Action::AdminTakeDispute, Some(dispute), None)
        .await;
    judge.hears(&house, Action::AdminTookDispute).await;
    judge
        .says(&house, Action::AdminSettle, Some(order), None)
        .await;
    let why = refused(&judge.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::NotAuthorized, "a6");

    let settle = Ask::AdminSettle { slashes: false };
    let early = operates(&house, settle.clone(), Some(order)).await;
    assert_eq!(
        early,
        Err(CantDo::IsNotYourDispute),
        "a10 he takes it first"
    );
    let id = escrow_core::dispute::DisputeId(dispute.0);
    let take = Ask::TakeDispute(Some(id));
    assert_eq!(operates(&house, take, None).await, Ok(()));
    judge.hears(&house, Action::AdminTookDispute).await;
    assert_eq!(operates(&house, settle, Some(order)).await, Ok(()));
    bob.hears(&house, Action::AdminTookDispute).await;
    bob.hears(&house, Action::AdminTookDispute).await;
    bob.hears(&house, Action::AdminSettled).await;

    let key = escrow_core::party::IdentityKey(judge.keys.public_key());
    let remove = Ask::Govern(Govern::RemoveSolver(key));
    assert_eq!(operates(&house, remove.clone(), None).await, Ok(()));
    assert_eq!(operates(&house, remove, None).await, Err(CantDo::NotFound));
    let known = house.handle().known_keys();
    assert!(!known.knows(&judge.keys.public_key()));
}

/// What he says of a dispute counts late if it has not moved since.
#[tokio::test(start_paused = true)]
async fn g7_a_late_take_of_a_dispute_that_has_not_moved_is_honoured() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let (mut judge, other) = (judge(7, Transport::Direct), judge(8, Transport::Direct));
    registers(&house, &judge, ":read-write").await;
    registers(&house, &other, ":read-write").await;
    let (_, dispute) = disputed(&house, &mut alice, &mut bob).await;
    secs(1).await;
    let take = |solver: &Trader| {
        let action = Action::AdminTakeDispute;
        solver.letter(&house, action, Some(dispute), None)
    };
    let (first, second) = (take(&judge), take(&other));
    secs(600).await;
    let receipt = house.handle().submit(house::SOURCE, first).await;
    assert_eq!(receipt, Receipt::Decided);
    judge.hears(&house, Action::AdminTookDispute).await;
    let receipt = house.handle().submit(house::SOURCE, second).await;
    let overtaken = Receipt::Refused(Refusal::Invalid(Stale::Overtaken.to_string()));
    assert_eq!(receipt, overtaken, "it was taken meanwhile");
    assert!(other.mail(&house).is_empty());
}

/// The solver disappears in the middle of his work.
#[tokio::test(start_paused = true)]
async fn a15_up_a7_a_solver_who_is_removed_is_replaced() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let mut removed = judge(7, Transport::GiftWrap);
    let mut judge = judge(8, Transport::Direct);
    registers(&house, &removed, "").await;
    registers(&house, &judge, "").await;
    let (order, dispute) = disputed(&house, &mut alice, &mut bob).await;
    let take = Action::AdminTakeDispute;
    removed.says(&house, take, Some(dispute), None).await;
    removed.hears(&house, Action::AdminTookDispute).await;
    judge.says(&house, take, Some(dispute), None).await;
    let why = refused(&judge.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::InvalidPubkey, "it is the other's");

    let key = escrow_core::party::IdentityKey(removed.keys.public_key());
    let remove = Ask::Govern(Govern::RemoveSolver(key));
    assert_eq!(operates(&house, remove, None).await, Ok(()));
    for (action, about, expected) in [
        (Action::AdminSettle, order, CantDo::IsNotYourDispute),
        (Action::AdminCancel, order, CantDo::IsNotYourDispute),
        (take, dispute, CantDo::InvalidPubkey),
    ] {
        removed.says(&house, action, Some(about), None).await;
        let why = refused(&removed.hears(&house, Action::CantDo).await);
        assert_eq!(why, expected, "{action:?}");
    }
    judge.says(&house, take, Some(dispute), None).await;
    judge.hears(&house, Action::AdminTookDispute).await;
    judge
        .says(&house, Action::AdminCancel, Some(order), None)
        .await;
    judge.hears(&house, Action::AdminCanceled).await;
    assert_eq!(house.balance("alice").await.0, 1_000_000_000);
}

/// Who may do what of all that is the operator's or a solver's; each refusal is
/// written down once, with its sender and its reason, and each ruling too.
#[tokio::test(start_paused = true)]
async fn up_a1_d10_nobody_administers_without_authority_and_all_tries_are_written_down() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let mut judge = judge(7, Transport::Direct);
    let mut strangers = [
        Trader::new(9, "carol", Transport::Direct).under_his_identity(),
        Trader::new(10, "carol", Transport::GiftWrap).under_his_identity(),
        Trader::new(11, "carol", Transport::GiftWrap),
        self::judge(12, Transport::GiftWrap),
    ];
    registers(&house, &judge, "").await;
    registers(&house, &strangers[3], ":read").await;
    let (order, dispute) = disputed(&house, &mut alice, &mut bob).await;
    let mut maker = Trader::new(21, "alice", Transport::Direct);
    let pending = maker.offers(&house, OrderKind::Sell).await;
    judge
        .says(&house, Action::AdminTakeDispute, Some(dispute), None)
        .await;
    judge.hears(&house, Action::AdminTookDispute).await;

    let own = |stranger: &Trader| Payload::TextMessage(stranger.keys.public_key().to_hex());
    let table = [
        (Action::AdminTakeDispute, dispute, CantDo::InvalidPubkey),
        (Action::AdminSettle, order, CantDo::IsNotYourDispute),
        (Action::AdminCancel, order, CantDo::IsNotYourDispute),
        (Action::AdminSettle, pending, CantDo::IsNotYourDispute),
        (Action::AdminCancel, pending, CantDo::NotAuthorized),
        (Action::AdminAddSolver, order, CantDo::NotAuthorized),
    ];
    for stranger in &mut strangers {
        for (action, about, expected) in table {
            let payload = (action == Action::AdminAddSolver).then(|| own(stranger));
            stranger.says(&house, action, Some(about), payload).await;
            let why = refused(&stranger.hears(&house, Action::CantDo).await);
            assert_eq!(why, expected, "{action:?}");
        }
        let journal = house.view().journal_from(0, 1_000).unwrap();
        let key = stranger.origin();
        let tries = journal.iter().filter(|(_, entry)| entry.origin == key);
        let outcomes: Vec<_> = tries.map(|(_, entry)| entry.outcome.as_str()).collect();
        assert_eq!(outcomes, table.map(|(_, _, why)| why.as_str()));
    }
    assert!(house.handle().known_keys().knows(&judge.keys.public_key()));
    assert_eq!(house.view().solvers().unwrap().len(), 2, "nobody was added");

    let before = house.clock.now();
    judge
        .says(&house, Action::AdminSettle, Some(order), None)
        .await;
    judge.hears(&house, Action::AdminSettled).await;
    let journal = house.view().journal_of(order).unwrap();
    let ruled = |(_, entry): &&(u64, JournalEntry)| entry.command == "admin-settle";
    let rulings: Vec<_> = journal.iter().filter(ruled).collect();
    let (_, ruling) = rulings.last().unwrap();
    assert_eq!(ruling.origin, judge.keys.public_key().to_hex());
    assert_eq!(
        (ruling.outcome.as_str(), ruling.order),
        ("done", Some(order))
    );
    assert!(ruling.at >= before);
    assert_eq!(rulings.len(), strangers.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn g11_x10_a_maintenance_survives_a_restart_and_lets_trades_end() {
    let mut house = House::open().await;
    let mut alice = alice();
    let order = alice.offers(&house, OrderKind::Sell).await;
    let begin = Ask::Govern(Govern::Maintenance {
        enabled: true,
        reason: Some("new channels".into()),
    });
    assert_eq!(operates(&house, begin, None).await, Ok(()));
    house.lose_power();
    house.start().await.unwrap();
    let maintenance = house.view().maintenance().unwrap().unwrap();
    assert_eq!(maintenance.by, BegunBy::Operator);

    let mut bob = bob();
    bob.says(&house, Action::TakeSell, Some(order), None).await;
    let why = refused(&bob.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::MaintenanceMode);
    let payload = Some(Payload::Order(offer(OrderKind::Buy)));
    bob.says(&house, Action::NewOrder, None, payload).await;
    let why = refused(&bob.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::MaintenanceMode);
    alice.says(&house, Action::Cancel, Some(order), None).await;
    alice.hears(&house, Action::Canceled).await;

    let end = Ask::Govern(Govern::Maintenance {
        enabled: false,
        reason: None,
    });
    assert_eq!(operates(&house, end, None).await, Ok(()));
    bob.offers(&house, OrderKind::Buy).await;
}

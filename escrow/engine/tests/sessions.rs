//! Stories of sessions and ranges: what a client asks to find its way back,
//! and what becomes of the rest of an offer.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use escrow_core::market::Premium;
use escrow_core::order::{OrderId, Price};
use escrow_core::party::TradeIndex;
use escrow_core::wire::{
    Action, CantDo, OrderKind, Payload, SmallOrder, Status, Transport, Wrapper,
};
use escrow_core::{Fiat, Sats};
use escrow_engine::submission::{Receipt, Refusal};
use escrow_lightning::sandbox::CreateInvoice;

use house::steps::{alice, bob, locks, refused, sends_fiat, takes};
use house::{House, SOURCE, Trader, offer};

/// Alice's next trade key, with her identity.
fn alices_next() -> Trader {
    alice().under_another_key(11, 2)
}

#[tokio::test(start_paused = true)]
async fn l1_l3_l4_a_client_finds_its_way_back_without_a_commit() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(&house, OrderKind::Sell).await;

    let receipt = alice.asks(&house, Action::RestoreSession, None).await;
    assert_eq!(receipt, Receipt::Decided);
    let told = alice.hears(&house, Action::RestoreSession).await;
    assert_eq!((told.wrapper, told.request_id), (Wrapper::Restore, None));
    let Some(Payload::RestoreData(data)) = told.payload else {
        panic!("nothing is restored");
    };
    assert_eq!(data.orders[0].order_id, order.0);
    assert_eq!(data.orders[0].status, Status::Pending);

    alice.asks(&house, Action::LastTradeIndex, None).await;
    let told = alice.hears(&house, Action::LastTradeIndex).await;
    assert_eq!((told.trade_index, told.request_id), (Some(1), Some(3)));

    let ids = Some(Payload::Ids(vec![order.0]));
    alice.asks(&house, Action::Orders, ids.clone()).await;
    let told = alice.hears(&house, Action::Orders).await;
    let Some(Payload::Orders(orders)) = told.payload else {
        panic!("no orders");
    };
    assert_eq!(orders[0].status, Some(Status::Pending));

    bob.asks(&house, Action::Orders, ids).await;
    assert_eq!(
        refused(&bob.hears(&house, Action::CantDo).await),
        CantDo::NotFound
    );
    bob.asks(&house, Action::LastTradeIndex, None).await;
    assert_eq!(
        refused(&bob.hears(&house, Action::CantDo).await),
        CantDo::NotFound
    );
    bob.asks(&house, Action::Orders, None).await;
    let why = refused(&bob.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::InvalidParameters);
    let journal = house.view().journal_from(0, 10).unwrap();
    let written: Vec<_> = journal
        .iter()
        .map(|(_, entry)| &entry.command[..])
        .collect();
    assert_eq!(
        written,
        ["new-order", "refused"],
        "only what no one can read"
    );
}

#[tokio::test(start_paused = true)]
async fn g2_g6_a_question_is_answered_once_and_only_while_it_is_fresh() {
    let house = House::open().await;
    let mut alice = alice();
    let event = alice.letter(&house, Action::RestoreSession, None, None);
    let first = house.handle().submit(SOURCE, event.clone()).await;
    assert_eq!(first, Receipt::Decided);
    alice.hears(&house, Action::RestoreSession).await;
    let again = house.handle().submit(SOURCE, event).await;
    assert_eq!(again, Receipt::Duplicate);

    let old = alice.letter(&house, Action::RestoreSession, None, None);
    house.clock.is_set_by(30);
    house.clock.is_set_by(100);
    let late = house.handle().submit(SOURCE, old).await;
    assert!(matches!(late, Receipt::Refused(Refusal::Invalid(_))));
    assert_eq!(alice.mail(&house).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn y8_up_s16_who_is_banned_gets_no_answers_and_no_trades() {
    let mut house = House::build().await;
    let mut alice = alice();
    house.start().await.unwrap();
    let order = alice.offers(&house, OrderKind::Sell).await;
    house.lose_power();
    house.banned = vec![alice.identity().0];
    house.start().await.unwrap();

    let is_blocked = |receipt| matches!(receipt, Receipt::Refused(Refusal::Blocked(_)));
    let another = alices_next();
    let payload = Some(Payload::Order(offer(OrderKind::Sell)));
    let offered = another.says(&house, Action::NewOrder, None, payload).await;
    assert!(is_blocked(offered));
    let asked = alice.asks(&house, Action::RestoreSession, None).await;
    assert!(is_blocked(asked));
    let canceled = alice.says(&house, Action::Cancel, Some(order), None).await;
    assert_eq!(
        canceled,
        Receipt::Decided,
        "a running trade comes to its end"
    );
    alice.hears(&house, Action::Canceled).await;
}

#[tokio::test(start_paused = true)]
async fn l6_l7_up_r5_up_s10_an_order_moves_to_another_key_at_once() {
    let house = House::open().await;
    let mut alice = alice();
    let order = alice.offers(&house, OrderKind::Sell).await;
    let mut moved = alices_next();
    moved
        .says(&house, Action::TradePubkey, Some(order), None)
        .await;
    moved.hears(&house, Action::TradePubkey).await;
    let maker = house.order(order).maker;
    assert_eq!(maker.trade_key, moved.trade_key());
    assert_eq!(maker.trade_index, TradeIndex(1), "the index stays");
    let known = house.handle().known_keys();
    assert!(known.knows(&moved.keys.public_key()));
    assert!(!known.knows(&alice.keys.public_key()));

    alice.says(&house, Action::Cancel, Some(order), None).await;
    let why = refused(&alice.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::IsNotYourOrder);
    moved.says(&house, Action::Cancel, Some(order), None).await;
    moved.hears(&house, Action::Canceled).await;
}

/// A range of 10 to 400 EUR, sats as the market is.
fn range(kind: OrderKind) -> SmallOrder {
    SmallOrder {
        amount: 0,
        fiat_amount: 0,
        min_amount: Some(10),
        max_amount: Some(400),
        ..offer(kind)
    }
}

async fn offers_a_range(house: &House, alice: &mut Trader) -> OrderId {
    let payload = Some(Payload::Order(range(OrderKind::Sell)));
    alice.says(house, Action::NewOrder, None, payload).await;
    let ack = alice.hears(house, Action::NewOrder).await;
    OrderId(ack.id.unwrap())
}

/// Bob takes a part of Alice's range, and has sent the fiat.
async fn pays_for_a_part(house: &House, order: OrderId, alice: &mut Trader, bob: &mut Trader) {
    // 100 EUR are 200,000 sats, and each side pays a fee of 600.
    let invoice = house
        .sandbox
        .apply(CreateInvoice {
            wallet: "bob".into(),
            amount: Sats(199_400).to_msat(),
            memo: "payout".into(),
            expiry_secs: 86_400,
            cltv_delta: 40,
        })
        .await
        .unwrap()
        .unwrap();
    let take = Payload::PaymentRequest(None, invoice, Some(100));
    let wanted = takes(house, order, (&mut *alice, &mut *bob), take).await;
    locks(house, &wanted, alice, bob).await;
    sends_fiat(house, order, alice, bob).await;
}

/// The key that Alice names for the rest.
fn naming(next: &Trader) -> Payload {
    let key = next.keys.public_key().to_hex();
    Payload::NextTrade(key, u32::try_from(next.index).unwrap())
}

#[tokio::test(start_paused = true)]
async fn n2_n4_n8_the_rest_of_a_range_is_offered_under_the_next_key() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = offers_a_range(&house, &mut alice).await;
    let too_much = Some(Payload::Amount(401));
    bob.says(&house, Action::TakeSell, Some(order), too_much)
        .await;
    let why = refused(&bob.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::OutOfRangeSatsAmount);
    pays_for_a_part(&house, order, &mut alice, &mut bob).await;

    let mut next = alices_next();
    let named = Some(naming(&next));
    alice
        .says(&house, Action::Release, Some(order), named)
        .await;
    alice.hears(&house, Action::HoldInvoicePaymentSettled).await;
    let told = next.hears(&house, Action::NewOrder).await;
    assert_eq!(told.trade_index, Some(2));
    let rest = OrderId(told.id.unwrap());
    let expected = Price::Market {
        min: Fiat(10),
        max: Fiat(300),
        premium: Premium::default(),
    };
    assert_eq!(house.order(rest).offer.price, expected);
    assert_eq!(house.until(|| Some(house.book_says(rest))).await, "pending");
    assert!(house.handle().known_keys().knows(&next.keys.public_key()));
    let last = house.view().user(alice.identity()).unwrap().unwrap();
    assert_eq!(last.last_index, TradeIndex(2));
}

/// Her quota is full when the rest comes back; the rest counts like any other.
#[tokio::test(start_paused = true)]
async fn n10_the_rest_of_a_range_counts_for_the_quota_and_is_never_refused_by_it() {
    let mut house = House::build().await;
    house.terms.pending_per_identity = 1;
    house.start().await.unwrap();
    let (mut alice, mut bob) = (alice(), bob());
    let order = offers_a_range(&house, &mut alice).await;
    pays_for_a_part(&house, order, &mut alice, &mut bob).await;
    let mut another = alices_next();
    let full = another.offers(&house, OrderKind::Sell).await;
    let mut next = Trader::new(1, "alice", Transport::Direct).under_another_key(12, 3);
    let named = Some(naming(&next));
    alice
        .says(&house, Action::Release, Some(order), named)
        .await;
    next.hears(&house, Action::NewOrder).await;

    another.says(&house, Action::Cancel, Some(full), None).await;
    another.hears(&house, Action::Canceled).await;
    let mut third = Trader::new(1, "alice", Transport::Direct).under_another_key(13, 4);
    let payload = Some(Payload::Order(offer(OrderKind::Sell)));
    third.says(&house, Action::NewOrder, None, payload).await;
    let why = refused(&third.hears(&house, Action::CantDo).await);
    assert_eq!(why, CantDo::TooManyRequests);
}

/// All of it is said within one second of the paused clock.
#[tokio::test(start_paused = true)]
async fn g17_the_answer_comes_before_every_push_and_no_letter_overtakes_another() {
    let house = House::open().await;
    let (mut alice, mut bob) = (alice(), bob());
    let order = offers_a_range(&house, &mut alice).await;
    pays_for_a_part(&house, order, &mut alice, &mut bob).await;
    alice.says(&house, Action::Release, Some(order), None).await;
    let answer = alice.hears(&house, Action::HoldInvoicePaymentSettled).await;
    assert!(answer.request_id.is_some());
    for push in [Action::Rate, Action::SendDm] {
        assert_eq!(alice.hears(&house, push).await.request_id, None);
    }
    for push in [Action::Released, Action::PurchaseCompleted, Action::Rate] {
        bob.hears(&house, push).await;
    }
    // Gift wraps are dated at random, and read in the order in which they come.
    let stamps = alice.stamps(&house);
    let rises = stamps.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(rises, "{stamps:?}");
}

#[tokio::test(start_paused = true)]
async fn g18_up_s3_a_refused_request_uses_no_index_and_makes_no_user() {
    let house = House::open().await;
    let mut alice = alice();
    let nothing = SmallOrder {
        fiat_amount: 0,
        ..offer(OrderKind::Sell)
    };
    let nowhere = Some(OrderId(uuid::Uuid::from_u128(7)));
    for (action, order, payload) in [
        (Action::NewOrder, None, Some(Payload::Order(nothing))),
        (Action::TakeSell, nowhere, None),
        (Action::TakeBuy, nowhere, None),
    ] {
        alice.says(&house, action, order, payload).await;
        alice.hears(&house, Action::CantDo).await;
        let user = house.view().user(alice.identity()).unwrap();
        assert_eq!(user, None, "{action:?}");
    }
    assert!(!house.handle().known_keys().knows(&alice.keys.public_key()));
    alice.offers(&house, OrderKind::Sell).await;
    let user = house.view().user(alice.identity()).unwrap().unwrap();
    assert_eq!(user.last_index, TradeIndex(1));
}

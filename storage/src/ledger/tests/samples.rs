//! Records to try the ledger with: the fixtures, and what is made from them.

use escrow_core::hold::{Hold, HoldId, HoldState};
use escrow_core::order::{Order, OrderId, Take};
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::payout::{Attempt, AttemptState, Payout, PayoutId, PayoutState};
use escrow_core::stage::Stage;
use escrow_core::{Destination, PaymentHash, PayoutInvoice, UnixTime};
use nostr::event::EventId;
use nostr::key::PublicKey;
use uuid::Uuid;

use crate::ledger::record::{Record, decode};
use crate::ledger::table::Table;
use crate::ledger::{Lane, OutboxRow};

/// Every record of a fixture, which holds one per line.
pub(super) fn fixture<R: Record>(table: Table, bytes: &[u8]) -> Vec<R> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| decode(table, line).unwrap())
        .collect()
}

/// Every shape of stage at least once, in orders with the same id.
pub(super) fn orders() -> Vec<Order> {
    fixture(Table::Orders, include_bytes!("../fixtures/orders.v1"))
}

/// One hold per state.
pub(super) fn holds() -> Vec<Hold> {
    fixture(Table::Holds, include_bytes!("../fixtures/holds.v1"))
}

/// One payout per state.
pub(super) fn payouts() -> Vec<Payout> {
    fixture(Table::Payouts, include_bytes!("../fixtures/payouts.v1"))
}

/// Every state of an attempt at least once.
pub(super) fn attempts() -> Vec<Attempt> {
    fixture(Table::Attempts, include_bytes!("../fixtures/attempts.v1"))
}

pub(super) fn order_id(n: u8) -> OrderId {
    OrderId(Uuid::from_u128(n.into()))
}

pub(super) fn hold_id(n: u8) -> HoldId {
    HoldId(Uuid::from_u128(n.into()))
}

pub(super) fn payout_id(n: u8) -> PayoutId {
    PayoutId(Uuid::from_u128(n.into()))
}

pub(super) fn hash(n: u8) -> PaymentHash {
    PaymentHash([n; 32])
}

pub(super) fn trade_key(n: u8) -> TradeKey {
    TradeKey(PublicKey::from_byte_array([n; 32]))
}

pub(super) fn identity(n: u8) -> IdentityKey {
    IdentityKey(PublicKey::from_byte_array([n; 32]))
}

/// A pending sell order of maker `n`: trade key `n`, identity `n`.
pub(super) fn pending(n: u8) -> Order {
    let mut order = orders().remove(0);
    order.id = order_id(n);
    order.revision = 0;
    order.maker.trade_key = trade_key(n);
    order.maker.identity = Identity::Known(identity(n));
    order
}

/// The same with a maker in full privacy.
pub(super) fn private(n: u8) -> Order {
    let mut order = pending(n);
    order.maker.identity = Identity::FullPrivacy;
    order
}

/// The order in the stage of the fixture's line, taken by `taker`, who wants
/// to be paid to `invoice`.
pub(super) fn at_line(
    mut order: Order,
    line: usize,
    taker: u8,
    invoice: Option<PaymentHash>,
) -> Order {
    order.stage = orders()[line].stage.clone();
    if let Some(take) = take_mut(&mut order.stage) {
        take.taker.trade_key = trade_key(taker);
        take.taker.identity = Identity::Known(identity(taker));
        take.payout = invoice.map(payout_invoice).map(Destination::Invoice);
    }
    order
}

/// An invoice with this hash.
pub(super) fn payout_invoice(hash: PaymentHash) -> PayoutInvoice {
    let first = payouts().remove(0);
    PayoutInvoice {
        hash,
        ..first.invoice().unwrap().clone()
    }
}

/// A payout whose buyer has to give another invoice.
pub(super) fn need_invoice() -> PayoutState {
    PayoutState::NeedInvoice {
        asked: 1,
        again_at: UnixTime(3_600),
    }
}

/// A hold of an order; its hash is its own.
pub(super) fn hold(n: u8, order: u8, hash: PaymentHash, state: HoldState) -> Hold {
    Hold {
        id: hold_id(n),
        order: order_id(order),
        hash,
        state,
        ..holds().remove(0)
    }
}

/// A payout of an order to an invoice.
pub(super) fn payout(n: u8, order: u8, hash: PaymentHash, state: PayoutState) -> Payout {
    Payout {
        id: payout_id(n),
        order: order_id(order),
        destination: Destination::Invoice(payout_invoice(hash)),
        state,
        ..payouts().remove(0)
    }
}

/// An attempt of a payout.
pub(super) fn attempt(hash: PaymentHash, payout: u8, state: AttemptState) -> Attempt {
    Attempt {
        hash,
        payout: payout_id(payout),
        state,
        ..attempts().remove(0)
    }
}

/// The state of an attempt that failed.
pub(super) fn failed() -> AttemptState {
    attempts()[2].state
}

/// A letter to a trade key.
pub(super) fn letter(to: u8, at: u64) -> OutboxRow {
    OutboxRow {
        lane: Lane::Recipient(trade_key(to)),
        event: format!("{{\"to\":{to}}}"),
        event_id: EventId::from_byte_array([to; 32]),
        created_at: UnixTime(at),
    }
}

fn take_mut(stage: &mut Stage) -> Option<&mut Take> {
    match stage {
        Stage::Pending | Stage::Expired => None,
        Stage::OpeningHold { take, .. }
        | Stage::WaitingInvoice { take, .. }
        | Stage::WaitingPayment { take, .. }
        | Stage::PaidWaitingInvoice { take, .. }
        | Stage::Active { take, .. }
        | Stage::FiatSent { take, .. }
        | Stage::Dispute { take, .. }
        | Stage::Canceling { take, .. }
        | Stage::Releasing { take, .. }
        | Stage::PayingBuyer { take, .. }
        | Stage::Success { take, .. } => Some(take),
        Stage::Canceled { take, .. } => take.as_mut(),
    }
}

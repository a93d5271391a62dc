//! What decisions need to know, looked up before through the open page.

use crate::amount::Sats;
use crate::dispute::{Dispute, DisputeId};
use crate::hold::{Hold, HoldId};
use crate::lightning::PaymentHash;
use crate::order::OrderId;
use crate::party::{IdentityKey, TradeIndex};
use crate::payout::{Attempt, Payout, PayoutId};
use crate::price::PriceAnswer;
use crate::solver::{Solver, Standing};
use crate::terms::Terms;
use crate::time::UnixTime;
use crate::user::User;

/// What every decision knows.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The moment of the decision.
    pub at: UnixTime,
    /// Height of the highest tip ever seen, if any was.
    pub tip_height: Option<u32>,
    /// The node's terms.
    pub terms: &'a Terms,
}

/// What is known of the sender's identity; empty in full privacy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonFacts {
    /// His row, if he has traded before.
    pub user: Option<User>,
    /// The highest index reserved by a running opening of his.
    pub reserved_index: Option<TradeIndex>,
}

/// For a new order.
#[derive(Clone, Debug)]
pub struct OpenFacts {
    /// The sender's identity.
    pub person: PersonFacts,
    /// A fresh name.
    pub order: OrderId,
    /// Pending orders of this identity; in full privacy of all without one.
    pub pending_orders: u32,
    /// Price of a bitcoin in the currency of the order.
    pub price: PriceAnswer,
    /// What Lightning can carry.
    pub capacity: Capacity,
    /// Whether the given invoice's hash is in a hold, an attempt or a living order.
    pub invoice_hash_is_known: bool,
}

/// A hold that may be opened: name and hash, chosen before the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshHold {
    /// Its name.
    pub id: HoldId,
    /// Its payment hash.
    pub hash: PaymentHash,
}

/// For a take.
#[derive(Clone, Debug)]
pub struct TakeFacts {
    /// The taker's identity.
    pub person: PersonFacts,
    /// Whether this identity has an unfinished trade on the same side (rule T2).
    pub has_unfinished_take: bool,
    /// Price of a bitcoin in the currency of the order.
    pub price: PriceAnswer,
    /// What Lightning can carry.
    pub capacity: Capacity,
    /// A hold for this take.
    pub hold: FreshHold,
    /// Whether the given invoice's hash is in a hold, an attempt or another living order.
    pub invoice_hash_is_known: bool,
}

/// Whether Lightning can carry one more escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Reachable and synced.
    pub lightning_is_ready: bool,
    /// Holds open or accepted.
    pub open_holds: u32,
    /// Holds being opened.
    pub opening_holds: u32,
    /// What Lightning can pay, and what of it is promised; none while that was
    /// not measured, when readiness alone decides.
    pub liquidity: Option<Liquidity>,
}

/// What Lightning can pay, and what of it is promised to others (rule T7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liquidity {
    /// What it could send at once.
    pub outbound: Sats,
    /// Locked by accepted holds: ours before the buyers of these are paid.
    pub accepted: Sats,
    /// Owed: unpaid payouts, and the payouts of living holds.
    pub owed: Sats,
    /// What routing all that is owed may cost (rule F6).
    pub margin: Sats,
}

impl Liquidity {
    /// Whether one more escrow over `amount` can be paid out beside all that
    /// is promised.
    #[must_use]
    pub fn suffices_for(self, amount: Sats) -> bool {
        let needed = [self.owed, self.margin, amount];
        let needed = needed
            .iter()
            .try_fold(Sats(0), |sum, part| sum.checked_add(*part));
        needed.is_some_and(|needed| needed.0 <= self.outbound.0.saturating_add(self.accepted.0))
    }
}

/// For an invoice of the buyer.
#[derive(Clone, Debug)]
pub struct InvoiceFacts {
    /// What Lightning can carry.
    pub capacity: Capacity,
    /// A hold, should one be needed.
    pub hold: FreshHold,
    /// Whether the given invoice's hash is in a hold, an attempt or another living order.
    pub invoice_hash_is_known: bool,
    /// The order's payout, once it is decided.
    pub payout: Option<PayoutFacts>,
}

/// A payout with its attempts.
#[derive(Clone, Debug)]
pub struct PayoutFacts {
    /// The payout.
    pub payout: Payout,
    /// The attempt for its present invoice, if that was ever tried.
    pub attempt: Option<Attempt>,
    /// What else is on its way.
    pub in_flight: InFlight,
}

/// Payments with Lightning, this payout's own not counted (rule P11), and
/// whether another may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// To anybody.
    pub to_all: u32,
    /// To the payee that is to be paid.
    pub to_payee: u32,
    /// Whether the ledger is latched: nothing leaves (rule X13).
    pub is_stopped: bool,
}

/// For a release.
#[derive(Clone, Debug)]
pub struct ReleaseFacts {
    /// A fresh name for the payout.
    pub payout: PayoutId,
    /// The hold of the order's stage, if that has one.
    pub hold: Option<Hold>,
}

/// For a cancel.
#[derive(Clone, Debug)]
pub struct CancelFacts {
    /// The hold of the order's stage, if that has one.
    pub hold: Option<Hold>,
}

/// For a dispute.
#[derive(Clone, Copy, Debug)]
pub struct DisputeFacts {
    /// A fresh name.
    pub dispute: DisputeId,
}

/// For what Lightning reports of the end of a hold.
#[derive(Clone, Debug)]
pub struct HoldFacts {
    /// The order's payout, if that is decided.
    pub owed: Option<PayoutFacts>,
    /// The order's dispute, if it has or had one.
    pub dispute: Option<Dispute>,
    /// A hold to open in the place of this one (rule E12).
    pub hold: FreshHold,
    /// For what is left of a range.
    pub rest: RestFacts,
}

/// For what is left of a range order after a trade (rules N4–N6).
#[derive(Clone, Debug)]
pub struct RestFacts {
    /// A fresh name.
    pub order: OrderId,
    /// The maker's row, if he has one.
    pub maker: Option<User>,
    /// Whether the key named for it is that of a living order.
    pub key_is_in_use: bool,
}

/// For an escrow that nears its end.
#[derive(Clone, Debug)]
pub struct HorizonFacts {
    /// The highest tip ever seen, or estimated.
    pub tip_height: u32,
    /// A fresh name, should a dispute be opened.
    pub fresh: DisputeId,
    /// The order's dispute, if it has one.
    pub dispute: Option<Dispute>,
}

/// For a timer.
#[derive(Clone, Debug, Default)]
pub struct TimerFacts {
    /// The hold of the order's stage, if that has one.
    pub hold: Option<Hold>,
    /// The order's payout, if that is decided.
    pub owed: Option<PayoutFacts>,
    /// `created_at` of the newest revision of the order's public event.
    pub shown_at: Option<UnixTime>,
    /// `created_at` of the newest letter to the buyer's trade key. Each of his
    /// requests is answered by one in the commit that decides it, so it is
    /// never older than the last of them.
    pub buyer_heard_at: Option<UnixTime>,
}

/// For taking a dispute.
#[derive(Clone, Debug)]
pub struct TakeDisputeFacts {
    /// How the sender stands.
    pub standing: Standing,
    /// How the one stands who has taken it; nobody if none has.
    pub assigned: Standing,
    /// The row of the identity that opened it.
    pub initiator: Option<User>,
    /// The row of the other party's identity.
    pub counterpart: Option<User>,
    /// The hold of the order's stage, if that has one.
    pub hold: Option<Hold>,
}

/// For a ruling.
#[derive(Clone, Debug)]
pub struct RulingFacts {
    /// How the sender stands.
    pub standing: Standing,
    /// The node key.
    pub operator: IdentityKey,
    /// The order's dispute, if it has or had one.
    pub dispute: Option<Dispute>,
    /// The hold of the order's stage, if that has one.
    pub hold: Option<Hold>,
    /// A fresh name for the payout.
    pub payout: PayoutId,
}

/// For a change among the solvers.
#[derive(Clone, Debug)]
pub struct SolverFacts {
    /// How the sender stands.
    pub standing: Standing,
    /// The row of the key that is named, if it has one.
    pub known: Option<Solver>,
    /// All disputes that wait for a ruling.
    pub open: Vec<Dispute>,
}

/// For a vote.
#[derive(Clone, Debug, Default)]
pub struct RateFacts {
    /// The row of the rated identity; none in full privacy.
    pub rated: Option<User>,
}

//! What was decided: rows to write, words to say, effects to start.

use crate::books::Breach;
use crate::dispute::{Dispute, DisputeId};
use crate::hold::Hold;
use crate::lightning::PaymentHash;
use crate::maintenance::Maintenance;
use crate::notice::Letter;
use crate::order::{EndedTake, Order, OrderId};
use crate::party::{IdentityKey, TradeKey};
use crate::payout::{Attempt, Payout, PayoutId};
use crate::solver::Solver;
use crate::timer::Timer;
use crate::user::User;

/// One decision; written in one commit or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a decision changes nothing until it is written"]
pub struct Decision {
    /// Orders as they are from here on.
    pub orders: Vec<Order>,
    /// Takes that ended while their order lives on.
    pub ended_takes: Vec<EndedTake>,
    /// Holds as they are from here on.
    pub holds: Vec<Hold>,
    /// Payouts as they are from here on.
    pub payouts: Vec<Payout>,
    /// Attempts as they are from here on.
    pub attempts: Vec<Attempt>,
    /// Disputes as they are from here on.
    pub disputes: Vec<Dispute>,
    /// Identities as they are from here on.
    pub users: Vec<(IdentityKey, User)>,
    /// Solvers as they are from here on; none is removed.
    pub solvers: Vec<(IdentityKey, Option<Solver>)>,
    /// The answer to the one who asked; leaves before every push.
    pub answer: Option<Letter>,
    /// Words to the others, and later words to the asker, in order.
    pub pushes: Vec<Letter>,
    /// Whether new trades are taken from here on; none leaves it as it is.
    pub maintenance: Option<Option<Maintenance>>,
    /// What is to be done after the commit.
    pub effects: Vec<Effect>,
}

/// Something to be done after the commit.
///
/// Lightning effects are nudges: the intent itself is the state of the hold
/// or attempt row, so after a crash the same effects follow from the rows.
/// Timers follow from the rows too ([`due`](crate::due::due)); an effect asks
/// only for a look before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask Lightning to open a `New` hold.
    OpenHold(PaymentHash),
    /// Send the preimage of a `Settling` hold.
    SettleHold(PaymentHash),
    /// Give back a `Canceling` hold.
    CancelHold(PaymentHash),
    /// Ask Lightning how a hold stands, and report what it says.
    LookUpHold(PaymentHash),
    /// Ask the address of a `Resolving` payout for an invoice.
    Resolve(PayoutId),
    /// Hand a `Sent` attempt to Lightning.
    Pay(PaymentHash),
    /// Sign a new revision of the order's public event, in the same commit.
    PublishOrder(OrderId),
    /// Sign a new revision of the dispute's public event, in the same commit.
    PublishDispute(DisputeId),
    /// Sign a new revision of the reputation of a party that was rated, in the
    /// same commit.
    PublishRating {
        /// The key it had in that trade.
        rated: TradeKey,
        /// Whose reputation it is.
        identity: IdentityKey,
    },
    /// Sign the audit event of this payment of a development fee, in the same
    /// commit (rule J5).
    PublishDevFee(PaymentHash),
    /// Look at this order then, whatever its rows say.
    WakeAt(Timer),
    /// Tell the operator.
    Alarm(Alarm),
}

/// What the operator must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Lightning reports something that contradicts the ledger.
    UnexpectedHold(PaymentHash),
    /// Settling was decided, but Lightning had canceled the hold.
    HoldLost(PaymentHash),
    /// Lightning gave an accepted escrow back to the seller.
    EscrowLost(PaymentHash),
    /// A hold was paid with more than it asked for.
    Overpaid(PaymentHash),
    /// A payment of ours contradicts the ledger.
    UnexpectedPayment(PaymentHash),
    /// A payment failed for a reason that is ours.
    OwnFault(PaymentHash),
    /// The books contradict themselves or Lightning: no payment leaves (rule X13).
    LedgerBreach(Breach),
    /// A payment is in flight by Lightning's books alone (rule P13).
    PaymentLost(PaymentHash),
    /// A payment waits because too many are on their way (rule P11).
    TooManyInFlight(PaymentHash),
    /// A payout waits for another invoice of its buyer.
    PayoutStuck(OrderId),
    /// Nothing moves this order on any more but the operator (rule S9).
    OrderStuck(OrderId),
    /// An escrow nears its end: Lightning will give it back to the seller.
    EscrowEnding {
        /// Which.
        hash: PaymentHash,
        /// How many blocks are left.
        blocks_left: u32,
    },
}

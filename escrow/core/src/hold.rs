//! A hold invoice: the seller's sats between paid and settled.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::amount::{Msat, Sats};
use crate::lightning::PaymentHash;
use crate::order::OrderId;
use crate::party::Party;
use crate::time::UnixTime;

/// Name of a hold in the ledger; its preimage is derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldId(pub Uuid);

/// A hold invoice and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name.
    pub id: HoldId,
    /// The order it belongs to.
    pub order: OrderId,
    /// Whose sats it holds; the order may long have another taker when a late
    /// payment has to be explained to this one.
    pub seller: Party,
    /// Its payment hash, chosen before Lightning hears of it.
    pub hash: PaymentHash,
    /// What it asks for.
    pub value: Sats,
    /// Final CLTV delta, in blocks.
    pub cltv_delta_blocks: u32,
    /// When the invoice itself expires.
    pub expires_at: UnixTime,
    /// Where it stands.
    pub state: HoldState,
    /// A payment that came after canceling was decided; it goes back (rule H5).
    pub late_payment: Option<Acceptance>,
    /// What was said of its nearing end.
    #[serde(default)]
    pub horizon: HorizonWatch,
}

/// What was said so far of an accepted hold that nears its expiry height
/// (rules X2, X5, X7), so that nothing is said twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HorizonWatch {
    /// The parties were warned.
    pub warned: bool,
    /// Tip height at the operator's last alarm.
    pub alarmed_at: Option<u32>,
}

/// The states of a hold (`lightning.md` §1.10). Settle and cancel compete
/// through one decision; what is decided is repeated until it is definite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldState {
    /// Stored; Lightning is asked to open it.
    New,
    /// Lightning has it; nobody has paid.
    Open {
        /// The invoice.
        bolt11: String,
    },
    /// The seller's sats are locked.
    Accepted(Acceptance),
    /// Settling is decided.
    Settling(Acceptance),
    /// The sats are ours.
    Settled(Acceptance),
    /// Canceling is decided.
    Canceling,
    /// Lightning canceled it; nothing is locked.
    Canceled,
    /// Settling was decided, but Lightning had given the sats back.
    Lost,
}

/// What is known of a payment that a hold accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// What was really locked; may exceed the value.
    pub paid: Msat,
    /// Lowest expiry height of the accepted parts.
    pub expiry_height: u32,
    /// When the node learned of it.
    pub at: UnixTime,
}

impl HoldState {
    /// Whether Lightning can do nothing more with it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            HoldState::Settled(_) | HoldState::Canceled | HoldState::Lost => true,
            HoldState::New
            | HoldState::Open { .. }
            | HoldState::Accepted(_)
            | HoldState::Settling(_)
            | HoldState::Canceling => false,
        }
    }
}

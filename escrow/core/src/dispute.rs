//! A dispute: the parties of a trade do not agree.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::order::{OrderId, Role};
use crate::time::UnixTime;
use crate::wire::{DisputeStatus, Initiator};

/// Name of a dispute, on the wire and in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DisputeId(pub Uuid);

/// A dispute, of which an order has at most one (rule D3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Its name.
    pub id: DisputeId,
    /// The order it is about.
    pub order: OrderId,
    /// Who opened it.
    pub opened_by: Role,
    /// When it was opened.
    pub opened_at: UnixTime,
    /// Where it stands.
    pub state: DisputeState,
}

/// The states of a dispute (rule D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisputeState {
    /// Open; nobody has taken it.
    Initiated,
    /// Over, and how.
    Closed(DisputeEnd),
}

impl From<Role> for Initiator {
    fn from(opened_by: Role) -> Initiator {
        match opened_by {
            Role::Buyer => Initiator::Buyer,
            Role::Seller => Initiator::Seller,
        }
    }
}

/// How a dispute ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisputeEnd {
    /// The seller released.
    Released,
    /// The sats went back to the seller.
    SellerRefunded,
    /// Both parties canceled.
    CooperativelyCanceled,
}

impl Dispute {
    /// The same dispute, ended.
    #[must_use]
    pub fn closed(&self, end: DisputeEnd) -> Dispute {
        Dispute {
            state: DisputeState::Closed(end),
            ..self.clone()
        }
    }

    /// The word that clients have for its state.
    #[must_use]
    pub fn status(&self) -> DisputeStatus {
        match self.state {
            DisputeState::Initiated => DisputeStatus::Initiated,
            DisputeState::Closed(DisputeEnd::Released) => DisputeStatus::Released,
            DisputeState::Closed(DisputeEnd::SellerRefunded) => DisputeStatus::SellerRefunded,
            DisputeState::Closed(DisputeEnd::CooperativelyCanceled) => {
                DisputeStatus::CooperativelyCanceled
            }
        }
    }
}

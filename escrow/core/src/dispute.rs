//! A dispute: the parties of a trade do not agree.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::order::{OrderId, Role};
use crate::solver::Assigned;
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
    /// A solver has taken it.
    InProgress(Assigned),
    /// Over.
    Closed {
        /// How.
        end: DisputeEnd,
        /// Who had taken it.
        solver: Option<Assigned>,
    },
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
    /// A solver gave the sats to the buyer.
    Settled,
}

impl Dispute {
    /// The same dispute, ended.
    #[must_use]
    pub fn closed(&self, end: DisputeEnd) -> Dispute {
        Dispute {
            state: DisputeState::Closed {
                end,
                solver: self.assigned(),
            },
            ..self.clone()
        }
    }

    /// Who has or had taken it.
    #[must_use]
    pub fn assigned(&self) -> Option<Assigned> {
        match self.state {
            DisputeState::Initiated => None,
            DisputeState::InProgress(assigned) => Some(assigned),
            DisputeState::Closed { solver, .. } => solver,
        }
    }

    /// Whether it waits for a ruling.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            DisputeState::Initiated | DisputeState::InProgress(_) => true,
            DisputeState::Closed { .. } => false,
        }
    }

    /// Since when it has stood as it does; none when it is over.
    #[must_use]
    pub fn stands_since(&self) -> Option<UnixTime> {
        match self.state {
            DisputeState::Initiated => Some(self.opened_at),
            DisputeState::InProgress(assigned) => Some(assigned.taken_at),
            DisputeState::Closed { .. } => None,
        }
    }

    /// The word that clients have for its state.
    #[must_use]
    pub fn status(&self) -> DisputeStatus {
        match self.state {
            DisputeState::Initiated => DisputeStatus::Initiated,
            DisputeState::InProgress(_) => DisputeStatus::InProgress,
            DisputeState::Closed { end, .. } => match end {
                DisputeEnd::Released => DisputeStatus::Released,
                DisputeEnd::SellerRefunded => DisputeStatus::SellerRefunded,
                DisputeEnd::CooperativelyCanceled => DisputeStatus::CooperativelyCanceled,
                DisputeEnd::Settled => DisputeStatus::Settled,
            },
        }
    }
}

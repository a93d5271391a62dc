//! Who may judge disputes.

use serde::{Deserialize, Serialize};

use crate::notice::{Letter, Notice};
use crate::order::OrderId;
use crate::party::{IdentityKey, TradeKey};
use crate::time::UnixTime;
use crate::wire::Transport;

/// A solver whom the operator has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solver {
    /// What he may do.
    pub permission: Permission,
    /// When he was registered.
    pub since: UnixTime,
}

/// What a solver may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// Take disputes and talk to the parties.
    Read,
    /// Rule as well.
    ReadWrite,
}

/// Who has taken a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The solver, or the node itself for its operator; written to at this key.
    pub solver: IdentityKey,
    /// How he is written to.
    pub transport: Transport,
    /// When he took it.
    pub taken_at: UnixTime,
}

impl Assigned {
    /// A push to him.
    #[must_use]
    pub fn letter(&self, order: OrderId, notice: Notice) -> Letter {
        Letter {
            to: TradeKey(self.solver.0),
            transport: self.transport,
            request_id: None,
            trade_index: None,
            order: Some(order),
            notice,
        }
    }
}

/// How a sender stands to disputes (rules W1, A1), judged by his identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// He is the node key itself.
    Operator,
    /// A registered solver.
    Solver(Permission),
    /// Anybody else.
    Nobody,
}

impl Standing {
    /// Whether he may rule in a dispute that is his.
    #[must_use]
    pub fn may_rule(self) -> bool {
        match self {
            Standing::Operator | Standing::Solver(Permission::ReadWrite) => true,
            Standing::Solver(Permission::Read) | Standing::Nobody => false,
        }
    }
}

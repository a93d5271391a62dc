//! The node takes no new trades for a while (rules G11, X9, X10).

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// Why and since when; running trades go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// What traders and the operator are told, if anything.
    pub reason: Option<String>,
    /// When it began.
    pub since: UnixTime,
    /// Who began it, and so who ends it.
    pub by: BegunBy,
}

/// Who began a maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BegunBy {
    /// The operator: only he ends it.
    Operator,
    /// The node, because Lightning was away: it ends when that is back.
    Node,
    /// The node, because its books are contradicted: it ends when the operator has
    /// cleared them (rule X13).
    Books,
}

//! Trouble to order: rules that make the node misbehave, each used once.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A call of [`LightningBackend`](crate::LightningBackend) that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// `info`.
    Info,
    /// `liquidity`.
    Liquidity,
    /// `create_hold`.
    CreateHold,
    /// `lookup_hold`.
    LookupHold,
    /// `watch_hold`, as it begins.
    WatchHold,
    /// `settle_hold`.
    SettleHold,
    /// `cancel_hold`.
    CancelHold,
    /// `start_payment`.
    StartPayment,
    /// `lookup_payment`.
    LookupPayment,
    /// `watch_payment`, as it begins.
    WatchPayment,
    /// `lost_payment`.
    LostPayment,
    /// `list_payments_since`.
    ListPayments,
    /// `watch_blocks`, as it begins.
    WatchBlocks,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultAction {
    /// Nothing is done, and the caller is told so.
    FailBefore,
    /// It is done, but the answer is lost.
    FailAfter,
    /// The call reaches the node only when hanging calls are let go; then it
    /// is done, whether its caller still waits or not.
    Hang,
    /// The node stops before the call reaches it: streams end, and calls find
    /// nobody until it is back.
    RestartNode {
        /// How long it is away, in milliseconds.
        down_ms: u64,
    },
}

/// One rule: the next such call goes wrong in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which call; none = any.
    pub op: Option<Op>,
    /// What goes wrong.
    pub action: FaultAction,
}

impl Fault {
    /// The next `op` goes wrong.
    #[must_use]
    pub fn on(op: Op, action: FaultAction) -> Self {
        Fault {
            op: Some(op),
            action,
        }
    }
}

/// The rules that are still to be used, in order.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push_back(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Uses up the first rule that fits.
    pub(super) fn take(&mut self, op: Op) -> Option<FaultAction> {
        let place = self
            .0
            .iter()
            .position(|fault| fault.op.is_none_or(|named| named == op))?;
        self.0.remove(place).map(|fault| fault.action)
    }
}

impl FaultAction {
    /// A stop of the node for so long.
    #[must_use]
    pub fn restart(down: Duration) -> Self {
        FaultAction::RestartNode {
            down_ms: u64::try_from(down.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

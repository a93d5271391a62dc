//! Trouble to order: rules that make the node misbehave, each used once.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::backend::NodeInfo;

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
    /// The call is done so much later.
    Delay {
        /// How long it takes, in milliseconds.
        ms: u64,
    },
    /// The node stops before the call reaches it: streams end, and calls find
    /// nobody until it is back.
    RestartNode {
        /// How long it is away, in milliseconds.
        down_ms: u64,
    },
    /// From this call on the wallet is locked: calls find nobody to do them,
    /// and streams end.
    LockedWallet {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A payment is noted as sent and never leaves; for `start_payment` only.
    LoseAttempt,
    /// From this `info` on it shows a height that the chain has passed.
    StaleHeight {
        /// By how many blocks.
        blocks: u32,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// From this `info` on the node is behind the chain, and says so.
    NotSynced {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// From this `info` on none is answered while everything else works, as
    /// when the chain backend hangs.
    InfoHangs {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// From this `info` on the node is up, but behind the chain and without
    /// peers, as just after its start: payments fail for want of channels.
    StartWindow {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// The stream ends before it said anything; this and the following are for
    /// the streams of `watch_hold`, `watch_payment` and `watch_blocks` only.
    DropStream,
    /// The stream tells the present state and ends, as when the node stops.
    EofStreamNoTerminal,
    /// The stream never says anything and never ends.
    SilentStream,
    /// Everything is told twice.
    DuplicateUpdate,
    /// Of two updates the later is told first.
    ReorderUpdate,
}

/// One rule: the next such call goes wrong in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which call; none = any that can go wrong so.
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

    fn fits(&self, op: Op) -> bool {
        self.op.is_none_or(|named| named == op) && self.action.can_befall(op)
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

    /// Uses up the first rule for a call.
    pub(super) fn take(&mut self, op: Op) -> Option<FaultAction> {
        self.take_if(|fault| fault.fits(op) && !fault.action.bends_streams())
    }

    /// Uses up the first rule for what a stream tells.
    pub(super) fn take_bend(&mut self, op: Op) -> Option<FaultAction> {
        self.take_if(|fault| fault.fits(op) && fault.action.bends_streams())
    }

    fn take_if(&mut self, fits: impl FnMut(&Fault) -> bool) -> Option<FaultAction> {
        let place = self.0.iter().position(fits)?;
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

    fn can_befall(self, op: Op) -> bool {
        match self {
            FaultAction::FailBefore
            | FaultAction::FailAfter
            | FaultAction::Hang
            | FaultAction::Delay { .. }
            | FaultAction::RestartNode { .. }
            | FaultAction::LockedWallet { .. } => true,
            FaultAction::LoseAttempt => op == Op::StartPayment,
            FaultAction::StaleHeight { .. }
            | FaultAction::NotSynced { .. }
            | FaultAction::InfoHangs { .. }
            | FaultAction::StartWindow { .. } => op == Op::Info,
            FaultAction::DropStream
            | FaultAction::EofStreamNoTerminal
            | FaultAction::SilentStream
            | FaultAction::DuplicateUpdate
            | FaultAction::ReorderUpdate => {
                matches!(op, Op::WatchHold | Op::WatchPayment | Op::WatchBlocks)
            }
        }
    }

    fn bends_streams(self) -> bool {
        matches!(
            self,
            FaultAction::DropStream
                | FaultAction::EofStreamNoTerminal
                | FaultAction::SilentStream
                | FaultAction::DuplicateUpdate
                | FaultAction::ReorderUpdate
        )
    }
}

/// What a stream tells once `fault` has bent it.
pub(super) fn bent<T>(
    news: BoxStream<'static, T>,
    fault: Option<FaultAction>,
) -> BoxStream<'static, T>
where
    T: Clone + Send + 'static,
{
    let in_pairs = |pair: Vec<T>| stream::iter(pair.into_iter().rev());
    match fault {
        Some(FaultAction::DropStream) => stream::empty().boxed(),
        Some(FaultAction::EofStreamNoTerminal) => news.take(1).boxed(),
        Some(FaultAction::SilentStream) => stream::pending().boxed(),
        Some(FaultAction::DuplicateUpdate) => {
            news.flat_map(|it| stream::iter([it.clone(), it])).boxed()
        }
        Some(FaultAction::ReorderUpdate) => news.chunks(2).flat_map(in_pairs).boxed(),
        Some(_) | None => news,
    }
}

/// How the node shows itself for a while, each until its moment.
#[derive(Debug, Default)]
pub(super) struct Condition {
    locked: Option<Instant>,
    behind: Option<(Instant, u32)>,
    unsynced: Option<Instant>,
    silent: Option<Instant>,
    starting: Option<Instant>,
}

impl Condition {
    /// What one more fault makes of it; what is no condition changes nothing.
    pub(super) fn worsen(&mut self, fault: FaultAction, now: Instant) {
        let until = |ms: u64| Some(now + Duration::from_millis(ms).min(super::shell::LONGEST_STOP));
        match fault {
            FaultAction::LockedWallet { for_ms } => self.locked = until(for_ms),
            FaultAction::StaleHeight { blocks, for_ms } => {
                self.behind = until(for_ms).map(|until| (until, blocks));
            }
            FaultAction::NotSynced { for_ms } => self.unsynced = until(for_ms),
            FaultAction::InfoHangs { for_ms } => self.silent = until(for_ms),
            FaultAction::StartWindow { for_ms } => self.starting = until(for_ms),
            FaultAction::FailBefore
            | FaultAction::FailAfter
            | FaultAction::Hang
            | FaultAction::Delay { .. }
            | FaultAction::RestartNode { .. }
            | FaultAction::LoseAttempt
            | FaultAction::DropStream
            | FaultAction::EofStreamNoTerminal
            | FaultAction::SilentStream
            | FaultAction::DuplicateUpdate
            | FaultAction::ReorderUpdate => {}
        }
    }

    pub(super) fn is_locked(&self, now: Instant) -> bool {
        lasts(self.locked, now)
    }

    /// Until when no `info` is answered.
    pub(super) fn silent_until(&self, now: Instant) -> Option<Instant> {
        self.silent.filter(|until| now < *until)
    }

    pub(super) fn is_starting(&self, now: Instant) -> bool {
        lasts(self.starting, now)
    }

    /// What `info` says in this condition.
    pub(super) fn shown(&self, mut info: NodeInfo, now: Instant) -> NodeInfo {
        if let Some((until, blocks)) = self.behind
            && now < until
        {
            info.block_height = info.block_height.saturating_sub(blocks);
        }
        if self.is_starting(now) {
            info.active_channels = 0;
        }
        info.synced_to_chain &= !lasts(self.unsynced, now) && !self.is_starting(now);
        info
    }
}

fn lasts(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| now < until)
}

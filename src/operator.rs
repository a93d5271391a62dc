//! What the operator does with his own tools, whichever they are: the decisions
//! are those for messages of the node key (rule A14).

use escrow_core::command::{Ask, Govern};
use escrow_core::dispute::DisputeId;
use escrow_core::maintenance::Maintenance;
use escrow_core::order::OrderId;
use escrow_core::party::IdentityKey;
use escrow_core::payout::{Payee, PayoutState};
use escrow_core::wire::CantDo;
use escrow_engine::EscrowHandle;
use escrow_engine::submission::{OperatorWord, Receipt, Refusal};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::ledger::{StorageError, View};

/// Why what the operator wants is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwilling {
    /// The rules are against it.
    #[error("{}", .0.as_str())]
    CantDo(CantDo),
    /// It makes no sense as things stand.
    #[error("{0}")]
    Unfit(String),
    /// The node cannot do it now; it may be tried again.
    #[error("{0}")]
    Unable(String),
}

/// Something that the operator does to a trade or to the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Take a dispute.
    TakeDispute(DisputeId),
    /// Rule for the buyer.
    Settle(OrderId),
    /// Rule for the seller, or end an order that nobody has taken.
    Cancel {
        /// Which order.
        order: OrderId,
        /// Whether anything but an offer is left alone.
        pretrade_only: bool,
    },
    /// Let somebody judge: `npub…`, and after a colon what he may do.
    AddSolver(String),
    /// Let him judge no longer.
    RemoveSolver(IdentityKey),
    /// Begin or end a maintenance.
    Maintenance {
        /// Whether it is to be.
        enabled: bool,
        /// Why.
        reason: Option<String>,
    },
}

impl Act {
    fn ask(self) -> (Ask, Option<OrderId>) {
        match self {
            Act::TakeDispute(dispute) => (Ask::TakeDispute(Some(dispute)), None),
            Act::Settle(order) => (Ask::AdminSettle { slashes: false }, Some(order)),
            Act::Cancel { order, .. } => (Ask::AdminCancel { slashes: false }, Some(order)),
            Act::AddSolver(text) => (Ask::Govern(Govern::AddSolver { text: Some(text) }), None),
            Act::RemoveSolver(key) => (Ask::Govern(Govern::RemoveSolver(key)), None),
            Act::Maintenance { enabled, reason } => {
                (Ask::Govern(Govern::Maintenance { enabled, reason }), None)
            }
        }
    }
}

/// Does it. When this returns well, it is on disk.
///
/// # Errors
/// Why it is not done.
pub async fn act(escrow: &EscrowHandle, act: Act) -> Result<(), Unwilling> {
    if let Act::Cancel {
        order,
        pretrade_only: true,
    } = act
    {
        refuse_trades(escrow, order).await?;
    }
    let (ask, order) = act.ask();
    tell(
        escrow,
        OperatorWord::Asks {
            ask: Box::new(ask),
            order,
        },
    )
    .await
}

/// An order that is taken in the meantime is safe all the same: it is no dispute
/// of the operator's, and nothing else can be canceled.
async fn refuse_trades(escrow: &EscrowHandle, order: OrderId) -> Result<(), Unwilling> {
    let order = read(escrow, move |view| view.order(order)).await?;
    let order = order.ok_or(Unwilling::CantDo(CantDo::NotFound))?;
    if order.stage.is_on_offer() {
        Ok(())
    } else {
        Err(Unwilling::CantDo(CantDo::NotAllowedByStatus))
    }
}

/// Says it to the escrow.
///
/// # Errors
/// Why it is not done.
pub async fn tell(escrow: &EscrowHandle, word: OperatorWord) -> Result<(), Unwilling> {
    match escrow.operate(word).await {
        Some(Receipt::Decided | Receipt::Duplicate | Receipt::Ruled(Ok(()))) => Ok(()),
        Some(Receipt::Ruled(Err(why))) => Err(Unwilling::CantDo(why)),
        Some(Receipt::Refused(Refusal::Invalid(why) | Refusal::Blocked(why))) => {
            Err(Unwilling::Unfit(why))
        }
        Some(Receipt::Refused(Refusal::Busy(why) | Refusal::Error(why))) => {
            Err(Unwilling::Unable(why))
        }
        None => Err(Unwilling::Unable("the escrow ends".into())),
    }
}

/// How the [operator's door](crate::operator_door) says that something is not done.
#[must_use]
pub fn refusal(why: &Unwilling) -> (StatusCode, String) {
    let status = match why {
        Unwilling::CantDo(_) | Unwilling::Unfit(_) => StatusCode::CONFLICT,
        Unwilling::Unable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, why.to_string())
}

/// Looks something up in the ledger, off the runtime's own threads.
///
/// # Errors
/// If the ledger cannot be read.
pub async fn read<T: Send + 'static>(
    escrow: &EscrowHandle,
    question: impl FnOnce(&View) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Unwilling> {
    let views = escrow.views();
    let reading = tokio::task::spawn_blocking(move || question(&views.view()?));
    let answer = reading
        .await
        .map_err(|why| Unwilling::Unable(why.to_string()))?;
    answer.map_err(|why| Unwilling::Unable(why.to_string()))
}

/// Whether new trades are taken, and what is still to be brought to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Why none are taken; none while they are.
    pub maintenance: Option<Maintenance>,
    /// Orders with a living hold invoice.
    pub escrowed_orders: u32,
    /// Buyers who are owed sats that are settled.
    pub inflight_payouts: u32,
    /// Development fees that Lightning is paying.
    #[serde(default)]
    pub inflight_dev_fees: u32,
    /// Orders that wait for a taker; a box may be stopped with them.
    pub pending_orders: u32,
}

impl Rest {
    /// Reads it from the ledger.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn of_ledger(view: &View) -> Result<Rest, StorageError> {
        let holds = view.living_holds()?;
        let mut orders: Vec<_> = holds.iter().map(|hold| hold.order).collect();
        orders.sort_unstable();
        orders.dedup();
        let payouts = view.living_payouts()?;
        let of = |payee| payouts.iter().filter(move |it| it.payee() == payee);
        let owed = of(Payee::Buyer).filter(|payout| payout.state != PayoutState::WaitFunds);
        let dev_fees = of(Payee::Development).filter(|payout| payout.state == PayoutState::Paying);
        let mut pending: usize = 0;
        for order in view.living_orders()? {
            pending += usize::from(order?.stage.is_on_offer());
        }
        Ok(Rest {
            maintenance: view.maintenance()?,
            escrowed_orders: counter(orders.len()),
            inflight_payouts: counter(owed.count()),
            inflight_dev_fees: counter(dev_fees.count()),
            pending_orders: counter(pending),
        })
    }

    /// Whether it is safe to stop the box for good (rule X11).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.escrowed_orders == 0 && self.inflight_payouts == 0 && self.inflight_dev_fees == 0
    }
}

fn counter(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

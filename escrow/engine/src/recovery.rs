//! What Lightning did while the node was away, told before anything is decided.

use escrow_core::decision::Effect;
use escrow_core::payout::PayoutState;
use futures_util::{StreamExt, stream};
use storage::ledger::{NodeIdentity, StorageError, View};

use crate::clock::ClockGuard;
use crate::reports::{self, PaymentStep, Tried};
use crate::submission::Submission;
use crate::workers::bookkeeper;
use crate::workers::dispatch::Task;
use crate::workers::switchboard::Switchboard;
use crate::writer::{BATCH, Engine, StepError};

/// How many look-ups are under way at once.
const LOOK_UPS: usize = 16;

/// Looks up every living hold and payment and decides what is new of them;
/// then fires what is due, which may have been decided by that (rule E13).
/// What cannot be looked up is left to its tender; until that has seen it, no
/// payment is sent (rule P15).
///
/// Lightning may take minutes to answer. That is downtime too, and what is
/// decided after it is decided by the time after it: a hold that is opened
/// again has a few seconds for it (rules E11, E12).
pub(crate) async fn reconcile(
    engine: &mut Engine,
    board: &Switchboard,
    clock: &ClockGuard,
) -> Result<Vec<Effect>, StepError> {
    let (holds, attempts) = {
        let view = engine.views().view()?;
        (view.living_holds()?, view.sent_attempts()?)
    };
    board
        .unseen
        .found(attempts.iter().map(|attempt| attempt.hash));
    engine.hold_timers();
    let mut effects = compare_payments(engine, board, clock).await?;
    let of_holds = stream::iter(holds).map(|row| async move {
        let seen = board
            .call(board.backend.lookup_hold(row.hash))
            .await
            .ok()??;
        reports::hold_news(&row, &seen)
    });
    let of_payments = stream::iter(attempts).map(|row| async move {
        let seen = board
            .call(board.backend.lookup_payment(row.hash))
            .await
            .ok()?;
        board.unseen.seen(row.hash);
        match reports::payment_step(row.hash, seen, Tried::Unknown) {
            PaymentStep::Report(command) => Some(command),
            // Whether a failure is that of the last try only its tender can find out.
            PaymentStep::Start | PaymentStep::Wait | PaymentStep::LookAgain => None,
        }
    });
    let mut news: Vec<_> = of_holds.buffer_unordered(LOOK_UPS).collect().await;
    news.extend(
        of_payments
            .buffer_unordered(LOOK_UPS)
            .collect::<Vec<_>>()
            .await,
    );
    let reports: Vec<_> = news.into_iter().flatten().map(Submission::Report).collect();
    effects.extend(engine.take_up(clock.now())?.effects);
    for batch in reports.chunks(BATCH) {
        effects.extend(engine.step(clock.now(), batch, &[])?.effects);
    }
    engine.let_timers_go(clock.now(), 0)?;
    effects.extend(engine.fire_due(clock.now())?);
    Ok(effects)
}

/// Compares what Lightning has paid with the ledger before anything else is
/// paid: a restored ledger may have forgotten payments of its own. If Lightning
/// does not answer, no payment is sent until it does.
async fn compare_payments(
    engine: &mut Engine,
    board: &Switchboard,
    clock: &ClockGuard,
) -> Result<Vec<Effect>, StepError> {
    let mut effects = Vec::new();
    loop {
        let history = match bookkeeper::next_page(board).await? {
            Ok(history) => history,
            Err(why) => {
                tracing::warn!(%why, "Lightning's payments cannot be listed yet");
                return Ok(effects);
            }
        };
        let is_whole = history.is_whole;
        let compared = engine.step(clock.now(), &[Submission::Payments(history)], &[])?;
        effects.extend(compared.effects);
        if is_whole {
            board.unseen.seen_history();
            return Ok(effects);
        }
    }
}

/// Everything outside that has no end yet.
pub(crate) fn living(view: &View) -> Result<Vec<Task>, StorageError> {
    let holds = view
        .living_holds()?
        .into_iter()
        .map(|hold| Task::Hold(hold.hash));
    let payments = view
        .sent_attempts()?
        .into_iter()
        .map(|attempt| Task::Payment(attempt.hash));
    let addresses = view
        .living_payouts()?
        .into_iter()
        .filter(|payout| matches!(payout.state, PayoutState::Resolving { .. }))
        .map(|payout| Task::Address(payout.id));
    Ok(holds.chain(payments).chain(addresses).collect())
}

/// Why the ledger is not this node's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignLedger {
    /// Traders with open orders know the node by another key.
    #[error(
        "the ledger holds {open_orders} open orders of node {theirs}, but the node key is {ours}: \
         start with the old key until they are done"
    )]
    NodeKey {
        /// Key in the ledger.
        theirs: String,
        /// Key of this start.
        ours: String,
        /// Orders that are not finished.
        open_orders: u64,
    },
    /// The open escrows lie on another network.
    #[error("the ledger holds open orders on {theirs}, but Lightning is on {ours}")]
    Network {
        /// Network in the ledger.
        theirs: String,
        /// Network of this start.
        ours: String,
    },
}

/// Whether the ledger, with what is open in it, belongs to this node.
pub(crate) fn judge_ledger(
    view: &View,
    node: &NodeIdentity,
) -> Result<Result<(), ForeignLedger>, StorageError> {
    let open_orders = view.living_order_count()?;
    let known = match view.node_identity()? {
        Some(known) if open_orders > 0 => known,
        Some(_) | None => return Ok(Ok(())),
    };
    if known.public_key != node.public_key {
        return Ok(Err(ForeignLedger::NodeKey {
            theirs: known.public_key.to_hex(),
            ours: node.public_key.to_hex(),
            open_orders,
        }));
    }
    if known.network != node.network {
        let (theirs, ours) = (known.network, node.network.clone());
        return Ok(Err(ForeignLedger::Network { theirs, ours }));
    }
    Ok(Ok(()))
}

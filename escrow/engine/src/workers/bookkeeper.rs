//! Compares Lightning's own history of payments with the ledger.
//!
//! A ledger that was restored from an old backup has forgotten payments that
//! it made. It must find out before it pays anybody, so at start nothing is
//! sent until the whole history was compared.

use std::time::Duration;

use escrow_lightning::LnResult;
use storage::ledger::StorageError;
use tokio::time::sleep;

use crate::reports;
use crate::submission::{PaymentHistory, Receipt, Submission};
use crate::workers::switchboard::Switchboard;

/// Payments that are asked for at once.
const PAGE: u32 = 500;

/// Time between two comparisons.
const CALM: Duration = Duration::from_secs(60);

/// The same while the history could not be read to its end.
const EAGER: Duration = Duration::from_secs(2);

/// What follows the last payment that was compared.
pub(crate) async fn next_page(
    board: &Switchboard,
) -> Result<LnResult<PaymentHistory>, StorageError> {
    let compared = board.views.view()?.payment_index()?;
    // The last one compared is asked for too: if neither it nor a later one is
    // there, Lightning has forgotten.
    let from = compared.saturating_sub(1);
    let listing = board.backend.list_payments_since(from, PAGE);
    let listed = board.call(listing).await;
    Ok(listed.map(|records| reports::payment_history(compared, &records, PAGE)))
}

/// Compares for ever; ends only with its task.
pub(crate) async fn run(board: Switchboard) {
    loop {
        let pause = if compare(&board).await { CALM } else { EAGER };
        sleep(pause).await;
    }
}

/// Compares what is new; true if nothing is left.
async fn compare(board: &Switchboard) -> bool {
    loop {
        let history = match next_page(board).await {
            Ok(Ok(history)) => history,
            Ok(Err(why)) => {
                tracing::warn!(%why, "Lightning's payments cannot be listed");
                return false;
            }
            Err(why) => {
                tracing::error!(%why, "the ledger cannot be compared with Lightning");
                return false;
            }
        };
        let is_whole = history.is_whole;
        let told = board.mailbox.report(Submission::Payments(history)).await;
        if told != Some(Receipt::Decided) {
            return false;
        }
        if is_whole {
            board.unseen.seen_history();
            return true;
        }
    }
}

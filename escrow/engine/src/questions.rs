//! Questions: answered from a snapshot of the ledger, without a commit.

use escrow_core::UnixTime;
use escrow_core::command::Request;
use escrow_core::dispute::Dispute;
use escrow_core::notice::Letter;
use escrow_core::order::Order;
use escrow_core::party::{Identity, TradeKey};
use escrow_core::questions::{self, Question};
use escrow_core::wire::CantDo;
use storage::ledger::{StorageError, View};

/// The answer, or a fair refusal; the outer error is the ledger's. `most` is
/// how many orders one question may name.
pub(crate) fn answer(
    view: &View,
    request: &Request,
    question: &Question,
    (most, now): (usize, UnixTime),
) -> Result<Result<Letter, CantDo>, StorageError> {
    let user = || view.user(questions::about(request));
    match question {
        Question::RestoreSession => {
            let living = living(view, request)?;
            Ok(Ok(questions::restore_session(request, living)))
        }
        Question::LastTradeIndex => Ok(questions::last_trade_index(request, user()?.as_ref())),
        Question::Orders(ids) => {
            if let Err(why) = questions::ensure_count(ids, most) {
                return Ok(Err(why));
            }
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.extend(view.order(*id)?);
            }
            Ok(questions::orders(request, &found))
        }
        Question::UserInfo => Ok(questions::user_info(request, user()?.as_ref(), now)),
    }
}

/// The living orders of the asker, with their disputes.
fn living(view: &View, request: &Request) -> Result<Vec<(Order, Option<Dispute>)>, StorageError> {
    let about = questions::about(request);
    let mut orders = view.living_orders_of(about)?;
    if request.sender.identity == Identity::FullPrivacy {
        orders.extend(view.living_orders_with(TradeKey(about.0))?);
    }
    let mut living = Vec::with_capacity(orders.len());
    for order in orders {
        let dispute = match order.dispute {
            Some(id) => view.dispute(id)?,
            None => None,
        };
        living.push((order, dispute));
    }
    Ok(living)
}

//! A take that comes to nothing, and who hears of it.

use crate::decision::{Decision, Effect};
use crate::facts::Now;
use crate::notice::{Letter, Notice};
use crate::order::{EndedTake, Order, Side, Take};
use crate::party::Asker;
use crate::stage::{CancelReason, Stage};
use crate::view;

/// The taker left or let the trade down: the offer is in the book again
/// exactly as its maker wrote it (rules S7, S8, E2).
pub(super) fn without_taker(order: &Order, take: &Take, now: Now) -> Decision {
    let returned = to_book(order, now);
    let told = if returned.stage == Stage::Expired {
        Notice::Canceled
    } else {
        Notice::BackInBook(Box::new(view::back(&returned)))
    };
    Decision {
        pushes: vec![
            Letter::push(&order.maker, order.id, told),
            Letter::push(&take.taker, order.id, Notice::Canceled),
        ],
        ended_takes: vec![EndedTake {
            order: order.id,
            take: take.clone(),
            status: order.stage.status(),
            ended_at: now.at,
        }],
        orders: vec![returned],
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

/// The seller did not pay. A buy order goes back to the book without him; a
/// sell order ends, because its own maker let it down (rules E3, E4).
pub(super) fn unpaid(order: &Order, take: &Take, now: Now) -> Decision {
    match order.offer.side {
        Side::Buy => without_taker(order, take, now),
        Side::Sell => for_both(order, take, CancelReason::NotPaid, now),
    }
}

/// The order ends, and both parties hear it.
pub(super) fn for_both(order: &Order, take: &Take, why: CancelReason, now: Now) -> Decision {
    let word = match why {
        CancelReason::ByBoth => Notice::CancelAgreed,
        CancelReason::ByAdmin => Notice::AdminCanceled,
        CancelReason::ByMaker
        | CancelReason::NotPaid
        | CancelReason::NoInvoice
        | CancelReason::EscrowEnding
        | CancelReason::EscrowLost => Notice::Canceled,
    };
    Decision {
        orders: vec![canceled(order, Some(take), why, now)],
        pushes: vec![
            Letter::push(&order.maker, order.id, word.clone()),
            Letter::push(&take.taker, order.id, word),
        ],
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    }
}

/// The order as its maker offered it; too late for the book, it has expired
/// (rules S7, B7).
pub(super) fn to_book(order: &Order, now: Now) -> Order {
    let is_over = order.offer.expires_at <= now.at;
    let stage = if is_over {
        Stage::Expired
    } else {
        Stage::Pending
    };
    order.moved(stage, now.at)
}

/// The order, canceled for good.
pub(super) fn canceled(order: &Order, take: Option<&Take>, why: CancelReason, now: Now) -> Order {
    let take = take.cloned();
    order.moved(Stage::Canceled { why, take }, now.at)
}

impl Decision {
    /// What the asker would hear anyway becomes his answer (rule W6).
    pub(super) fn answering(mut self, asker: &Asker) -> Decision {
        let to_asker = |letter: &Letter| letter.to == asker.trade_key;
        if let Some(at) = self.pushes.iter().position(to_asker) {
            let told = self.pushes.remove(at);
            self.answer = Some(Letter {
                transport: asker.transport,
                request_id: asker.request_id,
                ..told
            });
        }
        self
    }
}

//! A timer is due.
//!
//! A timer may be older than what it finds: it looks at the rows, and does
//! nothing when they have a later moment in mind.

use crate::decision::Decision;
use crate::facts::{Now, PayoutFacts};
use crate::hold::Hold;
use crate::order::Order;
use crate::stage::Stage;
use crate::timer::TimerKind;

use super::hold_invoice::hold_failed;
use super::nothing;
use super::payout::payout_due;

/// Decides what a timer of this order means (rules B6, P4). The rows are those
/// that the order's stage names.
pub fn elapsed(
    order: &Order,
    kind: TimerKind,
    hold: Option<&Hold>,
    owed: Option<&PayoutFacts>,
    now: Now,
) -> Decision {
    match kind {
        TimerKind::OpeningHold => hold.map_or_else(nothing, |hold| opening(order, hold, now)),
        TimerKind::PayoutRetry => owed.map_or_else(nothing, |owed| payout_due(order, owed, now)),
    }
}

/// The node has thought long enough about a hold (rule E7).
fn opening(order: &Order, hold: &Hold, now: Now) -> Decision {
    let is_over = matches!(order.stage, Stage::OpeningHold { until, .. } if until <= now.at);
    if is_over {
        hold_failed(order, hold, now)
    } else {
        nothing()
    }
}

//! The end of an escrow comes by height, whatever the clock says.
//!
//! Lightning gives a locked payment back to the seller some blocks before it
//! expires. The node never takes custody to prevent that; it warns, acts while
//! it can still act, and calls for help.

use crate::decision::{Alarm, Decision, Effect};
use crate::dispute::DisputeId;
use crate::facts::Now;
use crate::hold::{Acceptance, Hold, HoldState, HorizonWatch};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role, Take};
use crate::stage::{CancelReason, Stage, Then};
use crate::terms::WARNING_BLOCKS;
use crate::time::UnixTime;

use super::{canceling, dispute, nothing};

/// Blocks between two alarms about the same dispute (rule X5).
const ALARM_EVERY_BLOCKS: u32 = 6;

/// While Lightning is away a block is assumed this often, in seconds: rather
/// too early than too late.
const FASTEST_BLOCK_SECS: u64 = 360;

/// Judges an accepted or settling hold on every block and every minute (rules
/// X1–X5, X7). `tip_height` is the highest tip ever seen, or estimated.
///
/// Twice at the same height decides nothing the second time, except that a
/// settle is tried again. `fresh` names a dispute, should one be opened.
pub fn hold_aged(
    order: &Order,
    hold: &Hold,
    tip_height: u32,
    fresh: DisputeId,
    now: Now,
) -> Decision {
    let (HoldState::Accepted(acceptance) | HoldState::Settling(acceptance)) = &hold.state else {
        return nothing();
    };
    if order.stage.hold() != Some(hold.id) {
        return nothing();
    }
    let horizon = Horizon::of(hold, acceptance, tip_height, now);
    match &order.stage {
        Stage::Active { take, .. } if horizon.is_near => end_active(order, take, &horizon, now),
        Stage::FiatSent { .. } if horizon.is_near => end_fiat_sent(order, &horizon, fresh, now),
        Stage::Dispute { .. } if horizon.is_near => call_again(&horizon),
        Stage::Active { take, .. } | Stage::FiatSent { take, .. } | Stage::Dispute { take, .. }
            if horizon.is_in_sight && !hold.horizon.warned =>
        {
            warn(order, take, &horizon)
        }
        Stage::Releasing { .. } if horizon.is_near => settle_again(&horizon),
        Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Releasing { .. }
        | Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Canceling { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => nothing(),
    }
}

/// The tip as it may be at `now` if it was last seen at `height` then, and
/// Lightning has been away since (rule X1).
#[must_use]
pub fn estimated_tip(height: u32, seen_at: UnixTime, now: UnixTime) -> u32 {
    let blocks = now.secs_since(seen_at) / FASTEST_BLOCK_SECS;
    height.saturating_add(u32::try_from(blocks).unwrap_or(u32::MAX))
}

/// How near the end of a hold is.
struct Horizon<'a> {
    hold: &'a Hold,
    tip_height: u32,
    blocks_left: u32,
    is_in_sight: bool,
    is_near: bool,
}

impl<'a> Horizon<'a> {
    fn of(hold: &'a Hold, acceptance: &Acceptance, tip_height: u32, now: Now) -> Horizon<'a> {
        let blocks_left = acceptance.expiry_height.saturating_sub(tip_height);
        let act = now.terms.escrow_deadline_margin_blocks;
        Horizon {
            hold,
            tip_height,
            blocks_left,
            is_in_sight: blocks_left <= act.saturating_add(WARNING_BLOCKS),
            is_near: blocks_left <= act,
        }
    }

    fn alarm(&self) -> Effect {
        Effect::Alarm(Alarm::EscrowEnding {
            hash: self.hold.hash,
            blocks_left: self.blocks_left,
        })
    }

    /// The hold, remembering what is said by this decision.
    fn noted(&self) -> Hold {
        Hold {
            horizon: HorizonWatch {
                warned: true,
                alarmed_at: Some(self.tip_height),
            },
            ..self.hold.clone()
        }
    }

    fn is_due_again(&self, after_blocks: u32) -> bool {
        self.hold
            .horizon
            .alarmed_at
            .is_none_or(|at| self.tip_height.saturating_sub(at) >= after_blocks)
    }
}

/// Rule X2.
fn warn(order: &Order, take: &Take, horizon: &Horizon<'_>) -> Decision {
    let text = format!(
        "The escrow of this trade ends in about {} blocks: complete the trade or open a dispute \
         before, or the sats go back to the seller.",
        horizon.blocks_left
    );
    let sides = order.sides(take);
    let told = [sides.buyer, sides.seller];
    Decision {
        holds: vec![Hold {
            horizon: HorizonWatch {
                warned: true,
                ..horizon.hold.horizon
            },
            ..horizon.hold.clone()
        }],
        pushes: told
            .map(|party| Letter::push(party, order.id, Notice::Plain(text.clone())))
            .into(),
        effects: vec![horizon.alarm()],
        ..Decision::default()
    }
}

/// Rule X3: nobody has said that he sent fiat, so the sats go back in time.
fn end_active(order: &Order, take: &Take, horizon: &Horizon<'_>, now: Now) -> Decision {
    let then = Then::Canceled(CancelReason::EscrowEnding);
    let mut decision = canceling::start(order, take, horizon.hold, then, None, now);
    decision.effects.push(horizon.alarm());
    decision
}

/// Rule X4: the buyer may have paid, so a solver has to look; the hold is not
/// touched.
fn end_fiat_sent(order: &Order, horizon: &Horizon<'_>, fresh: DisputeId, now: Now) -> Decision {
    let opened = dispute::opened(order, Role::Buyer, fresh, now);
    let mut decision = opened.expect("a trade after the fiat can be disputed");
    decision.holds.push(horizon.noted());
    decision.effects.push(horizon.alarm());
    decision
}

/// Rule X5: only people can help, and they are called every six blocks.
fn call_again(horizon: &Horizon<'_>) -> Decision {
    if !horizon.is_due_again(ALARM_EVERY_BLOCKS) {
        return nothing();
    }
    Decision {
        holds: vec![horizon.noted()],
        effects: vec![horizon.alarm()],
        ..Decision::default()
    }
}

/// Rule X7: the sats have to be taken before Lightning gives them back.
fn settle_again(horizon: &Horizon<'_>) -> Decision {
    let settle = Effect::SettleHold(horizon.hold.hash);
    if !horizon.is_due_again(1) {
        return nothing();
    }
    Decision {
        holds: vec![horizon.noted()],
        effects: vec![settle, horizon.alarm()],
        ..Decision::default()
    }
}

//! Asking Lightning for a hold invoice, and giving it up again (rules B1, B6).

use crate::decision::{Decision, Effect};
use crate::facts::{Capacity, FreshHold, Now};
use crate::hold::{Hold, HoldState};
use crate::order::{Order, Take};
use crate::party::Asker;
use crate::stage::{BackTo, Stage};
use crate::terms::{HOLD_GRACE_SECS, OPENING_SECS, Terms};
use crate::time::UnixTime;
use crate::timer::{Timer, TimerKind};
use crate::wire::CantDo;

use super::ensure;

/// What a hold is wanted for, by whom, and where the order goes without it.
pub(super) struct Opening {
    pub(super) take: Take,
    pub(super) asker: Asker,
    pub(super) back_to: BackTo,
}

/// Whether Lightning can carry one more escrow (rules T7, Y6). Holds that are
/// still being opened will be open in a moment, so they count as both.
pub(super) fn ensure_capacity(capacity: Capacity, terms: &Terms) -> Result<(), CantDo> {
    let holds = capacity.open_holds.saturating_add(capacity.opening_holds);
    ensure(capacity.lightning_is_ready, CantDo::TooManyRequests)?;
    ensure(holds < terms.max_open_holds, CantDo::TooManyRequests)?;
    ensure(
        capacity.opening_holds < terms.max_opening_holds,
        CantDo::TooManyRequests,
    )
}

/// Lightning is asked for a hold; the answer comes when it has answered (rule B1).
pub(super) fn open_hold(order: &Order, opening: Opening, fresh: FreshHold, now: Now) -> Decision {
    let Opening {
        take,
        asker,
        back_to,
    } = opening;
    let until = now.at.plus(OPENING_SECS);
    let hold = new_hold(order, &take, fresh, now);
    let stage = Stage::OpeningHold {
        take,
        hold: hold.id,
        asker,
        back_to,
        until,
    };
    Decision {
        effects: vec![
            Effect::OpenHold(hold.hash),
            Effect::WakeAt(Timer {
                at: until,
                order: order.id,
                kind: TimerKind::OpeningHold,
            }),
        ],
        orders: vec![order.moved(stage, now.at)],
        holds: vec![hold],
        ..Decision::default()
    }
}

/// The invoice outlives its step by a grace only, so that nobody can pay it
/// when the step is long over (rule B2).
fn new_hold(order: &Order, take: &Take, fresh: FreshHold, now: Now) -> Hold {
    let life = now.terms.step_secs.saturating_add(HOLD_GRACE_SECS);
    Hold {
        id: fresh.id,
        order: order.id,
        seller: order.sides(take).seller.clone(),
        hash: fresh.hash,
        value: take.seller_pays(),
        cltv_delta_blocks: now.terms.hold_cltv_delta_blocks,
        expires_at: now.at.plus(life),
        state: HoldState::New,
        late_payment: None,
    }
}

/// The order as it was before the opening (rule B6); an invoice that came with
/// it is forgotten, so that its owner may give it again.
pub(super) fn back(order: &Order, take: &Take, back_to: &BackTo, at: UnixTime) -> Order {
    let stage = match back_to {
        BackTo::Pending => Stage::Pending,
        BackTo::WaitingInvoice { deadline } => Stage::WaitingInvoice {
            take: Take {
                payout: None,
                ..take.clone()
            },
            deadline: *deadline,
        },
    };
    order.moved(stage, at)
}

/// A hold nobody wants; the cancel is repeated until it is definite.
pub(super) fn given_up(hold: &Hold) -> Hold {
    Hold {
        state: HoldState::Canceling,
        ..hold.clone()
    }
}

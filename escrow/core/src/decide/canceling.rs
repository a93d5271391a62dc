//! Giving an accepted escrow back before anybody is told (rules C6, C8, E5, E6, X3).

use crate::decision::{Decision, Effect};
use crate::dispute::{Dispute, DisputeEnd};
use crate::facts::Now;
use crate::hold::Hold;
use crate::order::{Order, Take};
use crate::party::Asker;
use crate::stage::{CancelReason, Stage, Then};
use crate::terms::OPENING_SECS;

use super::dispute::close;
use super::ending::{for_both, without_taker};
use super::opening::given_up;

/// Decides that the sats go back, for good; everybody hears it when they are
/// ([`finished`]). The cancel is repeated until Lightning has given a definite
/// answer.
pub(super) fn start(
    order: &Order,
    take: &Take,
    hold: &Hold,
    then: Then,
    asker: Option<Asker>,
    now: Now,
) -> Decision {
    let stage = Stage::Canceling {
        take: take.clone(),
        hold: hold.id,
        then,
        asker,
        echo_until: now.at.plus(OPENING_SECS),
    };
    Decision {
        orders: vec![order.moved(stage, now.at)],
        holds: vec![given_up(hold)],
        effects: vec![Effect::CancelHold(hold.hash)],
        ..Decision::default()
    }
}

/// The sats are back: the order goes where it was to go. None if it does not
/// wait for this hold.
pub(super) fn finished(
    order: &Order,
    of: &Hold,
    dispute: Option<&Dispute>,
    now: Now,
) -> Option<Decision> {
    let Stage::Canceling {
        take,
        hold,
        then,
        asker,
        echo_until,
    } = &order.stage
    else {
        return None;
    };
    if *hold != of.id {
        return None;
    }
    let mut decision = match then {
        Then::BackToBook => without_taker(order, take, now),
        Then::Canceled(why) => for_both(order, take, *why, now),
    };
    if *then == Then::Canceled(CancelReason::ByBoth) {
        close(&mut decision, dispute, DisputeEnd::CooperativelyCanceled);
    }
    Some(match asker {
        Some(asker) => decision.answering(&asker.until(*echo_until, now.at)),
        None => decision,
    })
}

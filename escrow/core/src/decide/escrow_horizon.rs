//! The end of an escrow comes by height, whatever the clock says.
//!
//! Lightning gives a locked payment back to the seller some blocks before it
//! expires. The node never takes custody to prevent that; it warns, acts while
//! it can still act, and calls for help.

use crate::decision::{Alarm, Decision, Effect};
use crate::dispute::{Dispute, DisputeId};
use crate::facts::{HorizonFacts, Now};
use crate::hold::{Acceptance, Hold, HoldState, HorizonWatch};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Role, Take};
use crate::solver::Assigned;
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
/// X1–X5, X7).
///
/// Twice at the same height decides nothing the second time, except that a
/// settle is tried again.
pub fn hold_aged(order: &Order, hold: &Hold, facts: &HorizonFacts, now: Now) -> Decision {
    let (HoldState::Accepted(acceptance) | HoldState::Settling(acceptance)) = &hold.state else {
        return nothing();
    };
    if order.stage.hold() != Some(hold.id) {
        return nothing();
    }
    let mut horizon = Horizon::of(hold, acceptance, facts.tip_height, now);
    let dispute = facts.dispute.as_ref().filter(|dispute| dispute.is_open());
    horizon.solver = dispute.and_then(Dispute::assigned);
    match &order.stage {
        Stage::Active { take, .. } if horizon.is_near => end_active(order, take, &horizon, now),
        Stage::FiatSent { take, .. } if horizon.is_near => {
            end_fiat_sent(order, take, &horizon, (facts.fresh, now))
        }
        Stage::Dispute { take, .. } if horizon.is_near => call_again(order, take, &horizon),
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
    solver: Option<Assigned>,
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
            solver: None,
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

/// Rule X2: both parties and the solver hear it once.
fn warning(order: &Order, take: &Take, horizon: &Horizon<'_>) -> Vec<Letter> {
    if horizon.hold.horizon.warned {
        return Vec::new();
    }
    let text = format!(
        "The escrow of this trade ends in about {} blocks: complete the trade or open a dispute \
         before, or the sats go back to the seller.",
        horizon.blocks_left
    );
    let sides = order.sides(take);
    let notice = Notice::Plain(text);
    let parties =
        [sides.buyer, sides.seller].map(|party| Letter::push(party, order.id, notice.clone()));
    let solver = horizon
        .solver
        .map(|solver| solver.letter(order.id, notice.clone()));
    parties.into_iter().chain(solver).collect()
}

fn warn(order: &Order, take: &Take, horizon: &Horizon<'_>) -> Decision {
    Decision {
        holds: vec![Hold {
            horizon: HorizonWatch {
                warned: true,
                ..horizon.hold.horizon
            },
            ..horizon.hold.clone()
        }],
        pushes: warning(order, take, horizon),
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
/// touched. Whoever was not warned before hears why.
fn end_fiat_sent(
    order: &Order,
    take: &Take,
    horizon: &Horizon<'_>,
    (fresh, now): (DisputeId, Now),
) -> Decision {
    let opened = dispute::opened(order, Role::Buyer, fresh, now);
    let mut decision = opened.expect("a trade after the fiat can be disputed");
    decision.pushes.extend(warning(order, take, horizon));
    decision.holds.push(horizon.noted());
    decision.effects.push(horizon.alarm());
    decision
}

/// Rule X5: only people can help, and they are called every six blocks.
fn call_again(order: &Order, take: &Take, horizon: &Horizon<'_>) -> Decision {
    if !horizon.is_due_again(ALARM_EVERY_BLOCKS) {
        return nothing();
    }
    Decision {
        holds: vec![horizon.noted()],
        pushes: warning(order, take, horizon),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::order::Side;

    /// The fixtures' holds expire at this height.
    const EXPIRES: u32 = 900;

    fn aged(scene: &Scene, blocks_left: u32) -> Decision {
        let hold = scene.hold.as_ref().unwrap();
        hold_aged(
            &scene.order,
            hold,
            &horizon_facts(EXPIRES - blocks_left, scene.dispute.clone()),
            now(),
        )
    }

    fn alarm(blocks_left: u32) -> Effect {
        let hash = fresh_hold().hash;
        Effect::Alarm(Alarm::EscrowEnding { hash, blocks_left })
    }

    fn watched(scene: &Scene, alarmed_at: Option<u32>) -> Scene {
        let mut scene = scene.clone();
        scene.hold.as_mut().unwrap().horizon = HorizonWatch {
            warned: true,
            alarmed_at,
        };
        scene
    }

    fn running() -> [Scene; 3] {
        [
            active(Side::Sell),
            after_fiat(Side::Sell),
            disputed(Side::Sell),
        ]
    }

    #[test]
    fn x1_before_the_warning_and_without_a_locked_escrow_nothing_happens() {
        for scene in running() {
            assert_eq!(aged(&scene, 61), nothing(), "{}", scene.name);
        }
        for scene in scenes(Side::Sell).into_iter().filter(|s| s.hold.is_some()) {
            let is_watched = matches!(scene.name, "active" | "fiat-sent" | "dispute" | "releasing");
            if !is_watched {
                assert_eq!(aged(&scene, 1), nothing(), "{}", scene.name);
            }
        }
    }

    #[test]
    fn x2_both_parties_are_warned_once_in_plain_words() {
        for scene in running() {
            let decision = aged(&scene, 60);
            let Notice::Plain(text) = &decision.pushes[0].notice else {
                panic!("{decision:?}");
            };
            assert!(text.contains("60 blocks"), "{text}");
            let plain = || Notice::Plain(text.clone());
            let expected = Decision {
                holds: watched(&scene, None).hold.into_iter().collect(),
                pushes: vec![push(&taker(), plain()), push(&maker(), plain())],
                effects: vec![alarm(60)],
                ..Decision::default()
            };
            assert_eq!(decision, expected, "{}", scene.name);
            assert_eq!(aged(&watched(&scene, None), 37), nothing());
        }
    }

    #[test]
    fn x3_up_m8_an_active_escrow_goes_back_in_time() {
        let scene = active(Side::Sell);
        let stage = Stage::Canceling {
            take: take_with_invoice(),
            hold: fresh_hold().id,
            then: Then::Canceled(CancelReason::EscrowEnding),
            asker: None,
            echo_until: UnixTime(NOW.0 + 8),
        };
        let expected = Decision {
            orders: vec![scene.order.moved(stage, NOW)],
            holds: vec![hold(&scene.order, HoldState::Canceling)],
            effects: vec![Effect::CancelHold(fresh_hold().hash), alarm(36)],
            ..Decision::default()
        };
        assert_eq!(aged(&scene, 36), expected);
    }

    #[test]
    fn x4_after_the_fiat_a_dispute_is_opened_as_by_the_buyer() {
        let unwarned = asked_to_cancel(after_fiat(Side::Sell), Role::Buyer);
        let told = aged(&unwarned, 36).pushes;
        assert_eq!(told.len(), 4, "x2 comes with it");
        let scene = watched(&unwarned, None);
        let order = Order {
            stage_since: NOW,
            ..disputed(Side::Sell).order
        };
        let row = crate::dispute::Dispute {
            opened_at: NOW,
            ..crate::fixtures::dispute()
        };
        let expected = Decision {
            orders: vec![order],
            holds: watched(&scene, Some(EXPIRES - 36))
                .hold
                .into_iter()
                .collect(),
            disputes: vec![row],
            pushes: vec![
                push(&taker(), Notice::DisputeOpenedByYou(dispute_id())),
                push(&maker(), Notice::DisputeOpenedByPeer(dispute_id())),
            ],
            effects: vec![Effect::PublishDispute(dispute_id()), alarm(36)],
            ..Decision::default()
        };
        assert_eq!(aged(&scene, 36), expected);
    }

    #[test]
    fn x5_a_dispute_is_called_out_every_six_blocks_and_never_touched() {
        let scene = disputed(Side::Sell);
        let called = |scene: &Scene, left: u32| Decision {
            holds: watched(scene, Some(EXPIRES - left))
                .hold
                .into_iter()
                .collect(),
            effects: vec![alarm(left)],
            ..Decision::default()
        };
        let unwarned = aged(&scene, 36);
        assert_eq!(unwarned.pushes.len(), 2, "x2 comes with it");
        assert_eq!(aged(&watched(&scene, None), 36), called(&scene, 36));
        let once = watched(&scene, Some(EXPIRES - 36));
        assert_eq!(aged(&once, 36), nothing());
        assert_eq!(aged(&once, 31), nothing());
        assert_eq!(aged(&once, 30), called(&scene, 30));
        assert_eq!(
            aged(&watched(&scene, Some(EXPIRES - 6)), 0),
            called(&scene, 0)
        );
    }

    #[test]
    fn x7_a_release_near_the_end_is_settled_on_each_block() {
        let scene = releasing(Side::Sell);
        assert_eq!(aged(&scene, 37), nothing());
        let settled = |left: u32| Decision {
            holds: watched(&scene, Some(EXPIRES - left))
                .hold
                .into_iter()
                .collect(),
            effects: vec![Effect::SettleHold(fresh_hold().hash), alarm(left)],
            ..Decision::default()
        };
        assert_eq!(aged(&scene, 36), settled(36));
        let once = watched(&scene, Some(EXPIRES - 36));
        assert_eq!(aged(&once, 36), nothing(), "the same block");
        assert_eq!(aged(&once, 35), settled(35));
    }

    #[test]
    fn x1_the_earlier_hold_of_another_take_is_not_judged() {
        let mut scene = active(Side::Sell);
        scene.hold.as_mut().unwrap().id = next_hold().id;
        assert_eq!(aged(&scene, 1), nothing());
    }

    #[test]
    fn x1_while_lightning_is_away_the_tip_grows_by_itself() {
        let since = |secs| estimated_tip(800, SINCE, UnixTime(SINCE.0 + secs));
        assert_eq!((since(0), since(359), since(360)), (800, 800, 801));
        assert_eq!(since(86_400), 1_040);
        assert_eq!(estimated_tip(800, NOW, SINCE), 800, "a clock set back");
        assert_eq!(
            estimated_tip(800, UnixTime(0), UnixTime(u64::MAX)),
            u32::MAX
        );
    }
}

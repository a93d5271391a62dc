//! What Lightning reports about a hold invoice.
//!
//! A report is expected, or was seen before and gives nothing, or contradicts
//! the ledger and gives an alarm (rule H1).

use crate::decision::{Decision, Effect};
use crate::facts::{FreshHold, Now};
use crate::hold::{Hold, HoldState};
use crate::notice::{Letter, Notice, Reputation};
use crate::order::{Order, Side, Take};
use crate::party::{Asker, Identity};
use crate::payout::PayoutId;
use crate::stage::{BackTo, ReleasedBy, Stage};
use crate::time::UnixTime;
use crate::user::User;

use super::opening::{Opening, given_up, open_hold};

mod accepted;
mod canceled;
mod found;
mod opened;
mod settled;

pub use accepted::hold_accepted;
pub use canceled::hold_canceled;
pub use found::hold_found;
pub use opened::{hold_failed, hold_opened};
pub use settled::hold_settled;

/// The maker learns with whom he trades: figures, no key. In full privacy they
/// are zeros.
fn taker_shown(order: &Order, take: &Take, user: Option<&User>, now: Now) -> Letter {
    let user = user.filter(|_| take.taker.identity != Identity::FullPrivacy);
    let taker = Reputation::of(user, now.at);
    let to_seller = order.offer.side == Side::Sell;
    Letter::push(
        &order.maker,
        order.id,
        Notice::TakerReputation { to_seller, taker },
    )
}

/// The take whose seller is asked to pay this hold, and until when.
fn awaiting_payment<'a>(order: &'a Order, of: &Hold) -> Option<(&'a Take, UnixTime)> {
    let Stage::WaitingPayment {
        take,
        hold,
        deadline,
    } = &order.stage
    else {
        return None;
    };
    (*hold == of.id).then_some((take, *deadline))
}

/// The seller's time is not over, but his invoice ends before it: the node was
/// down, and owes him another (rule E12).
fn reopened(
    order: &Order,
    hold: &Hold,
    (take, deadline): (&Take, UnixTime),
    fresh: FreshHold,
    now: Now,
) -> Option<Decision> {
    let is_owed = now.at < deadline && hold.expires_at < deadline;
    is_owed.then(|| {
        let opening = Opening {
            take: take.clone(),
            asker: None,
            back_to: BackTo::WaitingPayment { deadline },
        };
        open_hold(order, opening, fresh, now)
    })
}

/// A decided release, and who waits for it.
struct Release<'a> {
    take: &'a Take,
    payout: PayoutId,
    asker: &'a Asker,
    echo_until: UnixTime,
    by: ReleasedBy,
}

fn release_of<'a>(order: &'a Order, of: &Hold) -> Option<Release<'a>> {
    let Stage::Releasing {
        take,
        hold,
        payout,
        asker,
        echo_until,
        by,
    } = &order.stage
    else {
        return None;
    };
    let release = Release {
        take,
        payout: *payout,
        asker,
        echo_until: *echo_until,
        by: *by,
    };
    (*hold == of.id).then_some(release)
}

impl Release<'_> {
    /// The answer to whoever released (rule B8).
    fn answer(&self, order: &Order, notice: Notice, now: Now) -> Letter {
        let asker = self.asker.until(self.echo_until, now.at);
        match self.by {
            ReleasedBy::Seller => Letter::answer(&asker, order.id, notice),
            ReleasedBy::Solver => Letter::ruling(&asker, order.id, notice),
        }
    }
}

/// A cancel is repeated for as long as Lightning shows the hold alive.
fn cancel_again(hold: &Hold) -> Decision {
    let was_done = hold.state == HoldState::Canceled;
    Decision {
        holds: was_done.then(|| given_up(hold)).into_iter().collect(),
        effects: vec![Effect::CancelHold(hold.hash)],
        ..Decision::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{alarm, nothing};
    use crate::decision::Alarm;
    use crate::fixtures::*;

    #[test]
    fn h1_up_m7_reports_of_what_is_known_or_over_move_nothing() {
        let order = active(Side::Sell).order;
        let accepted = HoldState::Accepted(acceptance());
        let settled = HoldState::Settled(acceptance());
        for state in [
            accepted.clone(),
            HoldState::Settling(acceptance()),
            settled.clone(),
        ] {
            let hold = hold(&order, state);
            assert_eq!(hold_opened(&order, &hold, None, "ln", now()), nothing());
            assert_eq!(
                hold_accepted(&order, &hold, None, FULL, 900, now()),
                nothing()
            );
        }
        for state in [
            open_state(),
            accepted.clone(),
            HoldState::Canceling,
            settled,
        ] {
            assert_eq!(hold_failed(&order, &hold(&order, state), now()), nothing());
        }
    }

    #[test]
    fn h1_reports_that_contradict_the_ledger_are_alarms() {
        let order = active(Side::Sell).order;
        let unexpected = alarm(Alarm::UnexpectedHold(fresh_hold().hash));
        let facts = releasing(Side::Sell).hold_facts();
        let new = hold(&order, HoldState::New);
        assert_eq!(hold_opened(&order, &new, None, "ln", now()), unexpected);
        assert_eq!(hold_failed(&order, &new, now()), unexpected);
        for state in [HoldState::New, open_state(), HoldState::Lost] {
            let hold = hold(&order, state);
            assert_eq!(
                hold_accepted(&order, &hold, None, FULL, 900, now()),
                unexpected
            );
        }
        for state in [
            open_state(),
            HoldState::Accepted(acceptance()),
            HoldState::Canceling,
        ] {
            assert_eq!(
                hold_settled(&order, &hold(&order, state), &facts, now()),
                unexpected
            );
        }
        let elsewhere = hold(&order, HoldState::Settling(acceptance()));
        assert_eq!(hold_settled(&order, &elsewhere, &facts, now()), unexpected);
    }

    #[test]
    fn h1_a_report_about_an_earlier_hold_leaves_the_present_one_alone() {
        let scene = waiting_payment(Side::Sell);
        let mut earlier = scene.hold.unwrap();
        earlier.id = crate::hold::HoldId(uuid::Uuid::from_u128(99));
        let decision = hold_accepted(&scene.order, &earlier, None, FULL, 900, now());
        assert_eq!(decision, alarm(Alarm::UnexpectedHold(earlier.hash)));
    }
}

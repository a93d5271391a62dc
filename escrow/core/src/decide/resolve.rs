//! A solver takes a dispute and rules in it.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::dispute::{Dispute, DisputeState};
use crate::facts::{Now, RulingFacts, TakeDisputeFacts};
use crate::hold::Hold;
use crate::notice::{Letter, Notice};
use crate::order::Order;
use crate::party::IdentityKey;
use crate::questions::about;
use crate::solver::{Assigned, Permission, Standing};
use crate::stage::{BackTo, CancelReason, ReleasedBy, Stage, Then};
use crate::view;
use crate::wire::CantDo;

use super::cancel::{give_up, refuse_asker};
use super::ending::canceled;
use super::release::settling;
use super::{canceling, ensure};

/// A solver makes a dispute his own and learns what it is about (rules A1, A2,
/// D5). Who has it already is told again, and nobody else hears of that.
///
/// # Errors
///
/// `invalid_pubkey` from anybody who may not take it as it stands.
pub fn take_dispute(
    order: &Order,
    dispute: &Dispute,
    req: &Request,
    now: Now,
    facts: &TakeDisputeFacts,
) -> Result<Decision, CantDo> {
    let by = about(req);
    ensure(may_take(dispute, by, facts), CantDo::InvalidPubkey)?;
    let take = order.stage.take().ok_or(CantDo::InvalidPubkey)?;
    let info = Box::new(view::solver_info(order, take, dispute, facts));
    let answer = to_solver(
        req,
        order,
        Notice::DisputeTaken {
            id: dispute.id,
            info,
        },
    );
    let loser = match dispute.state {
        DisputeState::InProgress(assigned) if assigned.solver == by => {
            return Ok(Decision {
                answer: Some(answer),
                ..Decision::default()
            });
        }
        DisputeState::InProgress(assigned) => Some(assigned),
        DisputeState::Initiated | DisputeState::Closed { .. } => None,
    };
    let told = || Notice::SolverTook { solver: by };
    let sides = order.sides(take);
    let mut pushes = vec![
        Letter::push(sides.buyer, order.id, told()),
        Letter::push(sides.seller, order.id, told()),
    ];
    pushes.extend(loser.map(|loser| loser.letter(order.id, told())));
    let assigned = Assigned {
        solver: by,
        transport: req.sender.transport,
        taken_at: now.at,
    };
    Ok(Decision {
        answer: Some(answer),
        pushes,
        disputes: vec![Dispute {
            state: DisputeState::InProgress(assigned),
            ..dispute.clone()
        }],
        effects: vec![Effect::PublishDispute(dispute.id)],
        ..Decision::default()
    })
}

/// Rule A1.
fn may_take(dispute: &Dispute, by: IdentityKey, facts: &TakeDisputeFacts) -> bool {
    match (dispute.state, facts.standing) {
        (DisputeState::Closed { .. }, _) | (_, Standing::Nobody) => false,
        (DisputeState::Initiated, Standing::Operator | Standing::Solver(_))
        | (DisputeState::InProgress(_), Standing::Operator) => true,
        (DisputeState::InProgress(assigned), Standing::Solver(own)) => {
            let is_better = own == Permission::ReadWrite
                && facts.assigned == Standing::Solver(Permission::Read);
            assigned.solver == by || is_better
        }
    }
}

/// The buyer is right: his sats are settled and paid to him (rule A10). All are
/// told when the hold is settled.
///
/// # Errors
///
/// Rules A5–A9.
pub fn admin_settle(
    order: &Order,
    req: &Request,
    slashes: bool,
    now: Now,
    facts: &RulingFacts,
) -> Result<Decision, CantDo> {
    ensure_his(order, req, facts)?;
    if let Some(answer) = agreed_meanwhile(order, req) {
        return Ok(answer);
    }
    let Stage::Dispute { take, hold, .. } = &order.stage else {
        return Err(CantDo::InvalidOrderStatus);
    };
    ensure(!slashes, CantDo::InvalidPayload)?;
    let accepted = facts.hold.as_ref().filter(|row| row.id == *hold);
    let accepted = accepted.ok_or(CantDo::InvalidOrderStatus)?;
    settling(
        order,
        take.clone(),
        (accepted, facts.payout),
        (req.asker(), ReleasedBy::Solver),
        now,
    )
    .ok_or(CantDo::InvalidOrderStatus)
}

/// The seller is right: his sats go back to him (rule A11). All are told when
/// they are back. The operator also withdraws an order that nobody has taken
/// (rule A12).
///
/// # Errors
///
/// Rules A4–A9.
pub fn admin_cancel(
    order: &Order,
    req: &Request,
    slashes: bool,
    now: Now,
    facts: &RulingFacts,
) -> Result<Decision, CantDo> {
    if matches!(order.stage, Stage::Pending | Stage::OpeningHold { .. }) {
        ensure(facts.standing == Standing::Operator, CantDo::NotAuthorized)?;
        return withdraw(order, req, facts.hold.as_ref(), now);
    }
    ensure_his(order, req, facts)?;
    if let Some(answer) = agreed_meanwhile(order, req) {
        return Ok(answer);
    }
    let Stage::Dispute { take, hold, .. } = &order.stage else {
        return Err(CantDo::NotAllowedByStatus);
    };
    ensure(!slashes, CantDo::InvalidPayload)?;
    let accepted = facts.hold.as_ref().filter(|row| row.id == *hold);
    let accepted = accepted.ok_or(CantDo::NotAllowedByStatus)?;
    let then = Then::Canceled(CancelReason::ByAdmin);
    let asker = Some(req.asker());
    Ok(canceling::start(order, take, accepted, then, asker, now))
}

/// Rule A12: the maker hears it, and who waited for a hold does not get one.
fn withdraw(
    order: &Order,
    req: &Request,
    hold: Option<&Hold>,
    now: Now,
) -> Result<Decision, CantDo> {
    let take = order.stage.take();
    let mut decision = Decision {
        orders: vec![canceled(order, take, CancelReason::ByAdmin, now)],
        answer: Some(Letter::ruling(
            &req.asker(),
            order.id,
            Notice::AdminCanceled,
        )),
        pushes: vec![Letter::push(&order.maker, order.id, Notice::AdminCanceled)],
        effects: vec![Effect::PublishOrder(order.id)],
        ..Decision::default()
    };
    if let Stage::OpeningHold { asker, back_to, .. } = &order.stage {
        refuse_asker(&mut decision, order, req, asker.as_ref());
        // From the book on nobody but the asker has heard of the take.
        if let Some(take) = take.filter(|_| *back_to != BackTo::Pending) {
            decision
                .pushes
                .push(Letter::push(&take.taker, order.id, Notice::AdminCanceled));
        }
        give_up(&mut decision, hold.ok_or(CantDo::NotAllowedByStatus)?);
    }
    Ok(decision)
}

/// Rules A5 and A6: the dispute is his, and he may write.
fn ensure_his(order: &Order, req: &Request, facts: &RulingFacts) -> Result<(), CantDo> {
    let dispute = facts.dispute.as_ref().filter(|row| row.order == order.id);
    let assigned = dispute.and_then(Dispute::assigned);
    match assigned {
        Some(assigned) if assigned.solver == about(req) => {
            ensure(facts.standing.may_rule(), CantDo::NotAuthorized)
        }
        Some(assigned) if assigned.solver == facts.operator => Err(CantDo::DisputeTakenByAdmin),
        Some(_) | None => Err(CantDo::IsNotYourDispute),
    }
}

/// Rule A7: there is nothing left to rule.
fn agreed_meanwhile(order: &Order, req: &Request) -> Option<Decision> {
    let Stage::Canceled {
        why: CancelReason::ByBoth,
        ..
    } = &order.stage
    else {
        return None;
    };
    Some(Decision {
        answer: Some(to_solver(req, order, Notice::CancelAgreed)),
        ..Decision::default()
    })
}

fn to_solver(req: &Request, order: &Order, notice: Notice) -> Letter {
    Letter::answer(&req.asker(), order.id, notice)
}

#[cfg(test)]
mod tests;

//! The operator says who may judge, and when the node rests.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::dispute::{Dispute, DisputeState};
use crate::facts::{Now, SolverFacts};
use crate::maintenance::{BegunBy, Maintenance};
use crate::notice::{Letter, Notice};
use crate::party::IdentityKey;
use crate::solver::{Permission, Solver, Standing};
use crate::wire::CantDo;

use super::ensure;

/// The reason of a maintenance that the node begins itself.
pub const UNSYNCED: &str = "lnd_unsynced";

/// Registers a solver, or gives one who is there another permission (rule A13).
/// A solver may be named without an order.
///
/// # Errors
///
/// `not_authorized` from anybody but the operator, `invalid_text_message`
/// without a key, `invalid_parameters` for a permission that is none.
pub fn add_solver(
    req: &Request,
    text: Option<&str>,
    now: Now,
    facts: &SolverFacts,
) -> Result<Decision, CantDo> {
    ensure(facts.standing == Standing::Operator, CantDo::NotAuthorized)?;
    let (key, permission) = named(text.unwrap_or_default())?;
    let since = facts.known.map_or(now.at, |solver| solver.since);
    Ok(Decision {
        solvers: vec![(key, Some(Solver { permission, since }))],
        answer: Some(Letter {
            to: req.sender.trade_key,
            transport: req.sender.transport,
            request_id: req.request_id,
            trade_index: None,
            order: None,
            notice: Notice::SolverAdded,
        }),
        ..Decision::default()
    })
}

/// Takes a solver's rights; his disputes wait for another (rule A15).
///
/// # Errors
///
/// `not_authorized` from anybody but the operator, `not_found` for a key that
/// is no solver's.
pub fn remove_solver(key: IdentityKey, facts: &SolverFacts) -> Result<Decision, CantDo> {
    ensure(facts.standing == Standing::Operator, CantDo::NotAuthorized)?;
    ensure(facts.known.is_some(), CantDo::NotFound)?;
    let his = facts
        .open
        .iter()
        .filter(|dispute| dispute.assigned().is_some_and(|had| had.solver == key));
    let free: Vec<_> = his
        .map(|dispute| Dispute {
            state: DisputeState::Initiated,
            ..dispute.clone()
        })
        .collect();
    Ok(Decision {
        solvers: vec![(key, None)],
        effects: free
            .iter()
            .map(|dispute| Effect::PublishDispute(dispute.id))
            .collect(),
        disputes: free,
        ..Decision::default()
    })
}

/// Begins or ends a maintenance (rule X10). Beginning it again changes what is
/// said of it, and who ends it.
///
/// # Errors
///
/// `not_authorized` from anybody but the operator, `invalid_parameters` for the
/// reason that the node itself uses.
pub fn maintain(
    standing: Standing,
    (enabled, reason): (bool, Option<&str>),
    present: Option<&Maintenance>,
    now: Now,
) -> Result<Decision, CantDo> {
    ensure(standing == Standing::Operator, CantDo::NotAuthorized)?;
    ensure(reason != Some(UNSYNCED), CantDo::InvalidParameters)?;
    let maintenance = enabled.then(|| Maintenance {
        reason: reason.map(str::to_owned),
        since: present.map_or(now.at, |present| present.since),
        by: BegunBy::Operator,
    });
    Ok(Decision {
        maintenance: Some(maintenance),
        ..Decision::default()
    })
}

/// Rests while Lightning is away, and ends only what it began itself (rule X9);
/// none if nothing changes.
#[must_use]
pub fn rest(lightning_is_away: bool, present: Option<&Maintenance>, now: Now) -> Option<Decision> {
    let maintenance = match (lightning_is_away, present) {
        (true, None) => Some(Maintenance {
            reason: Some(UNSYNCED.to_owned()),
            since: now.at,
            by: BegunBy::Node,
        }),
        (false, Some(present)) if present.by == BegunBy::Node => None,
        (true, Some(_)) | (false, Some(_) | None) => return None,
    };
    Some(Decision {
        maintenance: Some(maintenance),
        ..Decision::default()
    })
}

/// The key that a text names, if it names one: what `npub…:read` is about.
#[must_use]
pub fn key_in(text: &str) -> Option<IdentityKey> {
    let key = text.trim().split(':').next()?;
    let key = nostr::key::PublicKey::parse(key).ok()?;
    key.xonly().ok()?;
    Some(IdentityKey(key))
}

fn named(text: &str) -> Result<(IdentityKey, Permission), CantDo> {
    let key = key_in(text).ok_or(CantDo::InvalidTextMessage)?;
    let mut parts = text.trim().split(':').skip(1);
    let permission = match (parts.next(), parts.next()) {
        (None | Some("write" | "read-write"), None) => Permission::ReadWrite,
        (Some("read"), None) => Permission::Read,
        (Some(_), _) | (None, Some(_)) => return Err(CantDo::InvalidParameters),
    };
    Ok((key, permission))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Ask, Govern};
    use crate::fixtures::*;

    const NPUB: &str = "npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d";

    fn facts(standing: Standing) -> SolverFacts {
        SolverFacts {
            standing,
            known: None,
            open: Vec::new(),
        }
    }

    fn adding(text: Option<&str>, facts: &SolverFacts) -> Result<Decision, CantDo> {
        let ask = Ask::Govern(Govern::AddSolver {
            text: text.map(str::to_owned),
        });
        add_solver(&request(&maker(), ask), text, now(), facts)
    }

    #[test]
    fn a13_the_operator_registers_solvers() {
        let table = [
            ("", Permission::ReadWrite),
            (":write", Permission::ReadWrite),
            (":read-write", Permission::ReadWrite),
            (":read", Permission::Read),
        ];
        for (suffix, permission) in table {
            let text = format!("{NPUB}{suffix}");
            let decision = adding(Some(&text), &facts(Standing::Operator)).unwrap();
            let since = NOW;
            let row = (key_in(&text).unwrap(), Some(Solver { permission, since }));
            assert_eq!(decision.solvers, [row], "{suffix}");
            assert_eq!(decision.answer.unwrap().notice, Notice::SolverAdded);
        }
        let earlier = Solver {
            permission: Permission::ReadWrite,
            since: MADE,
        };
        let known = facts(Standing::Operator).edit(|facts| facts.known = Some(earlier));
        let text = format!("{NPUB}:read");
        let changed = adding(Some(&text), &known).unwrap().solvers[0].1.unwrap();
        assert_eq!(
            (changed.permission, changed.since),
            (Permission::Read, MADE)
        );
    }

    #[test]
    fn a13_a_solver_is_refused() {
        let operator = facts(Standing::Operator);
        let table = [
            (None, CantDo::InvalidTextMessage),
            (Some(String::new()), CantDo::InvalidTextMessage),
            (Some("npub1".to_owned()), CantDo::InvalidTextMessage),
            (Some(format!("{NPUB}:rule")), CantDo::InvalidParameters),
            (
                Some(format!("{NPUB}:read:write")),
                CantDo::InvalidParameters,
            ),
            (Some(format!("{NPUB}:")), CantDo::InvalidParameters),
        ];
        for (text, why) in table {
            let refused = adding(text.as_deref(), &operator);
            assert_eq!(refused, Err(why), "{text:?}");
        }
        for standing in [Standing::Nobody, Standing::Solver(Permission::ReadWrite)] {
            let refused = adding(Some(NPUB), &facts(standing));
            assert_eq!(refused, Err(CantDo::NotAuthorized));
        }
    }

    #[test]
    fn a15_the_disputes_of_a_removed_solver_wait_for_another() {
        let solver = Solver {
            permission: Permission::ReadWrite,
            since: MADE,
        };
        let facts = SolverFacts {
            standing: Standing::Operator,
            known: Some(solver),
            open: vec![taken_dispute(), dispute()],
        };
        let decision = remove_solver(identity_key(5), &facts).unwrap();
        assert_eq!(decision.solvers, [(identity_key(5), None)]);
        assert_eq!(decision.disputes, [dispute()]);
        assert_eq!(decision.effects, [Effect::PublishDispute(dispute_id())]);

        let unknown = facts.edit(|facts| facts.known = None);
        assert_eq!(
            remove_solver(identity_key(5), &unknown),
            Err(CantDo::NotFound)
        );
    }

    #[test]
    fn x9_the_node_rests_while_lightning_is_away_and_ends_only_its_own_rest() {
        let own = rest(true, None, now()).unwrap().maintenance.unwrap();
        let own = own.unwrap();
        assert_eq!(own.by, BegunBy::Node);
        assert_eq!(own.reason.as_deref(), Some(UNSYNCED));
        let operators = Maintenance {
            by: BegunBy::Operator,
            ..own.clone()
        };
        let changes = |away, present| rest(away, present, now()).map(|done| done.maintenance);
        assert_eq!(changes(false, Some(&own)), Some(Some(None)));
        for nothing in [
            (true, Some(&own)),
            (true, Some(&operators)),
            (false, Some(&operators)),
            (false, None),
        ] {
            assert_eq!(changes(nothing.0, nothing.1), None, "{nothing:?}");
        }
    }

    #[test]
    fn x10_only_the_operator_begins_and_ends_a_maintenance() {
        let begun = maintain(
            Standing::Operator,
            (true, Some("new channels")),
            None,
            now(),
        );
        let maintenance = Maintenance {
            reason: Some("new channels".to_owned()),
            since: NOW,
            by: BegunBy::Operator,
        };
        assert_eq!(begun.unwrap().maintenance, Some(Some(maintenance.clone())));
        let ended = maintain(Standing::Operator, (false, None), Some(&maintenance), now());
        assert_eq!(ended.unwrap().maintenance, Some(None));

        let by_node = Maintenance {
            since: MADE,
            by: BegunBy::Node,
            ..maintenance
        };
        let taken_over = maintain(Standing::Operator, (true, None), Some(&by_node), now());
        let taken_over = taken_over.unwrap().maintenance.unwrap().unwrap();
        assert_eq!((taken_over.since, taken_over.by), (MADE, BegunBy::Operator));

        let refused = maintain(Standing::Nobody, (true, None), None, now());
        assert_eq!(refused, Err(CantDo::NotAuthorized));
        let reserved = maintain(Standing::Operator, (true, Some(UNSYNCED)), None, now());
        assert_eq!(reserved, Err(CantDo::InvalidParameters));
    }
}

//! What is looked up for solvers and for the operator.

use escrow_core::command::{Govern, Request};
use escrow_core::decide::{resolve, solvers};
use escrow_core::dispute::{Dispute, DisputeId};
use escrow_core::facts::{RulingFacts, SolverFacts, TakeDisputeFacts};
use escrow_core::order::{Order, Role};
use escrow_core::party::{IdentityKey, Party};
use escrow_core::payout::PayoutId;
use escrow_core::questions;
use escrow_core::solver::Standing;
use escrow_core::user::User;
use escrow_core::wire::CantDo;
use storage::ledger::StorageError;

use super::{Decided, Gather};

impl Gather<'_, '_> {
    /// Rules A1 and A2.
    pub(super) fn take_dispute(&mut self, request: &Request, id: Option<DisputeId>) -> Decided {
        let dispute = match id {
            Some(id) => self.page.dispute(id)?,
            None => None,
        };
        let Some(dispute) = dispute else {
            return Ok(Err(CantDo::NotFound));
        };
        let Some(order) = self.page.order(dispute.order)? else {
            return Ok(Err(CantDo::NotFound));
        };
        let facts = self.take_dispute_facts(&order, &dispute, request)?;
        let now = self.now();
        Ok(resolve::take_dispute(
            &order, &dispute, request, now, &facts,
        ))
    }

    fn take_dispute_facts(
        &self,
        order: &Order,
        dispute: &Dispute,
        request: &Request,
    ) -> Result<TakeDisputeFacts, StorageError> {
        let (initiator, counterpart) = match dispute.opened_by {
            Role::Buyer => (order.buyer(), order.seller()),
            Role::Seller => (order.seller(), order.buyer()),
        };
        Ok(TakeDisputeFacts {
            standing: self.standing(questions::about(request))?,
            assigned: match dispute.assigned() {
                Some(assigned) => self.standing(assigned.solver)?,
                None => Standing::Nobody,
            },
            initiator: self.of_party(initiator)?,
            counterpart: self.of_party(counterpart)?,
            hold: self.hold_of(order)?,
        })
    }

    fn of_party(&self, party: Option<&Party>) -> Result<Option<User>, StorageError> {
        self.user(party.map(|party| party.identity))
    }

    /// For a ruling (rules A3–A11).
    pub(super) fn ruling_facts(
        &mut self,
        order: &Order,
        request: &Request,
    ) -> Result<RulingFacts, StorageError> {
        Ok(RulingFacts {
            standing: self.standing(questions::about(request))?,
            operator: self.operator(),
            dispute: self.dispute_of(order)?,
            hold: self.hold_of(order)?,
            payout: PayoutId(self.desk.entropy.uuid()),
        })
    }

    /// What only the operator may ask for.
    pub(super) fn govern(&mut self, request: &Request, govern: &Govern) -> Decided {
        let standing = self.standing(questions::about(request))?;
        match govern {
            Govern::AddSolver { text } => {
                let key = text.as_deref().and_then(solvers::key_in);
                let facts = self.solver_facts(standing, key)?;
                Ok(solvers::add_solver(
                    request,
                    text.as_deref(),
                    self.now(),
                    &facts,
                ))
            }
            Govern::RemoveSolver(key) => {
                let facts = self.solver_facts(standing, Some(*key))?;
                Ok(solvers::remove_solver(*key, &facts))
            }
            Govern::Maintenance { enabled, reason } => {
                let wish = (*enabled, reason.as_deref());
                let present = self.page.maintenance()?;
                Ok(solvers::maintain(
                    standing,
                    wish,
                    present.as_ref(),
                    self.now(),
                ))
            }
        }
    }

    fn solver_facts(
        &self,
        standing: Standing,
        key: Option<IdentityKey>,
    ) -> Result<SolverFacts, StorageError> {
        Ok(SolverFacts {
            standing,
            known: match key {
                Some(key) => self.page.solver(key)?,
                None => None,
            },
            open: self.page.open_disputes()?,
        })
    }

    fn standing(&self, of: IdentityKey) -> Result<Standing, StorageError> {
        if of == self.operator() {
            return Ok(Standing::Operator);
        }
        let solver = self.page.solver(of)?;
        Ok(solver.map_or(Standing::Nobody, |solver| {
            Standing::Solver(solver.permission)
        }))
    }

    fn operator(&self) -> IdentityKey {
        IdentityKey(self.desk.keys.public_key())
    }
}

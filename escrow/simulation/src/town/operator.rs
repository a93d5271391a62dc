//! The operator: lets solvers judge, rests the node, and looks at what only he
//! can clear.

use escrow_core::books::Breach;
use escrow_core::command::{Ask, Govern};
use escrow_core::dispute::Dispute;
use escrow_core::order::OrderId;
use escrow_core::payout::{Missing, Payout, PayoutState};
use escrow_core::stage::{CancelReason, Stage};
use escrow_engine::submission::{OperatorWord, Receipt, Submission};
use storage::ledger::View;

use super::Town;

impl Town {
    /// What the operator says by now.
    pub(super) fn operator(&mut self) -> Vec<Submission> {
        let view = self.view();
        let rests = view.maintenance().unwrap().is_some();
        let mut words = Vec::new();
        let names = self.line.is_good || self.dice.percent(10);
        if names && view.solvers().unwrap().len() < 2 {
            self.tally.add("solvers named");
            for (number, permission) in ["read-write", "read"].into_iter().enumerate() {
                words.push(asks(Govern::AddSolver {
                    text: Some(self.people.court.named(number, permission)),
                }));
            }
        }
        let resumes = rests && (self.line.is_good || self.dice.percent(20));
        if resumes || !rests && !self.line.is_good && self.dice.below(400) == 0 {
            self.tally.add(if resumes {
                "maintenance over"
            } else {
                "maintenance"
            });
            words.push(asks(Govern::Maintenance {
                enabled: !rests,
                reason: None,
            }));
        }
        if let Some(latch) = view.latch().unwrap() {
            assert!(
                latch.breach == Breach::HistoryCutShort && self.line.has_forgotten(),
                "the books are stopped: {latch:?}"
            );
            if self.line.is_good || self.dice.percent(10) {
                self.tally.add("latch cleared");
                let reason = "payments were pruned".into();
                words.push(OperatorWord::ClearLatch { reason });
            }
        }
        words.extend(self.gives_up_a_payment(&view));
        words.extend(self.writes_off_a_debt(&view));
        words.extend(self.removes_a_solver(&view));
        words.extend(self.judges(&view));
        words.extend(self.withdraws_an_order());
        words.into_iter().map(Submission::Operator).collect()
    }

    /// He does not wait until the time lock of a lost payment has passed.
    fn gives_up_a_payment(&mut self, view: &View) -> Option<OperatorWord> {
        let sent = view.sent_attempts().unwrap();
        let is_lost = |missing: Missing| missing.told && !missing.given_up;
        let lost = sent.iter().find(|it| it.missing.is_some_and(is_lost))?;
        if self.line.is_good || !self.dice.percent(5) {
            return None;
        }
        self.tally.add("lost payment given up by the operator");
        let (hash, reason) = (lost.hash, "nobody carries it".into());
        Some(OperatorWord::GiveUp { hash, reason })
    }

    /// He settles by hand with the buyer of an escrow that is gone.
    fn writes_off_a_debt(&mut self, view: &View) -> Option<OperatorWord> {
        let debts = view.living_payouts().unwrap();
        let is_parked = |debt: &&Payout| debt.state == PayoutState::Parked;
        let order = debts.iter().find(is_parked)?.order;
        if !self.dice.percent(10) {
            return None;
        }
        self.tally.add("debt written off");
        let reason = "paid by hand".into();
        Some(OperatorWord::WriteOff { order, reason })
    }

    /// A solver goes, mostly while he has something to judge; who is named next
    /// is he again, or somebody else (rule A15).
    fn removes_a_solver(&mut self, view: &View) -> Option<OperatorWord> {
        let disputes = view.open_disputes().unwrap();
        let seldom = if disputes.is_empty() { 2_000 } else { 60 };
        if self.line.is_good || self.dice.below(seldom) != 0 {
            return None;
        }
        let solvers = view.solvers().unwrap();
        let (solver, _) = *self.dice.pick(&solvers)?;
        let has = |dispute: &Dispute| dispute.assigned().is_some_and(|had| had.solver == solver);
        self.tally.add(if disputes.iter().any(has) {
            "solver removed from a dispute"
        } else {
            "solver removed"
        });
        if self.dice.percent(50) {
            self.tally.add("solver replaced");
            self.people.court.replaces(solver, &mut self.dice);
        }
        Some(asks(Govern::RemoveSolver(solver)))
    }

    /// Now and then he takes a dispute himself, also from a solver, and rules.
    fn judges(&mut self, view: &View) -> Option<OperatorWord> {
        let disputes = view.open_disputes().unwrap();
        let dispute = self.dice.pick(&disputes)?.clone();
        let is_his = dispute
            .assigned()
            .is_some_and(|had| had.solver.0 == self.keys.public_key());
        let slashes = false;
        let (ask, order) = match (is_his, self.dice.below(40)) {
            (true, 0..10) => (Ask::AdminSettle { slashes }, Some(dispute.order)),
            (true, 10..20) => (Ask::AdminCancel { slashes }, Some(dispute.order)),
            (false, 0) if !self.line.is_good => (Ask::TakeDispute(Some(dispute.id)), None),
            _ => return None,
        };
        self.tally.add(match ask {
            Ask::TakeDispute(_) => "operator takes a dispute",
            _ => "operator rules",
        });
        let ask = Box::new(ask);
        Some(OperatorWord::Asks { ask, order })
    }

    /// He cancels an order wherever it stands; it is for the node to say no.
    fn withdraws_an_order(&mut self) -> Option<OperatorWord> {
        if self.line.is_good || self.dice.below(150) != 0 {
            return None;
        }
        let living = self.living();
        let order = self.dice.pick(&living)?.id;
        let slashes = false;
        Some(OperatorWord::Asks {
            ask: Box::new(Ask::AdminCancel { slashes }),
            order: Some(order),
        })
    }

    /// What the operator must be told when he cancels an order: nothing else in
    /// the step moves it before. None where a dispute decides.
    pub(super) fn expects(&self, submission: &Submission) -> Option<Expected> {
        let Submission::Operator(OperatorWord::Asks { ask, order }) = submission else {
            return None;
        };
        let Ask::AdminCancel { .. } = **ask else {
            return None;
        };
        let order = (*order)?;
        let stage = self.view().order(order).unwrap()?.stage;
        let is_safe = match stage {
            Stage::Pending | Stage::OpeningHold { .. } => true,
            Stage::Dispute { .. } => return None,
            Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => false,
        };
        Some(Expected { order, is_safe })
    }

    /// Rule A12: an order that nobody has taken is withdrawn, another is not.
    pub(super) fn hears_ruling(&mut self, receipt: &Receipt, expected: Option<&Expected>) {
        let Some(&Expected { order, is_safe }) = expected else {
            return;
        };
        let Receipt::Ruled(ruled) = receipt else {
            panic!("{receipt:?} to the operator");
        };
        assert_eq!(ruled.is_ok(), is_safe, "{ruled:?} about {order:?}");
        self.tally.add(if is_safe {
            "order withdrawn by the operator"
        } else {
            "operator may not cancel"
        });
        let stage = self.view().order(order).unwrap().unwrap().stage;
        let is_withdrawn = matches!(
            stage,
            Stage::Canceled {
                why: CancelReason::ByAdmin,
                ..
            }
        );
        assert!(!is_safe || is_withdrawn, "{stage:?} after a withdrawal");
    }
}

/// What must come of a word of the operator's.
pub(super) struct Expected {
    order: OrderId,
    is_safe: bool,
}

fn asks(govern: Govern) -> OperatorWord {
    OperatorWord::Asks {
        ask: Box::new(Ask::Govern(govern)),
        order: None,
    }
}

//! The operator: lets solvers judge, rests the node, and looks at what only he
//! can clear.

use escrow_core::books::Breach;
use escrow_core::command::{Ask, Govern};
use escrow_engine::submission::{OperatorWord, Submission};

use super::Town;

impl Town {
    /// What the operator says by now.
    pub(super) fn operator(&mut self) -> Vec<Submission> {
        let view = self.view();
        let rests = view.maintenance().unwrap().is_some();
        let mut words = Vec::new();
        if view.solvers().unwrap().len() < 2 {
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
        words.into_iter().map(Submission::Operator).collect()
    }
}

fn asks(govern: Govern) -> OperatorWord {
    OperatorWord::Asks {
        ask: Box::new(Ask::Govern(govern)),
        order: None,
    }
}

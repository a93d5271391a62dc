//! How a run ends: nothing may be left that nobody brings on.

use escrow_core::order::OrderId;
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;
use escrow_engine::submission::Submission;
use escrow_lightning::sandbox::FailPayments;

use super::{Mail, Town};
use crate::people::{Scene, envelope};

/// Rounds that a run has to come to rest.
const LAST_ROUNDS: usize = 400;

/// Seconds between two of them: a hold is opened well within the node's patience.
const ROUND_SECS: u64 = 4;

impl Town {
    /// The trouble is over: first the node, alone, brings to an end what needs
    /// nobody else; then the traders finish what they have begun.
    pub(super) fn come_to_rest(&mut self) {
        self.line.is_good = true;
        self.line.act(FailPayments { count: 0 });
        self.watch_rest(|town| town.needs_nobody_else().is_empty());
        let view = self.view();
        let is_idle = view.outbox_len().unwrap() == 0;
        assert!(is_idle, "rows are left in the outbox");
        self.witness.all_are_answered();
        self.watch_rest(|town| {
            town.everybody_finishes();
            let view = town.view();
            let living = view.living_orders().unwrap().map(Result::unwrap);
            living
                .into_iter()
                .all(|order| order.stage == Stage::Pending)
        });
        self.witness.all_are_answered();
        self.count_endings();
    }

    fn watch_rest(&mut self, mut is_done: impl FnMut(&mut Town) -> bool) {
        for _ in 0..LAST_ROUNDS {
            self.pass_time(ROUND_SECS);
            let is_over = is_done(self);
            let reports = self.work();
            let batch: Vec<_> = reports.into_iter().map(Submission::Report).collect();
            let mail = self.arrivals();
            let delivered = self.deliveries();
            let is_quiet = batch.is_empty() && mail.is_empty() && delivered.is_empty();
            let next = self.engine().next_timer().unwrap();
            if !is_quiet || next.is_some_and(|at| at <= self.now) {
                self.commit(batch, &mail, &delivered);
            } else if is_over && self.post.is_empty() {
                let view = self.view();
                return self.witness.audits(&view, &self.line, &self.people);
            }
        }
        let view = self.view();
        let living: Vec<_> = view.living_orders().unwrap().map(Result::unwrap).collect();
        let stuck = self.needs_nobody_else();
        panic!("no rest; stuck: {stuck:#?}; living: {living:#?}");
    }

    /// Orders that wait for the node or for Lightning.
    fn needs_nobody_else(&self) -> Vec<(OrderId, Stage, Option<PayoutState>)> {
        let view = self.view();
        let waits = |stage: &Stage| match stage {
            Stage::OpeningHold { .. } | Stage::Releasing { .. } | Stage::Canceling { .. } => {
                Some(None)
            }
            Stage::PayingBuyer { payout, .. } => {
                let state = view.payout(*payout).unwrap().unwrap().state;
                let waits = matches!(state, PayoutState::NeedInvoice { .. });
                (!waits).then_some(Some(state))
            }
            Stage::Pending
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Dispute { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => None,
        };
        let living = view.living_orders().unwrap().map(Result::unwrap);
        let mut waiting = Vec::new();
        for order in living {
            if let Some(payout) = waits(&order.stage) {
                waiting.push((order.id, order.stage, payout));
            }
        }
        waiting
    }

    fn everybody_finishes(&mut self) {
        if !self.post.is_empty() {
            return;
        }
        let view = self.view();
        let living: Vec<_> = view.living_orders().unwrap().map(Result::unwrap).collect();
        for order in living {
            if order.stage == Stage::Pending {
                continue;
            }
            let mut scene = Scene {
                view: &view,
                line: &mut self.line,
                dice: &mut self.dice,
                now: self.now,
            };
            for request in self.people.next_move(&order, &mut scene) {
                self.witness.asks(&request);
                let message = envelope(request, &mut self.dice);
                self.post.push(Mail {
                    arrives: self.now,
                    message,
                });
            }
        }
    }

    fn count_endings(&mut self) {
        let view = self.view();
        for id in &self.witness.orders {
            let order = view.order(*id).unwrap().unwrap();
            match order.stage {
                Stage::Success { .. } => self.tally.ended("success"),
                Stage::Canceled { .. } => self.tally.ended("canceled"),
                Stage::Expired => self.tally.ended("expired"),
                _ => self.tally.ended("pending"),
            }
        }
    }
}

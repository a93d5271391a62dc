//! How a run ends: nothing may be left that nobody brings on.

use escrow_core::Destination;
use escrow_core::order::{Order, Price};
use escrow_core::payout::{AttemptState, Payee, PayoutState};
use escrow_core::stage::{CancelReason, Stage};

use super::{JUMP_SECS, Town};
use crate::people::Scene;

/// In this time the node finishes what needs nobody else: a payee takes up to
/// a thousand seconds, and three tries with a minute between them fail before
/// the buyer is asked for another invoice.
const OWN_LIFE_SECS: u64 = 1_800;

/// Between two rounds in which there is something to do: a hold is opened well
/// within the node's patience.
const ROUND_SECS: u64 = 4;

/// The same while nothing is to be done but to wait for Lightning.
const SWEEP_SECS: u64 = 60;

/// Everything is over by then: the longest life of an order, an escrow after
/// it, and a day by which the clock was wrong.
const LONGEST_LIFE_SECS: u64 = 20 * 86_400;

/// Longer than a clock that jumped must go right until it is believed.
const PROBATION_SECS: u64 = 100;

/// Rounds in which mirrors that behave get all that waits for them.
const MIRROR_ROUNDS: usize = 400;

impl Town {
    /// The trouble is over: first the node, alone, brings to an end what needs
    /// nobody else; then those traders who are still there finish what they
    /// have begun, and time ends the rest. A claim alone waits for ever, for
    /// the buyer or for his heirs (rule P10).
    pub(super) fn come_to_rest(&mut self) {
        self.line.heal();
        self.mirrors.heal_mail();
        self.clock_is_right_again();
        let needs_nobody = |town: &Town| {
            town.mirrors.are_read() && !town.living().iter().any(|order| town.waits(order))
        };
        self.goes_on(OWN_LIFE_SECS, |_| {}, needs_nobody);
        assert_eq!(
            self.view().outbox_len().unwrap(),
            0,
            "rows are left in the outbox"
        );
        self.witness.all_are_answered();
        let all_are_claims = |town: &Town| {
            town.living().iter().all(|order| town.is_claim(order)) && town.has_paid_dev_fees()
        };
        self.goes_on(LONGEST_LIFE_SECS, Town::everybody_finishes, all_are_claims);
        if !self.living().is_empty() {
            self.tally.add("claim left to heirs");
            self.people.come_back();
            let nobody_lives = |town: &Town| town.living().is_empty() && town.has_paid_dev_fees();
            self.goes_on(OWN_LIFE_SECS, Town::everybody_finishes, nobody_lives);
        }
        self.witness.all_are_answered();
        self.nothing_is_left();
        self.mirrors_are_served();
        self.count_endings();
    }

    /// However wrong the clock was, the time of the ledger follows it.
    fn clock_is_right_again(&mut self) {
        self.hours.set_wrong(0);
        for _ in 0..3 {
            let batch = self.batch();
            self.turn(&batch);
            self.pass_time(PROBATION_SECS);
        }
        let view = self.view();
        let told = view.heartbeat().unwrap().unwrap();
        let ahead_secs = told.secs_since(self.hours.now);
        assert!(ahead_secs < JUMP_SECS, "the ledger is {ahead_secs} s ahead");
    }

    /// What the node publishes itself has not waited for mirrors, which are
    /// served last.
    fn mirrors_are_served(&mut self) {
        self.mirrors.heal();
        for _ in 0..MIRROR_ROUNDS {
            self.pass_time(ROUND_SECS);
            let batch = self.batch();
            self.turn(&batch);
            let view = self.view();
            if self.mirrors.are_served(&view) {
                return self.mirrors.show_the_truth(&view, &mut self.tally);
            }
        }
        panic!("a mirror is never served");
    }

    /// Goes on until it is over. `lets_act` brings the traders in.
    fn goes_on(
        &mut self,
        longest_secs: u64,
        lets_act: fn(&mut Town),
        is_over: impl Fn(&Town) -> bool,
    ) {
        let latest = self.hours.now.plus(longest_secs);
        while self.hours.now < latest {
            lets_act(self);
            let batch = self.batch();
            let is_idle = batch.is_idle() && self.post.is_empty() && !self.is_timer_due();
            self.turn(&batch);
            if is_idle && is_over(self) {
                let view = self.view();
                return self.witness.audits(&view, &self.line, &self.people);
            }
            let nap_secs = match is_idle {
                false => ROUND_SECS,
                true if self.waits_for_lightning() => SWEEP_SECS,
                true => self.nap_secs(),
            };
            self.pass_time(nap_secs);
        }
        let owed = self.view().living_payouts().unwrap();
        panic!("no end; living: {:#?}, owed: {owed:#?}", self.living());
    }

    fn waits_for_lightning(&self) -> bool {
        let living = self.living();
        living.iter().any(|order| self.waits(order)) || !self.has_paid_dev_fees()
    }

    /// Whether the development has got what the house owes it: no trade waits
    /// for that (rule J2), and nobody else brings it on.
    fn has_paid_dev_fees(&self) -> bool {
        let owed = self.view().living_payouts().unwrap();
        owed.iter().all(|payout| payout.payee() == Payee::Buyer)
    }

    /// Whether the order waits for nothing but its buyer's invoice.
    fn is_claim(&self, order: &Order) -> bool {
        let payout = order.stage.payout();
        let payout = payout.map(|id| self.view().payout(id).unwrap().unwrap());
        payout.is_some_and(|payout| matches!(payout.state, PayoutState::NeedInvoice { .. }))
    }

    /// Whether the order waits for the node or for Lightning.
    fn waits(&self, order: &Order) -> bool {
        match &order.stage {
            Stage::OpeningHold { .. } | Stage::Releasing { .. } | Stage::Canceling { .. } => true,
            Stage::PayingBuyer { .. } => !self.is_claim(order),
            Stage::Pending
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Dispute { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => false,
        }
    }

    fn everybody_finishes(&mut self) {
        if !self.post.is_empty() {
            return;
        }
        let view = self.view();
        let living = self.living();
        for order in living.iter() {
            if order.stage == Stage::Pending {
                continue;
            }
            let mut scene = Scene {
                view: &view,
                living: &living,
                line: &mut self.line,
                dice: &mut self.dice,
                tally: &mut self.tally,
                now: self.hours.now,
            };
            let mut requests = self.people.next_move(order, &mut scene);
            if matches!(order.stage, Stage::Dispute { .. }) {
                requests.extend(self.people.solvers_move(&mut scene));
            }
            for request in requests {
                self.send(request, 0);
            }
        }
    }

    fn nothing_is_left(&self) {
        let view = self.view();
        let holds = view.living_holds().unwrap();
        assert!(holds.is_empty(), "holds are left: {holds:#?}");
        let attempts = view.sent_attempts().unwrap();
        assert!(attempts.is_empty(), "payments are left: {attempts:#?}");
        let rows = view.outbox_len().unwrap();
        assert_eq!(rows, 0, "rows are left in the outbox");
        assert_eq!(self.next_timer(), None, "a timer is left");
    }

    fn count_endings(&mut self) {
        self.witness.tells_rarities(&mut self.tally);
        let view = self.view();
        for id in &self.witness.orders {
            let order = view.order(*id).unwrap().unwrap();
            self.tally.ended(ending(&order.stage));
            if let (Stage::Success { .. }, Price::Market { .. }) = (&order.stage, order.offer.price)
            {
                self.tally.add("success at market price");
            }
            // Of all that ends, only a success still names one.
            let payout = order.stage.payout();
            let payout = payout.and_then(|id| view.payout(id).unwrap());
            if payout.is_some_and(|it| matches!(it.destination, Destination::Address(_))) {
                self.tally.add("success to an address");
            }
        }
        for payment in self.line.payments() {
            let attempt = view.attempt(payment.hash).unwrap();
            let Some(attempt) = attempt else { continue };
            match (attempt.state, attempt.payee()) {
                (AttemptState::Lost { .. }, _) => self.tally.add("attempt given up as lost"),
                (AttemptState::Succeeded { .. }, Payee::Development) => {
                    self.tally.add("development fee paid");
                }
                _ => {}
            }
        }
    }
}

fn ending(stage: &Stage) -> &'static str {
    match stage {
        Stage::Success { .. } => "success",
        Stage::Expired => "expired",
        Stage::Canceled { why, .. } => match why {
            CancelReason::ByMaker => "canceled by its maker",
            CancelReason::NotPaid => "canceled: not paid in time",
            CancelReason::NoInvoice => "canceled: no invoice in time",
            CancelReason::ByBoth => "canceled by both",
            CancelReason::EscrowEnding => "canceled: escrow near its end",
            CancelReason::EscrowLost => "canceled: escrow gone back",
            CancelReason::ByAdmin => "canceled by a solver",
        },
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. } => panic!("{stage:?} is no ending"),
    }
}

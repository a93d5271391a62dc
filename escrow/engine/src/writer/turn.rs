//! One submission's turn: its decision, and how that is written into the page.

use std::collections::BTreeSet;

use escrow_core::command::{Ask, Command, Request, Sender};
use escrow_core::decision::{Decision, Effect};
use escrow_core::due;
use escrow_core::freshness::{self, Stale, Subject};
use escrow_core::hold::Hold;
use escrow_core::notice::Letter;
use escrow_core::order::{Order, OrderId};
use escrow_core::party::{Identity, TradeKey};
use escrow_core::payout::{Attempt, Payee, Payout, PayoutId};
use escrow_core::timer::Timer;
use escrow_core::wire::{CantDo, Transport};
use escrow_core::{PaymentHash, Sats, UnixTime};
use storage::ledger::{JournalEntry, MirrorNo, Page, StorageError};

use crate::desk::Desk;
use crate::draft::Draft;
use crate::gather::Gather;
use crate::submission::{Path, Receipt, Submission, TraderMessage};
use crate::treasury::Promises;

use super::mirrors::PATH_SECS;
use super::upkeep::Rounds;
use super::{JOURNAL_SECS, LETTER_STAMP_SECS, SEEN_SECS, TIDY_ROWS, Trouble};

/// What the journal calls reports about a development fee begins so: the health
/// of payouts is that of the buyers'.
pub const DEV_FEE_COMMANDS: &str = "dev-fee-";

/// One submission's turn at the open page.
pub(super) struct Turn<'a, 'p> {
    pub(super) page: &'a mut Page<'p>,
    pub(super) desk: &'a mut Desk,
    pub(super) draft: &'a mut Draft,
    pub(super) mirrors: &'a [MirrorNo],
    pub(super) rounds: &'a mut Rounds,
    /// With what this turn has promised.
    pub(super) promises: Promises,
    pub(super) outbound: Option<Sats>,
    pub(super) tip_height: Option<u32>,
    /// Time in the ledger.
    pub(super) now: UnixTime,
    /// The same, or earlier if the clock was set back: what traders sign by.
    pub(super) wall: UnixTime,
}

impl Turn<'_, '_> {
    pub(super) fn take(&mut self, submission: &Submission) -> Result<Receipt, Trouble> {
        match submission {
            Submission::Message(message) => return self.message(message),
            Submission::Report(command) => self.report(command)?,
            Submission::Due(timer) => self.due(*timer)?,
            Submission::Announce(event) => {
                self.draft
                    .announce(self.page, self.desk, event.clone(), self.now)?;
            }
            Submission::AnnounceHealth(event) => self.announce_health(event.clone())?,
            Submission::Mirror(report) => self.mirror(report)?,
            Submission::Tip(shown) => self.tip(*shown)?,
            Submission::Payments(history) => self.payments(history)?,
            Submission::Rest { lightning_is_away } => self.rest(*lightning_is_away)?,
            Submission::Operator(word) => return Ok(self.operator(word)?),
            Submission::Heartbeat => self.heartbeat()?,
        }
        Ok(Receipt::Decided)
    }

    fn message(&mut self, message: &TraderMessage) -> Result<Receipt, Trouble> {
        self.note_path(message)?;
        for name in message.names() {
            if self.page.seen(name)?.is_some() {
                return Ok(Receipt::Duplicate);
            }
        }
        let request = &message.request;
        let decision = match (self.is_fresh(request)?, message.path) {
            (Ok(()), _) => self.gather().request(request)?,
            (Err(stale), Path::OwnRelay) => return Ok(Receipt::invalid(stale.to_string())),
            (Err(stale), Path::Mirror(_)) => match stale.answer(&request.ask) {
                Some(why) => Err(why),
                None => return Ok(Receipt::invalid(stale.to_string())),
            },
        };
        let mut order = request.order;
        let outcome = match decision {
            Ok(decision) => {
                order = order.or_else(|| about(&decision));
                self.apply(decision)?;
                "done"
            }
            Err(why) => {
                let letter = Letter::refusal(&request.asker(), request.order, why);
                self.draft.letter(self.page, self.desk, letter, self.now)?;
                why.as_str()
            }
        };
        for name in message.names() {
            self.page.put_seen(name, self.now)?;
        }
        self.note(&origin(request), request, order, outcome)?;
        Ok(Receipt::Decided)
    }

    /// What the operator asks for with his own tools: the same decisions, and
    /// the answer is the receipt (rule A14).
    pub(super) fn operator_asks(
        &mut self,
        ask: &Ask,
        order: Option<OrderId>,
    ) -> Result<Receipt, StorageError> {
        let node = TradeKey(self.desk.keys.public_key());
        let request = Request {
            sender: Sender {
                trade_key: node,
                identity: Identity::FullPrivacy,
                transport: Transport::Direct,
            },
            request_id: None,
            trade_index: None,
            order,
            signed_at: self.now,
            ask: ask.clone(),
        };
        let ruling = self.gather().request(&request)?;
        let mut order = order;
        let outcome = match ruling {
            Ok(decision) => {
                order = order.or_else(|| about(&decision));
                self.apply(Decision {
                    answer: None,
                    ..decision
                })?;
                Ok(())
            }
            Err(why) => Err(why),
        };
        let word = outcome.map_or_else(CantDo::as_str, |()| "done");
        self.note("operator", &request, order, word)?;
        Ok(Receipt::Ruled(outcome))
    }

    fn is_fresh(&self, request: &Request) -> Result<Result<(), Stale>, StorageError> {
        let subject = Subject::of(&request.ask, self.stands_since(request)?);
        Ok(freshness::check(request.signed_at, self.wall, subject))
    }

    /// Since when what is asked about stands as it does, if it is known.
    fn stands_since(&self, request: &Request) -> Result<Option<UnixTime>, StorageError> {
        if let Ask::TakeDispute(id) = request.ask {
            let dispute = id.map(|id| self.page.dispute(id)).transpose()?.flatten();
            return Ok(dispute.and_then(|dispute| dispute.stands_since()));
        }
        let order = request.order.map(|id| self.page.order(id)).transpose()?;
        Ok(order.flatten().map(|order| order.stage_since))
    }

    pub(super) fn report(&mut self, command: &Command) -> Result<(), StorageError> {
        let decision = self.gather().report(command)?;
        let note = note_of(command, &decision, self.now);
        self.apply(decision)?;
        if let Some(entry) = note {
            self.page.push_journal(&entry)?;
        }
        Ok(())
    }

    /// Whether the timer still means anything is decided from the rows.
    fn due(&mut self, timer: Timer) -> Result<(), StorageError> {
        self.page.remove_timer(timer)?;
        self.report(&Command::Elapsed(timer))
    }

    /// Says that the node lives; its step forgets what is too old to matter.
    fn heartbeat(&mut self) -> Result<(), StorageError> {
        self.page.put_heartbeat(self.now)?;
        self.rounds.is_untidy = true;
        self.go_round()
    }

    /// Forgets some of what is too old to matter. If there is more, each step
    /// goes on with it: no number of messages grows the ledger faster than it
    /// is tidied.
    pub(super) fn tidy(&mut self) -> Result<(), StorageError> {
        let page = &mut *self.page;
        let before = |secs: u64| UnixTime(self.now.0.saturating_sub(secs));
        let stationery = &self.desk.stationery;
        let longest = stationery.letter_secs.max(stationery.closed_order_secs);
        let mut removed = vec![
            page.purge_seen(before(SEEN_SECS), TIDY_ROWS)?,
            page.purge_letter_stamps(before(LETTER_STAMP_SECS), TIDY_ROWS)?,
            page.prune_journal(before(JOURNAL_SECS), TIDY_ROWS)?,
            page.purge_paths(before(PATH_SECS), TIDY_ROWS)?,
        ];
        // Relays refuse what has expired.
        for mirror in self.mirrors {
            removed.push(page.purge_backlog(*mirror, before(longest), TIDY_ROWS)?);
        }
        self.rounds.is_untidy = removed.contains(&TIDY_ROWS);
        Ok(())
    }

    pub(super) fn gather(&mut self) -> Gather<'_, '_> {
        let promises = self.promises;
        Gather {
            page: self.page,
            desk: self.desk,
            at: self.now,
            tip_height: self.tip_height,
            liquidity: self.outbound.map(|outbound| promises.beside(outbound)),
            letter_times: &self.draft.letter_times,
        }
    }

    /// Writes a decision into the page.
    pub(super) fn apply(&mut self, decision: Decision) -> Result<(), StorageError> {
        let moved = moved_orders(&decision);
        let news = self.news(&decision)?;
        for order in decision.orders {
            if let Some(before) = self.page.order(order.id)? {
                self.draft.touch(&before);
            }
            self.draft.touch(&order);
            self.page.put_order(order)?;
        }
        for ended in &decision.ended_takes {
            self.page.put_ended_take(ended)?;
        }
        for dispute in &decision.disputes {
            self.page.put_dispute(dispute)?;
        }
        self.write_money(&decision.holds, &decision.payouts)?;
        let in_flight = self.page.sent_attempt_count()?;
        for attempt in &decision.attempts {
            self.page.put_attempt(attempt)?;
        }
        let is_place_free = self.page.sent_attempt_count()? < in_flight;
        self.keep_books(&news)?;
        for (solver, row) in &decision.solvers {
            self.page.put_solver(*solver, row.as_ref())?;
            self.draft.touch_solver(*solver);
        }
        if let Some(maintenance) = &decision.maintenance {
            self.page.put_maintenance(maintenance.as_ref())?;
        }
        for (identity, user) in &decision.users {
            self.page.put_user(*identity, user)?;
        }
        for letter in decision.answer.into_iter().chain(decision.pushes) {
            self.draft.letter(self.page, self.desk, letter, self.now)?;
        }
        let (wakes, effects): (Vec<_>, Vec<_>) = decision
            .effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::WakeAt(_)));
        for effect in effects {
            self.start(effect)?;
        }
        for order in moved {
            self.set_timers(order)?;
        }
        for wake in wakes {
            self.start(wake)?;
        }
        if is_place_free {
            self.call_queue()?;
        }
        Ok(())
    }

    /// Writes holds and payouts, and what they promise (rule T7).
    fn write_money(&mut self, holds: &[Hold], payouts: &[Payout]) -> Result<(), StorageError> {
        let share = self.desk.terms.max_routing_fee;
        for hold in holds {
            let before = self.page.hold(hold.id)?;
            self.page.put_hold(hold)?;
            let before = before.map(|hold| Promises::of_hold(&hold, share));
            let after = Promises::of_hold(hold, share);
            self.promises = self.promises.moved(before.unwrap_or_default(), after);
        }
        for payout in payouts {
            let before = self.page.payout(payout.id)?;
            self.page.put_payout(payout)?;
            let before = before.map(|payout| Promises::of_payout(&payout, share));
            let after = Promises::of_payout(payout, share);
            self.promises = self.promises.moved(before.unwrap_or_default(), after);
        }
        Ok(())
    }

    /// Sets the timers that follow from the rows of an order (rule S9).
    fn set_timers(&mut self, id: OrderId) -> Result<(), StorageError> {
        let Some(order) = self.page.order(id)? else {
            return Ok(());
        };
        let due = self.timers_due(&order)?;
        self.page.set_timers(id, &due)
    }

    pub(super) fn timers_due(&self, order: &Order) -> Result<Vec<Timer>, StorageError> {
        let payout = match order.stage.payout() {
            Some(payout) => self.page.payout(payout)?,
            None => None,
        };
        let shown_at = if order.stage.is_on_offer() {
            self.page.stamp(&self.desk.address(order.id))?
        } else {
            None
        };
        let fee = self.page.payout(PayoutId::of_dev_fee(order.id))?;
        let mut due = due::due(order, payout.as_ref(), shown_at);
        due.extend(fee.as_ref().and_then(due::dev_fee_due));
        Ok(due)
    }

    fn start(&mut self, effect: Effect) -> Result<(), StorageError> {
        match effect {
            Effect::PublishOrder(id) => match self.page.order(id)? {
                Some(order) => self.draft.order(self.page, self.desk, &order, self.now),
                None => Ok(()),
            },
            Effect::PublishDispute(id) => match self.page.dispute(id)? {
                Some(dispute) => self.draft.dispute(self.page, self.desk, &dispute, self.now),
                None => Ok(()),
            },
            Effect::PublishRating { rated, identity } => {
                let of = (rated, identity);
                self.draft.rating(self.page, self.desk, of, self.now)
            }
            Effect::PublishDevFee(hash) => match self.dev_fee_paid_by(hash)? {
                Some(fee) => {
                    let paid = (&fee, hash);
                    self.draft.dev_fee(self.page, self.desk, paid, self.now)
                }
                None => Ok(()),
            },
            Effect::WakeAt(timer) => self.page.put_timer(timer),
            Effect::OpenHold(_)
            | Effect::SettleHold(_)
            | Effect::CancelHold(_)
            | Effect::LookUpHold(_)
            | Effect::Resolve(_)
            | Effect::Pay(_)
            | Effect::Alarm(_) => {
                self.draft.effects.push(effect);
                Ok(())
            }
        }
    }

    fn dev_fee_paid_by(&self, hash: PaymentHash) -> Result<Option<Payout>, StorageError> {
        match self.page.attempt(hash)? {
            Some(attempt) => self.page.payout(attempt.payout),
            None => Ok(None),
        }
    }

    fn note(
        &mut self,
        origin: &str,
        request: &Request,
        order: Option<OrderId>,
        outcome: &str,
    ) -> Result<(), StorageError> {
        self.page.push_journal(&JournalEntry {
            at: self.now,
            origin: origin.into(),
            order,
            command: request.ask.name().into(),
            outcome: outcome.into(),
        })?;
        Ok(())
    }
}

/// Who asks, for the journal.
fn origin(request: &Request) -> String {
    match request.sender.identity {
        Identity::Known(identity) => identity.0.to_hex(),
        Identity::FullPrivacy => request.sender.trade_key.0.to_hex(),
    }
}

/// The order that a decision is about.
fn about(decision: &Decision) -> Option<OrderId> {
    let of_order = decision.orders.first().map(|order| order.id);
    let of_dispute = decision.disputes.first().map(|dispute| dispute.order);
    let of_hold = decision.holds.first().map(|hold| hold.order);
    let of_payout = decision.payouts.first().map(|payout| payout.order);
    let of_attempt = decision.attempts.first().map(|attempt| attempt.order);
    of_order
        .or(of_dispute)
        .or(of_hold)
        .or(of_payout)
        .or(of_attempt)
}

/// What the journal says of a report; nothing if it changed no row.
fn note_of(command: &Command, decision: &Decision, now: UnixTime) -> Option<JournalEntry> {
    let order = decision.orders.first();
    let about = about(decision)?;
    let mut name = command.name().to_owned();
    if is_of_dev_fee(decision) {
        name.insert_str(0, DEV_FEE_COMMANDS);
    }
    let (origin, outcome) = match command {
        Command::PaymentFailed { reason, .. } => ("lightning", format!("{reason:?}")),
        Command::Elapsed(timer) => ("time", format!("{:?}", timer.kind)),
        Command::HoldAged { .. } => ("chain", where_it_stands(order)),
        Command::AddressAsked { answer, .. } => ("address", answer.as_str().to_owned()),
        Command::HoldOpened { .. }
        | Command::HoldFailed { .. }
        | Command::HoldAccepted { .. }
        | Command::HoldSettled { .. }
        | Command::HoldCanceled { .. }
        | Command::HoldFound { .. }
        | Command::PaymentSucceeded { .. }
        | Command::PaymentMissing { .. }
        | Command::PaymentTraced { .. }
        | Command::Request(_) => ("lightning", where_it_stands(order)),
    };
    Some(JournalEntry {
        at: now,
        origin: origin.into(),
        order: Some(about),
        command: name,
        outcome,
    })
}

/// Whether it is the house that owes what a decision is about.
fn is_of_dev_fee(decision: &Decision) -> bool {
    let of_payout = decision.payouts.first().map(Payout::payee);
    let of_attempt = decision.attempts.first().map(Attempt::payee);
    of_payout.or(of_attempt) == Some(Payee::Development)
}

fn where_it_stands(order: Option<&Order>) -> String {
    order.map_or("done".into(), |order| order.stage.status().as_str().into())
}

/// The orders whose timers may be others after a decision.
fn moved_orders(decision: &Decision) -> BTreeSet<OrderId> {
    let shown = decision.effects.iter().filter_map(|effect| match effect {
        Effect::PublishOrder(order) => Some(*order),
        Effect::OpenHold(_)
        | Effect::SettleHold(_)
        | Effect::CancelHold(_)
        | Effect::LookUpHold(_)
        | Effect::Resolve(_)
        | Effect::Pay(_)
        | Effect::PublishDispute(_)
        | Effect::PublishRating { .. }
        | Effect::PublishDevFee(_)
        | Effect::WakeAt(_)
        | Effect::Alarm(_) => None,
    });
    let written = decision.orders.iter().map(|order| order.id);
    let owed = decision.payouts.iter().map(|payout| payout.order);
    written.chain(owed).chain(shown).collect()
}

//! Whether buyers are paid (rule X16).

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::UnixTime;
use escrow_core::payout::{Payee, PayoutState};
use escrow_core::wire::health_event::CheckState;
use escrow_engine::DEV_FEE_COMMANDS;
use storage::ledger::{StorageError, View};

const HOUR_SECS: u64 = 3_600;
/// Unpaid for so long is to be looked at.
const STALE_SECS: u64 = 1_800;
/// Unpaid for so long, with nobody paid in that time, is a failure.
const STUCK_SECS: u64 = 7_200;
/// A payout that was never tried may wait for so long.
const UNTRIED_SECS: u64 = 7 * 24 * HOUR_SECS;
/// Fewer tries than this prove nothing.
const TRIES: u32 = 3;
/// Entries of the journal that are looked at; on a busier node the oldest of the
/// window are left out.
const MOST_ENTRIES: usize = 4_096;
/// The one failure that proves something by itself.
const NO_BALANCE: &str = "InsufficientBalance";

/// What the ledger says of payouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PayoutFigures {
    pub(super) succeeded_1h: u32,
    pub(super) failed_1h: u32,
    pub(super) failed_orders_1h: usize,
    pub(super) reasons_1h: BTreeMap<String, u32>,
    /// Within the last two hours; an earlier one is forgotten.
    pub(super) last_success_at: Option<UnixTime>,
    pub(super) unpaid: u32,
    pub(super) stale: u32,
    pub(super) oldest_age_secs: Option<u64>,
    pub(super) awaiting_invoice: u32,
    pub(super) untried_too_long: bool,
    pub(super) dev_fees: DevFeeFigures,
}

/// What it says of development fees; they make nobody ill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DevFeeFigures {
    pub(super) pending: u32,
    pub(super) failed_1h: u32,
}

impl PayoutFigures {
    pub(super) fn of_ledger(view: &View, now: UnixTime) -> Result<PayoutFigures, StorageError> {
        let mut figures = PayoutFigures::default();
        figures.count_debts(view, now)?;
        figures.count_tries(view, now)?;
        Ok(figures)
    }

    fn count_debts(&mut self, view: &View, now: UnixTime) -> Result<(), StorageError> {
        for payout in view.living_payouts()? {
            if payout.payee() == Payee::Development {
                self.dev_fees.pending += 1;
                continue;
            }
            match payout.state {
                PayoutState::WaitFunds | PayoutState::Paid | PayoutState::WrittenOff => continue,
                PayoutState::NeedInvoice { .. } => {
                    self.awaiting_invoice += 1;
                    continue;
                }
                PayoutState::Ready { .. }
                | PayoutState::Queued { .. }
                | PayoutState::Resolving { .. }
                | PayoutState::Paying
                | PayoutState::Parked => {}
            }
            let order = view.order(payout.order)?;
            if order
                .as_ref()
                .is_some_and(|order| order.stage.is_terminal())
            {
                // Its escrow was lost: nothing came in that could be paid out.
                continue;
            }
            let age = order.map_or(0, |order| now.secs_since(order.stage_since));
            self.unpaid += 1;
            self.stale += u32::from(age > STALE_SECS);
            self.oldest_age_secs = self.oldest_age_secs.max(Some(age));
            let is_untried = view.attempts_of(payout.id)?.is_empty();
            self.untried_too_long |= is_untried && age > UNTRIED_SECS;
        }
        Ok(())
    }

    fn count_tries(&mut self, view: &View, now: UnixTime) -> Result<(), StorageError> {
        let since = UnixTime(now.0.saturating_sub(STUCK_SECS));
        let mut failed_orders = BTreeSet::new();
        for (_, entry) in view.journal_since(since, MOST_ENTRIES)? {
            let is_recent = now.secs_since(entry.at) <= HOUR_SECS;
            if let Some(report) = entry.command.strip_prefix(DEV_FEE_COMMANDS) {
                let has_failed = report == "payment-failed" || entry.outcome == "refused";
                self.dev_fees.failed_1h += u32::from(is_recent && has_failed);
                continue;
            }
            match entry.command.as_str() {
                "payment-succeeded" => {
                    self.last_success_at = Some(entry.at);
                    self.succeeded_1h += u32::from(is_recent);
                }
                "payment-failed" if is_recent => {
                    self.failed_1h += 1;
                    failed_orders.insert(entry.order);
                    *self.reasons_1h.entry(entry.outcome).or_default() += 1;
                }
                _ => {}
            }
        }
        self.failed_orders_1h = failed_orders.len();
        Ok(())
    }

    pub(super) fn state(&self) -> CheckState {
        let oldest = self.oldest_age_secs.unwrap_or_default();
        let is_stuck = oldest > STUCK_SECS && self.last_success_at.is_none();
        let ended = self.succeeded_1h + self.failed_1h;
        let mostly_fail = ended >= TRIES && self.failed_1h * 2 > ended;
        let is_ours = self.failed_orders_1h >= 2 || self.reasons_1h.contains_key(NO_BALANCE);
        if is_stuck || (mostly_fail && is_ours) {
            CheckState::Fail
        } else if oldest > STALE_SECS || self.untried_too_long {
            CheckState::Warn
        } else {
            CheckState::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::ledger::{JournalEntry, Ledger};
    use uuid::Uuid;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000_000);

    #[test]
    fn x16_debts_and_failures_are_judged() {
        let figures = PayoutFigures::default();
        let failing = |failed_1h, failed_orders_1h, reason: &str| PayoutFigures {
            succeeded_1h: 1,
            failed_1h,
            failed_orders_1h,
            reasons_1h: [(reason.to_owned(), 1)].into(),
            ..figures.clone()
        };
        let old = |age, last_success_at| PayoutFigures {
            oldest_age_secs: Some(age),
            last_success_at,
            ..figures.clone()
        };
        let untried = PayoutFigures {
            untried_too_long: true,
            ..figures.clone()
        };
        let table = [
            (figures.clone(), CheckState::Ok),
            (failing(1, 1, "NoRoute"), CheckState::Ok),
            (failing(2, 1, "NoRoute"), CheckState::Ok),
            (failing(2, 2, "NoRoute"), CheckState::Fail),
            (failing(2, 1, NO_BALANCE), CheckState::Fail),
            (failing(1, 1, NO_BALANCE), CheckState::Ok),
            (old(1_800, None), CheckState::Ok),
            (old(1_801, None), CheckState::Warn),
            (old(7_201, Some(NOW)), CheckState::Warn),
            (old(7_201, None), CheckState::Fail),
            (untried, CheckState::Warn),
        ];
        for (figures, expected) in table {
            assert_eq!(figures.state(), expected, "{figures:?}");
        }
    }

    #[test]
    fn j6_x16_tries_are_counted_in_the_journal_and_those_of_development_fees_apart() {
        let mut ledger = Ledger::in_memory();
        let mut page = ledger.page().unwrap();
        let mut happens = |secs_ago, order: u128, command: &str, outcome: &str| {
            let entry = JournalEntry {
                at: UnixTime(NOW.0 - secs_ago),
                origin: "lightning".into(),
                order: Some(escrow_core::order::OrderId(Uuid::from_u128(order))),
                command: command.into(),
                outcome: outcome.into(),
            };
            page.push_journal(&entry).unwrap();
        };
        happens(8_000, 1, "payment-succeeded", "success");
        happens(4_000, 2, "payment-succeeded", "success");
        happens(4_000, 3, "payment-failed", "NoRoute");
        happens(3_000, 3, "payment-failed", "NoRoute");
        happens(2_000, 3, "payment-failed", "Timeout");
        happens(1_000, 3, "elapsed", "PayoutRetry");
        happens(4_000, 4, "dev-fee-payment-failed", "NoRoute");
        happens(900, 4, "dev-fee-payment-failed", "InsufficientBalance");
        happens(800, 5, "dev-fee-address-asked", "refused");
        happens(700, 5, "dev-fee-address-asked", "unasked");
        happens(600, 5, "dev-fee-payment-succeeded", "done");
        page.commit().unwrap();
        let view = ledger.views().view().unwrap();
        let figures = PayoutFigures::of_ledger(&view, NOW).unwrap();
        let expected = PayoutFigures {
            failed_1h: 2,
            failed_orders_1h: 1,
            reasons_1h: [("NoRoute".to_owned(), 1), ("Timeout".to_owned(), 1)].into(),
            last_success_at: Some(UnixTime(NOW.0 - 4_000)),
            dev_fees: DevFeeFigures {
                pending: 0,
                failed_1h: 2,
            },
            ..PayoutFigures::default()
        };
        assert_eq!(figures, expected);
        assert_eq!(figures.state(), CheckState::Ok, "J6: buyers are paid");
    }
}

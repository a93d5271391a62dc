//! What goes wrong inside a node, beyond the calls to it: peers that are away,
//! attempts that never left, a memory that was pruned.

use escrow_core::PaymentHash;

use super::payments::Progress;
use super::world::World;
use crate::backend::FailReason;

impl World {
    /// The node's peers come or go. While they are away nothing can be sent.
    pub(super) fn peers(&mut self, are_online: bool) {
        self.peers_are_away = !are_online;
    }

    /// Channels that can carry a payment at this moment.
    #[must_use]
    pub fn active_channels(&self) -> u32 {
        u32::from(!self.peers_are_away)
    }

    pub(super) fn lose_payments(&mut self, count: u32) {
        self.losing = count;
    }

    /// The node's channels are closed and others opened, at no cost: it finds
    /// out that the lost payments never left.
    pub(super) fn change_channels(&mut self) -> u32 {
        let is_lost = |progress: &Progress| matches!(progress, Progress::Lost { .. });
        let lost = self.payments_that(is_lost);
        for hash in &lost {
            self.progresses(*hash, Progress::Failed(FailReason::NoRoute));
        }
        u32::try_from(lost.len()).unwrap_or(u32::MAX)
    }

    /// The operator prunes payments that have ended.
    pub(super) fn forget_payments(&mut self, failed_only: bool) -> u32 {
        let goes = |progress: &Progress| match progress {
            Progress::Failed(_) => true,
            Progress::Succeeded { .. } => !failed_only,
            Progress::Doomed(_)
            | Progress::Sent { .. }
            | Progress::Held { .. }
            | Progress::Lost { .. } => false,
        };
        let ended = self.payments_that(goes);
        for hash in &ended {
            self.payments.remove(hash);
        }
        // Numbers are not given twice, so the last one stays as a mark.
        let last = self.history.last_key_value().map(|(index, _)| *index);
        self.history
            .retain(|index, hash| Some(*index) == last || self.payments.contains_key(hash));
        u32::try_from(ended.len()).unwrap_or(u32::MAX)
    }

    fn payments_that(&self, fits: impl Fn(&Progress) -> bool) -> Vec<PaymentHash> {
        let fitting = self
            .payments
            .iter()
            .filter(|(_, payment)| fits(&payment.progress));
        fitting.map(|(hash, _)| *hash).collect()
    }
}

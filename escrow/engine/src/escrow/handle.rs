//! What others tell a running escrow, and what they see of it.

use escrow_core::maintenance::Maintenance;
use storage::ledger::{MirrorNo, Views};
use tokio::sync::watch;

use super::{EscrowHandle, Readiness};
use crate::known_keys::KnownKeys;
use crate::submission::{Announcement, MirrorReport, OperatorWord, Receipt, Submission};
use crate::workers::health::LightningHealth;

impl EscrowHandle {
    /// Publishes an event about the node, stamped later than the last one of
    /// its address. Returns once it is in the outbox.
    pub async fn announce(&self, announcement: Announcement) -> Option<Receipt> {
        self.mailbox
            .report(Submission::Announce(announcement))
            .await
    }

    /// As [`EscrowHandle::announce`], for the health event, which gets a number.
    pub async fn announce_health(&self, event: Announcement) -> Option<Receipt> {
        self.mailbox.report(Submission::AnnounceHealth(event)).await
    }

    /// The numbers of the mirrors, in the order of [`Parts::mirrors`](crate::Parts::mirrors).
    #[must_use]
    pub fn mirrors(&self) -> &[MirrorNo] {
        &self.mirrors
    }

    /// Changes whenever something new waits for the mirrors.
    #[must_use]
    pub fn mirrored(&self) -> watch::Receiver<()> {
        self.mirrored.clone()
    }

    /// Writes down what became of a mirror's backlog and of what was read from
    /// it. Returns once it is on disk; none if the escrow has ended.
    pub async fn report_mirror(&self, report: MirrorReport) -> Option<Receipt> {
        self.mailbox.report(Submission::Mirror(report)).await
    }

    /// Does what the operator says. Returns once it is on disk, or
    /// with why it is not done; none if the escrow has ended.
    pub async fn operate(&self, command: OperatorWord) -> Option<Receipt> {
        self.mailbox.report(Submission::Operator(command)).await
    }

    /// Says that Lightning has been away for too long, or is back for good: the
    /// node rests by itself, and ends its own rest only (rule X9). Returns once it
    /// is on disk; none if the escrow has ended.
    pub async fn rest(&self, lightning_is_away: bool) -> Option<Receipt> {
        let rest = Submission::Rest { lightning_is_away };
        self.mailbox.report(rest).await
    }

    /// Why no new trades are taken; changes as soon as that is on disk.
    #[must_use]
    pub fn maintenance(&self) -> watch::Receiver<Option<Maintenance>> {
        self.maintenance.clone()
    }

    /// Trade keys of living orders.
    #[must_use]
    pub fn known_keys(&self) -> KnownKeys {
        self.known.clone()
    }

    /// What is known of the Lightning node.
    #[must_use]
    pub fn lightning(&self) -> watch::Receiver<LightningHealth> {
        self.health.clone()
    }

    /// Whether the escrow decides.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// The ledger, to read.
    #[must_use]
    pub fn views(&self) -> Views {
        self.views.clone()
    }
}

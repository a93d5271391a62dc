//! What the writer does for external relays.

use storage::ledger::{Lane, MirrorNo, OutboxRow, StorageError};

use super::Engine;
use super::turn::Turn;
use crate::submission::{MirrorNews, MirrorReport, Path, TraderMessage};

/// How long a path through a mirror is remembered; longer than any trade is open.
pub(super) const PATH_SECS: u64 = 60 * 86_400;

impl Engine {
    /// Makes these external relays the mirrors, and returns their numbers in
    /// the same order. What waited for any other is forgotten.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn set_mirrors(&mut self, urls: &[String]) -> Result<Vec<MirrorNo>, StorageError> {
        let mut page = self.ledger.page()?;
        let mirrors = page.set_mirrors(urls)?;
        page.commit()?;
        self.mirrors.clone_from(&mirrors);
        Ok(mirrors)
    }
}

impl Turn<'_, '_> {
    /// Remembers through which mirror a trade key asks; also for a copy,
    /// because who asks in two places listens in both.
    pub(super) fn note_path(&mut self, message: &TraderMessage) -> Result<(), StorageError> {
        match message.path {
            Path::OwnRelay => Ok(()),
            Path::Mirror(mirror) => {
                let asker = message.request.sender.trade_key;
                self.page.put_path(asker, mirror, self.now)
            }
        }
    }

    /// Writes down what is new about a mirror; of one that is gone, nothing.
    pub(super) fn mirror(&mut self, report: &MirrorReport) -> Result<(), StorageError> {
        let number = report.mirror;
        let Some(mut mirror) = self.page.mirror(number)? else {
            return Ok(());
        };
        match &report.news {
            MirrorNews::Settled {
                acknowledged,
                given_up,
            } => {
                self.page.done_backlog(number, acknowledged)?;
                self.page.done_backlog(number, given_up)?;
                if !acknowledged.is_empty() {
                    mirror.acknowledged_at = Some(self.now);
                }
                let refused = u64::try_from(given_up.len()).unwrap_or(u64::MAX);
                mirror.given_up = mirror.given_up.saturating_add(refused);
            }
            MirrorNews::Read(until) => mirror.read_until = mirror.read_until.max(Some(*until)),
            MirrorNews::Fill { events, filled } => {
                self.fill(number, events)?;
                mirror.filled = *filled;
            }
        }
        self.page.put_mirror(number, &mirror)
    }

    /// What is older than the last stamp of its address has a successor, which
    /// waits for the mirror or is there already.
    fn fill(&mut self, mirror: MirrorNo, events: &[OutboxRow]) -> Result<(), StorageError> {
        for row in events {
            let stamp = match &row.lane {
                Lane::Address(address) => self.page.stamp(address)?,
                Lane::Recipient(_) => None,
            };
            if stamp == Some(row.created_at) {
                self.page.fill_backlog(mirror, row)?;
            }
        }
        Ok(())
    }
}

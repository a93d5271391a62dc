//! What waits for the writer: three bounded queues, served in this order.
//!
//! The node's own reports go first, because a trade that Lightning has moved
//! must not wait behind new wishes; then known trade keys; then strangers, so
//! that a flood of new messages starves no running trade (rule Y4). Within
//! both lanes each source has its turn, so that nobody starves his likes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot};

use crate::fair_queue::{FairQueue, Source};
use crate::submission::{Receipt, Refusal, Submission};

/// Bounds of the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Reports of the node's own workers; who reports waits for room.
    pub reports: usize,
    /// Messages of trade keys with a living order.
    pub known: usize,
    /// Messages of all others.
    pub strangers: usize,
    /// Messages of one connection in one lane.
    pub of_one_connection: usize,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        MailboxLimits {
            reports: 1_024,
            known: 1_024,
            strangers: 256,
            of_one_connection: 64,
        }
    }
}

/// What is told to those whose message will not be decided.
pub(crate) const STOPPING: &str = "the node is stopping";

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A trade key with a living order.
    Known,
    /// Anybody else.
    Stranger,
}

/// A submission and the one who waits for its receipt.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) submission: Submission,
    pub(crate) receipt: oneshot::Sender<Receipt>,
}

/// The queues before the writer.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    limits: MailboxLimits,
    arrived: Notify,
    report_room: Semaphore,
}

#[derive(Debug)]
struct Queues {
    reports: VecDeque<Waiting>,
    known: FairQueue<Waiting>,
    strangers: FairQueue<Waiting>,
    /// Nobody takes anything out any more.
    closed: bool,
}

impl Queues {
    fn new(limits: MailboxLimits) -> Queues {
        Queues {
            reports: VecDeque::new(),
            known: FairQueue::new(limits.known, limits.of_one_connection),
            strangers: FairQueue::new(limits.strangers, limits.of_one_connection),
            closed: false,
        }
    }

    fn next(&mut self) -> Option<(Waiting, bool)> {
        if let Some(report) = self.reports.pop_front() {
            return Some((report, true));
        }
        let message = self.known.pop().or_else(|| self.strangers.pop())?;
        Some((message, false))
    }
}

impl Mailbox {
    pub(crate) fn new(limits: MailboxLimits) -> Mailbox {
        Mailbox {
            queues: Mutex::new(Queues::new(limits)),
            limits,
            arrived: Notify::new(),
            report_room: Semaphore::new(limits.reports),
        }
    }

    /// Puts a message into its lane. In a full lane the source with most in it
    /// loses its newest message, which is told at once.
    pub(crate) fn post(
        &self,
        lane: Lane,
        source: Source,
        submission: Submission,
    ) -> oneshot::Receiver<Receipt> {
        let (receipt, answer) = oneshot::channel();
        let waiting = Waiting {
            submission,
            receipt,
        };
        let mut queues = self.lock();
        if queues.closed {
            return answer;
        }
        let lost = match lane {
            Lane::Known => queues.known.push(source, waiting),
            Lane::Stranger => queues.strangers.push(source, waiting),
        };
        drop(queues);
        if let Some(lost) = lost {
            let busy = Refusal::Busy("busy, try again in a moment".into());
            // Who does not wait any more does not want to know.
            let _ = lost.receipt.send(Receipt::Refused(busy));
        }
        self.arrived.notify_one();
        answer
    }

    /// Puts a report into its queue, waiting for room, and waits until it is
    /// decided and on disk. None if the writer ended before.
    pub(crate) async fn report(&self, submission: Submission) -> Option<Receipt> {
        // The room is given back when the report is taken, not when it is decided.
        self.report_room.acquire().await.ok()?.forget();
        let (receipt, answer) = oneshot::channel();
        {
            let mut queues = self.lock();
            if queues.closed {
                return None;
            }
            queues.reports.push_back(Waiting {
                submission,
                receipt,
            });
        }
        self.arrived.notify_one();
        answer.await.ok()
    }

    /// Lets nothing in any more, and tells all who wait that nobody will
    /// decide. Called by the writer when it ends, for whatever reason.
    pub(crate) fn close(&self) {
        // Who waits learns it from the receipt's end being dropped.
        *self.lock() = Queues {
            closed: true,
            ..Queues::new(self.limits)
        };
        self.report_room.close();
    }

    /// Takes at most `limit` submissions, waiting for the first.
    pub(crate) async fn take(&self, limit: usize) -> Vec<Waiting> {
        loop {
            let arrived = self.arrived.notified();
            let batch = self.take_waiting(limit);
            if !batch.is_empty() {
                return batch;
            }
            arrived.await;
        }
    }

    fn take_waiting(&self, limit: usize) -> Vec<Waiting> {
        let mut queues = self.lock();
        let mut batch = Vec::new();
        while batch.len() < limit {
            let Some((waiting, is_report)) = queues.next() else {
                break;
            };
            if is_report {
                self.report_room.add_permits(1);
            }
            batch.push(waiting);
        }
        batch
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // The queues are plain data: a panic elsewhere leaves them whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::PaymentHash;
    use escrow_core::command::Command;

    use std::net::IpAddr;

    use super::*;

    fn source(connection: u64) -> Source {
        Source {
            address: IpAddr::from([192, 0, 2, 1]),
            connection,
        }
    }

    fn submission(byte: u8) -> Submission {
        Submission::Report(Command::HoldSettled {
            hash: PaymentHash([byte; 32]),
        })
    }

    fn names(batch: &[Waiting]) -> Vec<u8> {
        let name = |waiting: &Waiting| {
            let Submission::Report(Command::HoldSettled { hash }) = &waiting.submission else {
                unreachable!("nothing else is posted here")
            };
            hash.0[0]
        };
        batch.iter().map(name).collect()
    }

    #[tokio::test]
    async fn reports_go_before_known_keys_and_these_before_strangers() {
        let mailbox = Mailbox::new(MailboxLimits::default());
        let _a = mailbox.post(Lane::Stranger, source(1), submission(3));
        let _b = mailbox.post(Lane::Known, source(1), submission(2));
        let report = mailbox.report(submission(1));
        let take = async {
            tokio::task::yield_now().await;
            mailbox.take(64).await
        };
        let (receipt, batch) = tokio::join!(report, take_and_answer(take));
        assert_eq!(receipt, Some(Receipt::Decided));
        assert_eq!(batch, [1, 2, 3]);
    }

    async fn take_and_answer(take: impl Future<Output = Vec<Waiting>>) -> Vec<u8> {
        let batch = take.await;
        let order = names(&batch);
        for waiting in batch {
            let _ = waiting.receipt.send(Receipt::Decided);
        }
        order
    }

    #[tokio::test]
    async fn y4_a_full_lane_refuses_who_has_most_and_leaves_the_other_open() {
        let limits = MailboxLimits {
            reports: 1,
            known: 1,
            strangers: 2,
            of_one_connection: 2,
        };
        let mailbox = Mailbox::new(limits);
        let _a = mailbox.post(Lane::Stranger, source(1), submission(1));
        let lost = mailbox.post(Lane::Stranger, source(1), submission(2));
        let _b = mailbox.post(Lane::Stranger, source(2), submission(3));
        assert!(matches!(lost.await, Ok(Receipt::Refused(Refusal::Busy(_)))));
        let _c = mailbox.post(Lane::Known, source(1), submission(4));
        assert_eq!(names(&mailbox.take(64).await), [4, 1, 3]);
    }

    #[tokio::test]
    async fn g15_a_closed_mailbox_leaves_nobody_waiting() {
        let mailbox = Mailbox::new(MailboxLimits::default());
        let waiting = mailbox.post(Lane::Known, source(1), submission(1));
        mailbox.close();
        assert!(waiting.await.is_err());
        assert_eq!(mailbox.report(submission(2)).await, None);
        let late = mailbox.post(Lane::Known, source(1), submission(3));
        assert!(late.await.is_err());
    }
}

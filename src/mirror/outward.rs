//! Brings the node's events to one mirror, from the rows of the ledger.
//!
//! A row goes when the mirror has acknowledged its event, and not before; so a
//! crash at any moment costs no more than an event sent twice, which every
//! relay knows by its id.

use std::convert::Infallible;

use escrow_engine::submission::{MirrorNews, MirrorReport, Receipt};
use nostr::message::RelayMessage;
use relay_policy::BoxFuture;
use storage::ledger::{BacklogRow, OutboxSeq, StorageError, View};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer::Answer;
use super::fill::Fill;
use super::flights::{Flights, Settled};
use super::kept_line::{Talk, Trial};
use super::line::{Line, Proof};
use super::{Direction, Ended, Post};

/// One refusal of so many is logged.
const REFUSALS_PER_LOG: u64 = 100;

/// The way from the node to one mirror.
pub(super) struct Outward {
    post: Post,
    flights: Flights,
    fill: Fill,
    news: watch::Receiver<()>,
    /// The first row that was not read yet.
    next: OutboxSeq,
    /// Whether all rows were read.
    is_exhausted: bool,
    /// Whether the mirror knows who we are.
    is_admitted: bool,
    refusals: u64,
    /// What is being written down.
    report: Option<BoxFuture<'static, Option<Receipt>>>,
}

impl Talk for Outward {
    async fn talk(&mut self, line: Line, trial: &mut Trial) -> Result<Infallible, Ended> {
        let ended = self.bring(line, trial).await;
        self.begin_anew().await?;
        ended
    }
}

impl Outward {
    pub(super) fn new(post: Post) -> Outward {
        Outward {
            news: post.escrow.mirrored(),
            flights: Flights::new(post.number.tempo()),
            fill: Fill::new(post.clone()),
            next: OutboxSeq(0),
            is_exhausted: false,
            is_admitted: false,
            refusals: 0,
            report: None,
            post,
        }
    }

    async fn bring(&mut self, mut line: Line, trial: &mut Trial) -> Result<Infallible, Ended> {
        loop {
            self.send_what_waits(&mut line).await?;
            if self.is_exhausted {
                self.fill.go_on();
            }
            // With nothing to bring, a line that lasts is all that can be asked.
            if self.is_exhausted && self.flights.is_idle() {
                trial.is_good();
            } else {
                trial.is_in_doubt();
            }
            let wake = self.flights.wake_at();
            tokio::select! {
                heard = line.hear() => self.heard(&line, trial, heard?),
                () = trial.lasts() => self.works(trial),
                changed = self.news.changed() => {
                    changed.map_err(|_| Ended::Stopping)?;
                    self.is_exhausted = false;
                }
                written = written(&mut self.report) => {
                    written?;
                    self.report = None;
                }
                filled = self.fill.page() => {
                    filled?;
                    self.is_exhausted = false;
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            self.look_around()?;
        }
    }

    /// The next line begins with the oldest row, after all that is settled has
    /// left the ledger.
    async fn begin_anew(&mut self) -> Result<(), Ended> {
        self.finish_report().await?;
        self.flights.ground(Instant::now());
        let settled = self.flights.take_settled();
        self.write_down(settled);
        self.finish_report().await?;
        self.next = OutboxSeq(0);
        self.is_exhausted = false;
        self.is_admitted = false;
        Ok(())
    }

    async fn finish_report(&mut self) -> Result<(), Ended> {
        if self.report.is_some() {
            written(&mut self.report).await?;
            self.report = None;
        }
        Ok(())
    }

    async fn send_what_waits(&mut self, line: &mut Line) -> Result<(), Ended> {
        let now = Instant::now();
        if self.is_exhausted && self.flights.is_roomy(now) && self.flights.has_left_some() {
            self.next = OutboxSeq(0);
            self.is_exhausted = false;
        }
        let again = self.flights.due_again(now);
        let reads_on = !self.is_exhausted && self.flights.is_roomy(now);
        if again.is_empty() && !reads_on {
            return Ok(());
        }
        let view = self.post.escrow.views().view()?;
        let mut rows = self.once_more(&view, &again)?;
        if reads_on {
            rows.extend(self.read_on(&view, self.flights.room(now))?);
        }
        drop(view);
        for (seq, row) in rows {
            line.say(format!(r#"["EVENT",{}]"#, row.event)).await?;
            self.flights.take_off(seq, row.event_id, now);
        }
        Ok(line.flush().await?)
    }

    fn once_more(
        &mut self,
        view: &View,
        again: &[OutboxSeq],
    ) -> Result<Vec<BacklogRow>, StorageError> {
        let mut rows = Vec::with_capacity(again.len());
        for seq in again {
            match view.backlog_row(self.post.mirror, *seq)? {
                Some(row) => rows.push((*seq, row)),
                // A newer revision has taken its place.
                None => self.flights.forget(*seq),
            }
        }
        Ok(rows)
    }

    /// The next rows that are not on their way or waiting already.
    fn read_on(&mut self, view: &View, room: usize) -> Result<Vec<BacklogRow>, StorageError> {
        loop {
            let mut rows = view.backlog_from(self.post.mirror, self.next, room)?;
            self.is_exhausted = rows.len() < room;
            if let Some((last, _)) = rows.last() {
                self.next = OutboxSeq(last.0 + 1);
            }
            rows.retain(|(seq, _)| !self.flights.has(*seq));
            if self.is_exhausted || !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    fn heard(&mut self, line: &Line, trial: &mut Trial, message: RelayMessage<'_>) {
        let RelayMessage::Ok {
            event_id,
            status,
            message,
        } = message
        else {
            return;
        };
        let now = Instant::now();
        let is_proven = line.proof() == Proof::Believed;
        if is_proven && !self.is_admitted {
            self.is_admitted = true;
            self.flights.admit(now);
        }
        let answer = Answer::read(status, &message);
        if answer == Answer::Stored {
            self.works(trial);
        }
        if let Some(why) = self.flights.land(event_id, answer, is_proven, now) {
            self.given_up(why);
        }
    }

    fn works(&self, trial: &mut Trial) {
        if trial.passes() {
            self.post.works(Direction::Outward);
        }
    }

    fn given_up(&mut self, why: String) {
        if self.refusals.is_multiple_of(REFUSALS_PER_LOG) {
            let (url, refusals) = (&self.post.number.url, self.refusals + 1);
            tracing::warn!(%url, why, refusals, "a mirror refuses an event for good");
        }
        self.refusals += 1;
        self.post.standing.refused(self.post.mirror, why);
    }

    fn look_around(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        self.flights.go_on(now);
        let late = self.flights.take_back(now);
        for why in late.given_up {
            self.given_up(why);
        }
        if late.is_unheard {
            return Err(Ended::Unheard);
        }
        if self.report.is_none()
            && let Some(settled) = self.flights.collected(now)
        {
            self.write_down(settled);
        }
        Ok(())
    }

    fn write_down(&mut self, settled: Settled) {
        if settled.is_empty() {
            return;
        }
        let (escrow, mirror) = (self.post.escrow.clone(), self.post.mirror);
        let report = MirrorReport {
            mirror,
            news: MirrorNews::Settled {
                acknowledged: settled.acknowledged,
                given_up: settled.given_up,
            },
        };
        self.report = Some(Box::pin(async move { escrow.report_mirror(report).await }));
    }
}

/// Waits for the report that is being written down, if there is one. One that
/// fails leaves its rows, and the mirror gets to see them a second time.
async fn written(report: &mut Option<BoxFuture<'static, Option<Receipt>>>) -> Result<(), Ended> {
    match report {
        Some(report) => report.await.map(drop).ok_or(Ended::Stopping),
        None => std::future::pending().await,
    }
}

//! Tends one payment, as the engine's worker does.

use std::time::Duration;

use escrow_core::command::Command;
use escrow_core::payout::{Attempt, AttemptState};
use escrow_core::{PaymentHash, UnixTime};
use escrow_engine::reports::{self, PaymentStep, Tried};
use escrow_lightning::LnError;
use escrow_lightning::backend::{PaymentState, StartPayment};
use escrow_lightning::sandbox::{StartPaying, World};

use super::health::Health;
use super::line::Called;
use super::stream::Stream;
use super::workers::{Bench, Pace};

/// How long the workers wait for an answer.
pub(super) const CALL_LIMIT_SECS: u64 = 15;

/// What a tender of a payment remembers.
pub(super) struct PaymentTender {
    /// The try that it has seen started.
    started: Option<u32>,
    /// The last call to start a payment that remained without an answer.
    unanswered: Option<UnixTime>,
    present: Try,
    watch: Option<Stream>,
    /// Lightning has told once how it stands.
    is_seen: bool,
}

/// One try of a payment, as far as this process has seen it.
struct Try {
    number: u32,
    since: UnixTime,
    /// Lightning left a question about it without an answer.
    is_shaken: bool,
}

impl Try {
    fn new(number: u32, since: UnixTime) -> Try {
        Try {
            number,
            since,
            is_shaken: false,
        }
    }
}

impl PaymentTender {
    pub(super) fn new(resumes: bool, now: UnixTime) -> PaymentTender {
        PaymentTender {
            started: None,
            unanswered: resumes.then_some(now),
            present: Try::new(0, now),
            watch: None,
            is_seen: false,
        }
    }

    pub(super) fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Whether there is more to do, and what is reported.
    pub(super) fn step(
        &mut self,
        hash: PaymentHash,
        pace: &mut Pace,
        (health, may_send): (&Health, bool),
        bench: &mut Bench<'_>,
    ) -> (bool, Option<Command>) {
        let attempt = bench.view.attempt(hash).unwrap();
        let Some(attempt) = attempt.filter(|attempt| attempt.state == AttemptState::Sent) else {
            return (false, None);
        };
        if self.present.number != attempt.tries {
            self.present = Try::new(attempt.tries, bench.now);
            pace.goes_on(bench.now);
        }
        if pace.is_poked && self.watch.is_some() {
            let news = look_for_it(&attempt, bench);
            if news.is_some() {
                return (true, news);
            }
        }
        if self.waits(&attempt, pace, bench) || !pace.tries(bench.now) {
            return (true, None);
        }
        pace.pauses(bench.now);
        let mut command = self.look(&attempt, pace, may_send, bench);
        // A failure in which Lightning had trouble is not the buyer's (rule P7).
        if let Some(Command::PaymentFailed { in_trouble, .. }) = &mut command {
            let present = &self.present;
            *in_trouble = present.is_shaken || health.was_in_trouble(present.since, bench.now);
            if *in_trouble {
                bench.tally.add("failure in trouble");
            }
        }
        (true, command)
    }

    /// Whether it still listens to a stream that may tell the end.
    fn waits(&mut self, attempt: &Attempt, pace: &mut Pace, bench: &mut Bench<'_>) -> bool {
        let Some(stream) = &mut self.watch else {
            return false;
        };
        let heard = bench.line.payment_stream(attempt.hash, stream);
        if heard.news.iter().any(PaymentState::is_final) || pace.is_poked {
            self.started = Some(attempt.tries);
            pace.goes_on(bench.now);
        } else if heard.is_over {
            self.present.is_shaken = true;
            pace.pauses(bench.now);
        } else {
            return true;
        }
        self.watch = None;
        false
    }

    fn look(
        &mut self,
        attempt: &Attempt,
        pace: &mut Pace,
        may_send: bool,
        bench: &mut Bench<'_>,
    ) -> Option<Command> {
        let hash = attempt.hash;
        let Some(seen) = look_up(hash, bench) else {
            self.present.is_shaken = true;
            return None;
        };
        self.is_seen = true;
        let unanswered_ago = self
            .unanswered
            .map(|at| Duration::from_secs(bench.now.secs_since(at)));
        let tried = Tried::of(self.started == Some(attempt.tries), unanswered_ago);
        match reports::payment_step(hash, seen, tried) {
            PaymentStep::LookAgain => {
                bench.tally.add("failure held back");
                None
            }
            PaymentStep::Report(command) => Some(command),
            // A payment starts only when Lightning is fully up (rule P7), when
            // a start has asked for all that was sent before (rule P15), and
            // when the books let it (rule X13).
            PaymentStep::Start if !may_send => {
                bench.tally.add("payment may not be sent yet");
                pace.goes_on(bench.now);
                None
            }
            PaymentStep::Start => self.start(attempt, pace, bench),
            PaymentStep::Wait => {
                self.watch = Some(bench.line.watch(bench.dice, bench.tally));
                None
            }
        }
    }

    fn start(
        &mut self,
        attempt: &Attempt,
        pace: &mut Pace,
        bench: &mut Bench<'_>,
    ) -> Option<Command> {
        let act = StartPaying::from(&reports::pay_request(attempt));
        let answer = match bench.line.call(act, bench.dice, bench.tally) {
            Called::Answered(answer) => answer,
            Called::Hanging => {
                pace.busy_until = bench.now.plus(CALL_LIMIT_SECS);
                Err(LnError::Ambiguous("no answer".into()))
            }
            // Its answer is as good as lost: the next look tells as much.
            Called::Slow(done_at) => {
                pace.busy_until = done_at;
                Err(LnError::Ambiguous("slow".into()))
            }
        };
        match answer {
            Ok(StartPayment::Started | StartPayment::AlreadyKnown) => {
                self.started = Some(attempt.tries);
                pace.goes_on(bench.now);
                None
            }
            Ok(StartPayment::Rejected(reason)) => {
                let seen = look_up(attempt.hash, bench)?;
                reports::rejected(attempt.hash, &reason, &seen)
            }
            Err(why) => {
                self.present.is_shaken = true;
                if matches!(why, LnError::Ambiguous(_)) {
                    self.unanswered = Some(pace.busy_until.max(bench.now));
                }
                None
            }
        }
    }
}

/// Looks for it in the channels (rule P13).
fn look_for_it(attempt: &Attempt, bench: &mut Bench<'_>) -> Option<Command> {
    let (dice, tally) = (&mut *bench.dice, &mut *bench.tally);
    let look = |world: &World| world.lost_payment(attempt.hash);
    let lost = bench.line.look(look, dice, tally).ok()?;
    if lost.is_some() {
        bench.tally.add("payment missing");
    }
    reports::missing_news(attempt, lost)
}

fn look_up(hash: PaymentHash, bench: &mut Bench<'_>) -> Option<PaymentState> {
    let (dice, tally) = (&mut *bench.dice, &mut *bench.tally);
    let seen = bench.line.look(|world| world.payment(hash), dice, tally);
    seen.ok()
}

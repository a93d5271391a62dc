//! Tends one hold, as the engine's worker does.

use std::mem;
use std::time::Duration;

use escrow_core::command::Command;
use escrow_core::hold::{Hold, HoldState};
use escrow_core::terms::OPENING_SECS;
use escrow_core::{PaymentHash, UnixTime};
use escrow_engine::reports;
use escrow_lightning::LnError;
use escrow_lightning::backend::HoldSnapshot;
use escrow_lightning::sandbox::{Act, CancelHold, CreateHold, SettleHold};

use super::line::Called;
use super::payment::CALL_LIMIT_SECS;
use super::stream::Stream;
use super::workers::{Bench, Pace};

/// What a tender of a hold remembers.
pub(super) struct HoldTender {
    /// When Lightning may last have been asked to open it.
    asked_at: UnixTime,
    /// The call it hung in asked for the hold: a look-up follows.
    looks_up: bool,
    watch: Option<Stream>,
    before: Option<HoldState>,
    /// That it was paid although it is to be canceled was told.
    payment_is_told: bool,
}

impl HoldTender {
    pub(super) fn new(now: UnixTime) -> HoldTender {
        HoldTender {
            asked_at: now,
            looks_up: false,
            watch: None,
            before: None,
            payment_is_told: false,
        }
    }

    /// Whether there is more to do, and what is reported.
    pub(super) fn step(
        &mut self,
        hash: PaymentHash,
        pace: &mut Pace,
        bench: &mut Bench<'_>,
    ) -> (bool, Option<Command>) {
        let Some(hold) = bench.view.hold_by_hash(hash).unwrap() else {
            return (false, None);
        };
        if mem::take(&mut self.looks_up) {
            return (true, opened(look_up(hash, bench)));
        }
        if self.before.as_ref() != Some(&hold.state) {
            self.before = Some(hold.state.clone());
            self.watch = None;
            pace.goes_on(bench.now);
        }
        if let HoldState::Open { .. } | HoldState::Accepted(_) = &hold.state {
            return (true, self.listen(&hold, pace, bench));
        }
        if !pace.tries(bench.now) {
            return (true, None);
        }
        pace.pauses(bench.now);
        let command = match &hold.state {
            HoldState::New => self.open(&hold, pace, bench),
            HoldState::Settling(_) => settle(&hold, pace, bench),
            HoldState::Canceling => self.cancel(&hold, pace, bench),
            HoldState::Open { .. } | HoldState::Accepted(_) => None,
            HoldState::Settled(_) | HoldState::Canceled | HoldState::Lost => return (false, None),
        };
        (true, command)
    }

    /// Hears what a stream says, and looks for itself when there is reason.
    fn listen(&mut self, hold: &Hold, pace: &mut Pace, bench: &mut Bench<'_>) -> Option<Command> {
        let hash = hold.hash;
        let news = |seen: HoldSnapshot| reports::hold_news(hold, &seen);
        if mem::take(&mut pace.is_poked) {
            let found = look_up(hash, bench).and_then(news);
            if found.is_some() {
                bench.tally.add("found by a look-up");
            }
            return found;
        }
        if self.watch.is_none() && !pace.tries(bench.now) {
            return None;
        }
        let (dice, tally) = (&mut *bench.dice, &mut *bench.tally);
        let line = &*bench.line;
        let stream = self.watch.get_or_insert_with(|| line.watch(dice, tally));
        let heard = line.hold_stream(hash, stream);
        let told = heard.news.into_iter().find_map(news);
        if told.is_some() {
            bench.tally.add("told by a stream");
        }
        if told.is_some() || heard.is_over {
            self.watch = None;
            pace.pauses(bench.now);
        }
        if told.is_none() && heard.is_over {
            return look_up(hash, bench).and_then(news);
        }
        told
    }

    fn open(&mut self, hold: &Hold, pace: &mut Pace, bench: &mut Bench<'_>) -> Option<Command> {
        let hash = hold.hash;
        self.asked_at = bench.now;
        let act = CreateHold::from(&reports::hold_request(hold));
        match bench.line.call(act, bench.dice, bench.tally) {
            Called::Hanging => {
                pace.busy_until = bench.now.plus(OPENING_SECS);
                self.looks_up = true;
                None
            }
            Called::Slow(done_at) => {
                pace.busy_until = done_at;
                self.looks_up = true;
                None
            }
            Called::Answered(Ok(Ok(snapshot))) => opened(Some(snapshot)),
            Called::Answered(Err(LnError::Ambiguous(_))) => opened(look_up(hash, bench)),
            Called::Answered(Ok(Err(_)) | Err(_)) => Some(Command::HoldFailed { hash }),
        }
    }

    /// Whoever paid what is about to be canceled is told of first.
    fn cancel(&mut self, hold: &Hold, pace: &mut Pace, bench: &mut Bench<'_>) -> Option<Command> {
        let hash = hold.hash;
        if !self.payment_is_told
            && let Some(seen) = look_up(hash, bench)
            && let Some(news @ Command::HoldAccepted { .. }) = reports::hold_news(hold, &seen)
        {
            self.payment_is_told = true;
            pace.is_poked = true;
            bench.tally.add("paid before a cancel");
            return Some(news);
        }
        let outcome = definite(CancelHold { hash }, pace, bench)?;
        let asked_ago = Duration::from_secs(bench.now.secs_since(self.asked_at));
        reports::canceled(hash, outcome, asked_ago)
    }
}

fn settle(hold: &Hold, pace: &mut Pace, bench: &mut Bench<'_>) -> Option<Command> {
    let act = SettleHold::from(&bench.preimages.of(hold.id));
    let outcome = definite(act, pace, bench)?;
    reports::settled(hold.hash, outcome)
}

fn opened(seen: Option<HoldSnapshot>) -> Option<Command> {
    seen.map(|seen| Command::HoldOpened {
        hash: seen.hash,
        bolt11: seen.bolt11,
    })
}

fn look_up(hash: PaymentHash, bench: &mut Bench<'_>) -> Option<HoldSnapshot> {
    let (dice, tally) = (&mut *bench.dice, &mut *bench.tally);
    let seen = bench.line.look(|world| world.hold(hash), dice, tally);
    seen.ok().flatten()
}

/// The answer, if there is one.
fn definite<A: Act>(act: A, pace: &mut Pace, bench: &mut Bench<'_>) -> Option<A::Reply> {
    match bench.line.call(act, bench.dice, bench.tally) {
        Called::Answered(answer) => answer.ok(),
        Called::Hanging => {
            pace.busy_until = bench.now.plus(CALL_LIMIT_SECS);
            None
        }
        // What it came to is learned by asking once more.
        Called::Slow(done_at) => {
            pace.busy_until = done_at;
            None
        }
    }
}

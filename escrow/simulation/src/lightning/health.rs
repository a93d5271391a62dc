//! What one process knows of Lightning's health, asked as the engine's worker asks.

use std::time::Duration;

use escrow_core::UnixTime;
use escrow_engine::submission::Submission;
use escrow_engine::writer::Engine;
use escrow_engine::{ANSWER_LIMIT, Answer, LightningHealth, Standing};
use escrow_lightning::{LnError, LnResult};
use tokio::time::Instant;

use super::line::Line;
use crate::tally::Tally;

/// Without a new block, escrows are judged this often (rule X1).
const TIP_SECS: u64 = 60;

/// Asks, and remembers until the process ends.
pub(crate) struct Health {
    born: (UnixTime, Instant),
    known: LightningHealth,
    standing: Standing,
    asks_at: UnixTime,
    told_tip: Option<u32>,
    tells_tip_at: UnixTime,
}

impl Health {
    pub(super) fn new(now: UnixTime) -> Health {
        Health {
            born: (now, Instant::now()),
            known: LightningHealth::Unknown,
            standing: Standing::default(),
            asks_at: now,
            told_tip: None,
            tells_tip_at: now,
        }
    }

    /// Asks if it is time to; whether the height is another than before.
    pub(super) fn ask(&mut self, line: &Line, now: UnixTime, tally: &mut Tally) -> bool {
        if now < self.asks_at {
            return false;
        }
        let (info, takes) = match line.info() {
            Some(info) => (info, Duration::ZERO),
            None => (Err(no_answer(tally)), ANSWER_LIMIT),
        };
        let is_answered: LnResult<()> = info.as_ref().map(|_| ()).map_err(Clone::clone);
        let answer = Answer {
            health: LightningHealth::of(info),
            outbound: is_answered
                .ok()
                .map(|()| line.world.liquidity().outbound.whole_sats()),
        };
        let answered_at = self.instant(now) + takes;
        self.standing = self.standing.after(&self.known, &answer, answered_at);
        let height = self.known.block_height();
        self.known = answer.health;
        self.asks_at = now.plus((takes + self.known.pause()).as_secs());
        height != self.known.block_height()
    }

    /// Tells the engine, as before each of its steps.
    pub(crate) fn tell(&self, engine: &mut Engine, now: UnixTime, tally: &mut Tally) {
        let now = self.instant(now);
        let is_deferring = self.standing.is_deferring(now);
        if is_deferring {
            tally.add("step while deferring");
        }
        engine.set_lightning_ready(!is_deferring);
        engine.set_outbound(self.standing.outbound(now));
    }

    /// The height of the chain, when it is to be judged.
    pub(crate) fn tip(&mut self, now: UnixTime) -> Option<Submission> {
        let shown = self.known.synced_height();
        if now < self.tells_tip_at && shown == self.told_tip {
            return None;
        }
        if now >= self.tells_tip_at {
            self.tells_tip_at = now.plus(TIP_SECS);
        }
        self.told_tip = shown;
        Some(Submission::Tip(shown))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.known.is_ready()
    }

    /// Whether a payment sent at `sent` may have failed for a reason that is
    /// ours (rule P7).
    pub(super) fn was_in_trouble(&self, sent: UnixTime, now: UnixTime) -> bool {
        let (sent, now) = (self.instant(sent), self.instant(now));
        self.standing.was_in_trouble(sent, now)
    }

    fn instant(&self, at: UnixTime) -> Instant {
        let (unix, instant) = self.born;
        instant + Duration::from_secs(at.secs_since(unix))
    }
}

fn no_answer(tally: &mut Tally) -> LnError {
    tally.add("health without an answer");
    LnError::Ambiguous("no answer".into())
}

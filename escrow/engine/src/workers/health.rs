//! Whether Lightning can be used, asked again and again.

use std::sync::Arc;
use std::time::Duration;

use escrow_core::Sats;
use escrow_lightning::backend::NodeInfo;
use escrow_lightning::{LightningBackend, LnError, LnResult};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::workers::switchboard::limited;

/// Time between two questions while all is well (rule X8).
const CALM: Duration = Duration::from_secs(15);

/// Time between two questions while it is not.
const EAGER: Duration = Duration::from_secs(1);

/// Longest wait for an answer; none in that time means not ready.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Without a good answer for so long, nothing new is taken on (rule X8).
const PATIENCE: Duration = Duration::from_secs(60);

/// So long after its start Lightning still looks for its peers (rule P7).
const WARM_UP: Duration = Duration::from_secs(60);

/// What is known of the Lightning node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LightningHealth {
    /// Not asked yet.
    Unknown,
    /// Reachable.
    Reachable(NodeInfo),
    /// Not reachable, and why.
    Unreachable(String),
}

impl LightningHealth {
    /// What an answer to `info` shows.
    #[must_use]
    pub fn of(info: LnResult<NodeInfo>) -> LightningHealth {
        match info {
            Ok(info) => LightningHealth::Reachable(info),
            Err(why) => LightningHealth::Unreachable(match why {
                LnError::Unavailable(why) | LnError::Ambiguous(why) => why,
                LnError::Auth(_) | LnError::IdentityChanged | LnError::Contract(_) => {
                    why.to_string()
                }
            }),
        }
    }

    /// How long until it is asked again.
    #[must_use]
    pub fn pause(&self) -> Duration {
        if self.is_ready() { CALM } else { EAGER }
    }

    /// Whether payments can be started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            LightningHealth::Reachable(info) => info.synced_to_chain && info.active_channels > 0,
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => false,
        }
    }

    /// Height of the chain, when it is known.
    #[must_use]
    pub fn block_height(&self) -> Option<u32> {
        match self {
            LightningHealth::Reachable(info) => Some(info.block_height),
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => None,
        }
    }

    /// Height of the chain, unless it may be an old one.
    #[must_use]
    pub fn synced_height(&self) -> Option<u32> {
        match self {
            LightningHealth::Reachable(info) if info.synced_to_chain => Some(info.block_height),
            LightningHealth::Reachable(_)
            | LightningHealth::Unknown
            | LightningHealth::Unreachable(_) => None,
        }
    }

    fn is_reachable(&self) -> bool {
        matches!(self, LightningHealth::Reachable(_))
    }
}

/// What Lightning's answers of late allow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// The last answer of a synced node that said what it can send.
    good_at: Option<Instant>,
    /// What it could send then.
    outbound: Option<Sats>,
    /// The last moment at which it could not have paid.
    trouble_at: Option<Instant>,
    /// When it could be reached again after it could not.
    back_at: Option<Instant>,
}

impl Standing {
    /// Whether new escrows have to wait (rules T7, X8).
    #[must_use]
    pub fn is_deferring(&self, now: Instant) -> bool {
        self.good_at.is_none_or(|at| now - at >= PATIENCE)
    }

    /// What Lightning can send, if it said so of late.
    #[must_use]
    pub fn outbound(&self, now: Instant) -> Option<Sats> {
        self.outbound.filter(|_| !self.is_deferring(now))
    }

    /// Whether a payment sent at `sent` may have failed for a reason that is
    /// ours (rule P7).
    #[must_use]
    pub fn was_in_trouble(&self, sent: Instant, now: Instant) -> bool {
        self.trouble_at.is_some_and(|at| at >= sent)
            || self.back_at.is_some_and(|at| now - at < WARM_UP)
    }

    /// After one more answer; `before` is what was known until then.
    #[must_use]
    pub fn after(self, before: &LightningHealth, answer: &Answer, now: Instant) -> Standing {
        let mut standing = self;
        if let (Some(_), Some(outbound)) = (answer.health.synced_height(), answer.outbound) {
            standing.good_at = Some(now);
            standing.outbound = Some(outbound);
        }
        if !answer.health.is_ready() {
            standing.trouble_at = Some(now);
        }
        if matches!(before, LightningHealth::Unreachable(_)) && answer.health.is_reachable() {
            standing.back_at = Some(now);
        }
        standing
    }
}

/// What Lightning said when it was asked how it is.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it shows itself.
    pub health: LightningHealth,
    /// What it can send, if it said so.
    pub outbound: Option<Sats>,
}

/// Asks again and again.
pub(crate) struct HealthWatch {
    backend: Arc<dyn LightningBackend>,
    health: watch::Sender<LightningHealth>,
    standing: watch::Sender<Standing>,
}

impl HealthWatch {
    /// Asks once.
    pub(crate) async fn begin(backend: Arc<dyn LightningBackend>) -> HealthWatch {
        let watch = HealthWatch {
            backend,
            health: watch::Sender::new(LightningHealth::Unknown),
            standing: watch::Sender::new(Standing::default()),
        };
        watch.ask().await;
        watch
    }

    pub(crate) fn health(&self) -> watch::Receiver<LightningHealth> {
        self.health.subscribe()
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Asks for ever; ends only with its task.
    pub(crate) async fn run(self) {
        loop {
            let pause = self.health.borrow().pause();
            sleep(pause).await;
            self.ask().await;
        }
    }

    async fn ask(&self) {
        let answer = answer(self.backend.as_ref()).await;
        let before = self.health.borrow().clone();
        self.standing
            .send_modify(|standing| *standing = standing.after(&before, &answer, Instant::now()));
        let is_ready = answer.health.is_ready();
        if before != LightningHealth::Unknown && before.is_ready() != is_ready {
            tracing::warn!(ready = is_ready, "Lightning changed its readiness");
        }
        if before != answer.health {
            self.health.send_replace(answer.health);
        }
    }
}

async fn answer(backend: &dyn LightningBackend) -> Answer {
    let asked = async { tokio::join!(backend.info(), backend.liquidity()) };
    let (info, liquidity) = match limited(ANSWER_LIMIT, async { Ok(asked.await) }).await {
        Ok(answers) => answers,
        Err(why) => (Err(why), Err(LnError::Unavailable("not asked".into()))),
    };
    Answer {
        health: LightningHealth::of(info),
        outbound: liquidity.ok().map(|it| it.outbound.whole_sats()),
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::UnixTime;
    use escrow_lightning::Network;

    use super::*;

    fn up(synced_to_chain: bool, active_channels: u32) -> Answer {
        let info = NodeInfo {
            pubkey: String::new(),
            alias: String::new(),
            version: String::new(),
            network: Network::Regtest,
            block_height: 1,
            best_block_time: UnixTime(1),
            synced_to_chain,
            active_channels,
        };
        Answer {
            health: LightningHealth::Reachable(info),
            outbound: Some(Sats(5)),
        }
    }

    fn down() -> Answer {
        Answer {
            health: LightningHealth::Unreachable("asleep".into()),
            outbound: None,
        }
    }

    /// The standing after these answers, each so many seconds after `start`.
    fn after(start: Instant, answers: &[(u64, Answer)]) -> Standing {
        let mut standing = Standing::default();
        let mut before = LightningHealth::Unknown;
        for (secs, answer) in answers {
            let now = start + Duration::from_secs(*secs);
            standing = standing.after(&before, answer, now);
            before = answer.health.clone();
        }
        standing
    }

    #[test]
    fn x8_without_a_good_answer_for_a_minute_new_escrows_wait_and_at_start_at_once() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let never = after(start, &[(0, up(false, 1)), (1, down())]);
        assert!(never.is_deferring(at(1)));
        let mixed = after(start, &[(0, up(true, 1)), (20, up(false, 1)), (40, down())]);
        assert!(!mixed.is_deferring(at(59)));
        assert_eq!(mixed.outbound(at(59)), Some(Sats(5)));
        assert!(mixed.is_deferring(at(60)));
        assert_eq!(mixed.outbound(at(60)), None);
        let back = after(start, &[(0, up(true, 1)), (70, up(true, 0))]);
        assert!(!back.is_deferring(at(71)));
    }

    #[test]
    fn p7_a_failure_is_ours_if_lightning_had_trouble_after_the_payment_was_sent() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let calm = after(start, &[(0, up(true, 1)), (500, up(true, 1))]);
        assert!(!calm.was_in_trouble(at(0), at(510)));
        let no_channel = after(start, &[(0, up(true, 1)), (100, up(true, 0))]);
        assert!(no_channel.was_in_trouble(at(90), at(300)));
        assert!(!no_channel.was_in_trouble(at(110), at(300)));
        let restarted = after(
            start,
            &[(0, up(true, 1)), (100, down()), (110, up(true, 1))],
        );
        assert!(restarted.was_in_trouble(at(120), at(169)), "it warms up");
        assert!(!restarted.was_in_trouble(at(120), at(170)));
    }
}

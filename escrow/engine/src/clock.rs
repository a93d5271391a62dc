//! Where the time comes from, and whether it can be believed.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use escrow_core::UnixTime;

/// A source of the present moment.
pub trait Clock: Send + Sync + 'static {
    /// Unix seconds; whoever sets the machine's clock moves them.
    fn now(&self) -> UnixTime;

    /// Time since some moment of this process; nobody can set it.
    fn uptime(&self) -> Duration;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

static BIRTH: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixTime(since_epoch.map_or(0, |elapsed| elapsed.as_secs()))
    }

    fn uptime(&self) -> Duration {
        BIRTH.elapsed()
    }
}

/// The two clocks may differ by so many seconds from one look to the next.
pub(crate) const TOLERANCE_SECS: u64 = 60;

/// How long they must agree until a jump is believed.
const PROBATION: Duration = Duration::from_secs(90);

/// Compares the two clocks at each look (rule E14).
pub struct ClockGuard {
    clock: Arc<dyn Clock>,
    last: Look,
    doubt: Option<Doubt>,
}

/// What the clocks said.
#[derive(Clone, Copy)]
struct Look {
    wall: UnixTime,
    uptime: Duration,
}

/// A jump that is not believed yet.
struct Doubt {
    /// The last look before it.
    before: Look,
    /// Uptime at the last jump.
    jumped_at: Duration,
}

/// The time, and what is to be thought of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The clocks agree.
    Steady(UnixTime),
    /// The wall clock jumped: until it is believed, time is counted from
    /// before the jump.
    Jumped {
        /// The time.
        now: UnixTime,
        /// By how many seconds; backwards if negative.
        by_secs: i128,
    },
    /// As after the jump that was told before.
    Doubtful(UnixTime),
    /// The clocks have agreed for long enough, and the wall clock is believed.
    Settled {
        /// The time.
        now: UnixTime,
        /// Seconds by which it is later than it was counted.
        ahead_secs: u64,
    },
}

impl Sight {
    /// The time, whatever is to be thought of it.
    #[must_use]
    pub fn now(self) -> UnixTime {
        match self {
            Sight::Steady(now)
            | Sight::Jumped { now, .. }
            | Sight::Doubtful(now)
            | Sight::Settled { now, .. } => now,
        }
    }
}

impl ClockGuard {
    /// Believes the clock as it stands.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> ClockGuard {
        let last = Look::at(clock.as_ref());
        ClockGuard {
            clock,
            last,
            doubt: None,
        }
    }

    /// The time, without a judgement.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        match &self.doubt {
            Some(doubt) => doubt.before.counted_to(self.clock.uptime()),
            None => self.clock.now(),
        }
    }

    /// Looks at both clocks; to be done more often than once in a minute.
    pub fn look(&mut self) -> Sight {
        let look = Look::at(self.clock.as_ref());
        let before = std::mem::replace(&mut self.last, look);
        let by_secs = look.ahead_of(before);
        let jumps = by_secs.unsigned_abs() > u128::from(TOLERANCE_SECS);
        let Some(doubt) = &mut self.doubt else {
            if !jumps {
                return Sight::Steady(look.wall);
            }
            self.doubt = Some(Doubt {
                before,
                jumped_at: look.uptime,
            });
            let now = before.counted_to(look.uptime);
            return Sight::Jumped { now, by_secs };
        };
        if jumps {
            doubt.jumped_at = look.uptime;
        }
        let counted = doubt.before.counted_to(look.uptime);
        if look.uptime.saturating_sub(doubt.jumped_at) < PROBATION {
            return Sight::Doubtful(counted);
        }
        self.doubt = None;
        Sight::Settled {
            now: look.wall,
            ahead_secs: look.wall.secs_since(counted),
        }
    }
}

impl Look {
    fn at(clock: &dyn Clock) -> Look {
        Look {
            wall: clock.now(),
            uptime: clock.uptime(),
        }
    }

    /// The time, counted from this look on.
    fn counted_to(self, uptime: Duration) -> UnixTime {
        self.wall.plus(uptime.saturating_sub(self.uptime).as_secs())
    }

    /// By how many seconds the wall clock runs ahead since an earlier look.
    fn ahead_of(self, before: Look) -> i128 {
        i128::from(self.wall.0) - i128::from(before.counted_to(self.uptime).0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Wall clock and uptime, in seconds.
    struct Hands(Mutex<(u64, u64)>);

    impl Clock for Hands {
        fn now(&self) -> UnixTime {
            UnixTime(self.0.lock().unwrap().0)
        }

        fn uptime(&self) -> Duration {
            Duration::from_secs(self.0.lock().unwrap().1)
        }
    }

    fn looks(at: &[(u64, u64)]) -> Vec<Sight> {
        let hands = Arc::new(Hands(Mutex::new((1_000, 0))));
        let mut guard = ClockGuard::new(hands.clone());
        let mut seen = Vec::new();
        for moment in at {
            *hands.0.lock().unwrap() = *moment;
            seen.push(guard.look());
        }
        seen
    }

    #[test]
    fn e14_small_differences_are_no_jump() {
        let seen = looks(&[(1_090, 30), (1_060, 60), (1_090, 90)]);
        let steady = [1_090, 1_060, 1_090].map(|at| Sight::Steady(UnixTime(at)));
        assert_eq!(seen, steady);
    }

    #[test]
    fn e14_a_jump_is_believed_when_the_clocks_agreed_for_90_seconds() {
        let ahead = looks(&[(4_630, 30), (4_660, 60), (4_719, 119), (4_720, 120)]);
        let told = [
            Sight::Jumped {
                now: UnixTime(1_030),
                by_secs: 3_600,
            },
            Sight::Doubtful(UnixTime(1_060)),
            Sight::Doubtful(UnixTime(1_119)),
            Sight::Settled {
                now: UnixTime(4_720),
                ahead_secs: 3_600,
            },
        ];
        assert_eq!(ahead, told);
    }

    #[test]
    fn e14_a_jump_that_is_taken_back_moves_nothing() {
        let back = looks(&[(4_630, 30), (1_060, 60), (1_149, 149), (1_150, 150)]);
        let settled = Sight::Settled {
            now: UnixTime(1_150),
            ahead_secs: 0,
        };
        assert_eq!(back[2..], [Sight::Doubtful(UnixTime(1_149)), settled]);
    }
}

//! The true time, which nobody in a town can set, and what the node's machine
//! takes for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_engine::clock::{Clock, ClockGuard, Sight};

/// The hours of a town.
pub(crate) struct Hours {
    pub(crate) now: UnixTime,
    began: UnixTime,
    /// By how much the machine's clock is wrong.
    wrong_secs: i64,
    hands: Arc<Hands>,
    guard: ClockGuard,
}

/// The clock of the node's machine, in seconds.
#[derive(Default)]
struct Hands {
    wall: AtomicU64,
    uptime: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> UnixTime {
        UnixTime(self.wall.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.uptime.load(Ordering::Relaxed))
    }
}

impl Hours {
    pub(crate) fn new(now: UnixTime) -> Hours {
        let hands = Arc::new(Hands::default());
        hands.wall.store(now.0, Ordering::Relaxed);
        Hours {
            now,
            began: now,
            wrong_secs: 0,
            guard: ClockGuard::new(hands.clone()),
            hands,
        }
    }

    pub(crate) fn pass(&mut self, secs: u64) {
        self.now = self.now.plus(secs);
        self.move_hands();
    }

    pub(crate) fn is_right(&self) -> bool {
        self.wrong_secs == 0
    }

    /// Somebody sets the machine's clock wrong by so much; right, by none.
    pub(crate) fn set_wrong(&mut self, by_secs: i64) {
        self.wrong_secs = by_secs;
        self.move_hands();
    }

    /// A new process has seen no jump yet.
    pub(crate) fn restart(&mut self) {
        self.guard = ClockGuard::new(self.hands.clone());
    }

    /// What the node takes for the time.
    pub(crate) fn seen(&self) -> UnixTime {
        self.guard.now()
    }

    pub(crate) fn look(&mut self) -> Sight {
        self.guard.look()
    }

    fn move_hands(&self) {
        let wall = self.now.0.saturating_add_signed(self.wrong_secs);
        self.hands.wall.store(wall, Ordering::Relaxed);
        let uptime = self.now.secs_since(self.began);
        self.hands.uptime.store(uptime, Ordering::Relaxed);
    }
}

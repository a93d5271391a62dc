//! Envelopes of unknown keys: anybody may send them, every gift wrap is one, and opening
//! one costs a core some hundred microseconds, or a few milliseconds if it is large.
//!
//! So they are opened at a bounded pace and few at once, and wait for it in a queue in
//! which each source has its turn: a flood makes the others wait as long as one turn of
//! everybody takes, and is refused itself (rule Y4).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::fair_queue::{FairQueue, Source};
use crate::mailbox::STOPPING;
use crate::submission::{Receipt, Refusal};

/// Envelopes that wait to be opened, in all and from one connection.
const WAITING: usize = 256;
const WAITING_OF_ONE_CONNECTION: usize = 64;

/// Longest wait. With the longest that the node may think about an action it stays
/// below the time that clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pause this long may be made up for at once.
const BURST: Duration = Duration::from_millis(100);

/// The queue of strangers' envelopes before they are opened.
#[derive(Debug)]
pub(crate) struct Strangers {
    crowd: Mutex<Crowd>,
    arrived: Notify,
    /// Half of the cores, so that the other half is there for everything else.
    desks: Arc<Semaphore>,
}

/// Leave to open one envelope, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _desk: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Crowd {
    queue: FairQueue<oneshot::Sender<Result<Turn, Receipt>>>,
    pace: Pace,
    closed: bool,
}

impl Strangers {
    pub(crate) fn new(per_second: u32) -> Strangers {
        let cores = available_parallelism().map_or(1, usize::from);
        Strangers {
            crowd: Mutex::new(Crowd {
                queue: FairQueue::new(WAITING, WAITING_OF_ONE_CONNECTION),
                pace: Pace::new(per_second),
                closed: false,
            }),
            arrived: Notify::new(),
            desks: Arc::new(Semaphore::new((cores / 2).max(1))),
        }
    }

    /// Waits until an envelope from there may be opened.
    ///
    /// # Errors
    /// The receipt, if the source has too many in the queue, or it takes too long.
    pub(crate) async fn turn(&self, source: Source) -> Result<Turn, Receipt> {
        let called = {
            let mut crowd = self.lock();
            if crowd.closed {
                return Err(Receipt::error(STOPPING));
            }
            if let Some(turn) = self.turn_at_once(&mut crowd) {
                return Ok(turn);
            }
            let (call, called) = oneshot::channel();
            if let Some(lost) = crowd.queue.push(source, call) {
                // Who does not wait any more does not want to know.
                let _ = lost.send(Err(crowded()));
            }
            called
        };
        self.arrived.notify_one();
        match timeout(PATIENCE, called).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => Err(Receipt::error(STOPPING)),
            Err(_) => Err(crowded()),
        }
    }

    /// In a quiet hour nobody waits, not even for the one who calls.
    fn turn_at_once(&self, crowd: &mut Crowd) -> Option<Turn> {
        let now = Instant::now();
        if !crowd.queue.is_empty() || crowd.pace.next > now {
            return None;
        }
        let desk = self.desks.clone().try_acquire_owned().ok()?;
        crowd.pace.step(now);
        Some(Turn { _desk: desk })
    }

    /// Calls one after the other, as long as it is polled.
    pub(crate) async fn serve(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.lock().queue.is_empty() {
                arrived.await;
                continue;
            }
            let desk = self.desks.clone().acquire_owned().await;
            let desk = desk.expect("nobody closes the desks");
            let next = self.lock().pace.next;
            sleep_until(next).await;
            self.call(Turn { _desk: desk });
        }
    }

    /// Gives the turn to the next who still waits.
    fn call(&self, turn: Turn) {
        let mut crowd = self.lock();
        while let Some(call) = crowd.queue.pop() {
            if !call.is_closed() {
                crowd.pace.step(Instant::now());
                // Should he leave in this moment, the next is called a step later.
                let _ = call.send(Ok(turn));
                return;
            }
        }
    }

    /// Lets nobody in any more, and tells all who wait.
    pub(crate) fn close(&self) {
        let mut crowd = self.lock();
        crowd.closed = true;
        // Who waits learns it from his call being dropped.
        while crowd.queue.pop().is_some() {}
    }

    fn lock(&self) -> MutexGuard<'_, Crowd> {
        // Plain data: a panic elsewhere leaves it whole.
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn crowded() -> Receipt {
    Receipt::Refused(Refusal::Busy(
        "too many messages of unknown keys, try again in a moment".into(),
    ))
}

/// How fast envelopes are opened.
#[derive(Debug)]
struct Pace {
    /// When the next may be opened.
    next: Instant,
    pause: Duration,
}

impl Pace {
    fn new(per_second: u32) -> Pace {
        Pace {
            next: Instant::now(),
            pause: Duration::from_secs(1) / per_second.max(1),
        }
    }

    fn step(&mut self, now: Instant) {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.next = self.next.max(earliest) + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::future::join_all;
    use tokio::time::advance;

    use super::*;

    fn source(connection: u64) -> Source {
        Source {
            address: IpAddr::from([192, 0, 2, 1]),
            connection,
        }
    }

    /// Polls the future while the strangers are served.
    async fn served<T>(strangers: &Strangers, visit: impl Future<Output = T>) -> T {
        tokio::select! {
            () = strangers.serve() => unreachable!("it ends never"),
            outcome = visit => outcome,
        }
    }

    /// Takes one turn and gives it back at once; when it came.
    async fn visit(strangers: &Strangers, connection: u64) -> Result<Duration, Receipt> {
        let since = Instant::now();
        strangers.turn(source(connection)).await?;
        Ok(since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn y4_in_a_quiet_hour_nobody_waits() {
        let strangers = Strangers::new(10);
        advance(Duration::from_secs(60)).await;
        for _ in 0..2 {
            assert_eq!(visit(&strangers, 1).await, Ok(Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn y4_strangers_are_opened_at_their_pace() {
        let strangers = Strangers::new(100);
        let begin = Instant::now();
        let visits = join_all((0..60).map(|_| visit(&strangers, 1)));
        let visits = served(&strangers, visits).await;
        assert!(visits.iter().all(Result::is_ok));
        assert_eq!(begin.elapsed(), Duration::from_millis(590));
    }

    #[tokio::test(start_paused = true)]
    async fn y4_a_flood_makes_the_other_wait_one_turn_of_each() {
        let strangers = Strangers::new(100);
        let flood = (0..20).flat_map(|connection| [connection; 50]);
        let flood = join_all(flood.map(|connection| visit(&strangers, connection)));
        let honest = async {
            tokio::task::yield_now().await;
            visit(&strangers, 99).await
        };
        let visits = async { tokio::join!(flood, honest) };
        let (flood, honest) = served(&strangers, visits).await;
        let wait = honest.expect("who has nothing waiting gets a place");
        assert!(wait <= Duration::from_millis(210), "{wait:?}");
        let refused = flood.iter().filter(|visit| visit.is_err()).count();
        assert!(refused >= 20 * 50 - WAITING - 1, "{refused} refused");
        assert!(flood.contains(&Err(crowded())));
    }

    #[tokio::test(start_paused = true)]
    async fn y4_who_waits_too_long_is_told() {
        let strangers = Strangers::new(1);
        visit(&strangers, 1).await.unwrap();
        advance(Duration::from_millis(500)).await;
        let visits = join_all((0..10).map(|_| visit(&strangers, 1)));
        let visits = served(&strangers, visits).await;
        let (let_in, told): (Vec<_>, Vec<_>) = visits.into_iter().partition(Result::is_ok);
        assert_eq!(let_in.len(), 5);
        assert_eq!(told, vec![Err(crowded()); 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn y4_so_many_are_opened_at_once() {
        let strangers = Strangers::new(1_000);
        let desks = strangers.desks.available_permits();
        let mut turns = Vec::new();
        for _ in 0..desks {
            turns.push(served(&strangers, strangers.turn(source(1))).await.unwrap());
        }
        let late = served(&strangers, strangers.turn(source(2)));
        assert_eq!(late.await.unwrap_err(), crowded());
        turns.clear();
        assert!(served(&strangers, visit(&strangers, 2)).await.is_ok());
    }

    #[tokio::test]
    async fn g15_the_end_leaves_nobody_waiting() {
        let strangers = Strangers::new(1);
        let _turn = strangers.turn(source(1)).await;
        let waiting = strangers.turn(source(1));
        let end = async {
            tokio::task::yield_now().await;
            strangers.close();
        };
        let (waiting, ()) = tokio::join!(waiting, end);
        assert_eq!(waiting.unwrap_err(), Receipt::error(STOPPING));
        let late = strangers.turn(source(2)).await;
        assert_eq!(late.unwrap_err(), Receipt::error(STOPPING));
    }
}
